"""Idempotency keys: a repeated request with the same key and body gets the same answer and has no effect.

Callers who see the same customers share their keys.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.core.reach import Reach
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.errors import KeyReused

LIFETIME = timedelta(hours=24)


class NewKey(NamedTuple):
    organization_id: OrganizationId
    scope: str
    key: str
    request_hash: bytes
    lifetime_seconds: float


class KnownKey(NamedTuple):
    request_hash: bytes
    response: str | None


# An expired key counts as new, even if the sweep has not deleted it yet.
_CLAIM = Statement(
    "claim_idempotency_key",
    sql("""
        insert into idempotency_keys as known (organization_id, scope, key, request_hash, expires_at)
        values (:organization_id, :scope, :key, :request_hash, now() + make_interval(secs => :lifetime_seconds))
        on conflict (organization_id, scope, key) do update set
            request_hash = case when known.expires_at > now() then known.request_hash else excluded.request_hash end,
            response = case when known.expires_at > now() then known.response end,
            status = case when known.expires_at > now() then known.status end,
            expires_at = case when known.expires_at > now() then known.expires_at else excluded.expires_at end
        returning request_hash, response
    """),
    params=NewKey,
    row=KnownKey,
)
"""Reserve a key, or return its stored row.

One statement, so that the second of two concurrent requests waits until the first commits, and then reads its answer.
"""


class OneKey(NamedTuple):
    organization_id: OrganizationId
    scope: str
    key: str


_FIND = Statement(
    "find_idempotency_key",
    sql("""
        select request_hash, response from idempotency_keys
        where organization_id = :organization_id and scope = :scope and key = :key and expires_at > now()
    """),
    params=OneKey,
    row=KnownKey,
)
"""Find a key that has not expired."""


class AnsweredKey(NamedTuple):
    organization_id: OrganizationId
    scope: str
    key: str
    status: int
    response: str


_ANSWER = Statement(
    "answer_idempotency_key",
    sql("""
        update idempotency_keys set status = :status, response = :response
        where organization_id = :organization_id and scope = :scope and key = :key
    """),
    params=AnsweredKey,
    row=NoRow,
)
"""Store the answer to the request of a key."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request's idempotency key, its scope, and a hash of its body."""

    scope: str
    key: str
    request_hash: bytes


def earlier_answer(session: Session, reach: Reach, request: RequestKey) -> str | None:
    """Return the earlier answer to the same request; None: the key is new and is now reserved.

    Raises:
        KeyReused: the key was sent with another body before.
    """
    row = _CLAIM.one(
        session,
        organization_id=reach.organization_id,
        scope=_scope(reach, request),
        key=request.key,
        request_hash=request.request_hash,
        lifetime_seconds=LIFETIME.total_seconds(),
    )
    return _answer(row, request)


def find_answer(session: Session, reach: Reach, request: RequestKey) -> str | None:
    """Return the earlier answer to the same request; None if there is none yet. Reserves nothing.

    Raises:
        KeyReused: the key was sent with another body before.
    """
    row = _FIND.find(session, reach.organization_id, _scope(reach, request), request.key)
    return _answer(row, request) if row else None


def keep_answer(
    session: Session,
    reach: Reach,
    request: RequestKey,
    *,
    status: int,
    response: str,
) -> None:
    """Store the response in the transaction of its changes."""
    _ANSWER.run(
        session,
        reach.organization_id,
        _scope(reach, request),
        request.key,
        status=status,
        response=response,
    )


@dataclass(slots=True)
class Replay:
    """Whether a request got an earlier answer and so created nothing."""

    happened: bool = False


_replay: ContextVar[Replay | None] = ContextVar("replay", default=None)


@contextmanager
def watching_for_a_replay() -> Iterator[Replay]:
    """Record whether the block, or a thread that works for it, finds an earlier answer."""
    watched = Replay()
    before = _replay.set(watched)
    try:
        yield watched
    finally:
        _replay.reset(before)


def _scope(reach: Reach, request: RequestKey) -> str:
    """Return the scope of a caller's key: one who sees only some customers never gets the answer of one who sees others."""
    if reach.customers is None:
        return request.scope
    seen = ",".join(sorted(str(customer_id) for customer_id in reach.customers))
    return f"{request.scope} {hashlib.sha256(seen.encode()).hexdigest()}"


def _answer(row: KnownKey, request: RequestKey) -> str | None:
    if row.request_hash != request.request_hash:
        raise KeyReused
    answer = row.response
    watched = _replay.get()
    if watched is not None and answer is not None:
        watched.happened = True
    return answer
