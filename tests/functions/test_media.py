"""Whether files get into the library, are refused, found, described and removed, through the function."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.stub import Stubber
from sqlalchemy.orm import Session

from functions.media.app import app
from shared.aws import storage
from shared.aws.storage import UploadedPart
from shared.core.config import settings
from shared.core.page import write_cursor
from shared.media import upload
from shared.media.models import Media, MediaState
from shared.organizations.models import Member, Role
from tests.builders import a_media, a_member, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, as_member
from tests.shared.media.files import SECRET, a_picture, an_animation, an_mp4, box, with_metadata
from tests.shared.media.storage import (
    BUCKET,
    PUBLIC,
    asked_for_variants,
    keys,
    make_storage,
    open_uploads,
    put_parts,
    stored,
)

MEBIBYTE = 1024**2
BEFORE_TIME = write_cursor("0001-01-01T00:00:00+23:00", "0" * 32)


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def browser(session: Session, member: Member) -> Gateway:
    return as_member(app, session, member)


def start(browser: Gateway, content: bytes, name: str = "beach.jpg", **body: Any) -> dict[str, Any]:
    answer = browser.post("/media", {"name": name, "size": len(content), **body})
    assert answer.status == 201, answer.text
    started: dict[str, Any] = answer.json
    return started


def upload_file(browser: Gateway, content: bytes, name: str = "beach.jpg") -> Answer:
    started = start(browser, content, name)
    parts = put_parts(started, content)
    return browser.post(f"/media/{started['id']}/complete", {"parts": parts})


@contextmanager
def watched_calls(client: Any) -> Iterator[list[str]]:
    """The names of the operations that a client carries out meanwhile."""
    calls: list[str] = []

    def note(model: Any, **_rest: Any) -> None:
        calls.append(model.name)

    client.meta.events.register("before-call.s3", note)
    yield calls
    client.meta.events.unregister("before-call.s3", note)


class TestUpload:
    def test_picture_becomes_part_of_the_library(self, browser: Gateway, member: Member) -> None:
        content = a_picture(".png", width=60, height=40)
        answer = upload_file(browser, content, "C:\\holiday\\beach.jpg")
        assert answer.status == 201
        file = answer.json
        # What the bytes say, not what the name says.
        assert (file["contentType"], file["type"]) == ("image/png", "image")
        assert (file["width"], file["height"], file["fileSize"]) == (60, 40, len(content))
        assert (file["name"], file["originalName"]) == ("beach.jpg", "beach.jpg")
        assert (file["duration"], file["variantsMade"]) == (None, False)
        assert file["path"].startswith(f"{PUBLIC}/files/{member.organization_id}/{file['id']}/")
        served = stored(file["path"].removeprefix(f"{PUBLIC}/"))
        assert served["content"] == content
        assert served["ContentType"] == "image/png"
        assert "immutable" in served["CacheControl"]
        assert browser.get(f"/media/{file['id']}").json == file

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
    def test_metadata_leave_before_anybody_can_read_the_file(
        self, browser: Gateway, suffix: str
    ) -> None:
        """Finding 2.10: the picture is served without Exif, XMP and IPTC, and nothing else of it is left."""
        file = upload_file(browser, with_metadata(suffix)).json
        served = stored(file["path"].removeprefix(f"{PUBLIC}/"))
        assert SECRET not in served["content"]
        assert len(served["content"]) == file["fileSize"]
        assert (served["ContentType"], keys("incoming/")) == (file["contentType"], [])

    def test_how_a_photo_is_turned_is_stored(self, session: Session, browser: Gateway) -> None:
        """Its copies are made upright by it."""
        file = upload_file(browser, a_picture(".jpg", orientation=6)).json
        assert session.get_one(Media, uuid.UUID(file["id"])).turned

    @pytest.mark.parametrize("moov_last", [False, True])
    def test_metadata_leave_a_large_film_whose_parts_are_copied(
        self, browser: Gateway, moov_last: bool
    ) -> None:
        """Finding 2.10: what is not overwritten is copied inside the storage, byte for byte."""
        told = box(b"udta", box(b"\xa9xyz", SECRET))
        film = an_mp4(media_bytes=20 * MEBIBYTE, in_moov=told, moov_last=moov_last)
        with watched_calls(storage._client()) as calls:
            file = upload_file(browser, film, "film.mp4").json
        served = stored(file["path"].removeprefix(f"{PUBLIC}/"))["content"]
        assert SECRET not in served
        assert len(served) == len(film)
        assert sum(a != b for a, b in zip(served, film, strict=True)) < 300
        assert (calls.count("UploadPartCopy"), calls.count("UploadPart")) == (2, 1)
        assert open_uploads() == 0

    def test_file_that_is_cut_off_is_marked(self, browser: Gateway) -> None:
        """Finding 1.9: half of a film is in the library, and says that it is damaged."""
        film = an_mp4(media_bytes=100_000)
        file = upload_file(browser, film[:50_000], "film.mp4").json
        assert file["damage"] == "it ends before its picture and sound do"
        assert upload_file(browser, film, "film.mp4").json["damage"] is None

    def test_picture_that_moves_is_marked(self, browser: Gateway) -> None:
        """Finding 1.8."""
        assert upload_file(browser, an_animation(".gif")).json["moves"] is True
        assert upload_file(browser, a_picture(".gif")).json["moves"] is False

    def test_nothing_stays_where_uploads_arrive(self, browser: Gateway) -> None:
        upload_file(browser, a_picture())
        assert keys("incoming/") == []
        assert open_uploads() == 0

    def test_variants_are_asked_for_a_picture(self, browser: Gateway, member: Member) -> None:
        file = upload_file(browser, a_picture()).json
        assert asked_for_variants(settings().variants_queue_url) == [
            {
                "mediaId": file["id"],
                "organizationId": str(member.organization_id),
                "correlationId": "request-from-gateway",
            }
        ]

    def test_video_has_its_length_and_needs_no_variants(self, browser: Gateway) -> None:
        file = upload_file(browser, an_mp4(duration_ms=5_200), "film.mp4").json
        assert (file["type"], file["duration"], file["variantsMade"]) == ("video", 5_200, True)
        assert asked_for_variants(settings().variants_queue_url) == []

    def test_file_of_several_parts(self, browser: Gateway) -> None:
        content = an_mp4(media_bytes=9 * MEBIBYTE, moov_last=True)
        started = start(browser, content, "film.mp4")
        assert (started["partSize"], started["partCount"]) == (8 * MEBIBYTE, 2)
        parts = put_parts(started, content)
        answer = browser.post(f"/media/{started['id']}/complete", {"parts": parts[::-1]})
        assert (answer.status, answer.json["fileSize"]) == (201, len(content))

    def test_completing_twice_is_the_same_file(self, browser: Gateway) -> None:
        content = a_picture()
        started = start(browser, content)
        body = {"parts": put_parts(started, content)}
        first = browser.post(f"/media/{started['id']}/complete", body)
        assert browser.post(f"/media/{started['id']}/complete", body).json == first.json

    def test_completion_that_died_half_way_is_taken_up(
        self, browser: Gateway, session: Session
    ) -> None:
        content = a_picture()
        started = start(browser, content)
        parts = put_parts(started, content)
        row = session.get_one(Media, uuid.UUID(started["id"]))
        done = [UploadedPart(part["number"], part["etag"]) for part in parts]
        storage.complete_multipart(row.key, started["uploadId"], done)
        answer = browser.post(f"/media/{started['id']}/complete", {"parts": parts})
        assert (answer.status, answer.json["fileSize"]) == (201, len(content))

    def test_upload_that_expired_is_over(self, browser: Gateway) -> None:
        content = a_picture()
        started = start(browser, content)
        parts = put_parts(started, content)
        with Stubber(storage._client()) as s3:  # moto knows no upload that is over
            s3.add_client_error("complete_multipart_upload", "NoSuchUpload")
            s3.add_client_error("head_object", "404")
            answer = browser.post(f"/media/{started['id']}/complete", {"parts": parts})
        assert (answer.status, answer.json["code"]) == (409, "upload_is_over")

    def test_what_is_stored_is_what_was_looked_at(
        self, browser: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The addresses of parts are good for an hour, so the bytes may be others by the next read or the copy."""
        named: dict[str, set[str | None]] = {"GetObject": set(), "CopyObject": set()}

        def note(params: dict[str, Any], model: Any, **_: Any) -> None:
            name = {"GetObject": "IfMatch", "CopyObject": "CopySourceIfMatch"}[model.name]
            named[model.name].add(params.get(name))

        events = storage._client().meta.events
        for operation in named:
            events.register(f"provide-client-params.s3.{operation}", note)
        try:
            upload_file(browser, an_mp4(), "film.mp4")
        finally:
            for operation in named:
                events.unregister(f"provide-client-params.s3.{operation}", note)
        assert len(named["GetObject"] | named["CopyObject"]) == 1
        assert None not in named["GetObject"] | named["CopyObject"]
        assert named["CopyObject"]

    def test_addresses_of_parts_end_after_an_hour(self, browser: Gateway) -> None:
        [part] = start(browser, a_picture())["parts"]
        assert parse_qs(urlsplit(part["url"]).query)["X-Amz-Expires"] == ["3600"]

    def test_large_files_are_copied_in_parts(
        self, browser: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "_COPY_PART_BYTES", 5 * MEBIBYTE)
        content = an_mp4(media_bytes=11 * MEBIBYTE)
        file = upload_file(browser, content, "film.mp4").json
        served = stored(file["path"].removeprefix(f"{PUBLIC}/"))
        assert (served["content"] == content, served["ContentType"]) == (True, "video/mp4")


