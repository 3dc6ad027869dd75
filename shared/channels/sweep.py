"""The sweep of channels: deletes unfinished connections, ended pauses and expired reports, and follows changed plans."""

from typing import NamedTuple
from uuid import UUID

from shared.billing.queries import LIST_PLANS
from shared.billing.usage import current_allowances
from shared.channels.levels import follow_plan, surplus_channels
from shared.core.ids import OrganizationId
from shared.db.session import read_only, unit_of_work
from shared.db.statement import Statement, sql
from shared.db.sweep import PAGE_SIZE, Deletion

_EXPIRED_OAUTH_STATES = Deletion(
    "expired_oauth_states",
    table=sql("oauth_states"),
    lapsed=sql("expires_at <= now()"),
)
_OLD_PAUSES = Deletion(
    "old_pauses",
    table=sql("provider_pauses"),
    lapsed=sql("until <= now() - interval '1 day'"),
)
_EXPIRED_REPORTS = Deletion(
    "expired_reports",
    table=sql("channel_reports"),
    lapsed=sql("expires_at <= now()"),
)


class Organizations(NamedTuple):
    organization_ids: list[OrganizationId]


class Counted(NamedTuple):
    """`by_plan`: those that the plan disabled."""

    organization_id: OrganizationId
    enabled: int
    by_plan: int


_COUNT_CHANNELS = Statement(
    "count_channels_of_organizations",
    sql("""
        select organization_id, count(*) filter (where not disabled) as enabled,
            count(*) filter (where disabled_by is not null) as by_plan
        from channels
        where organization_id = any(cast(:organization_ids as uuid[])) and deleted_at is null
        group by organization_id
    """),
    params=Organizations,
    row=Counted,
)
"""Count the channels of some organizations, of all customers. Organizations without channels have no row."""


def delete_expired_oauth_states() -> int:
    """Delete connections that were not finished in time."""
    return _EXPIRED_OAUTH_STATES.in_pages()


def delete_old_pauses() -> int:
    """Delete pauses of platforms a day after they ended."""
    return _OLD_PAUSES.in_pages()


def delete_expired_reports() -> int:
    """Delete expired numbers of platforms."""
    return _EXPIRED_REPORTS.in_pages()


def follow_plans() -> int:
    """Disable and enable channels where a plan has ended, or allows more again; return how many.

    What changes a plan follows it at once. This finds the plans that ended by themselves, and what was missed.
    """
    switched, after = 0, OrganizationId(UUID(int=0))
    while True:
        with read_only() as session:
            page = LIST_PLANS.all(session, after, PAGE_SIZE)
            plans = {row.organization_id: current_allowances(row) for row in page}
            counted = _COUNT_CHANNELS.all(session, list(plans)) if plans else []
        for row in counted:
            surplus = surplus_channels(plans[row.organization_id], row.enabled)
            if surplus > 0 or (surplus < 0 and row.by_plan):
                with unit_of_work() as session:
                    switched += follow_plan(session, row.organization_id)
        if len(page) < PAGE_SIZE:
            return switched
        after = page[-1].organization_id
