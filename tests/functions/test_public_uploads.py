"""Whether programs get files into the library in the way they know, and are told in their words where they do not."""

import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from functions.media.app import app as media_app
from functions.public_api.app import app
from local.workers import MAX_PAYLOAD_BYTES
from shared.aws import storage
from shared.channels.models import Channel
from shared.core.config import settings
from shared.core.reach import Reach
from shared.media import receive
from shared.media.models import Media, MediaState
from shared.media.queries import MediaRow
from shared.media.quota import StorageFull
from shared.organizations.models import Member
from shared.public_api import uploads
from shared.publishing.housekeeping import remove_unneeded_media
from tests.answering import Answer as Answering
from tests.answering import says, serving
from tests.builders import a_member, an_actor, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, by_key
from tests.shared.media.files import a_bitmap, a_picture, an_mp4
from tests.shared.media.storage import (
    PUBLIC,
    asked_for_variants,
    keys,
    make_storage,
    open_uploads,
    stored,
)

MEBIBYTE = 1024**2
UPLOAD, BY_ADDRESS = "/public/v1/upload", "/public/v1/upload-from-url"
_MULTIPART = "multipart/form-data; boundary=frontier"


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


@pytest.fixture
def program(session: Session, member: Member) -> Gateway:
    return by_key(app, session, member)


def send(
    program: Gateway,
    content: bytes,
    *,
    name: str = "beach.jpg",
    claimed: str = "application/octet-stream",
    key: str | None = None,
    field: str = "file",
    path: str = UPLOAD,
) -> Answer:
    """Send a form with a file in it, as the SDK and the CLI do."""
    head = (
        f'--frontier\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: {claimed}\r\n\r\n"
    )
    form = head.encode() + content + b"\r\n--frontier--\r\n"
    headers = {"content-type": _MULTIPART, **({"idempotency-key": key} if key else {})}
    return program.call("POST", path, content=form, headers=headers)


def fetch(program: Gateway, url: str, *, key: str | None = None) -> Answer:
    return program.post(BY_ADDRESS, {"url": url}, headers={"idempotency-key": key} if key else {})


def rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Media)) or 0


def post(program: Gateway, channel: Channel, image: dict[str, str]) -> dict[str, Any]:
    """Compose a draft with one picture; the post as it is stored."""
    part = {"content": "Look", "image": [image]}
    body = {
        "type": "draft",
        "date": "2030-01-01T10:00:00.000Z",
        "shortLink": False,
        "tags": [],
        "posts": [{"integration": {"id": str(channel.id)}, "value": [part]}],
    }
    answer = program.post("/public/v1/posts", body)
    assert answer.status == 201, answer.text
    shown: dict[str, Any] = program.get(f"/public/v1/posts/{answer.json[0]['postId']}").json
    return shown


def images_of(shown: dict[str, Any]) -> list[str]:
    return [image["id"] for image in shown["value"][0]["image"]]


PICTURES = {
    "jpg": a_picture(".jpg"),
    "png": a_picture(".png"),
    "gif": a_picture(".gif"),
    "webp": a_picture(".webp"),
    "avif": a_picture(".avif"),
    "bmp": a_bitmap(),
    "tiff": a_picture(".tif"),
    "mp4": an_mp4(),
}