class TestQuota:
    """Finding 2.18: one quota of storage, refused with a sentence that says how much is used."""

    def test_what_does_not_fit_is_refused_and_deleting_makes_room(
        self, browser: Gateway, configure: Configure
    ) -> None:
        content = a_picture()
        configure(MEDIA_QUOTA_BYTES=len(content) + 10)
        file = upload_file(browser, content).json
        assert browser.get("/media/storage").json == {
            "used": len(content), "limit": len(content) + 10,
        }  # fmt: skip
        refused = browser.post("/media", {"name": "a.jpg", "size": len(content)})
        assert (refused.status, refused.json["code"]) == (402, "storage_full")
        assert "Delete files" in refused.json["detail"]
        assert open_uploads() == 0
        browser.delete(f"/media/{file['id']}")
        assert browser.post("/media", {"name": "a.jpg", "size": len(content)}).status == 201

    def test_without_a_limit_none_is_said(self, browser: Gateway, configure: Configure) -> None:
        configure(MEDIA_QUOTA_BYTES=0)
        assert browser.get("/media/storage").json == {"used": 0, "limit": None}


class TestParts:
    def test_addresses_of_a_very_large_file_come_in_two_answers(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(MEDIA_MAX_VIDEO_BYTES=5 * 1024**4)
        size = 40 * 1024**3
        started = browser.post("/media", {"name": "film.mp4", "size": size}).json
        assert (started["partCount"], len(started["parts"])) == (160, 100)
        more = browser.post(f"/media/{started['id']}/parts", {"numbers": [101, 160]})
        assert (more.status, [part["number"] for part in more.json["parts"]]) == (201, [101, 160])

    def test_address_takes_no_other_length(self, browser: Gateway) -> None:
        url = start(browser, b"x" * 100)["parts"][0]["url"]
        assert "content-length" in url.split("X-Amz-SignedHeaders=")[1].split("&")[0]

    def test_part_beyond_the_file_is_refused(self, browser: Gateway) -> None:
        started = start(browser, b"x" * 100)
        answer = browser.post(f"/media/{started['id']}/parts", {"numbers": [1, 2]})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "numbers.1")

    def test_completed_upload_signs_no_more(self, browser: Gateway) -> None:
        file = upload_file(browser, a_picture()).json
        answer = browser.post(f"/media/{file['id']}/parts", {"numbers": [1]})
        assert (answer.status, answer.json["code"]) == (409, "upload_is_over")

    @pytest.mark.parametrize("size", [1, 8 * MEBIBYTE, 5 * 1024**3, 5 * 1024**4])
    def test_parts_suit_the_storage(self, size: int) -> None:
        assert upload.part_count(size) <= storage.MAX_PARTS
        assert storage.MIN_PART_BYTES <= upload.part_size(size) <= 5 * 1024**3
        assert (upload.part_count(size) - 1) * upload.part_size(size) < size


