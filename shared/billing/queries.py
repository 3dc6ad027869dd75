"""The statements about plans and what organizations use of them."""

from datetime import date, datetime
from typing import Any, NamedTuple

from shared.core.ids import OrganizationId
from shared.db.statement import Json, NoParams, NoRow, Sql, Statement, sql


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class PlanRow(NamedTuple):
    """What decides what an organization may use. `created_at` is when its first billing month began."""

    plan: str
    plan_ends_at: datetime | None
    limits: dict[str, Any]
    created_at: datetime


LOCK_PLAN = Statement(
    "lock_plan",
    sql("""
        select plan, plan_ends_at, limits, created_at from organizations
        where id = :organization_id
        for no key update
    """),
    params=OfOrganization,
    row=PlanRow,
)
"""Lock an organization's row until the transaction ends, and read its plan.

What the plan limits is counted by a later statement: in READ COMMITTED, a count in this one would be from before the wait.
"""

FIND_PLAN = Statement(
    "find_plan",
    sql("""
        select plan, plan_ends_at, limits, created_at from organizations where id = :organization_id
    """),
    params=OfOrganization,
    row=PlanRow,
)
"""Read an organization's plan."""


class PlanPage(NamedTuple):
    """`after`: the last organization of the page before."""

    after: OrganizationId
    page_size: int


class ListedPlan(NamedTuple):
    organization_id: OrganizationId
    plan: str
    plan_ends_at: datetime | None
    limits: dict[str, Any]
    created_at: datetime


LIST_PLANS = Statement(
    "list_plans",
    sql("""
        select id as organization_id, plan, plan_ends_at, limits, created_at from organizations
        where id > :after and deleted_at is null
        order by id limit :page_size
    """),
    params=PlanPage,
    row=ListedPlan,
)
"""List a page of organizations with their plans, by id."""


class Use(NamedTuple):
    """`times` more of a flow; `most` is how many there may be in all."""

    organization_id: OrganizationId
    section: str
    period_start: date
    times: int
    most: int


class Used(NamedTuple):
    used: int


TAKE = Statement(
    "take_usage",
    sql("""
        insert into usage as u (organization_id, section, period_start, used)
        select cast(:organization_id as uuid), :section, cast(:period_start as date), cast(:times as integer)
        where cast(:times as integer) <= :most
        on conflict (organization_id, section, period_start) do update set used = u.used + :times
        where u.used + :times <= :most
        returning used
    """),
    params=Use,
    row=Used,
)
"""Count the use of a flow; no row: it would be more than there may be.

One statement, whose lock on the row serializes concurrent requests until their transactions end.
"""


class OfPeriod(NamedTuple):
    organization_id: OrganizationId
    section: str
    period_start: date


FIND_USED = Statement(
    "find_used",
    sql("""
        select used from usage
        where organization_id = :organization_id and section = :section and period_start = :period_start
    """),
    params=OfPeriod,
    row=Used,
)
"""Read how much of a flow is used in a billing month; no row: nothing."""


def giving_back(section: Sql) -> Sql:
    """Return the end of a statement that gives back a flow; the statement has the parameter `organization_id`.

    It reads the CTE `returned` (`period_start`, `times`). Rows are locked in order, so that concurrent statements cannot
    deadlock.
    """
    return sql(
        """
        locked_usage as (
            select u.period_start, returned.times
            from usage u join returned on returned.period_start = u.period_start
            where u.organization_id = :organization_id and u.section = '{section}'
            order by u.period_start
            for update of u
        )
        update usage u set used = greatest(u.used - locked_usage.times, 0)
        from locked_usage
        where u.organization_id = :organization_id and u.section = '{section}'
            and u.period_start = locked_usage.period_start
        """,
        section=section,
    )


class RecentUsage(NamedTuple):
    """`after`: the last organization of the page before."""

    section: str
    since: date
    after: OrganizationId
    page_size: int


class UsageRow(NamedTuple):
    organization_id: OrganizationId
    period_start: date
    used: int


LOCK_USAGE = Statement(
    "lock_usage",
    sql("""
        select organization_id, period_start, used from usage
        where section = :section and period_start >= :since and organization_id in (
            select distinct organization_id from usage
            where section = :section and period_start >= :since and organization_id > :after
            order by organization_id limit :page_size)
        order by organization_id, period_start
        for update
    """),
    params=RecentUsage,
    row=UsageRow,
)
"""Lock the counters of a page of organizations. Nobody counts or gives back until the transaction ends."""


class SetUsage(NamedTuple):
    """`counts`: `[{"organization_id", "period_start", "used"}]`."""

    section: str
    counts: Json


SET_USAGE = Statement(
    "set_usage",
    sql("""
        update usage u set used = counted.used
        from jsonb_to_recordset(cast(:counts as jsonb)) as counted(organization_id uuid, period_start date, used integer)
        where u.organization_id = counted.organization_id and u.section = :section
            and u.period_start = counted.period_start
    """),
    params=SetUsage,
    row=NoRow,
)
"""Correct counters."""


class Given(NamedTuple):
    organizations: int


GIVE_EXISTING = Statement(
    "give_existing_organizations",
    sql("""
        with first as (
            insert into first_runs (task) values ('billing') on conflict do nothing returning task
        ), given as (
            update organizations set plan = 'ultimate', plan_ends_at = null,
                limits = limits || '{"given": "ultimate"}', updated_at = now()
            from first
            returning id
        )
        select count(*) as organizations from given
    """),
    params=NoParams,
    row=Given,
)
"""Give every organization the largest plan without end, the first time this runs.

One statement, so that it is recorded as done only if it was.
"""