class TestUpload:
    def test_answer_field_by_field(self, program: Gateway, member: Member) -> None:
        content = a_picture(".png")
        answer = send(program, content, name="beach.png")
        assert answer.status == 201
        body = answer.json
        assert list(body) == ["id", "name", "originalName", "path", "thumbnail", "alt"]
        assert str(uuid.UUID(body["id"])) == body["id"]
        assert body["originalName"] == "beach.png"
        assert (body["thumbnail"], body["alt"]) == (None, None)
        stem, _, extension = body["name"].partition(".")
        assert (len(bytes.fromhex(stem)), extension) == (16, "png")
        place = f"{PUBLIC}/files/{member.organization_id}/{body['id']}/{body['name']}"
        assert body["path"] == place

    def test_below_the_other_prefix_it_is_the_same(self, program: Gateway) -> None:
        program_below = Gateway(app, dict(program.headers))
        answer = send(program_below, a_picture(), path=UPLOAD)
        assert answer.status == 201

    @pytest.mark.parametrize("extension", PICTURES)
    def test_type_is_what_the_bytes_say(self, program: Gateway, extension: str) -> None:
        content = PICTURES[extension]
        answer = send(program, content, name="song.mp3", claimed="audio/mpeg")
        assert answer.status == 201, answer.text
        assert answer.json["path"].endswith(f".{extension}")
        served = stored(answer.json["path"].removeprefix(f"{PUBLIC}/"))
        assert served["content"] == content
        assert served["ContentType"].endswith(extension.replace("jpg", "jpeg"))
        assert "immutable" in served["CacheControl"]

    def test_file_is_in_the_library_with_its_facts(
        self, session: Session, member: Member, program: Gateway
    ) -> None:
        content = a_picture(".png", width=60, height=40)
        file = send(program, content, name="beach.png").json
        library = by_key(media_app, session, member).get("/media").json["results"]
        assert [(one["id"], one["path"], one["name"]) for one in library] == [
            (file["id"], file["path"], "beach.png")
        ]
        assert (library[0]["width"], library[0]["height"]) == (60, 40)
        assert library[0]["fileSize"] == len(content)

    def test_variants_are_asked_for(self, program: Gateway, member: Member) -> None:
        file = send(program, a_picture()).json
        [message] = asked_for_variants(settings().variants_queue_url)
        assert message["mediaId"] == file["id"]
        assert message["organizationId"] == str(member.organization_id)

    @pytest.mark.parametrize("name", ["png", "JPEG", "", "blob"])
    def test_client_that_names_only_the_kind_names_nothing(
        self, session: Session, program: Gateway, name: str
    ) -> None:
        if not name:  # a part without a file name is a text, not a file: see the refusals
            name = "file"
        body = send(program, a_picture(), name=name).json
        assert body["originalName"] is None
        assert session.scalar(select(Media.name)) == body["name"]

    def test_name_is_no_path_and_not_too_long(self, program: Gateway) -> None:
        assert send(program, a_picture(), name="../../a/b.png").json["originalName"] == "b.png"
        long = send(program, a_picture(), name="x" * 300 + ".png").json["originalName"]
        assert long == "x" * 254 + "…"

    @pytest.mark.parametrize(
        ("said", "name"),
        [
            ("filename*=UTF-8''na%C3%AFve%20owl.png", "naïve owl.png"),
            ("filename*=iso-8859-1'en'na%EFve.png", "naïve.png"),
            ("filename=\"plain.png\"; filename*=UTF-8''na%C3%AFve.png", "naïve.png"),
            ("filename*=UTF-8''na%C3%AFve.png; filename=\"plain.png\"", "naïve.png"),
            ("filename=\"plain.png\"; filename*=koi8-r''%C1.png", "plain.png"),
            ("filename=\"plain.png\"; filename*=UTF-8''%FF.png", "plain.png"),
            ('filename="an %22owl%22.png"', 'an "owl".png'),
            ('filename="100%25.png"', "100%25.png"),
            ('filename="a%0D%0Ab.png"', "a b.png"),
            ("filename*=UTF-8''gnp.%E2%80%AEowl%07.png", "gnp.owl.png"),
            ("filename*=UTF-8''..%2F..%5Cowl.png", "owl.png"),
            ('filename="a; filename*=b.png"', "a; filename*=b.png"),
            ('filename="été.png"', "été.png"),
        ],
    )
    def test_name_is_read_as_it_is_said(self, program: Gateway, said: str, name: str) -> None:
        """A part with `filename*` alone (RFC 5987, 6266) was refused as no file; escaped quotation marks stayed escaped."""
        head = f'--frontier\r\nContent-Disposition: form-data; name="file"; {said}\r\n\r\n'
        form = head.encode() + a_picture() + b"\r\n--frontier--\r\n"
        headers = {"content-type": _MULTIPART}
        answer = program.call("POST", UPLOAD, content=form, headers=headers)
        assert answer.status == 201, answer.text
        assert answer.json["originalName"] == name

    def test_bytes_that_look_like_an_escape_are_bytes(self, program: Gateway) -> None:
        content = a_picture(".png") + b'{"made with": "\\u0000"}'
        assert send(program, content).status == 201

    def test_costs_five_statements(self, program: Gateway) -> None:
        with count_statements() as cost:
            send(program, a_picture())
        assert cost.statements == 5  # who it is, the quota's lock and count, the row, the row again
        with count_statements() as cost:
            send(program, a_picture(), key="once")
        assert cost.statements == 7

    def test_nothing_stays_open(self, program: Gateway) -> None:
        send(program, a_picture())
        assert (keys("incoming/"), open_uploads()) == ([], 0)


