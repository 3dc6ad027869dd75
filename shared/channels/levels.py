"""How many channels an organization's plan includes: checks it for new ones, and follows a change of the plan.

A channel counts while it is neither deleted nor disabled, also one that must be reconnected.
"""

from contextlib import AbstractContextManager
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor, Entry
from shared.audit.record import record_all
from shared.billing.plans import Allowances
from shared.billing.sections import Section
from shared.billing.usage import check_level, find_allowances, lock_allowances, within_plan
from shared.channels.models import DISABLED_BY_PLAN
from shared.core.ids import ChannelId, OrganizationId
from shared.core.log import log
from shared.db.session import read_only
from shared.db.statement import Statement, sql
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Enabled(NamedTuple):
    """`complete`: those whose page is chosen, where the platform has pages."""

    total: int
    complete: int


_COUNT_ENABLED = Statement(
    "count_enabled_channels",
    sql("""
        select count(*) as total, count(*) filter (where not needs_page) as complete from channels
        where organization_id = :organization_id and deleted_at is null and not disabled
    """),
    params=OfOrganization,
    row=Enabled,
)
"""Count the channels that count against the plan, of all customers. Lock the organization first to raise the number."""


class Surplus(NamedTuple):
    organization_id: OrganizationId
    reason: str
    number: int


class Switched(NamedTuple):
    id: ChannelId
    name: str


_SWITCH_OFF = Statement(
    "switch_off_channels",
    sql("""
        update channels set disabled = true, disabled_by = :reason, updated_at = now()
        where id in (
            select id from channels
            where organization_id = :organization_id and deleted_at is null and not disabled
            order by disconnected_at is not null desc, created_at desc, id desc
            limit :number)
        returning id, name
    """),
    params=Surplus,
    row=Switched,
)
"""Disable some channels: those that must be reconnected first, then the newest."""

_SWITCH_ON = Statement(
    "switch_on_channels",
    sql("""
        update channels set disabled = false, disabled_by = null, updated_at = now()
        where id in (
            select id from channels
            where organization_id = :organization_id and deleted_at is null and disabled_by = :reason
            order by disconnected_at is not null, created_at, id
            limit :number)
        returning id, name
    """),
    params=Surplus,
    row=Switched,
)
"""Enable some channels that were disabled for a reason, in the reverse order."""


def within_channels(
    session: Session, organization_id: OrganizationId
) -> AbstractContextManager[None]:
    """Check that the channels which the block adds or enables are within the plan (`within_plan`)."""
    return within_plan(session, organization_id, Section.CHANNELS, _count_enabled)


def check_room(organization_id: OrganizationId) -> None:
    """Check that the plan includes one more channel, before the member is sent to a platform. Storing it checks again.

    Raises:
        PlanUsedUp: it does not.
    """
    with read_only() as session:
        allowances = find_allowances(session, organization_id)
        if allowances.limit(Section.CHANNELS) is None:
            return
        complete = _COUNT_ENABLED.one(session, organization_id).complete
    check_level(allowances, Section.CHANNELS, before=complete, after=complete + 1)


def follow_plan(session: Session, organization_id: OrganizationId) -> int:
    """Disable the channels that the plan does not include, or enable those that it includes again; return how many.

    Only what the plan disabled is enabled; what a member disabled stays so.
    """
    allowances = lock_allowances(session, organization_id)
    enabled = _count_enabled(session, organization_id)
    surplus = surplus_channels(allowances, enabled)
    statement = _SWITCH_OFF if surplus > 0 else _SWITCH_ON
    switched = statement.all(session, organization_id, DISABLED_BY_PLAN, abs(surplus))
    if switched:
        _announce(session, organization_id, allowances, switched, disabled=surplus > 0)
    return len(switched)


_MOST = 10_000
"""How many channels are enabled at once if the plan has no limit."""


def surplus_channels(allowances: Allowances, enabled: int) -> int:
    """Return how many channels are too many; negative: how many more there may be."""
    limit = allowances.limit(Section.CHANNELS)
    return -_MOST if limit is None else enabled - limit


def _count_enabled(session: Session, organization_id: OrganizationId) -> int:
    return _COUNT_ENABLED.one(session, organization_id).total


def _announce(
    session: Session,
    organization_id: OrganizationId,
    allowances: Allowances,
    switched: list[Switched],
    *,
    disabled: bool,
) -> None:
    names = ", ".join(sorted(one.name for one in switched))
    plan = allowances.plan.upper()
    content = (
        f"The plan {plan} does not include them: {names}. Their posts are not sent. Disable others to "
        "enable them, or choose a larger plan."
        if disabled
        else f"The plan {plan} includes them: {names}."
    )
    notify(
        session,
        organization_id,
        NotificationKind.INFO,
        title="Channels were disabled" if disabled else "Channels were enabled again",
        content=content,
    )
    after = {"disabled": disabled, "reason": DISABLED_BY_PLAN}
    entries = [Entry(Action.CHANNEL_UPDATED, one.id, after=after) for one in switched]
    record_all(session, Actor(organization_id=organization_id), entries)
    log.info(
        "channels.followed_plan",
        extra={
            "organization_id": str(organization_id),
            "channels": len(switched),
            "disabled": disabled,
        },
    )
