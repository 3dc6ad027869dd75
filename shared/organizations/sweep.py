"""The sweep of organizations: deletes expired counts and idempotency keys, and accounts that were never activated."""

from datetime import timedelta
from typing import NamedTuple

from shared.core.ids import UserId
from shared.core.log import log
from shared.db.session import unit_of_work
from shared.db.statement import Statement, sql
from shared.db.sweep import PAGE_SIZE, Deletion

KEPT = timedelta(days=30)
"""How long an account waits to be activated; links that are emailed meanwhile stay valid."""
IMPERSONATIONS_KEPT = timedelta(days=400)
"""How long the reason of an impersonation is kept."""


class Turn(NamedTuple):
    key: str
    every_seconds: float


class Taken(NamedTuple):
    key: str


_TAKE_TURN = Statement(
    "take_turn",
    sql("""
        insert into rate_limits (key, window_started_at, count) values (:key, now(), 1)
        on conflict (key) do update set window_started_at = now(), count = rate_limits.count + 1
        where rate_limits.window_started_at <= now() - make_interval(secs => :every_seconds)
        returning key
    """),
    params=Turn,
    row=Taken,
)
"""Record the start of a sweep; no row if it started less than its interval ago. Only one of two callers gets it."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

_EXPIRED_IDEMPOTENCY_KEYS = Deletion(
    "expired_idempotency_keys",
    table=sql("idempotency_keys"),
    lapsed=sql("expires_at <= now()"),
)
_OLD_RATE_LIMITS = Deletion(
    "old_rate_limits",
    table=sql("rate_limits"),
    lapsed=sql("window_started_at <= now() - interval '1 day'"),
)
_OLD_IMPERSONATIONS = Deletion(
    "old_impersonations",
    table=sql("impersonations"),
    lapsed=sql("ends_at <= now() - make_interval(days => {days})", days=IMPERSONATIONS_KEPT.days),
)


_OLD_INVITATIONS = Deletion(
    "old_invitations",
    table=sql("invitations"),
    lapsed=sql("expires_at <= now() - interval '30 days'"),
)
_EXPIRED_OFFERS = Deletion(
    "expired_ownership_offers",
    table=sql("ownership_offers"),
    lapsed=sql("expires_at <= now()"),
)


class NeverActivated(NamedTuple):
    kept_seconds: float
    page_size: int


class Forgotten(NamedTuple):
    id: UserId


_FORGET = Statement(
    "forget_never_activated",
    sql("""
        with lapsed as (
          select u.id from users u
          where u.activated_at is null and u.created_at <= now() - make_interval(secs => :kept_seconds)
            and not exists (
              select 1 from challenges c where c.user_id = u.id and c.used_at is null and c.expires_at > now()
            )
          order by u.created_at limit :page_size
        ),
        emptied as (
          delete from organizations o using members m, lapsed
          where m.user_id = lapsed.id and o.id = m.organization_id
            and not exists (
              select 1 from members other where other.organization_id = o.id and other.user_id <> lapsed.id
            )
        )
        delete from users using lapsed where users.id = lapsed.id
        returning users.id
    """),
    params=NeverActivated,
    row=Forgotten,
)
"""Delete accounts that were never activated, and their organizations if nobody else is in them.

One statement, so that neither remains without the other.
"""


def take_hour() -> bool:
    """Return whether an hour has passed since this last returned True. Only one of two concurrent callers gets True."""
    return _take("housekeeping", _HOUR)


def take_day() -> bool:
    """Return whether a day has passed since this last returned True. Only one of two concurrent callers gets True."""
    return _take("daily_housekeeping", _DAY)


def _take(key: str, every: timedelta) -> bool:
    with unit_of_work() as session:
        return _TAKE_TURN.find(session, key, every.total_seconds()) is not None


def delete_expired_idempotency_keys() -> int:
    """Delete idempotency keys that have expired."""
    return _EXPIRED_IDEMPOTENCY_KEYS.in_pages()


def delete_old_rate_limits() -> int:
    """Delete counts of calls whose window began more than a day ago."""
    return _OLD_RATE_LIMITS.in_pages()


def delete_old_invitations() -> int:
    """Delete invitations 30 days after they expired, used ones too; until then they can be sent again."""
    return _OLD_INVITATIONS.in_pages()


def delete_expired_offers() -> int:
    """Delete offers of ownership that have expired."""
    return _EXPIRED_OFFERS.in_pages()


def delete_old_impersonations() -> int:
    """Delete impersonations 400 days after they ended."""
    return _OLD_IMPERSONATIONS.in_pages()


def forget_never_activated() -> int:
    """Delete one page of accounts that were not activated in time; return how many."""
    with unit_of_work() as session:
        forgotten = len(_FORGET.all(session, KEPT.total_seconds(), PAGE_SIZE))
    if forgotten:
        log.info("users.forgotten", extra={"count": forgotten})
    return forgotten