class TestUseInPosts:
    @pytest.fixture(autouse=True)
    def _queues(self, queues: None) -> None:
        """Posts are armed through them."""

    def test_by_path_with_whatever_id(self, program: Gateway, channel: Channel) -> None:
        file = send(program, a_picture()).json
        assert images_of(post(program, channel, {"id": "x7f", "path": file["path"]})) == [
            file["id"]
        ]

    def test_by_id(self, program: Gateway, channel: Channel) -> None:
        file = send(program, a_picture()).json
        image = {"id": file["id"], "path": file["path"]}
        assert images_of(post(program, channel, image)) == [file["id"]]


class TestUploadRefusals:
    @pytest.mark.parametrize("field", ["picture", "files"])
    def test_no_file(self, program: Gateway, field: str) -> None:
        answer = send(program, a_picture(), field=field)
        assert (answer.status, answer.json["msg"]) == (400, "No file provided")
        assert answer.json["message"] == "No file provided"

    def test_json_has_no_file(self, program: Gateway) -> None:
        answer = program.post(UPLOAD, {"file": "x"})
        assert (answer.status, answer.json["msg"]) == (400, "No file provided")

    def test_text_is_no_file(self, program: Gateway) -> None:
        form = b'--frontier\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--frontier--\r\n'
        headers = {"content-type": _MULTIPART}
        answer = program.call("POST", UPLOAD, content=form, headers=headers)
        assert (answer.status, answer.json["msg"]) == (400, "No file provided")

    def test_broken_form(self, program: Gateway) -> None:
        headers = {"content-type": "multipart/form-data"}
        answer = program.call("POST", UPLOAD, content=b"nonsense", headers=headers)
        assert answer.status == 400
        assert "form" in answer.json["msg"]
        assert answer.json["msg"]

    @pytest.mark.parametrize("content", [b"%PDF-1.7 ...", b"<svg></svg>", b"hello", b"MZ"])
    def test_other_types(self, session: Session, program: Gateway, content: bytes) -> None:
        answer = send(program, content, name="beach.png", claimed="image/png")
        assert answer.status == 400
        body = answer.json
        assert (body["message"], body["msg"]) == ("Unsupported file type.",) * 2
        assert body["errors"][0]["code"] == "unsupported_type"
        assert body["errors"][0]["message"].startswith("This file is ")
        assert (rows(session), keys()) == (0, [])

    def test_empty_file(self, program: Gateway) -> None:
        answer = send(program, b"")
        assert (answer.status, answer.json["msg"]) == (
            400,
            "The file is empty. Choose another file.",
        )

    def test_size_that_is_not_stored_is_named(self, program: Gateway, configure: Configure) -> None:
        configure(MEDIA_MAX_IMAGE_BYTES=1_000)
        answer = send(program, a_picture(width=400))
        assert (answer.status, answer.json["msg"]) == (400, "File is too large.")
        assert "1,000 bytes" in answer.json["message"]

    def test_file_that_no_function_takes_is_told_where_to_go(self, program: Gateway) -> None:
        answer = send(program, bytes(uploads.MAX_BODY_BYTES))
        assert answer.status == 413
        body = answer.json
        assert body["maxBytes"] == 4_500_000
        assert body["alternative"] == "POST /media"
        assert body["msg"] == body["message"]
        for said in ("4,500,000 bytes", "POST /media", "POST /public/v1/upload-from-url"):
            assert said in body["msg"]

    def test_largest_file_fits_into_an_invocation(self, program: Gateway) -> None:
        content = an_mp4(media_bytes=uploads.MAX_FILE_BYTES - 2_000)
        assert send(program, content).status == 201
        others = 64 * 1024  # headers have 10 KB at most, the context 2
        assert uploads.MAX_BODY_BYTES * 4 / 3 + others < MAX_PAYLOAD_BYTES

    def test_json_stays_small(self, program: Gateway) -> None:
        answer = program.post(BY_ADDRESS, {"url": "https://x.example/" + "x" * 3 * MEBIBYTE})
        assert answer.status == 413
        assert answer.json["msg"]

    def test_without_a_key(self) -> None:
        answer = send(Gateway(app), a_picture())
        assert (answer.status, answer.json["msg"]) == (401, "No API Key found")


