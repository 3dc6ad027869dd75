"""What each plan includes. A pure table: no clock, no database, no settings.

`Allowances` is what one organization may use: its plan in force, with the overrides of its row (`organizations.limits`).
"""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from shared.billing.sections import FLAGS, Section

_GB = 10**9
GIVEN, LIFETIME = "given", "lifetime"
"""The keys of `organizations.limits` that name a plan which does not end: given by an operator, or bought once."""
NO_LIMIT = 10_000
"""The number of channels that programs see where there is no limit."""


class Plan(StrEnum):
    """A plan, the smallest first."""

    FREE = "free"
    STANDARD = "standard"
    TEAM = "team"
    PRO = "pro"
    ULTIMATE = "ultimate"


_MONTHLY = 1_000_000  # posts: a bound against abuse, not a reason to choose a larger plan
# Numbers and flags in the order of `Plan`; None: no limit.
_TABLE: Mapping[Section, tuple[int | bool | None, ...]] = {
    Section.CHANNELS: (0, 5, 10, 30, 100),
    Section.POSTS_PER_MONTH: (0, 400, _MONTHLY, _MONTHLY, _MONTHLY),
    Section.TEAM_MEMBERS: (1, 1, None, None, None),
    Section.WEBHOOKS: (0, 2, 10, 30, 10_000),
    Section.STORAGE: (0, 5 * _GB, 20 * _GB, 50 * _GB, 200 * _GB),
    Section.IMAGES_PER_MONTH: (0, 20, 100, 300, 500),
    Section.VIDEOS_PER_MONTH: (0, 3, 10, 30, 60),
    Section.PUBLIC_API: (False, True, True, True, True),
    Section.AUTOPOST: (False, False, True, True, True),
    Section.IMPORT_FROM_CHANNELS: (False, True, True, True, True),
    Section.AI: (False, True, True, True, True),
    Section.IMAGE_GENERATOR: (False, False, True, True, True),
    Section.COMMUNITY_FEATURES: (False, False, True, True, True),
    Section.FEATURED: (False, False, True, True, True),
}
PLANS: Mapping[Plan, Mapping[Section, int | bool | None]] = {
    plan: {section: row[place] for section, row in _TABLE.items()}
    for place, plan in enumerate(Plan)
}
"""What each plan includes: a number or None (no limit) for each level and flow, True or False for each flag."""


@dataclass(frozen=True, slots=True)
class Allowances:
    """What an organization may use.

    `extra` is added to the plan's numbers. `month` is the first day of its billing month, `next_month` that of the one after.
    If `bind` is False, plans do not apply on this server: nothing is limited and nothing is counted.
    """

    plan: Plan
    month: date
    extra: Mapping[Section, int] = field(default_factory=dict)
    is_lifetime: bool = False
    bind: bool = True
    next_month: date | None = None

    def has(self, flag: Section) -> bool:
        """Return whether a flag is included."""
        return not self.bind or bool(PLANS[self.plan][flag])

    def limit(self, section: Section) -> int | None:
        """Return how many of a section there may be; None: any number."""
        most = PLANS[self.plan][section]
        if not self.bind or most is None:
            return None
        return int(most) + self.extra.get(section, 0)


EVERYTHING = Allowances(Plan.ULTIMATE, date.min, bind=False)
"""What is allowed where plans do not apply."""


def plan_in_force(
    plan: str, *, ends_at: datetime | None, limits: Mapping[str, Any], now: datetime
) -> Plan:
    """Return the plan that an organization has at `now`: a plan that was given or bought for life is the least it has."""
    paid = Plan.FREE if ends_at is not None and ends_at <= now else Plan(plan)
    floors = [Plan(limits[name]) for name in (GIVEN, LIFETIME) if limits.get(name)]
    return max([paid, *floors], key=list(Plan).index)


def allowances_of(
    plan: str,
    *,
    ends_at: datetime | None,
    limits: Mapping[str, Any],
    since: datetime,
    now: datetime,
) -> Allowances:
    """Return what the organization with these columns may use at `now`. `since` is when its first billing month began."""
    first = since.astimezone(UTC).date()
    month = month_of(first, now.astimezone(UTC).date())
    return Allowances(
        plan_in_force(plan, ends_at=ends_at, limits=limits, now=now),
        month,
        next_month=next_month(first, month),
        extra={Section(name): limits[name] for name in limits if name in set(Section) - FLAGS},
        is_lifetime=bool(limits.get(LIFETIME)),
    )


def month_of(since: date, today: date) -> date:
    """Return the first day of the billing month that contains `today`: the latest monthly return of `since`.

    In a month without that day, it is the month's last day.
    """
    this = _in_month(since, today.year, today.month)
    if this <= today:
        return this
    before = today.month - 1
    return _in_month(since, today.year - (before == 0), before or 12)


def next_month(since: date, month: date) -> date:
    """Return the first day of the billing month after the one that begins with `month`."""
    return _in_month(since, month.year + month.month // 12, month.month % 12 + 1)


def smallest_plan(section: Section, needed: int = 1) -> Plan | None:
    """Return the smallest plan that includes a flag, or `needed` of a section; None if there is none."""
    for plan, row in PLANS.items():
        most = row[section]
        if most is None or most >= needed:
            return plan
    return None


def _in_month(since: date, year: int, month: int) -> date:
    return date(year, month, min(since.day, calendar.monthrange(year, month)[1]))
