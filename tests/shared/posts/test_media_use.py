"""Whether files stay as long as a post that may go out holds them, and no longer."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.media.models import Media
from shared.organizations.models import Organization
from shared.posts.lifecycle import PostState
from shared.publishing.housekeeping import remove_unneeded_media
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.conftest import Configure
from tests.shared.media.storage import BUCKET, keys, make_storage

LONG_AGO = datetime.now(UTC) - timedelta(days=400)


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


def a_deleted_file(session: Session, organization: Organization) -> Media:
    file = a_media(session, organization, deleted_at=LONG_AGO)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=file.key, Body=b"x")
    return file


class TestSweep:
    """Finding 8.15: sweeps were tested for what goes, not for what must stay."""

    @pytest.mark.parametrize("state", list(PostState))
    @pytest.mark.parametrize("in_reply", [False, True])
    def test_file_that_a_post_holds_goes_only_when_it_is_published(
        self, session: Session, organization: Organization, state: PostState, in_reply: bool
    ) -> None:
        file = a_deleted_file(session, organization)
        channel, media = a_channel(session, organization), [{"id": str(file.id)}]
        if in_reply:
            root = a_post(session, channel, state=PostState.PUBLISHED)
            a_post(session, channel, parent=root, state=state, media=media)
        else:
            a_post(session, channel, state=state, media=media)
        is_published = state is PostState.PUBLISHED
        assert remove_unneeded_media() == is_published
        assert bool(keys()) != is_published
        assert bool(session.scalars(select(Media.id)).all()) != is_published

    def test_file_of_a_setting_stays(self, session: Session, organization: Organization) -> None:
        file = a_deleted_file(session, organization)
        entry = {"id": str(file.id), "setting": "article_cover"}
        a_post(session, a_channel(session, organization), state=PostState.DRAFT, media=[entry])
        assert remove_unneeded_media() == 0

    def test_one_of_two_posts_is_enough(self, session: Session, organization: Organization) -> None:
        file, channel = a_deleted_file(session, organization), a_channel(session, organization)
        media = [{"id": str(file.id)}]
        a_post(session, channel, state=PostState.PUBLISHED, media=media)
        a_post(session, channel, state=PostState.FAILED, media=media)
        assert remove_unneeded_media() == 0

    def test_file_of_a_deleted_post_goes(
        self, session: Session, organization: Organization
    ) -> None:
        file, channel = a_deleted_file(session, organization), a_channel(session, organization)
        media = [{"id": str(file.id)}]
        a_post(session, channel, state=PostState.DRAFT, media=media, deleted_at=LONG_AGO)
        assert remove_unneeded_media() == 1

    def test_file_that_is_not_deleted_stays_whoever_holds_it(
        self, session: Session, organization: Organization
    ) -> None:
        a_media(session, organization, created_at=LONG_AGO, updated_at=LONG_AGO)
        assert remove_unneeded_media() == 0
