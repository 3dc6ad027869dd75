"""Pauses of platforms that limit our whole application. They belong to no organization."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db.statement import Statement, sql


class Pause(NamedTuple):
    slug: str
    wait_seconds: float
    reason: str


class PauseEnd(NamedTuple):
    until: datetime


_HOLD = Statement(
    "hold_provider",
    sql("""
        insert into provider_pauses as p (provider, until, reason)
        values (:slug, now() + make_interval(secs => :wait_seconds), :reason)
        on conflict (provider) do update set
            until = greatest(p.until, excluded.until),
            reason = case when excluded.until > p.until then excluded.reason else p.reason end,
            updated_at = now()
        returning until
    """),
    params=Pause,
    row=PauseEnd,
)
"""Pause a platform by the database's clock; a longer pause stays unchanged. Return when the pause ends."""


def hold_provider(session: Session, slug: str, *, wait: timedelta, reason: str) -> datetime:
    """Pause a platform for `wait`, by the database's clock; a longer pause stays unchanged.

    Returns:
        When the pause ends.
    """
    return _HOLD.one(session, slug, wait.total_seconds(), reason).until
