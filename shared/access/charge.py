"""Charges a request for several calls: requests to other servers on its behalf have their own limit."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.access.errors import RateLimitReached
from shared.access.policy import Quota, Rate
from shared.core.ids import OrganizationId
from shared.db.statement import Statement, sql


class Calls(NamedTuple):
    organization_id: str
    rate: str
    times: int
    window_seconds: float


class Counted(NamedTuple):
    calls: int
    resets_in_seconds: int


_CHARGE = Statement(
    "charge",
    sql("""
        insert into rate_limits as r (key, window_started_at, count)
        values (cast(:rate as text) || ':' || cast(:organization_id as text), now(), :times)
        on conflict (key) do update set
            count = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                         then excluded.count else r.count + excluded.count end,
            window_started_at = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                                     then now() else r.window_started_at end
        returning r.count as calls, cast(ceil(extract(epoch from
            r.window_started_at + make_interval(secs => :window_seconds) - now())) as int) as resets_in_seconds
    """),
    params=Calls,
    row=Counted,
)
"""Count calls of an organization in the window of a rate. One statement, whose lock on the row serializes callers."""


def charge(session: Session, organization_id: OrganizationId, rate: Rate, *, times: int) -> None:
    """Count `times` calls of an organization before they are made. The session must not be a transaction.

    Raises:
        RateLimitReached: the limit does not leave that many calls. They are counted anyway.
    """
    row = _CHARGE.one(
        session,
        organization_id=str(organization_id),
        rate=rate.name,
        times=times,
        window_seconds=rate.window.total_seconds(),
    )
    if row.calls > rate.allowed:
        raise RateLimitReached(Quota(rate.allowed, 0, max(1, row.resets_in_seconds)), rate.window)
