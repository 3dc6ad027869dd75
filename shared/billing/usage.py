"""Counts flows (posts a month) in the transaction that uses them, and checks levels (channels) under the organization's lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy.orm import Session

from shared.billing import queries
from shared.billing.errors import PlanUsedUp
from shared.billing.plans import EVERYTHING, Allowances, allowances_of
from shared.billing.sections import Action, Section
from shared.core import clock
from shared.core.config import settings
from shared.core.ids import OrganizationId


def current_allowances(row: queries.PlanRow | queries.ListedPlan) -> Allowances:
    """Return what an organization may use now: everything, where plans do not bind."""
    if not settings().billing:
        return EVERYTHING
    return allowances_of(
        row.plan,
        ends_at=row.plan_ends_at,
        limits=row.limits,
        since=row.created_at,
        now=clock.now(),
    )


def allowances_of_nobody() -> Allowances:
    """Return what may be used where no organization's plan was read: everything, if plans do not bind.

    Raises:
        LookupError: they do, so the plan must be read.
    """
    if settings().billing:
        raise LookupError("plans bind, and this caller's plan was not read")
    return EVERYTHING


def take(
    session: Session,
    organization_id: OrganizationId,
    allowances: Allowances,
    section: Section,
    *,
    times: int = 1,
) -> date | None:
    """Count `times` uses of a flow and return their billing month; None where plans do not bind.

    Raises:
        PlanUsedUp: the plan does not include that many more.
    """
    most = allowances.limit(section)
    if most is None:
        return None
    taken = queries.TAKE.find(
        session,
        organization_id,
        section.value,
        period_start=allowances.month,
        times=times,
        most=most,
    )
    if taken is None:
        used = queries.FIND_USED.find(session, organization_id, section.value, allowances.month)
        raise PlanUsedUp(
            section, Action.CREATE, allowances, used=used.used if used else 0, more=times
        )
    return allowances.month


def lock_allowances(session: Session, organization_id: OrganizationId) -> Allowances:
    """Lock the organization and return what it may use. Call it before counting a level that this transaction raises.

    A request that raises a level takes this lock first, so that of two requests for the last place one waits and sees the other.
    """
    return current_allowances(queries.LOCK_PLAN.one(session, organization_id))


def find_allowances(session: Session, organization_id: OrganizationId) -> Allowances:
    """Return what an organization may use. To raise a level, lock the organization before."""
    if not settings().billing:
        return EVERYTHING
    return current_allowances(queries.FIND_PLAN.one(session, organization_id))


@contextmanager
def within_plan(
    session: Session,
    organization_id: OrganizationId,
    section: Section,
    count: Callable[[Session, OrganizationId], int],
) -> Iterator[None]:
    """Lock the organization for the changes of the block, and check the level that they raise; `count` returns it.

    It must be the first lock of the transaction. Where plans do not bind, nothing is locked.

    Raises:
        PlanUsedUp: it is more than the plan includes.
    """
    if not settings().billing:
        yield
        return
    allowances = lock_allowances(session, organization_id)
    before = count(session, organization_id)
    yield
    after = count(session, organization_id)
    check_level(allowances, section, before=before, after=after)


def check_level(
    allowances: Allowances,
    section: Section,
    *,
    before: int,
    after: int,
    action: Action = Action.CREATE,
) -> None:
    """Check a level that a change has raised from `before` to `after`. A change that does not raise it is never refused.

    Raises:
        PlanUsedUp: it is more than the plan includes.
    """
    most = allowances.limit(section)
    if most is not None and before < after > most:
        raise PlanUsedUp(section, action, allowances, used=before, more=after - before)
