"""Channels that a plan no longer includes, and those that it includes again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared.billing.errors import PlanUsedUp
from shared.channels.change import change_channel
from shared.channels.levels import check_room, follow_plan
from shared.channels.models import Channel
from shared.channels.sweep import follow_plans
from shared.core.reach import Reach
from shared.notifications.models import Notification
from shared.organizations.models import Organization
from tests.builders import a_channel, an_actor, an_organization
from tests.conftest import Configure


@pytest.fixture(autouse=True)
def _billing(configure: Configure) -> None:
    configure(BILLING="on")


@pytest.fixture
def organization(session: Session) -> Organization:
    """An organization on the plan STANDARD, which includes five channels."""
    return an_organization(session, plan="standard")


def channels(session: Session, organization: Organization, number: int) -> list[Channel]:
    """Add channels, the oldest first."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        a_channel(session, organization, name=f"{n}", created_at=began + timedelta(days=n))
        for n in range(number)
    ]


def enabled(session: Session) -> str:
    session.expire_all()
    rows = session.scalars(select(Channel).where(~Channel.disabled))
    return " ".join(sorted(row.name for row in rows))


def set_plan(session: Session, organization: Organization, plan: str) -> None:
    organization.plan = plan
    session.flush()


class TestFollowPlan:
    def test_a_smaller_plan_disables_the_newest_and_a_larger_one_enables_them(
        self, session: Session, organization: Organization
    ) -> None:
        channels(session, organization, 7)
        assert follow_plan(session, organization.id) == 2
        assert enabled(session) == "0 1 2 3 4"
        set_plan(session, organization, "free")
        assert follow_plan(session, organization.id) == 5
        assert enabled(session) == ""
        set_plan(session, organization, "standard")
        assert follow_plan(session, organization.id) == 5
        assert enabled(session) == "0 1 2 3 4"
        assert follow_plan(session, organization.id) == 0
        set_plan(session, organization, "team")
        assert follow_plan(session, organization.id) == 2
        assert enabled(session) == "0 1 2 3 4 5 6"
        assert session.scalars(select(Channel.disabled_by).distinct()).all() == [None]

    def test_one_that_must_be_reconnected_is_disabled_first(
        self, session: Session, organization: Organization
    ) -> None:
        oldest, *_ = channels(session, organization, 6)
        oldest.disconnected_at = datetime.now(UTC)
        session.flush()
        follow_plan(session, organization.id)
        assert enabled(session) == "1 2 3 4 5"

    def test_what_a_member_disabled_stays_so(
        self, session: Session, organization: Organization
    ) -> None:
        reach, actor = Reach(organization.id), an_actor(organization.id)
        channels(session, organization, 7)
        by_member, by_both = session.scalars(
            select(Channel).where(Channel.name.in_(["0", "6"])).order_by(Channel.name)
        )
        change_channel(session, reach, actor, by_member.id, {"disabled": True})
        follow_plan(session, organization.id)
        assert enabled(session) == "1 2 3 4 5"
        # The plan had disabled it; now a member does.
        change_channel(session, reach, actor, by_both.id, {"disabled": True})
        set_plan(session, organization, "ultimate")
        follow_plan(session, organization.id)
        assert enabled(session) == "1 2 3 4 5"

    def test_a_member_chooses_others(self, session: Session, organization: Organization) -> None:
        reach, actor = Reach(organization.id), an_actor(organization.id)
        first, *_, last = channels(session, organization, 6)
        follow_plan(session, organization.id)
        with pytest.raises(PlanUsedUp):
            change_channel(session, reach, actor, last.id, {"disabled": False})
        change_channel(session, reach, actor, first.id, {"disabled": True})
        changed = change_channel(session, reach, actor, last.id, {"disabled": False})
        assert not changed.disabled
        assert follow_plan(session, organization.id) == 0
        assert enabled(session) == "1 2 3 4 5"

    def test_a_change_of_something_else_keeps_the_reason(
        self, session: Session, organization: Organization
    ) -> None:
        reach, actor = Reach(organization.id), an_actor(organization.id)
        *_, last = channels(session, organization, 6)
        follow_plan(session, organization.id)
        change_channel(session, reach, actor, last.id, {"timezone": "Europe/Rome"})
        session.expire_all()
        assert (last.disabled, last.disabled_by) == (True, "plan")

    def test_the_team_is_notified_and_the_log_has_it(
        self, session: Session, organization: Organization
    ) -> None:
        channels(session, organization, 6)
        follow_plan(session, organization.id)
        (notified,) = session.scalars(select(Notification))
        assert notified.title == "Channels were disabled"
        assert "STANDARD does not include them: 5." in notified.content
        logged = session.execute(
            text("select action, after from audit_events where organization_id = :id"),
            {"id": organization.id},
        )
        assert logged.all() == [("channel.updated", {"disabled": True, "reason": "plan"})]

    def test_a_deleted_channel_stays_deleted(
        self, session: Session, organization: Organization
    ) -> None:
        *_, last = channels(session, organization, 6)
        follow_plan(session, organization.id)
        last.deleted_at = datetime.now(UTC)
        set_plan(session, organization, "team")
        assert follow_plan(session, organization.id) == 0


class TestCheckRoom:
    def test_a_page_that_is_not_chosen_yet_does_not_count(
        self, session: Session, organization: Organization
    ) -> None:
        """To connect its account again only completes the channel."""
        *_, last = channels(session, organization, 5)
        with pytest.raises(PlanUsedUp):
            check_room(organization.id)
        last.needs_page = True
        session.flush()
        check_room(organization.id)

    def test_where_plans_do_not_bind_there_is_room(
        self, session: Session, organization: Organization, configure: Configure
    ) -> None:
        configure(BILLING="off")
        channels(session, organization, 5)
        check_room(organization.id)


class TestSweep:
    def test_finds_plans_that_have_ended(
        self, session: Session, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.channels.sweep.PAGE_SIZE", 1)
        channels(session, organization, 3)
        other = an_organization(session, plan="standard")
        channels(session, other, 2)
        assert follow_plans() == 0
        organization.plan_ends_at = datetime.now(UTC) - timedelta(minutes=1)
        session.flush()
        assert follow_plans() == 3
        assert enabled(session) == "0 1"
        organization.plan_ends_at = None
        session.flush()
        assert follow_plans() == 3
        assert follow_plans() == 0

    def test_enables_all_where_plans_no_longer_bind(
        self, session: Session, organization: Organization, configure: Configure
    ) -> None:
        set_plan(session, organization, "free")
        channels(session, organization, 2)
        follow_plans()
        configure(BILLING="off")
        assert follow_plans() == 2
        assert enabled(session) == "0 1"
