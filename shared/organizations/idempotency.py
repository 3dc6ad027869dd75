"""Was this request answered already? A key that comes again with the same body gets the same answer, and nothing happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.db.types import AnyRow
from shared.organizations.errors import KeyReused

LIFETIME = timedelta(hours=24)

# Two requests with one key at once: the second waits here for the first to commit, and then reads its answer. A key whose
# time is over is new, whether the sweep has come by or not.
_CLAIM = text("""
    insert into idempotency_keys as known (organization_id, scope, key, request_hash, expires_at)
    values (:organization_id, :scope, :key, :request_hash, now() + make_interval(secs => :lifetime_seconds))
    on conflict (organization_id, scope, key) do update set
        request_hash = case when known.expires_at > now() then known.request_hash else excluded.request_hash end,
        response = case when known.expires_at > now() then known.response end,
        status = case when known.expires_at > now() then known.status end,
        expires_at = case when known.expires_at > now() then known.expires_at else excluded.expires_at end
    returning request_hash, response
""")
_FIND = text("""
    select request_hash, response from idempotency_keys
    where organization_id = :organization_id and scope = :scope and key = :key and expires_at > now()
""")
_ANSWER = text("""
    update idempotency_keys set status = :status, response = :response
    where organization_id = :organization_id and scope = :scope and key = :key
""")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of a request, what it is a key of, and a hash of its body."""

    scope: str
    key: str
    request_hash: bytes


def earlier_answer(
    session: Session, organization_id: OrganizationId, request: RequestKey
) -> str | None:
    """Return the answer that was given to the same request; None: it is new, and now reserved.

    Raises:
        KeyReused: the key came with another body before.
    """
    row = session.execute(
        _CLAIM,
        {
            "organization_id": organization_id,
            "scope": request.scope,
            "key": request.key,
            "request_hash": request.request_hash,
            "lifetime_seconds": LIFETIME.total_seconds(),
        },
    ).one()
    return _answer(row, request)


def find_answer(
    session: Session, organization_id: OrganizationId, request: RequestKey
) -> str | None:
    """Return the answer that was given to the same request; None: there is none yet. Nothing is reserved.

    Raises:
        KeyReused: the key came with another body before.
    """
    values = {"organization_id": organization_id, "scope": request.scope, "key": request.key}
    row = session.execute(_FIND, values).one_or_none()
    return _answer(row, request) if row else None


def keep_answer(
    session: Session,
    organization_id: OrganizationId,
    request: RequestKey,
    *,
    status: int,
    response: str,
) -> None:
    """Store the response with the changes it reports."""
    session.execute(
        _ANSWER,
        {
            "organization_id": organization_id,
            "scope": request.scope,
            "key": request.key,
            "status": status,
            "response": response,
        },
    )


@dataclass(slots=True)
class Replay:
    """Whether a request was answered with an earlier answer, and so made nothing."""

    happened: bool = False


_replay: ContextVar[Replay | None] = ContextVar("replay", default=None)


@contextmanager
def watching_for_a_replay() -> Iterator[Replay]:
    """Note whether the block, or a thread that works for it, finds an earlier answer."""
    watched = Replay()
    before = _replay.set(watched)
    try:
        yield watched
    finally:
        _replay.reset(before)


def _answer(row: AnyRow, request: RequestKey) -> str | None:
    if bytes(row.request_hash) != request.request_hash:
        raise KeyReused
    answer: str | None = row.response
    watched = _replay.get()
    if watched is not None and answer is not None:
        watched.happened = True
    return answer