class TestRefusal:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("C:\\photos\\gpj.\u202eowl.exe", "gpj.owl.exe"),
            ("a\r\nb\u2028c.jpg", "a b c.jpg"),
            ("../\u2066\x07", "file"),
        ],
    )
    def test_file_name_is_one_clean_line(self, browser: Gateway, given: str, kept: str) -> None:
        """Finding 2.13: a bidirectional override makes one name read as another."""
        file = upload_file(browser, a_picture(), given).json
        assert (file["name"], file["originalName"]) == (kept, kept)

    def test_wrong_type_is_named_and_removed(self, browser: Gateway) -> None:
        answer = upload_file(browser, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "logo.png")
        assert (answer.status, answer.json["code"]) == (422, "file_refused")
        (problem,) = answer.json["errors"]
        assert problem["code"] == "unsupported_type"
        assert "SVG" in problem["message"]
        assert keys() == []

    def test_refused_upload_is_over(self, browser: Gateway, session: Session) -> None:
        content = b"<html>"
        started = start(browser, content)
        body = {"parts": put_parts(started, content)}
        assert browser.post(f"/media/{started['id']}/complete", body).status == 422
        assert browser.post(f"/media/{started['id']}/complete", body).status == 409
        assert browser.get(f"/media/{started['id']}").status == 404
        row = session.get_one(Media, uuid.UUID(started["id"]))
        assert row.state is MediaState.REJECTED

    def test_other_size_than_announced(self, browser: Gateway) -> None:
        content = a_picture()
        started = start(browser, content)
        parts = put_parts(started, content + b"more")  # moto does not check the signed length
        answer = browser.post(f"/media/{started['id']}/complete", {"parts": parts})
        assert answer.json["errors"][0]["code"] == "size_differs"
        assert keys() == []

    def test_parts_that_are_not_there(self, browser: Gateway) -> None:
        started = start(browser, b"x" * 100)
        body = {"parts": [{"number": 1, "etag": '"00000000000000000000000000000000"'}]}
        answer = browser.post(f"/media/{started['id']}/complete", body)
        assert (answer.status, answer.json["code"]) == (422, "parts_do_not_match")

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"name": "a.svg", "size": 10, "contentType": "image/svg+xml"}, "contentType"),
            ({"name": "a.mov", "size": 10, "contentType": "video/quicktime"}, "contentType"),
            ({"name": "a.jpg", "size": 60 * MEBIBYTE, "contentType": "image/jpeg"}, "size"),
            ({"name": "a.mp4", "size": 6 * 1024**3}, "size"),
            ({"name": "a.jpg", "size": 0}, "size"),
            ({"name": "", "size": 1}, "name"),
        ],
    )
    def test_what_is_known_beforehand_is_not_uploaded(
        self, browser: Gateway, body: dict[str, Any], path: str
    ) -> None:
        answer = browser.post("/media", body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, path)
        assert open_uploads() == 0


