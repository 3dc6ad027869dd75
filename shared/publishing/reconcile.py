"""What a minute's sweep puts right: whatever a message, a schedule or a process should have done and did not.

The database is the truth; schedules and messages are hints. Each step takes a page of rows by a statement that two
reconcilers can run at once without both acting on a row, and then does what the lost hint would have done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.engine import Row, RowMapping

from shared.aws import queues
from shared.core import metrics
from shared.core.config import settings
from shared.core.errors_report import report
from shared.core.log import about, log
from shared.db.session import read_only, unit_of_work
from shared.media.sweep import remove_unneeded_files, request_missing_variants
from shared.posts.media_use import media_still_needed
from shared.posts.schedule import Armable, arm, publish_message, stage_message
from shared.publishing import notices, outcome, queries
from shared.publishing.claim import Claim, part_from
from shared.publishing.facts import facts_of
from shared.publishing.follow_up import record
from shared.publishing.notices import tell
from shared.publishing.stuck import free_stuck
from shared.publishing.wake import continuation
from shared.webhooks.announce import send_after_commit
from shared.webhooks.sweep import forget_old_deliveries, send_due_deliveries

PAGE_SIZE = 500
MAX_PAGES = 20  # of each step; the next run goes on
ARMING_GRACE = timedelta(seconds=15)
TOLD_WHEN_LATE_BY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many rows each step found."""

    stuck: int = 0
    unarmed: int = 0
    unsent: int = 0
    overdue: int = 0
    lost: int = 0
    waiting: int = 0
    stagings: int = 0
    adopted: int = 0
    deliveries: int = 0
    limited: int = 0
    late: int = 0


def reconcile() -> Reconciled:
    """Run every step once, each over at most `MAX_PAGES` pages, most urgent first.

    Raises:
        ExceptionGroup: what went wrong in some steps; the others ran all the same.
    """
    errors: list[Exception] = []
    done = Reconciled(
        **_put_right(errors),
        limited=_guarded(tell_limited, errors),
        late=_guarded(_count_late, errors),
    )
    _guarded(keep_house, errors)
    log.info("reconcile.done", extra={name: getattr(done, name) for name in Reconciled.__slots__})
    _raise(errors)
    return done


def put_right() -> None:
    """Do what a lost hint should have done, whichever it was, without the rest of a sweep.

    Raises:
        ExceptionGroup: as `reconcile`.
    """
    errors: list[Exception] = []
    _put_right(errors)
    _raise(errors)


def _put_right(errors: list[Exception]) -> dict[str, int]:
    return {
        "adopted": _in_pages(adopt_late_releases, errors),
        "lost": _in_pages(settle_lost_attempts, errors),
        "waiting": _in_pages(wake_waiting_attempts, errors),
        "unsent": _in_pages(send_unsent, errors),
        "overdue": _in_pages(send_overdue, errors),
        "stagings": _in_pages(wake_stagings, errors),
        "stuck": _in_pages(lambda: free_stuck(PAGE_SIZE), errors),
        "unarmed": _in_pages(arm_unarmed, errors),
        "deliveries": _in_pages(send_due_deliveries, errors),
    }


def _raise(errors: list[Exception]) -> None:
    if errors:
        raise ExceptionGroup("some steps of the sweep failed", errors)


def arm_unarmed() -> int:
    """Arm queued parts that have neither schedule nor message at their revision."""
    rows = _take(queries.TAKE_UNARMED, grace_seconds=ARMING_GRACE.total_seconds())
    arm(
        [
            Armable(
                row.id,
                row.organization_id,
                row.revision,
                row.arm_count,
                row.due_at,
                row.wait_seconds,
                row.has_media,
            )
            for row in rows
        ]
    )
    return len(rows)


def send_unsent() -> int:
    """Send the on-the-second message of parts whose schedule has not fired."""
    rows = _take(queries.TAKE_UNSENT)
    queues.send(
        settings().publish_queue_url,
        [
            publish_message(
                row.id, row.revision, row.organization_id, wait_seconds=row.wait_seconds
            )
            for row in rows
        ],
    )
    _stage([row for row in rows if row.has_media])
    return len(rows)


def send_overdue() -> int:
    """Send overdue parts again, and tell the members of those that are more than five minutes late."""
    rows = _take(queries.TAKE_OVERDUE)
    queues.send(
        settings().publish_queue_url,
        [
            publish_message(row.id, row.revision, row.organization_id, wait_seconds=0)
            for row in rows
        ],
    )
    _stage([row for row in rows if row.has_media])
    for row in rows:
        if (row.late_seconds or 0) > TOLD_WHEN_LATE_BY.total_seconds():
            _tell_late(row)
    return len(rows)


