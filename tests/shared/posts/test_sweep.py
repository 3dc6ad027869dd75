"""Counters of posts that differ from the posts which are counted."""

import logging
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.billing.models import Usage
from shared.organizations.models import Organization
from shared.posts.sweep import recount_usage
from tests.builders import a_channel, a_post, an_organization

TODAY = datetime.now(UTC).date()
THIS_MONTH, MONTH_BEFORE, LONG_AGO = (TODAY - timedelta(days=n) for n in (10, 40, 100))


def a_counter(session: Session, organization: Organization, used: int, month: date) -> None:
    section = "posts_per_month"
    session.add(
        Usage(organization_id=organization.id, section=section, period_start=month, used=used)
    )
    session.flush()


def counters(session: Session, organization: Organization) -> list[int]:
    session.expire_all()
    found = select(Usage.used).where(Usage.organization_id == organization.id)
    return list(session.scalars(found.order_by(Usage.period_start.desc())))


class TestRecountUsage:
    def test_corrects_what_has_drifted_and_reports_it(
        self, session: Session, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.posts.sweep.PAGE_SIZE", 1)
        right, wrong = an_organization(session), an_organization(session)
        for organization in (right, wrong):
            channel = a_channel(session, organization)
            a_post(session, channel, counted_period=THIS_MONTH)
            a_post(session, channel, counted_period=THIS_MONTH, deleted_at=datetime.now(UTC))
            a_post(session, channel, counted_period=MONTH_BEFORE)
            a_post(session, channel)
        for organization, used in ((right, (2, 1)), (wrong, (5, 0))):
            a_counter(session, organization, used[0], THIS_MONTH)
            a_counter(session, organization, used[1], MONTH_BEFORE)
        with caplog.at_level(logging.WARNING):
            assert recount_usage() == 2
        assert counters(session, right) == counters(session, wrong) == [2, 1]
        drifted = [record for record in caplog.records if record.message == "usage.drifted"]
        assert {(record.used, record.counted) for record in drifted} == {(5, 2), (0, 1)}  # type: ignore[attr-defined]
        assert recount_usage() == 0

    def test_a_counter_without_posts_is_emptied(self, session: Session) -> None:
        organization = an_organization(session)
        a_counter(session, organization, 3, THIS_MONTH)
        assert recount_usage() == 1
        assert counters(session, organization) == [0]

    def test_months_that_are_over_stay(self, session: Session) -> None:
        organization = an_organization(session)
        a_counter(session, organization, 3, LONG_AGO)
        assert recount_usage() == 0

    def test_other_sections_stay(self, session: Session) -> None:
        organization = an_organization(session)
        a_counter(session, organization, 3, THIS_MONTH)
        session.query(Usage).update({"section": "images_per_month"})
        assert recount_usage() == 0