class TestAbort:
    def test_parts_are_freed(self, browser: Gateway) -> None:
        started = start(browser, b"x" * 100)
        assert open_uploads() == 1
        answer = browser.delete(f"/media/{started['id']}/upload")
        assert (answer.status, answer.json) == (200, {"id": started["id"]})
        assert open_uploads() == 0
        assert browser.post(f"/media/{started['id']}/parts", {"numbers": [1]}).status == 404

    def test_completed_file_cannot_be_aborted(self, browser: Gateway) -> None:
        file = upload_file(browser, a_picture()).json
        assert browser.delete(f"/media/{file['id']}/upload").status == 404
        assert browser.get(f"/media/{file['id']}").status == 200


class TestList:
    @pytest.fixture
    def library(self, session: Session, member: Member) -> list[Media]:
        organization = an_organization(session, name="Other")
        a_media(session, organization, name="not ours")
        own = session.get_one(type(organization), member.organization_id)
        files = [
            a_media(session, own, name=f"file {index:02}", original_name=f"IMG_{index:02}.png")
            for index in range(20)
        ]
        a_media(session, own, state=MediaState.UPLOADING, name="on its way")
        return files

    def test_pages_by_cursor_hold_everything_once(
        self, browser: Gateway, library: list[Media]
    ) -> None:
        seen, cursor = [], None
        for _ in range(4):
            query = {"limit": 7, **({"cursor": cursor} if cursor else {})}
            page = browser.get("/media", query=query).json
            seen += [file["id"] for file in page["results"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        assert seen == [str(file.id) for file in reversed(library)]

    def test_pages_by_number(self, browser: Gateway, library: list[Media]) -> None:
        first, second, third = (
            browser.get("/media", query={"page": page}).json for page in (1, 2, 3)
        )
        assert (len(first["results"]), len(second["results"]), third["results"]) == (18, 2, [])
        assert [page["pages"] for page in (first, second, third)] == [2, 2, 2]
        shown = [file["id"] for file in first["results"] + second["results"]]
        assert shown == [str(file.id) for file in reversed(library)]

    def test_search_looks_at_both_names_and_reads_no_wildcards(
        self, browser: Gateway, library: list[Media]
    ) -> None:
        found = browser.get("/media", query={"search": "img_07"}).json["results"]
        assert [file["name"] for file in found] == ["file 07"]
        assert browser.get("/media", query={"search": "file_07"}).json["results"] == []

    def test_kind_is_filtered(
        self, browser: Gateway, library: list[Media], session: Session
    ) -> None:
        library[3].content_type = "video/mp4"
        session.flush()
        found = browser.get("/media", query={"kind": "video"}).json["results"]
        assert [file["id"] for file in found] == [str(library[3].id)]

    def test_costs_one_statement(self, browser: Gateway, library: list[Media]) -> None:
        for query in ({"search": "file"}, {"page": 1}):
            with count_statements() as cost:
                assert browser.get("/media", query=query).status == 200
            assert cost.statements == 2, "the context's and the page's"

    @pytest.mark.parametrize(
        "query",
        [
            {"cursor": "nonsense"},
            {"cursor": "WyJhIiwiYiJd"},
            {"cursor": BEFORE_TIME},
            {"limit": 0},
            {"page": 0},
        ],
    )
    def test_bad_questions_are_refused(self, browser: Gateway, query: dict[str, Any]) -> None:
        assert browser.get("/media", query=query).status == 422


class TestEdit:
    @pytest.fixture
    def file(self, session: Session, browser: Gateway) -> dict[str, Any]:
        uploaded: dict[str, Any] = upload_file(browser, an_mp4(), "film.mp4").json
        return uploaded

    def test_only_what_is_given_changes(self, browser: Gateway, file: dict[str, Any]) -> None:
        path = f"/media/{file['id']}"
        browser.put(path, {"alt": "A gull", "name": "Gull.mp4"})
        changed = browser.put(path, {"thumbnailTimestamp": 1_500}).json
        assert (changed["alt"], changed["name"]) == ("A gull", "Gull.mp4")
        assert (changed["thumbnailTimestamp"], changed["originalName"]) == (1_500, "film.mp4")
        assert browser.put(path, {"alt": None}).json["alt"] is None

    def test_thumbnail_is_a_picture_of_the_library(
        self, browser: Gateway, file: dict[str, Any]
    ) -> None:
        picture = upload_file(browser, a_picture()).json
        path = f"/media/{file['id']}"
        assert browser.put(path, {"thumbnail": picture["id"]}).json["thumbnail"] == picture["path"]
        assert browser.put(path, {"thumbnail": None}).json["thumbnail"] is None
        by_address = browser.put(path, {"thumbnail": picture["path"]})
        assert by_address.json["thumbnail"] == picture["path"]

    def test_thumbnail_from_elsewhere_is_refused(
        self, browser: Gateway, file: dict[str, Any], session: Session
    ) -> None:
        other = a_media(session, an_organization(session))
        for named in (
            str(other.id),
            f"{PUBLIC}/{other.key}",
            "https://elsewhere.example/x.png",
            file["id"],
        ):
            answer = browser.put(f"/media/{file['id']}", {"thumbnail": named})
            assert (answer.status, answer.json["code"]) == (422, "thumbnail_not_found")

    def test_information_names_the_file_in_the_body(
        self, browser: Gateway, file: dict[str, Any]
    ) -> None:
        answer = browser.post("/media/information", {"id": file["id"], "alt": "A gull"})
        assert (answer.status, answer.json["alt"]) == (201, "A gull")


class TestDelete:
    def test_file_leaves_the_library_and_its_bytes_stay(self, browser: Gateway) -> None:
        file = upload_file(browser, a_picture()).json
        path = f"/media/{file['id']}"
        assert browser.delete(path).json == {"id": file["id"]}
        assert browser.get(path).status == 404
        assert browser.get("/media").json["results"] == []
        assert browser.delete(path).status == 404
        assert len(keys("files/")) == 1


class TestWho:
    def test_viewers_look_only(self, session: Session) -> None:
        viewer = a_member(session, an_organization(session), role=Role.VIEWER)
        browser = as_member(app, session, viewer)
        assert browser.get("/media").status == 200
        assert browser.post("/media", {"name": "a.png", "size": 1}).status == 403

    def test_files_of_others_are_not_there(self, browser: Gateway, session: Session) -> None:
        other = a_media(session, an_organization(session))
        path = f"/media/{other.id}"
        answers = [
            browser.get(path),
            browser.put(path, {"alt": "mine"}),
            browser.delete(path),
            browser.post(f"{path}/parts", {"numbers": [1]}),
            browser.post(f"{path}/complete", {"parts": [{"number": 1, "etag": "x"}]}),
            browser.delete(f"{path}/upload"),
            browser.post("/media/information", {"id": str(other.id), "alt": "mine"}),
        ]
        assert [answer.status for answer in answers] == [404] * 7
        session.refresh(other)
        assert (other.alt, other.deleted_at) == (None, None)


def test_storage_that_is_down_is_said_so(browser: Gateway) -> None:
    boto3.client("s3").delete_bucket(Bucket=BUCKET)
    answer = browser.post("/media", {"name": "a.png", "size": 1})
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
