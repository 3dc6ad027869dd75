"""Which way up and how large a picture is that a platform got, judged by the bytes that were sent to it."""

import email
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message

import boto3
import httpx
import pytest
from PIL import Image
from sqlalchemy.orm import Session

from shared.channels import connection
from shared.core.ids import new_id
from shared.media.make_variants import make_variants
from shared.posts.hints import Queued, arm
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.conftest import Configure
from tests.shared.media.files import a_picture
from tests.shared.media.storage import BUCKET, make_storage
from tests.shared.publishing.world import World

ORIENTATION = 0x0112


class Server:
    """Speaks as much of Bluesky's and Mastodon's protocols as a post with a picture needs, and keeps what it got."""

    def __init__(self) -> None:
        self.pictures: list[bytes] = []
        self.records: list[dict[str, object]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, request.read()
        if path.endswith("uploadBlob"):
            self.pictures.append(body)
            return httpx.Response(200, json={"blob": {"$type": "blob", "size": len(body)}})
        if path.endswith("putRecord"):
            self.records.append(json.loads(body)["record"])
            return httpx.Response(
                200, json={"uri": "at://did:plc:a/app.bsky.feed.post/1", "cid": "c"}
            )
        if path == "/api/v2/media":
            self.pictures.append(_file_in(request.headers["content-type"], body))
            return httpx.Response(200, json={"id": "1"})
        if path == "/api/v1/statuses":
            return httpx.Response(200, json={"id": "2", "url": "https://mastodon.social/@ada/2"})
        return httpx.Response(404, json={"error": f"{request.method} {path}"})


def _file_in(content_type: str, body: bytes) -> bytes:
    form: Message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    )
    [content] = [part.get_payload(decode=True) for part in form.walk() if part.get_filename()]
    assert isinstance(content, bytes)
    return content


@pytest.fixture
def server(
    world: World, aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    make_storage(configure, PROVIDERS_SECRET_NAME="providers")
    boto3.client("secretsmanager").create_secret(
        Name="providers",
        SecretString=json.dumps({"MASTODON_CLIENT_ID": "id", "MASTODON_CLIENT_SECRET": "secret"}),
    )
    server = Server()
    client = httpx.Client(transport=httpx.MockTransport(server.answer))
    monkeypatch.setattr(connection, "http_client", lambda _spec: client)
    yield server
    client.close()


def on_its_side(kind: str) -> bytes:
    """A picture that is 40 wide and 60 high and red above, blue below, once its note is heeded: a quarter turn."""
    upright = Image.new("RGB", (40, 60), (0, 0, 255))
    upright.paste((255, 0, 0), (0, 0, 40, 30))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # a viewer turns it clockwise
    written = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(written, kind, exif=exif)
    return written.getvalue()


def is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return bool(pixel[0] > 200 and pixel[2] < 60)


@pytest.mark.parametrize("provider", ["bluesky", "mastodon"])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("is_examined", [True, False])
def test_a_picture_that_only_a_note_turns_arrives_upright(
    world: World, server: Server, provider: str, kind: str, is_examined: bool
) -> None:
    """Image servers drop Exif data without turning the picture, so portraits of phones were shown on their side.

    One that was stored before files were examined for it is examined when it is due.
    """
    content, now = on_its_side(kind), datetime.now(UTC)
    key = f"files/{new_id()}.{kind}"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        channel = a_channel(session, organization, provider=provider)
        file = a_media(
            session, organization, key=key, content_type=f"image/{kind}", size_bytes=len(content),
            width=40, height=60, turned=is_examined, examined=is_examined,
            variants_made=not is_examined,
        )  # fmt: skip
        root = a_post(
            session, channel, publish_at=now, content="<p>one</p>", media=[{"id": str(file.id)}]
        )
    if is_examined:
        make_variants(organization.id, file.id)
    arm([Queued(root.id, root.organization_id, root.revision, root.arm_count, now, 0, True)])

    world.run()

    assert world.states(root.id) == ["published"]
    picture = Image.open(io.BytesIO(server.pictures[0]))
    assert picture.size == (40, 60)
    assert ORIENTATION not in picture.getexif()
    shown = picture.convert("RGB")
    assert is_red(shown.getpixel((20, 5)))
    assert not is_red(shown.getpixel((20, 55)))
    if provider == "bluesky":
        embed = server.records[0]["embed"]
        assert isinstance(embed, dict)
        assert embed["images"][0]["aspectRatio"] == {"width": 40, "height": 60}


@pytest.mark.parametrize(
    ("limits", "size"),
    [({"imagePixels": 30_000}, (200, 150)), ({"imageBytes": 20_000}, None)],
)
def test_a_server_with_smaller_limits_gets_a_smaller_copy(
    world: World, server: Server, limits: dict[str, int], size: tuple[int, int] | None
) -> None:
    """Finding 4.2d: it got the picture as it was, and the post failed there."""
    content, now = a_picture(width=400, height=300), datetime.now(UTC)
    assert len(content) > 20_000
    boto3.client("s3").put_object(Bucket=BUCKET, Key="files/a.jpg", Body=content)
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        channel = a_channel(
            session, organization, provider="mastodon", account_settings={"media": limits}
        )
        file = a_media(
            session, organization, key="files/a.jpg", content_type="image/jpeg",
            size_bytes=len(content), width=400, height=300,
        )  # fmt: skip
        root = a_post(
            session, channel, publish_at=now, content="<p>one</p>", media=[{"id": str(file.id)}]
        )
    arm([Queued(root.id, root.organization_id, root.revision, root.arm_count, now, 0, True)])

    world.run()

    assert world.states(root.id) == ["published"]
    [sent] = server.pictures
    picture = Image.open(io.BytesIO(sent))
    assert size is None or picture.size == size
    assert len(sent) <= limits.get("imageBytes", len(sent))
    assert picture.width * picture.height <= limits.get("imagePixels", 400 * 300)
