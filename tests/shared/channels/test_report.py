"""What a platform told is returned again for an hour, to its organization alone, and then forgotten."""

from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.channels.errors import PlatformRefused
from shared.channels.models import ChannelReport
from shared.channels.report import find_report, keep_report, read_report
from shared.channels.sweep import delete_expired_reports
from shared.core.ids import ChannelId, PostId
from shared.core.reach import Reach
from shared.providers.base import Series
from tests.builders import a_channel, a_customer, an_organization
from tests.conftest import Configure
from tests.shared.channels.builders import a_bluesky_channel, set_up_platforms

TOLD = [
    Series("Likes", [("2026-01-01", 3.0), ("2026-01-02", 4.5)], average=True),
    Series("Clicks", []),
]


class TestKeep:
    def test_comes_back_as_it_was(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session))
        mine, subject = Reach(channel.organization_id), PostId(uuid4())
        keep_report(session, mine.organization_id, subject, 7, TOLD)
        assert find_report(session, mine, channel.id, subject_id=subject, days=7) == TOLD
        assert find_report(session, mine, channel.id, subject_id=subject, days=30) is None
        assert find_report(session, mine, channel.id, subject_id=channel.id, days=7) is None
        theirs = Reach(an_organization(session).id)
        assert find_report(session, theirs, channel.id, subject_id=subject, days=7) is None

    def test_is_found_by_those_who_see_the_channel(self, session: Session) -> None:
        organization = an_organization(session)
        customer = a_customer(session, organization)
        channel = a_channel(session, organization, customer_id=customer.id)
        keep_report(session, organization.id, channel.id, 7, TOLD)
        for customers, found in (
            ([customer.id], TOLD),
            ([a_customer(session, organization, name="Looms").id], None),
            ([], None),
        ):
            reach = Reach(organization.id, customers)
            assert find_report(session, reach, channel.id, subject_id=channel.id, days=7) == found

    def test_the_later_takes_the_place_of_the_earlier(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session))
        mine = Reach(channel.organization_id)
        keep_report(session, mine.organization_id, channel.id, 7, TOLD)
        session.execute(update(ChannelReport).values(expires_at=func.now()))
        assert find_report(session, mine, channel.id, subject_id=channel.id, days=7) is None
        keep_report(session, mine.organization_id, channel.id, 7, [])
        assert find_report(session, mine, channel.id, subject_id=channel.id, days=7) == []

    def test_is_deleted_when_it_is_over(self, session: Session) -> None:
        mine, over, alive = an_organization(session).id, ChannelId(uuid4()), ChannelId(uuid4())
        keep_report(session, mine, over, 7, TOLD)
        session.execute(update(ChannelReport).values(expires_at=func.now()))
        keep_report(session, mine, alive, 7, TOLD)
        assert delete_expired_reports() == 1
        assert session.scalars(select(ChannelReport.subject_id)).all() == [alive]


class TestRead:
    def test_a_platform_that_tells_none_says_so(
        self, session: Session, aws: None, configure: Configure
    ) -> None:
        set_up_platforms(configure)
        channel = a_bluesky_channel(session, an_organization(session))
        with pytest.raises(PlatformRefused, match="Bluesky does not provide analytics"):
            read_report(
                Reach(channel.organization_id),
                channel.id,
                lambda reporter, api: reporter.account_series(api, days=7),
                subject_id=channel.id,
                days=7,
            )
        assert session.scalars(select(ChannelReport)).all() == []
