"""What becomes of a due post whose picture is not converted yet."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.posts.hints import Queued, arm
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.conftest import Configure
from tests.shared.media.files import a_picture
from tests.shared.media.storage import BUCKET, make_storage
from tests.shared.publishing.world import World


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


class TestWaiting:
    def test_it_is_told_and_the_copy_is_asked_for_again(self, world: World) -> None:
        """Finding 1.11: posts were more than ten minutes late without a word. The first message is lost here."""
        content, now = a_picture(".tif"), datetime.now(UTC)
        boto3.client("s3").put_object(Bucket=BUCKET, Key="files/a.tiff", Body=content)
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            organization = an_organization(session)
            channel = a_channel(session, organization, provider="keyless")
            columns = {"size_bytes": len(content), "width": 64, "height": 48}
            file = a_media(
                session, organization, key="files/a.tiff", content_type="image/tiff",
                variants_made=False, **columns,
            )  # fmt: skip
            media = [{"id": str(file.id)}]
            root = a_post(session, channel, publish_at=now, content="<p>one</p>", media=media)
        arm([Queued(root.id, root.organization_id, root.revision, root.arm_count, now, 0, True)])

        world.run()

        assert world.states(root.id) == ["published"]
        with world.engine.connect() as connection:
            told = connection.execute(text("select title, content from notifications")).all()
            late = connection.execute(
                text("select published_at - publish_at from posts")
            ).scalar_one()
        [waits] = [content for title, content in told if "is waiting for a picture" in title]
        assert "still being converted for Keyless" in waits
        assert late < timedelta(minutes=2)