def settle_lost_attempts() -> int:
    """Decide for attempts whose holder vanished, by the same table as for those that answered."""
    with unit_of_work() as session:
        lost = session.execute(queries.TAKE_LOST, {"page_size": PAGE_SIZE}).mappings().all()
        parts = (
            session.execute(queries.LOST_PARTS, {"ids": [row["post_id"] for row in lost]})
            .mappings()
            .all()
        )
    by_id = {row["id"]: row for row in parts}
    errors: list[Exception] = []
    for row in lost:
        _guarded(partial(_settle, row, by_id[row["post_id"]]), errors)
    if errors:
        raise ExceptionGroup("some attempts could not be settled", errors)
    return len(lost)


def wake_waiting_attempts() -> int:
    """Send the continuations again that should have run by now."""
    rows = _take(queries.TAKE_WAITING)
    queues.send(
        settings().publish_queue_url,
        [continuation(row.id, row.step, row.organization_id, wait=timedelta(0)) for row in rows],
    )
    return len(rows)


def wake_stagings() -> int:
    """Send the stagings again whose holder vanished, or that should have gone on by now."""
    rows = _take(queries.TAKE_STAGINGS)
    _stage(rows)
    return len(rows)


def adopt_late_releases() -> int:
    """Publish parts whose holder came back with a release after its lease had run out."""
    with unit_of_work() as session:
        rows = session.execute(queries.ADOPT_LATE, {"page_size": PAGE_SIZE}).all()
        for row in rows:
            notice = notices.published_after_all(row.id, row.generation, row.root_id)
            tell(session, row.organization_id, notice)
        messages = {row.organization_id: row.messages for row in rows}  # each row has all of them
        for organization_id, delivery_ids in messages.items():
            send_after_commit(session, organization_id, delivery_ids)
    return len(rows)


def tell_limited() -> int:
    """Tell the members, once for a generation, of parts that are late because their platform limits us."""
    values = {
        "page_size": PAGE_SIZE,
        "late_seconds": TOLD_WHEN_LATE_BY.total_seconds(),
        "max_late_seconds": settings().max_late.total_seconds(),
    }
    with unit_of_work() as session:
        rows = session.execute(queries.TAKE_LIMITED, values).all()
        for row in rows:
            notice = notices.limited(
                row.id, row.generation, row.root_id, channel_name=row.channel_name, until=row.until
            )
            tell(session, row.organization_id, notice)
    return len(rows)


def keep_house() -> bool:
    """Once an hour, whoever comes first: delete what has lapsed, and put the media library in order."""
    with unit_of_work() as session:
        if session.execute(queries.TAKE_HOUSEKEEPING).one_or_none() is None:
            return False
    for sweep in queries.SWEEPS:
        with unit_of_work() as session:
            session.execute(sweep, {"page_size": PAGE_SIZE})
    forget_old_deliveries()
    request_missing_variants()
    remove_unneeded_files(media_still_needed())
    return True


def _in_pages(step: Callable[[], int], errors: list[Exception]) -> int:
    total = 0
    for _ in range(MAX_PAGES):
        found = _guarded(step, errors)
        total += found
        if found < PAGE_SIZE:
            break
    return total


def _guarded(step: Callable[[], int], errors: list[Exception]) -> int:
    try:
        return step()
    except Exception as error:  # noqa: BLE001  a row or a service that is broken must not keep the rest from running
        report(error)
        errors.append(error)
        return 0


def _take(statement: TextClause, **values: Any) -> Sequence[Row[Any]]:
    with unit_of_work() as session:
        return session.execute(statement, {"page_size": PAGE_SIZE} | values).all()


def _stage(rows: Sequence[Row[Any]]) -> None:
    queues.send(
        settings().stage_queue_url,
        [stage_message(row.id, row.revision, row.organization_id) for row in rows],
    )


def _settle(row: RowMapping, part: RowMapping) -> int:
    claimed = _claim_of_lost(row, part)
    with about(attempt_id=claimed.attempt_id, **claimed.part.ids):
        next_ = outcome.after_lost_lease(facts_of(claimed, sent=row["sent"], refreshed=True))
        log.warning("attempt.lost", extra={"next": type(next_).__name__})
        record(claimed, next_)
    return 1


def _claim_of_lost(row: RowMapping, part: RowMapping) -> Claim:
    doubt_seconds = row["doubt_seconds"]
    return Claim(
        attempt_id=row["attempt_id"],
        step=row["step"],
        number=row["number"],
        part=part_from(part),
        progress=row["progress"] or {},
        accepted=row["accepted"],
        doubt_age=None if doubt_seconds is None else timedelta(seconds=doubt_seconds),
        age=timedelta(seconds=row["attempt_seconds"]),
    )


def _tell_late(row: Row[Any]) -> None:
    with unit_of_work() as session:
        tell(session, row.organization_id, notices.late(row.id, row.revision, row.root_id))


def _count_late() -> int:
    with read_only() as session:
        late = session.execute(
            queries.LATE_PARTS, {"max_late_seconds": settings().max_late.total_seconds()}
        ).scalar_one()
    metrics.gauge_late_posts(late)
    return int(late)
