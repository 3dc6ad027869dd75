"""What a platform gets of a member's files, and what anybody gets by their address: nothing of place, person and device."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import httpx
import pytest
from sqlalchemy.orm import Session

from shared.channels import connection
from shared.media.receive import receive
from shared.posts.hints import Queued, arm
from tests.builders import a_channel, a_post, an_actor, an_organization
from tests.conftest import Configure
from tests.shared.media.files import SECRET, an_mp4, box, with_metadata
from tests.shared.media.storage import keys, make_storage, stored
from tests.shared.publishing.world import World

UPLOAD = "https://www.linkedin.com/dms-uploads/D4E/"
PIECE = 4 * 1024**2


class LinkedIn:
    """Takes pictures whole and films in pieces, and keeps every byte that it got."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.posts = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "PUT":
            self.got.append(request.read())
            return httpx.Response(201, headers={"etag": "x"})
        if path == "/rest/images":
            value: dict[str, object] = {"uploadUrl": f"{UPLOAD}i", "image": "urn:li:image:1"}
            return httpx.Response(200, json={"value": value})
        if path == "/rest/videos" and "initializeUpload" in str(request.url):
            size = json.loads(request.content)["initializeUploadRequest"]["fileSizeBytes"]
            pieces = [
                {
                    "uploadUrl": f"{UPLOAD}{at}",
                    "firstByte": at,
                    "lastByte": min(at + PIECE, size) - 1,
                }
                for at in range(0, size, PIECE)
            ]
            value = {"video": "urn:li:video:1", "uploadInstructions": pieces}
            return httpx.Response(200, json={"value": value})
        if path == "/rest/videos":
            return httpx.Response(200)
        if path.startswith(("/rest/images/", "/rest/videos/")):
            return httpx.Response(200, json={"status": "AVAILABLE"})
        if path == "/rest/posts" and request.method == "POST":
            self.posts += 1
            return httpx.Response(201, headers={"x-restli-id": "urn:li:share:1"})
        return httpx.Response(404, json={"message": f"{request.method} {path}"})


@pytest.fixture
def linkedin(
    world: World, aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LinkedIn]:
    make_storage(configure, PROVIDERS_SECRET_NAME="providers")
    boto3.client("secretsmanager").create_secret(
        Name="providers",
        SecretString=json.dumps({"LINKEDIN_CLIENT_ID": "id", "LINKEDIN_CLIENT_SECRET": "secret"}),
    )
    platform = LinkedIn()
    client = httpx.Client(transport=httpx.MockTransport(platform.answer))
    monkeypatch.setattr(connection, "http_client", lambda _spec: client)
    yield platform
    client.close()


FILM = an_mp4(
    media_bytes=9 * 1024**2,
    in_moov=box(b"udta", box(b"\xa9xyz", SECRET) + box(b"\xa9mak", SECRET)),
    in_track=box(b"udta", SECRET),
    behind=box(b"uuid", SECRET),
)


class TestWhatLeaves:
    """Finding 2.10: a picture with GPS and serial number was published and served with both."""

    @pytest.mark.parametrize(
        "content",
        [with_metadata(suffix) for suffix in (".jpg", ".png", ".webp", ".avif", ".tif")] + [FILM],
        ids=["jpeg", "png", "webp", "avif", "tiff", "mp4"],
    )
    def test_neither_the_platform_nor_the_public_gets_it(
        self, world: World, linkedin: LinkedIn, content: bytes
    ) -> None:
        now = datetime.now(UTC)
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            organization = an_organization(session)
            channel = a_channel(session, organization, provider="linkedin-page", remote_id="24")
        pieces = (content[at : at + 65_536] for at in range(0, len(content), 65_536))
        owner = an_actor(organization.id)
        file = receive(owner, pieces, announced_bytes=None, name="a")
        world.run()  # makes its copies
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            media = [{"id": str(file.id)}]
            root = a_post(session, channel, publish_at=now, content="<p>Owls</p>", media=media)
        arm([Queued(root.id, root.organization_id, root.revision, root.arm_count, now, 0, True)])

        world.run()

        assert world.states(root.id) == ["published"]
        assert linkedin.posts == 1
        sent = b"".join(linkedin.got)
        assert len(sent) > 1_000
        assert SECRET not in sent
        for key in keys("files/"):
            assert SECRET not in stored(key)["content"]
        assert len(stored(file.key)["content"]) == file.size_bytes
        assert keys() == keys("files/")
