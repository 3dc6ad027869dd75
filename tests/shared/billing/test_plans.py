"""What each plan includes, which plan is in force, and when a billing month begins."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.errors import PlanUsedUp
from shared.billing.plans import (
    EVERYTHING,
    PLANS,
    Allowances,
    Plan,
    allowances_of,
    month_of,
    next_month,
    plan_in_force,
    smallest_plan,
)
from shared.billing.sections import FLAGS, SECTIONS, Action, Kind, Section, binds

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
GB = 10**9
DAYS = st.dates(date(2024, 1, 1), date(2032, 12, 31))


class TestTable:
    @pytest.mark.parametrize(
        ("section", "numbers"),
        [
            (Section.CHANNELS, [0, 5, 10, 30, 100]),
            (Section.POSTS_PER_MONTH, [0, 400, 1_000_000, 1_000_000, 1_000_000]),
            (Section.TEAM_MEMBERS, [1, 1, None, None, None]),
            (Section.WEBHOOKS, [0, 2, 10, 30, 10_000]),
            (Section.STORAGE, [0, 5 * GB, 20 * GB, 50 * GB, 200 * GB]),
            (Section.IMAGES_PER_MONTH, [0, 20, 100, 300, 500]),
            (Section.VIDEOS_PER_MONTH, [0, 3, 10, 30, 60]),
        ],
    )
    def test_numbers(self, section: Section, numbers: list[int | None]) -> None:
        assert [Allowances(plan, NOW.date()).limit(section) for plan in Plan] == numbers

    @pytest.mark.parametrize(
        ("flag", "smallest"),
        [
            (Section.PUBLIC_API, Plan.STANDARD),
            (Section.AI, Plan.STANDARD),
            (Section.IMPORT_FROM_CHANNELS, Plan.STANDARD),
            (Section.AUTOPOST, Plan.TEAM),
            (Section.IMAGE_GENERATOR, Plan.TEAM),
            (Section.COMMUNITY_FEATURES, Plan.TEAM),
            (Section.FEATURED, Plan.TEAM),
        ],
    )
    def test_flags(self, flag: Section, smallest: Plan) -> None:
        plans = list(Plan)
        having = [plan for plan in plans if Allowances(plan, NOW.date()).has(flag)]
        assert having == plans[plans.index(smallest) :]
        assert smallest_plan(flag) is smallest

    def test_every_plan_says_something_of_every_section(self) -> None:
        for row in PLANS.values():
            assert set(row) == set(SECTIONS) == set(Section)
            assert {section for section in row if isinstance(row[section], bool)} == FLAGS

    @pytest.mark.parametrize("section", [one for one in Section if one not in FLAGS])
    def test_a_larger_plan_never_includes_less(self, section: Section) -> None:
        numbers = [row[section] for row in PLANS.values()]
        assert numbers == sorted(numbers, key=lambda most: 10**18 if most is None else most)

    def test_what_is_there_can_be_seen_and_deleted_under_every_plan(self) -> None:
        for section, bound in SECTIONS.items():
            if bound.kind is not Kind.FLAG:
                assert [one for one in Action if binds(section, one)] == [Action.CREATE]
        assert all(binds(Section.PUBLIC_API, action) for action in Action)
        assert not binds(Section.AUTOPOST, Action.DELETE)


class TestSmallestPlan:
    @pytest.mark.parametrize(
        ("section", "needed", "plan"),
        [
            (Section.POSTS_PER_MONTH, 400, Plan.STANDARD),
            (Section.POSTS_PER_MONTH, 401, Plan.TEAM),
            (Section.POSTS_PER_MONTH, 1_000_001, None),
            (Section.CHANNELS, 6, Plan.TEAM),
            (Section.CHANNELS, 101, None),
            (Section.TEAM_MEMBERS, 1, Plan.FREE),
            (Section.TEAM_MEMBERS, 5_000, Plan.TEAM),
        ],
    )
    def test_is_the_first_that_is_enough(
        self, section: Section, needed: int, plan: Plan | None
    ) -> None:
        assert smallest_plan(section, needed) is plan


class TestPlanInForce:
    @pytest.mark.parametrize(
        ("plan", "ends_in", "limits", "expected"),
        [
            ("standard", None, {}, Plan.STANDARD),
            ("standard", 1, {}, Plan.STANDARD),
            ("standard", 0, {}, Plan.FREE),
            ("standard", -1, {}, Plan.FREE),
            ("standard", -1, {"given": "ultimate"}, Plan.ULTIMATE),
            ("free", None, {"lifetime": "pro"}, Plan.PRO),
            ("ultimate", None, {"lifetime": "pro", "given": "team"}, Plan.ULTIMATE),
            ("free", None, {"lifetime": "team", "given": "pro"}, Plan.PRO),
        ],
    )
    def test_the_better_one_counts(
        self, plan: str, ends_in: int | None, limits: dict[str, Any], expected: Plan
    ) -> None:
        ends_at = None if ends_in is None else NOW + timedelta(seconds=ends_in)
        assert plan_in_force(plan, ends_at=ends_at, limits=limits, now=NOW) is expected


class TestAllowances:
    def test_what_was_added_counts_with_the_plan(self) -> None:
        limits = {"channels": 3, "lifetime": "standard"}
        found = allowances_of("free", ends_at=None, limits=limits, since=NOW, now=NOW)
        assert found.limit(Section.CHANNELS) == 8
        assert found.limit(Section.POSTS_PER_MONTH) == 400
        assert found.is_lifetime

    def test_nothing_is_limited_where_plans_do_not_bind(self) -> None:
        assert all(EVERYTHING.has(flag) for flag in FLAGS)
        assert {EVERYTHING.limit(section) for section in set(Section) - FLAGS} == {None}

    def test_the_month_is_that_of_utc(self) -> None:
        since = datetime.fromisoformat("2026-01-15T23:30:00-05:00")  # the 16th in UTC
        found = allowances_of("free", ends_at=None, limits={}, since=since, now=NOW)
        assert (found.month, found.next_month) == (date(2026, 11, 16), date(2026, 12, 16))


def test_a_flow_of_the_largest_plan_comes_back_with_the_next_month() -> None:
    since = datetime(2026, 1, 15, tzinfo=UTC)
    found = allowances_of("ultimate", ends_at=None, limits={}, since=since, now=NOW)
    refused = PlanUsedUp(Section.POSTS_PER_MONTH, Action.CREATE, found, used=1_000_000)
    assert refused.message.endswith("Wait until the next billing month, from 2026-12-15 (UTC).")
    assert refused.details["neededPlan"] is None


class TestMonth:
    @pytest.mark.parametrize(
        ("since", "today", "begins"),
        [
            ("2026-01-15", "2026-01-15", "2026-01-15"),
            ("2026-01-15", "2026-02-14", "2026-01-15"),
            ("2026-01-15", "2026-02-15", "2026-02-15"),
            ("2025-12-31", "2026-01-30", "2025-12-31"),
            ("2026-01-31", "2026-02-27", "2026-01-31"),
            ("2026-01-31", "2026-02-28", "2026-02-28"),
            ("2026-01-31", "2026-03-30", "2026-02-28"),
            ("2026-01-31", "2026-03-31", "2026-03-31"),
            ("2024-02-29", "2025-02-28", "2025-02-28"),
        ],
    )
    def test_begins_on_the_day_of_the_first(self, since: str, today: str, begins: str) -> None:
        found = month_of(date.fromisoformat(since), date.fromisoformat(today))
        assert found == date.fromisoformat(begins)

    @given(DAYS, DAYS)
    def test_every_day_is_in_one_month(self, since: date, today: date) -> None:
        begins = month_of(since, today)
        ends = next_month(since, begins)
        assert begins <= today < ends
        assert timedelta(days=28) <= ends - begins <= timedelta(days=31)
        assert month_of(since, ends) == ends
        assert month_of(since, ends - timedelta(days=1)) == begins
