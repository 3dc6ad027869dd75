"""Records the outcome of a try in one transaction, and then sends messages, emails and metrics.

A release is recorded by one statement, which is its own transaction.

Every write is conditional on attempt, step and a live lease. A process that has lost its lease but has a release stores it
on its attempt's row, where reconcile finds it.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Protocol, TypedDict

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.channels.pauses import hold_provider
from shared.channels.tokens import disconnect
from shared.core import metrics
from shared.core.config import settings
from shared.core.ids import AttemptId
from shared.core.log import log
from shared.db.insist import insist
from shared.db.session import after_commit, follow, run, unit_of_work
from shared.db.statement import Json
from shared.db.wire import constraint_of
from shared.posts.hints import Queued, arm, arm_after_commit, attempt_hint, send_after_commit
from shared.posts.obstacles import PREDECESSOR_FAILED, Obstacle, Step, sentence
from shared.providers.base import Released
from shared.providers.errors import ContentRejected, OutcomeUnknown, ProviderError, RateLimited
from shared.publishing import notices
from shared.publishing import record_queries as queries
from shared.publishing.claim import Claim, DuePart, channel_ids
from shared.publishing.notices import notify_members, refusal
from shared.publishing.outcome import Fail, Next, Publish, Retry, Unconfirmed, Wait
from shared.publishing.record_queries import EndedRow, RecordReleasedRow
from shared.webhooks import announce


class Ending(Protocol):
    """The statement that finishes an attempt and its part."""

    def __call__(
        self,
        session: Session,
        /,
        *,
        attempt_id: AttemptId,
        step: int,
        error_code: str | None,
        error_message: str | None,
        evidence: Json | None,
    ) -> EndedRow | None: ...


def record(
    claimed: Claim,
    next_: Next,
    *,
    deadline: float | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Record the outcome of a try. A process that has lost its lease changes nothing.

    Only this process knows what the platform did, so while the database is unavailable, the record is retried until
    `deadline`, a `time.monotonic()` value. This is the only place that waits. A repeated write changes nothing, because every
    statement is conditional.
    """
    insist(lambda: _record(claimed, next_), deadline=deadline, pause=pause)


def _record(claimed: Claim, next_: Next) -> None:
    match next_:
        case Publish(released=released):
            _record_released(claimed, released)
        case Wait():
            run(lambda session: _record_waiting(session, claimed, next_))
        case Retry():
            run(lambda session: _record_retry(session, claimed, next_))
        case Fail(error=error, disconnects=disconnects):
            run(lambda session: _record_failed(session, claimed, error, disconnects=disconnects))
        case Unconfirmed(error=error):
            run(lambda session: _record_unconfirmed(session, claimed, error))
        case _:
            raise LookupError(f"nothing to record for {next_!r}")


def _record_released(claimed: Claim, released: Released) -> None:
    try:
        _write_release(claimed, released)
    except IntegrityError as error:
        if constraint_of(error) != "uq_posts_release":
            raise
        taken = OutcomeUnknown(
            f"The platform answered with {released.url}, which another post already has."
        )
        run(lambda session: _record_unconfirmed(session, claimed, taken))


def _write_release(claimed: Claim, released: Released) -> None:
    """Record a release with one statement in autocommit. A repetition after a lost answer changes nothing."""
    data = released.data_to_store
    recorded = queries.RECORD_RELEASED.alone(
        **_held(claimed),
        release_id=released.id,
        release_url=released.url or None,
        release_data=data,
        **notices.published(claimed.part, released.url).values(claimed.part.channel.customer_id),
    )
    if recorded:
        follow(_after_release(claimed.part, recorded[0]))
        return
    queries.KEEP_LATE_RELEASE.alone(
        attempt_id=claimed.attempt_id,
        release_id=released.id,
        release_url=released.url or None,
        release_data=data,
    )
    log.warning("publish.released_late", extra={"attempt_id": claimed.attempt_id})


def _after_release(part: DuePart, row: RecordReleasedRow) -> Iterator[Callable[[], object]]:
    """Yield the calls after a release: the next part's hint, the webhooks' messages, and the metric."""
    if row.id is not None:
        yield partial(arm, [Queued.from_row(row)])
    if row.messages:
        yield partial(announce.send, part.organization_id, list(row.messages))
    yield partial(_count_published, part, timedelta(seconds=row.late_seconds))


def _count_published(part: DuePart, late: timedelta) -> None:
    log.info(
        "post.published",
        extra={"part_id": part.id, "channel_id": part.channel.id, "provider": part.channel.provider,
               "late_seconds": round(late.total_seconds(), 3)},
    )  # fmt: skip
    metrics.count_published(part.channel.provider, late if part.position == 0 else None)


