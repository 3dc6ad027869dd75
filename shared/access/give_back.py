"""Subtracts a call that created nothing (refused, or a replay) from a rolling limit of the public API.

Such calls have their own limit: beyond `MAX_GIVEN_BACK` in a minute, they count.
"""

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.access.policy import Rate
from shared.core.crypto import hash_secret
from shared.db.statement import Statement, sql

MAX_GIVEN_BACK = 300
_WINDOW = timedelta(minutes=1)


class Call(NamedTuple):
    key_hash: bytes
    rate: str
    window_seconds: float
    most: int


class CallsLeft(NamedTuple):
    calls: int


# One of the newest calls is subtracted; with two concurrent calls it does not matter which, since the count is the same.
_GIVE_BACK = Statement(
    "give_back",
    sql("""
        with caller as (
            select organization_id from api_keys
            where (key_hash = :key_hash or (previous_hash = :key_hash and previous_ends_at > now()))
                and revoked_at is null
            union
            select organization_id from oauth_grants where token_hash = :key_hash and revoked_at is null
        ), refused as (
            insert into rate_limits as r (key, window_started_at, count)
            select cast(:rate as text) || '_refused:' || organization_id, now(), 1 from caller
            on conflict (key) do update set
                count = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                             then 1 else r.count + 1 end,
                window_started_at = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                                         then now() else r.window_started_at end
            returning r.count
        )
        update rate_limits r set (count, calls, counts) = (
            select coalesce(sum(times), 0), coalesce(array_agg(at order by at), '{}'),
                   coalesce(array_agg(times order by at), '{}')
            from (
                select at, coalesce(times, 1) - case when at = max(at) over () then 1 else 0 end as times
                from unnest(r.calls, r.counts) as held(at, times)
            ) kept where times > 0
        )
        from caller, refused
        where r.key = cast(:rate as text) || ':' || caller.organization_id and refused.count <= :most
        returning r.count as calls
    """),
    params=Call,
    row=CallsLeft,
)
"""Subtract one of a caller's newest calls from a rate, unless it was refused too often; no row: the call still counts.

One statement, whose lock on the row serializes callers.
"""


def give_back(session: Session, api_key: str, rate: Rate) -> int | None:
    """Subtract the newest call by a key or token from `rate`; return how many calls still count, None if this one does."""
    row = _GIVE_BACK.find(
        session,
        key_hash=hash_secret(api_key),
        rate=rate.name,
        window_seconds=_WINDOW.total_seconds(),
        most=MAX_GIVEN_BACK,
    )
    return row.calls if row else None