class TestQuota:
    def test_storage_that_is_full_is_refused_and_nothing_stays(
        self, program: Gateway, member: Member, configure: Configure
    ) -> None:
        """Finding 2.18, on the public wire: of what comes in one request, and of what is fetched in parts."""
        configure(MEDIA_QUOTA_BYTES=100)
        refused = send(program, a_picture())
        assert refused.status == 402
        assert "of its 0.0 MB" in refused.json["message"]
        film = an_mp4(media_bytes=9 * MEBIBYTE)
        pieces = (film[at : at + MEBIBYTE] for at in range(0, len(film), MEBIBYTE))
        owner = an_actor(member.organization_id)
        with pytest.raises(StorageFull):
            receive.receive(owner, pieces, announced_bytes=None, name=None)
        assert (keys(), open_uploads()) == ([], 0)


class TestUploadTwice:
    def test_same_key_and_file_have_the_same_answer(
        self, session: Session, program: Gateway
    ) -> None:
        first = send(program, a_picture(), key="a")
        again = send(program, a_picture(), key="a", name="other.png")
        assert (again.status, again.json) == (201, first.json)
        assert (rows(session), len(keys())) == (1, 1)

    def test_same_key_and_another_file_are_refused(self, program: Gateway) -> None:
        send(program, a_picture(), key="a")
        answer = send(program, a_picture(".png"), key="a")
        assert (answer.status, answer.json["statusCode"]) == (409, 409)

    def test_key_belongs_to_the_organization(self, session: Session, program: Gateway) -> None:
        stranger = by_key(app, session, a_member(session, an_organization(session)))
        first = send(program, a_picture(), key="a").json
        assert send(stranger, a_picture(), key="a").json["id"] != first["id"]

    def test_request_that_died_is_gone_on_with(
        self, session: Session, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(storage._client(), "put_object", _no_storage)
            assert send(program, a_picture(), key="a").status == 503
        [begun] = session.scalars(select(Media.id)).all()
        assert keys() == []
        answer = send(program, a_picture(), key="a")
        assert (answer.status, answer.json["id"]) == (201, str(begun))
        assert len(keys()) == 1

    def test_file_that_was_deleted_meanwhile_is_not_named(
        self, session: Session, member: Member, program: Gateway
    ) -> None:
        file = send(program, a_picture(), key="a").json
        by_key(media_app, session, member).delete(f"/media/{file['id']}")
        assert send(program, a_picture(), key="a").status == 404

    def test_many_at_once_are_one_file(
        self, committed: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, one_at_a_time = storage.put, Lock()

        def put_alone(*args: Any, **options: Any) -> None:
            """Moto closes the file of an object that another thread is just writing anew; S3 does not."""
            with one_at_a_time:
                put(*args, **options)

        monkeypatch.setattr(storage, "put", put_alone)
        with Session(committed) as session:
            member = a_member(session, an_organization(session))
            organization_id = member.organization_id
            session.commit()
        content = a_picture()

        def send_one(_: int) -> uploads.PublicMedia:
            return uploads.upload(
                Reach(organization_id),
                an_actor(organization_id),
                BytesIO(content),
                file_name="a.jpg",
                key="a",
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send_one, range(50)))
        assert len({one.id for one in answers}) == 1
        with Session(committed) as session:
            assert session.scalars(select(Media.state)).all() == [MediaState.READY]
        assert len(keys()) == 1
        assert len(asked_for_variants(settings().variants_queue_url)) == 1


class TestUploadThatDies:
    def test_what_is_left_is_swept(
        self, session: Session, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After the bytes were stored and before they are part of the library: the worst moment."""
        with monkeypatch.context() as patch:
            patch.setattr(receive, "add_to_library", _no_storage)
            assert send(program, a_picture()).status == 503
        assert len(keys("files/")) == 1
        session.execute(update(Media).values(created_at=datetime.now(UTC) - timedelta(days=4)))
        assert remove_unneeded_media() == 1
        assert (rows(session), keys()) == (0, [])


class TestUploadFromUrl:
    @pytest.fixture(autouse=True)
    def _loopback(self, configure: Configure) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")

    def test_answer_field_by_field(self, program: Gateway, member: Member) -> None:
        content = a_picture(".png")
        with serving(says(content)) as url:
            answer = fetch(program, f"{url}holiday/beach%20one.jpg?size=full")
        assert answer.status == 201, answer.text
        body = answer.json
        assert list(body) == ["id", "name", "originalName", "path", "thumbnail", "alt"]
        assert body["name"].endswith(".png")  # what the bytes say
        assert body["originalName"] == "beach one.jpg"
        assert (body["thumbnail"], body["alt"]) == (None, None)
        assert body["path"].startswith(f"{PUBLIC}/files/{member.organization_id}/{body['id']}/")
        assert stored(body["path"].removeprefix(f"{PUBLIC}/"))["content"] == content
        [message] = asked_for_variants(settings().variants_queue_url)
        assert message["mediaId"] == body["id"]

    def test_costs_five_statements(self, program: Gateway) -> None:
        with serving(says(a_picture())) as url, count_statements() as cost:
            fetch(program, f"{url}a.jpg")
        assert cost.statements == 5

    def test_large_file_is_stored_in_parts(
        self, session: Session, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        real = storage.upload_part

        def noting(key: str, upload_id: str, number: int, content: bytes) -> Any:
            sizes.append(len(content))
            return real(key, upload_id, number, content)

        monkeypatch.setattr(receive, "PART_BYTES", 5 * MEBIBYTE)
        monkeypatch.setattr(storage, "upload_part", noting)
        content = an_mp4(media_bytes=12 * MEBIBYTE, moov_last=True, duration_ms=9_000)
        with serving(says(content)) as url:
            answer = fetch(program, f"{url}film.mp4")
        assert answer.status == 201, answer.text
        assert sorted(sizes, reverse=True)[:2] == [5 * MEBIBYTE] * 2
        assert (sum(sizes), len(sizes)) == (len(content), 3)
        served = stored(answer.json["path"].removeprefix(f"{PUBLIC}/"))
        assert served["content"] == content
        assert served["ContentType"] == "video/mp4"
        file = session.scalars(select(Media)).one()
        assert (file.size_bytes, file.duration_ms) == (len(content), 9_000)
        assert open_uploads() == 0

    def test_redirect_is_followed(self, program: Gateway) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            moved = says(b"", {"location": "/there"}, status=302)
            (says(a_picture()) if request.path == "/there" else moved)(request)

        with serving(answer) as url:
            assert fetch(program, f"{url}a.png").status == 201

    def test_others_can_call_it(self, session: Session, member: Member) -> None:
        with serving(says(a_picture(".png"))) as url:
            file = uploads.import_from_url(an_actor(member.organization_id), f"{url}a.png")
        found = session.scalars(select(Media).where(Media.id == file.id)).one()
        assert found.state is MediaState.READY
        assert file.path == storage.public_url(found.key)

    def test_same_key_fetches_once(self, session: Session, program: Gateway) -> None:
        asked: list[str] = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            asked.append(request.path)
            says(a_picture())(request)

        with serving(answer) as url:
            first = fetch(program, f"{url}a.png", key="a")
            again = fetch(program, f"{url}a.png", key="a")
            other = fetch(program, f"{url}b.png", key="a")
        assert (first.status, again.json, asked) == (201, first.json, ["/a.png"])
        assert other.status == 409
        assert rows(session) == 1

    def test_slower_one_of_two_has_the_answer_of_the_faster(
        self, session: Session, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        faster: list[uploads.PublicMedia] = []
        real = receive.receive

        def upload(url: str) -> uploads.PublicMedia:
            address = uploads.FileAddress(url=f"{url}a.png")
            actor = an_actor(member.organization_id)
            reach = Reach(member.organization_id)
            return uploads.upload_from_url(reach, actor, address, key="a")

        def overtaken(*args: Any, **options: Any) -> MediaRow:
            media = real(*args, **options)
            monkeypatch.setattr(uploads, "receive", real)
            faster.append(upload(url))
            return media

        monkeypatch.setattr(uploads, "receive", overtaken)
        with serving(says(a_picture())) as url:
            slower = upload(url)
        assert [slower] == faster
        alive = session.scalars(select(Media.id).where(Media.deleted_at.is_(None))).all()
        assert alive == [slower.id]


class TestFetchRefusals:
    @pytest.fixture(autouse=True)
    def _loopback(self, configure: Configure) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")

    @pytest.fixture(autouse=True)
    def _nothing_stays(self, session: Session) -> Iterator[None]:
        yield
        assert rows(session) == 0
        assert (keys(), open_uploads()) == ([], 0)

    @pytest.mark.parametrize(
        "answering",
        [
            says(b"", status=404),
            says(b"", status=500),
            says(b"", {"location": "/a.png"}, status=302),
            says(b"", {"location": "http://10.0.0.1/a.png"}, status=302),
            says(b"", {"location": "file:///etc/passwd"}, status=302),
            says(b"x", {"content-encoding": "gzip"}),
            says(a_picture(), {"content-length": "1000000"}),
        ],
    )
    def test_not_fetched(self, program: Gateway, answering: Answering) -> None:
        with serving(answering) as url:
            answer = fetch(program, f"{url}a.png")
        assert (answer.status, answer.json["msg"]) == (400, "Failed to fetch URL")
        assert answer.json["message"].startswith("Failed to fetch URL. ")

    def test_nobody_there(self, program: Gateway) -> None:
        with serving(says(b"")) as url:
            pass
        assert fetch(program, f"{url}a.png").json["msg"] == "Failed to fetch URL"

    @pytest.mark.parametrize("content", [b"<html>not here</html>", b"%PDF-1.7"])
    def test_other_types(self, program: Gateway, content: bytes) -> None:
        with serving(says(content, {"content-type": "image/png"})) as url:
            answer = fetch(program, f"{url}a.png")
        assert (answer.status, answer.json["msg"]) == (400, "Unsupported file type.")

    def test_empty(self, program: Gateway) -> None:
        with serving(says(b"")) as url:
            assert fetch(program, f"{url}a.png").json["msg"] == (
                "The file is empty. Choose another file."
            )

    def test_large_one_that_says_so_is_not_read(
        self, program: Gateway, configure: Configure
    ) -> None:
        configure(MEDIA_MAX_VIDEO_BYTES=20 * MEBIBYTE)
        sent: list[int] = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("content-length", str(100 * MEBIBYTE))
            request.end_headers()
            for piece in _film(100):
                request.wfile.write(piece)
                sent.append(len(piece))

        with serving(answer) as url:
            answer_ = fetch(program, f"{url}a.mp4")
        assert (answer_.status, answer_.json["msg"]) == (400, "File is too large.")
        assert f"{20 * MEBIBYTE:,} bytes" in answer_.json["message"]
        assert sum(sent) < 40 * MEBIBYTE

    @pytest.mark.parametrize("limit", [{"VIDEO": 9}, {"VIDEO": 17}])
    def test_large_one_that_does_not_say_so_is_cut_off(
        self, program: Gateway, configure: Configure, limit: dict[str, int]
    ) -> None:
        configure(**{f"MEDIA_MAX_{kind}_BYTES": size * MEBIBYTE for kind, size in limit.items()})

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            for piece in _film(40):
                request.wfile.write(piece)

        with serving(answer) as url:
            answer_ = fetch(program, f"{url}a.mp4")
        assert (answer_.status, answer_.json["msg"]) == (400, "File is too large.")
        assert "bytes" in answer_.json["message"]

    def test_large_picture_is_cut_off_at_the_limit_of_pictures(
        self, program: Gateway, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(MEDIA_MAX_IMAGE_BYTES=11 * MEBIBYTE)
        monkeypatch.setattr(receive, "PART_BYTES", 5 * MEBIBYTE)

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            request.wfile.write(a_picture(".png") + bytes(20 * MEBIBYTE))

        with serving(answer) as url:
            answer_ = fetch(program, f"{url}a.png")
        assert (answer_.status, answer_.json["msg"]) == (400, "File is too large.")
        assert f"{11 * MEBIBYTE:,} bytes" in answer_.json["message"]

    def test_slow_one_is_given_up_in_time(
        self, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uploads, "MAX_FETCH_TIME", timedelta(seconds=0.5))

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            for piece in _film(20):
                request.wfile.write(piece)
                request.wfile.flush()
                time.sleep(0.1)

        began = time.monotonic()
        with serving(answer) as url:
            answer_ = fetch(program, f"{url}a.mp4")
            took = time.monotonic() - began
        assert took < 2
        assert (answer_.status, answer_.json["msg"]) == (400, "Failed to fetch URL")
        assert "POST /media" in answer_.json["message"]
        assert answer_.json["alternative"] == "POST /media"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "a.png",
            "example.org/a.png",
            "https:///a.png",
            "https://[::1/a.png",
            "ftp://example.org/a.png",
            "https://example.org/",
            "https://example.org/a.svg",
            "https://example.org/a?name=a.png",
            "https://example.org/a.png/",
            "https://example.org/" + "x" * 2_000 + ".png",
            None,
            {"a": 1},
        ],
    )
    def test_address_that_is_none_is_told_in_a_list(self, program: Gateway, url: Any) -> None:
        answer = program.post(BY_ADDRESS, {"url": url})
        assert answer.status == 400
        [message] = answer.json["message"]
        assert message.startswith("url")
        assert answer.json["error"] == "Bad Request"
        assert answer.json["msg"] == message

    def test_no_address(self, program: Gateway) -> None:
        answer = program.post(BY_ADDRESS, {})
        assert (answer.status, len(answer.json["message"])) == (400, 1)


class TestSsrf:
    """What must not be reached, by whatever name; nothing is ever connected to."""

    @pytest.fixture(autouse=True)
    def _no_connections(self, program: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forbid them once the database is connected to."""

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a connection was opened")

        monkeypatch.setattr(socket, "create_connection", refuse)

    @pytest.mark.parametrize(
        "host",
        [
            "localhost", "LOCALHOST", "localhost.", "api.localhost",
            "127.0.0.1", "127.1", "127.255.255.254", "0.0.0.0", "0",
            "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
            "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
            "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.255", "198.18.0.1", "192.0.2.1",
            "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]",
            "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[fe80::1]", "[fc00::1]",
            "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2002:7f00:1::1]", "[2001::1]", "[2001:db8::1]",
            "user@example.org", "user:secret@example.org", "example.org:8443", "example.org:22",
        ],
    )  # fmt: skip
    def test_address_is_refused_before_it_is_asked_for(self, program: Gateway, host: str) -> None:
        answer = fetch(program, f"https://{host}/a.png")
        assert answer.status == 400
        assert isinstance(answer.json["message"], list), answer.text

    def test_plain_http_is_refused(self, program: Gateway) -> None:
        answer = fetch(program, "http://example.org/a.png")
        assert isinstance(answer.json["message"], list)

    @pytest.mark.parametrize(
        "addresses",
        [
            ["127.0.0.1"],
            ["10.0.0.1"],
            ["169.254.169.254"],
            ["100.64.0.1"],
            ["::1"],
            ["::ffff:10.0.0.1"],
            ["fd00::1"],
            ["93.184.215.14", "10.0.0.1"],
        ],
    )
    def test_name_that_leads_inside_is_refused(
        self, program: Gateway, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
    ) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", _resolver({"inside.example": [addresses]}))
        answer = fetch(program, "https://inside.example/a.png")
        assert (answer.status, answer.json["msg"]) == (400, "Failed to fetch URL")
        assert not any(address in answer.text for address in addresses)

    def test_name_that_changes_its_mind_is_asked_once(
        self, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[str] = []

        def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
            tried.append(address[0])
            raise OSError("closed")

        answers = {"rebinds.example": [["93.184.215.14"], ["127.0.0.1"]]}
        monkeypatch.setattr(socket, "getaddrinfo", _resolver(answers))
        monkeypatch.setattr(socket, "create_connection", connect)
        answer = fetch(program, "https://rebinds.example/a.png")
        assert answer.json["msg"] == "Failed to fetch URL"
        assert tried == ["93.184.215.14"]


def test_routes_are_below_the_other_prefix_too() -> None:
    recorded = (Path(__file__).parents[2] / "template.yaml").read_text()
    assert '"/api/public/v1/{proxy+}"' in recorded


def _film(mebibytes: int) -> Iterator[bytes]:
    """The pieces of a film that never says how long it is."""
    yield an_mp4(media_bytes=MEBIBYTE)
    for _ in range(mebibytes - 1):
        yield bytes(MEBIBYTE)


def _resolver(known: dict[str, list[list[str]]]) -> Any:
    real = socket.getaddrinfo
    rounds = {host: iter(answers) for host, answers in known.items()}

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in rounds:
            return real(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in next(rounds[host])
        ]

    return resolve


def _no_storage(*_: Any, **__: Any) -> Any:
    raise storage.StorageUnavailable from EndpointConnectionError(endpoint_url="https://s3")
