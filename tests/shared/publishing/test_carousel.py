"""A carousel's whole way: copies of its pictures made, put together as one document while it is moved, then posted."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import boto3
import httpx
import pytest
from pypdf import PdfReader
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels import connection
from shared.core.ids import MediaId, new_id
from shared.media.make_variants import make_variants
from shared.organizations.models import Organization
from shared.posts.hints import Queued, arm
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.conftest import Configure
from tests.shared.core.pictures import CAMERA, a_jpeg
from tests.shared.media.files import a_picture
from tests.shared.media.storage import BUCKET, make_storage
from tests.shared.publishing.world import World

UPLOAD = "https://www.linkedin.com/dms-uploads/D4E/document"
DOCUMENT = "urn:li:document:D4E10AQ"


class LinkedIn:
    """Takes one document, makes its pages a moment later, and then a post."""

    def __init__(self) -> None:
        self.document = b""
        self.posts: list[dict[str, object]] = []
        self.asked = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "PUT" and str(request.url) == UPLOAD:
            self.document += request.read()
            return httpx.Response(201)
        if path == "/rest/documents":
            return httpx.Response(200, json={"value": {"uploadUrl": UPLOAD, "document": DOCUMENT}})
        if path.startswith("/rest/documents/"):
            self.asked += 1
            status = "AVAILABLE" if self.asked > 1 else "PROCESSING"
            return httpx.Response(200, json={"status": status})
        if path == "/rest/posts" and request.method == "POST":
            self.posts.append(json.loads(request.content))
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


def uploaded(
    session: Session, organization: Organization, content: bytes, kind: str, width: int, height: int
) -> dict[str, str]:
    key = f"files/{organization.id}/{new_id()}.{kind}"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
    file = a_media(
        session,
        organization,
        key=key,
        content_type=f"image/{kind}",
        size_bytes=len(content),
        width=width,
        height=height,
        variants_made=False,
    )
    return {"id": str(file.id)}


class TestCarousel:
    def test_pictures_of_any_kind_go_out_as_the_pages_of_one_document(
        self, world: World, linkedin: LinkedIn
    ) -> None:
        now = datetime.now(UTC)
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            organization = an_organization(session)
            channel = a_channel(session, organization, provider="linkedin-page", remote_id="24")
            turned = a_jpeg(60, 40, orientation=6)
            drawing = a_picture(".png", width=64, height=48, alpha=True)
            files = [
                uploaded(session, organization, turned, "jpeg", 40, 60),
                uploaded(session, organization, drawing, "png", 64, 48),
            ]
            root = a_post(
                session,
                channel,
                publish_at=now,
                content="<p>Owls</p>",
                media=files,
                settings={"post_as_images_carousel": True, "carousel_name": "Owls at dusk"},
            )
        for file in files:
            make_variants(organization.id, MediaId(UUID(file["id"])))
        arm([Queued(root.id, root.organization_id, root.revision, root.arm_count, now, 0, True)])

        world.run()

        assert world.states(root.id) == ["published"]
        (sent,) = linkedin.posts
        assert sent["content"] == {"media": {"title": "Owls at dusk", "id": DOCUMENT}}
        assert sent["author"] == "urn:li:organization:24"
        document = PdfReader(io.BytesIO(linkedin.document), strict=True)
        assert [tuple(page.mediabox[2:]) for page in document.pages] == [(40, 60), (64, 48)]
        assert CAMERA.encode() not in linkedin.document
        with world.engine.connect() as connection:
            url = connection.execute(text("select release_url from posts")).scalar_one()
        assert url == "https://www.linkedin.com/feed/update/urn:li:share:1"
