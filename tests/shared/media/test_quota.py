"""Whether an organization stores no more than it may, however many uploads begin at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.db.session import unit_of_work
from shared.media.models import Media, MediaState
from shared.media.quota import StorageFull, check_quota, count_stored
from shared.media.schemas import NewUpload
from shared.media.upload import start_upload
from tests.builders import a_media, an_actor, an_organization
from tests.conftest import Configure
from tests.shared.media.storage import make_storage


@pytest.fixture
def owner(session: Session) -> OrganizationId:
    return an_organization(session).id


def stored(session: Session, owner: OrganizationId, size: int, **columns: object) -> None:
    organization = session.merge(an_organization(session))
    a_media(session, organization, size_bytes=size, **columns | {"organization_id": owner})


class TestCheckQuota:
    """Finding 2.18: there was no quota of storage."""

    def test_what_fits_is_let_in_to_the_last_byte(
        self, session: Session, owner: OrganizationId, configure: Configure
    ) -> None:
        configure(MEDIA_QUOTA_BYTES=10_000_000)
        stored(session, owner, 6_000_000)
        stored(session, owner, 1_000_000, state=MediaState.UPLOADING)
        stored(session, owner, 9_000_000, state=MediaState.REJECTED)
        check_quota(session, owner, 3_000_000)
        with pytest.raises(StorageFull, match=r"stores 7\.0 MB of its 10\.0 MB") as full:
            check_quota(session, owner, 3_000_001)
        assert (full.value.status, full.value.code) == (402, "storage_full")

    def test_another_organization_does_not_count(
        self, session: Session, owner: OrganizationId, configure: Configure
    ) -> None:
        configure(MEDIA_QUOTA_BYTES=10)
        a_media(session, an_organization(session), size_bytes=10)
        check_quota(session, owner, 10)

    def test_deleting_makes_room_but_not_without_end(
        self, session: Session, owner: OrganizationId, configure: Configure
    ) -> None:
        configure(MEDIA_QUOTA_BYTES=10)
        stored(session, owner, 10, deleted_at=datetime.now(UTC))
        assert count_stored(session, owner).used == 0
        check_quota(session, owner, 10)
        stored(session, owner, 10, deleted_at=datetime.now(UTC))
        with pytest.raises(StorageFull, match="kept for 30 days"):
            check_quota(session, owner, 1)

    def test_zero_is_no_limit(
        self, session: Session, owner: OrganizationId, configure: Configure
    ) -> None:
        configure(MEDIA_QUOTA_BYTES=0)
        check_quota(session, owner, 10**15)


def test_uploads_that_begin_at_once_are_counted_one_after_the_other(
    committed: Engine, aws: None, configure: Configure
) -> None:
    """Finding 2.18: eight at once, of which five fit."""
    make_storage(configure, MEDIA_QUOTA_BYTES=5_000, DATABASE_POOL_SIZE=8)
    with Session(committed) as session, session.begin():
        owner = an_organization(session).id

    def begin(_number: int) -> bool:
        try:
            with unit_of_work() as session:
                new = NewUpload(name="a.png", size=1_000)
                start_upload(session, an_actor(owner), new)
        except StorageFull:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begin, range(8))) == [False] * 3 + [True] * 5
    with Session(committed) as session:
        assert session.scalar(select(func.sum(Media.size_bytes))) == 5_000
