"""What is cleaned up, and what must stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.db.statement import sql
from shared.media import sweep
from shared.media.keys import thumbnail_key
from shared.media.models import Media, MediaState, MediaVariant
from shared.media.sweep import (
    remove_unneeded_files,
    request_examinations,
    request_missing_variants,
)
from shared.media.sweep_queries import unneeded_files
from shared.organizations.models import Organization
from tests.builders import a_media, an_organization
from tests.conftest import Configure
from tests.shared.media.storage import BUCKET, asked_for_variants, keys, make_storage

NOTHING = unneeded_files(sql("select cast(null as uuid) where false"))


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


def ago(**time: int) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def a_stored(session: Session, organization: Organization, name: str, **columns: Any) -> Media:
    """A file with a copy and a thumbnail, and their objects."""
    file = a_media(session, organization, key=f"files/{name}.png", **columns)
    copy = MediaVariant(
        organization_id=organization.id, media_id=file.id, name="copy", key=f"files/{name}-copy",
        content_type="image/jpeg", size_bytes=1, width=1, height=1,
    )  # fmt: skip
    session.add(copy)
    session.flush()
    for key in (file.key, copy.key, thumbnail_key(file.key)):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
    return file


class TestRemove:
    def test_long_deleted_file_goes_with_everything_that_belongs_to_it(
        self, session: Session, organization: Organization
    ) -> None:
        a_stored(session, organization, "old", deleted_at=ago(days=31))
        kept = a_stored(session, organization, "kept")
        assert remove_unneeded_files(NOTHING) == 1
        assert keys() == ["files/kept-copy", "files/kept-thumbnail.jpg", "files/kept.png"]
        assert session.scalars(select(Media.id)).all() == [kept.id]
        assert remove_unneeded_files(NOTHING) == 0

    def test_file_that_a_post_needs_stays(
        self, session: Session, organization: Organization
    ) -> None:
        a_stored(session, organization, "old", deleted_at=ago(days=31))
        needed = sql("select id from media where key = 'files/old.png'")
        assert remove_unneeded_files(unneeded_files(needed)) == 0
        assert len(keys()) == 3

    def test_recently_deleted_file_stays(
        self, session: Session, organization: Organization
    ) -> None:
        a_stored(session, organization, "new", deleted_at=ago(days=29))
        assert remove_unneeded_files(NOTHING) == 0

    def test_thumbnail_of_a_living_file_stays(
        self, session: Session, organization: Organization
    ) -> None:
        old = a_stored(session, organization, "old", deleted_at=ago(days=31))
        film = a_media(session, organization, thumbnail_key=old.key)
        assert remove_unneeded_files(NOTHING) == 0
        film.deleted_at = ago(days=1)
        session.flush()
        assert remove_unneeded_files(NOTHING) == 1

    def test_uploads_that_never_ended_are_forgotten(
        self, session: Session, organization: Organization
    ) -> None:
        a_media(session, organization, state=MediaState.UPLOADING, created_at=ago(days=4))
        a_media(session, organization, state=MediaState.REJECTED, created_at=ago(days=4))
        a_media(session, organization, state=MediaState.UPLOADING, created_at=ago(days=2))
        assert remove_unneeded_files(NOTHING) == 2


class TestRequest:
    def test_lost_messages_are_sent_again(
        self, session: Session, organization: Organization
    ) -> None:
        lost = a_media(session, organization, variants_made=False, updated_at=ago(minutes=20))
        a_media(session, organization, variants_made=False)  # on its way
        a_media(session, organization, updated_at=ago(minutes=20))  # made
        assert request_missing_variants() == 1
        (message,) = asked_for_variants(settings().variants_queue_url)
        assert message["mediaId"] == str(lost.id)

    def test_one_that_kills_its_worker_is_asked_for_less_and_less_and_then_not(
        self, session: Session, organization: Organization
    ) -> None:
        """How long it has been there decides, so to ask must not make it look new."""
        file = a_media(session, organization, variants_made=False, updated_at=ago(hours=4))
        assert request_missing_variants() == 1
        session.refresh(file)
        assert file.updated_at < ago(hours=3)
        assert file.variants_due_at is not None
        assert file.variants_due_at > datetime.now(UTC) + timedelta(hours=1)
        assert request_missing_variants() == 0
        file.variants_due_at, file.updated_at = ago(minutes=1), ago(hours=25)
        session.flush()
        assert request_missing_variants() == 0


class TestExaminations:
    def test_files_of_before_are_asked_for_a_page_at_a_time_the_oldest_request_first(
        self, session: Session, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 2.10: files that were stored before metadata were removed lose them, whether a post uses them or not."""
        monkeypatch.setattr(sweep, "_EXAMINED_AN_HOUR", 2)
        old = [
            a_media(session, organization, examined=False, updated_at=ago(days=age))
            for age in (9, 8, 7)
        ]
        a_media(session, organization, examined=False, deleted_at=ago(days=1))
        a_media(session, organization, examined=False, state=MediaState.UPLOADING)
        a_media(session, organization)
        assert request_examinations() == 2
        asked = asked_for_variants(settings().variants_queue_url)
        assert {one["mediaId"] for one in asked} == {str(file.id) for file in old[:2]}
        request_examinations()
        asked = asked_for_variants(settings().variants_queue_url)
        assert str(old[2].id) in {one["mediaId"] for one in asked}