def _record_waiting(session: Session, claimed: Claim, wait: Wait) -> None:
    state = wait.state if wait.state is not None else claimed.progress.get("state")
    progress = {
        "task": wait.task,
        "rounds": wait.rounds,
        **({"state": dict(state)} if state else {}),
        **({"request_ended": True} if wait.request_ended else {}),
        **({"repeated": wait.repetitions} if wait.repetitions else {}),
    }
    row = queries.RECORD_WAITING.find(
        session,
        **_held(claimed),
        **_error(wait.error),
        progress=json.dumps(progress),
        after_seconds=wait.after.total_seconds(),
        accepted=wait.accepted,
        unknown=wait.unknown,
    )
    if row is None:
        log.warning("publish.lease_lost", extra={"attempt_id": claimed.attempt_id})
        return
    hold_for(session, claimed.part, wait.error)
    hint = attempt_hint(row.id, row.step, claimed.part, wait=wait.after, at=row.resume_at)
    send_after_commit(session, hint)


def _record_retry(session: Session, claimed: Claim, retry: Retry) -> None:
    """Put a part back into the queue. If it is too late by then, its claim refuses it."""
    part = claimed.part
    too_late = max(timedelta(0), settings().max_late - part.late)
    wait = min(retry.after, too_late + timedelta(seconds=1))
    queued = queries.RECORD_RETRY.find(
        session,
        **_held(claimed),
        **_refusal(retry.error),
        after_seconds=wait.total_seconds(),
        counts=retry.counts,
    )
    if queued is None:
        log.warning("publish.lease_lost", extra={"attempt_id": claimed.attempt_id})
        return
    hold_for(session, part, retry.error)
    arm_after_commit(session, [queued])
    log.info("publish.put_back", extra={"part_id": part.id, "code": retry.error.detail_code})


def hold_for(session: Session, part: DuePart, error: ProviderError | None) -> None:
    """Pause the part's platform for every channel if it limits our whole application."""
    if isinstance(error, RateLimited) and error.whole_app:
        slug = part.channel.provider
        hold_provider(session, slug, wait=error.retry_after, reason=error.message)


def _record_failed(
    session: Session, claimed: Claim, error: ProviderError, *, disconnects: bool
) -> None:
    part = claimed.part
    if not _end(session, claimed, queries.RECORD_FAILED.find, error):
        return
    if disconnects:
        organization_id, channel_id = channel_ids(part)
        disconnect(
            session,
            organization_id,
            channel_id,
            sent_version=part.channel.token_version,
            reason=error.message,
        )
    _notify_of_failure(session, part, error.message)


def _record_unconfirmed(session: Session, claimed: Claim, error: ProviderError) -> None:
    part = claimed.part
    if not _end(session, claimed, queries.RECORD_UNCONFIRMED.find, error):
        return
    notify_members(
        session, part.organization_id, part.channel.customer_id, notices.unconfirmed(part, error)
    )
    after_commit(session, lambda: metrics.count_unconfirmed(part.channel.provider))


def _end(session: Session, claimed: Claim, statement: Ending, error: ProviderError) -> bool:
    """Finish the attempt and the part, and notify webhooks; False if the lease is lost."""
    row = statement(session, **_held(claimed), **_refusal(error))
    if row is None:
        log.warning("publish.lease_lost", extra={"attempt_id": claimed.attempt_id})
        return False
    announce.send_after_commit(session, claimed.part.organization_id, row.messages)
    return True


def refuse(part: DuePart, obstacle: Obstacle) -> None:
    """Fail a queued part that cannot be published, and its replies."""
    message = refusal(part, obstacle)
    with unit_of_work() as session:
        row = queries.FAIL_QUEUED.find(
            session,
            part_id=part.id,
            revision=part.revision,
            generation=part.generation,
            error_code=obstacle.verdict,
            error_message=message,
        )
        if row is not None:
            announce.send_after_commit(session, part.organization_id, row.messages)
            _notify_of_failure(session, part, message)


def _notify_of_failure(session: Session, part: DuePart, message: str) -> None:
    """Fail the rest of the thread, tell the members at once, and count."""
    queries.FAIL_SUCCESSORS.run(
        session,
        root_id=part.root_id,
        position=part.position,
        error_message=sentence(PREDECESSOR_FAILED, Step.CLAIM),
    )
    notify_members(
        session,
        part.organization_id,
        part.channel.customer_id,
        notices.not_published(part, message),
    )
    after_commit(session, lambda: metrics.count_failed(part.channel.provider))


class _Held(TypedDict):
    attempt_id: AttemptId
    step: int


class _Refusal(TypedDict):
    error_code: str
    error_message: str
    evidence: Json | None


class _NoRefusal(TypedDict):
    error_code: str | None
    error_message: str | None
    evidence: Json | None


def _held(claimed: Claim) -> _Held:
    return {"attempt_id": claimed.attempt_id, "step": claimed.step}


def _error(error: ProviderError | None) -> _NoRefusal:
    if error is None:
        return {"error_code": None, "error_message": None, "evidence": None}
    refusal = _refusal(error)
    return {
        "error_code": refusal["error_code"],
        "error_message": refusal["error_message"],
        "evidence": refusal["evidence"],
    }


def _refusal(error: ProviderError) -> _Refusal:
    return {
        "error_code": error.detail_code,
        "error_message": error.message or ContentRejected.code,
        "evidence": json.dumps(evidence) if (evidence := error.evidence.as_json()) else None,
    }
