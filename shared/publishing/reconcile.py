"""Reconcile: the sweep that every minute does what a lost message or schedule or a dead process should have done.

The database is the truth; schedules and messages are hints. Each step takes a page of rows with a statement that two
concurrent runs can execute without both taking a row, and then does what the lost hint would have done.

It matters most during an outage, so the gauges for the alarms come first. Then the steps take turns, a page each, so that none
waits for another. Then members are notified. All of it ends before the function is killed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from sqlalchemy.orm import Session

from shared.aws.queues import MessagesNotTaken
from shared.core import metrics
from shared.core.ids import NotificationId, PostId
from shared.core.log import about, log
from shared.db.session import read_only, unit_of_work
from shared.media.sweep import request_missing_variants
from shared.notifications.mails import mail_overdue
from shared.posts.hints import Hint, arm, attempt_hint, publish_hint, send, stage_hint
from shared.posts.lateness import LATE_AFTER
from shared.publishing import late_queries, notices, outcome, prepare_queries
from shared.publishing import sweep_queries as queries
from shared.publishing.bulk_notices import BulkNotice, mail_bulk, notify_bulk
from shared.publishing.claim import Claim, attempt_context, part_from
from shared.publishing.claim_queries import PartRow
from shared.publishing.follow_up import record
from shared.publishing.housekeeping import guarded, keep_house
from shared.publishing.late_queries import LimitedAttemptsRow, TakeLimitedRow
from shared.publishing.notices import notify_members
from shared.publishing.stuck import free_stuck
from shared.publishing.sweep_queries import TakeLostRow, TakeOverdueRow
from shared.webhooks.announce import send_after_commit
from shared.webhooks.sweep import send_due_deliveries

LimitedRow: TypeAlias = TakeOverdueRow | TakeLimitedRow | LimitedAttemptsRow

PAGE_SIZE = 500
MAX_PAGES = 400  # of each step; the next run continues
ARMING_GRACE = timedelta(seconds=15)
LIMITED_FOR = timedelta(minutes=1)  # a shorter wait ends before anybody reads the notification
MOST_COUNTED = 10_000  # late parts; an alarm does not need more
TIME = timedelta(seconds=55)  # if the caller gives no deadline
# The time that is reserved for each later stage.
ROOM_TO_TELL = timedelta(seconds=20)
ROOM_TO_MAIL = timedelta(seconds=12)
ROOM_TO_KEEP_HOUSE = timedelta(seconds=8)
ROOM_TO_END = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The number of rows that each step found."""

    stuck: int = 0
    unarmed: int = 0
    unsent: int = 0
    overdue: int = 0
    lost: int = 0
    waiting: int = 0
    stagings: int = 0
    adopted: int = 0
    deliveries: int = 0
    copies: int = 0
    limited: int = 0
    late: int = 0


@dataclass(slots=True)
class _Sweep:
    """One run: its errors, its notices, and its deadline."""

    deadline: float
    errors: list[Exception] = field(default_factory=list)
    late: list[BulkNotice] = field(default_factory=list)
    limited: list[BulkNotice] = field(default_factory=list)

    def has(self, room: timedelta) -> bool:
        """Return whether there is more time left than `room`."""
        return self.deadline - time.monotonic() > room.total_seconds()


def reconcile(*, deadline: float | None = None) -> Reconciled:
    """Run the steps in turn, a page each, and stop well before `deadline`, a `time.monotonic()` value.

    Raises:
        ExceptionGroup: the errors of failed steps; the others have run.
    """
    sweep = _Sweep(time.monotonic() + TIME.total_seconds() if deadline is None else deadline)
    late = guarded(_gauge, sweep.errors)
    found = _put_right(sweep)
    copies = guarded(request_missing_variants, sweep.errors)
    limited = _notify(sweep)
    guarded(lambda: mail_overdue(go_on=lambda: sweep.has(ROOM_TO_KEEP_HOUSE)), sweep.errors)
    if sweep.has(ROOM_TO_KEEP_HOUSE):
        guarded(lambda: keep_house(has_time=lambda: sweep.has(ROOM_TO_END)), sweep.errors)
    done = Reconciled(**found, copies=copies, limited=limited, late=late)
    log.info("reconcile.done", extra={name: getattr(done, name) for name in Reconciled.__slots__})
    _raise(sweep.errors)
    return done


def put_right(*, deadline: float | None = None) -> None:
    """Run only the steps that do what lost hints should have done.

    Raises:
        ExceptionGroup: as for `reconcile`.
    """
    sweep = _Sweep(time.monotonic() + TIME.total_seconds() if deadline is None else deadline)
    _put_right(sweep)
    _notify(sweep)
    _raise(sweep.errors)


def _put_right(sweep: _Sweep) -> dict[str, int]:
    """Run the steps in turn, most urgent first, a page each, until none finds more."""
    steps: dict[str, Callable[[], int]] = {
        "adopted": adopt_late_releases,
        "lost": settle_lost_attempts,
        "waiting": resume_waiting_attempts,
        "unsent": send_unsent,
        "overdue": partial(send_overdue, sweep),
        "stagings": resume_stagings,
        "stuck": lambda: free_stuck(PAGE_SIZE),
        "unarmed": arm_unarmed,
        "deliveries": send_due_deliveries,
    }
    return _in_turns(steps, sweep)


def _in_turns(steps: Mapping[str, Callable[[], int]], sweep: _Sweep) -> dict[str, int]:
    found = dict.fromkeys(steps, 0)
    unfinished = list(steps)
    for _ in range(MAX_PAGES):
        for name in tuple(unfinished):
            if not sweep.has(ROOM_TO_TELL):
                log.warning("reconcile.out_of_time", extra={"unfinished": unfinished})
                return found
            page = guarded(steps[name], sweep.errors)
            found[name] += page
            if page < PAGE_SIZE:
                unfinished.remove(name)
    return found


def _raise(errors: list[Exception]) -> None:
    if errors:
        raise ExceptionGroup("some steps of the sweep failed", errors)


def arm_unarmed() -> int:
    """Arm queued parts that have neither schedule nor message at their revision."""
    with unit_of_work() as session:
        rows = queries.TAKE_UNARMED.all(
            session, grace_seconds=ARMING_GRACE.total_seconds(), page_size=PAGE_SIZE
        )
    arm(rows)
    return len(rows)


def send_unsent() -> int:
    """Send the message of parts whose schedule has not fired. Messages that the queue refuses are sent next time."""
    with unit_of_work() as session:
        rows = queries.TAKE_UNSENT.all(session, PAGE_SIZE)
    hints = [publish_hint(row, wait=timedelta(seconds=row.wait_seconds)) for row in rows]
    _send_each([row.id for row in rows], hints, give_back=prepare_queries.UNMARK_ENQUEUED.run)
    send(stage_hint(row) for row in rows if row.has_media)
    return len(rows)


def _send_each(
    ids: list[PostId],
    hints: Sequence[Hint],
    *,
    give_back: Callable[[Session, list[PostId]], object],
) -> None:
    """Send the hint of each part; call `give_back` for the parts whose hint the queue refused."""
    refused = ids  # after any error, none is known to be in the queue
    try:
        send(hints)
    except Exception as error:
        if isinstance(error, MessagesNotTaken):
            refused = [ids[index] for index in error.failed]
        with unit_of_work() as session:
            give_back(session, refused)
        raise


def send_overdue(sweep: _Sweep) -> int:
    """Collect notices of parts that are more than five minutes late, and send overdue parts again."""
    with unit_of_work() as session:
        rows = queries.TAKE_OVERDUE.all(
            session, late_seconds=LATE_AFTER.total_seconds(), page_size=PAGE_SIZE
        )
    _note_late(sweep, rows)  # first, so that members are notified even if the queue is unavailable
    due = [row for row in rows if row.paused_until is None]
    hints = [publish_hint(row) for row in due]
    _send_each([row.id for row in due], hints, give_back=queries.LOOK_AGAIN_SOON.run)
    send(stage_hint(row) for row in due if row.has_media)
    return len(rows)


def _note_late(sweep: _Sweep, rows: Sequence[TakeOverdueRow]) -> None:
    for row in rows:
        if (row.late_seconds or 0) < LATE_AFTER.total_seconds():
            continue
        if row.paused_until is None:
            sweep.late.append(
                BulkNotice(
                    row.organization_id,
                    row.customer_id,
                    notices.late(row.id, row.revision, row.root_id),
                )
            )
        elif (row.paused_seconds or 0) > LIMITED_FOR.total_seconds():
            sweep.limited.append(_limited(row, row.paused_until))


def settle_lost_attempts() -> int:
    """Decide for attempts whose process died, by the same table as for live answers."""
    with unit_of_work() as session:
        lost = queries.TAKE_LOST.all(session, PAGE_SIZE)
        parts = queries.LOST_PARTS.all(session, [row.post_id for row in lost])
    by_id = {part.id: part for part in parts}
    errors: list[Exception] = []
    for row in lost:
        guarded(partial(_settle, row, by_id[row.post_id]), errors)
    if errors:
        raise ExceptionGroup("some attempts could not be settled", errors)
    return len(lost)


def resume_waiting_attempts() -> int:
    """Send the continuations again that should have run by now."""
    with unit_of_work() as session:
        rows = queries.TAKE_WAITING.all(session, PAGE_SIZE)
    send(attempt_hint(row.attempt_id, row.step, row) for row in rows)
    return len(rows)


def resume_stagings() -> int:
    """Send the hints of stagings whose process died, or that should have continued by now."""
    with unit_of_work() as session:
        rows = queries.TAKE_STAGINGS.all(session, PAGE_SIZE)
    send(stage_hint(row) for row in rows)
    return len(rows)


def adopt_late_releases() -> int:
    """Publish parts whose process returned with a release after its lease had expired."""
    with unit_of_work() as session:
        rows = queries.ADOPT_LATE.all(session, PAGE_SIZE)
        for row in rows:
            notice = notices.published_after_all(row.id, row.generation, row.root_id)
            notify_members(session, row.organization_id, row.customer_id, notice)
        messages = {row.organization_id: row.messages for row in rows}  # each row has all of them
        for organization_id, delivery_ids in messages.items():
            send_after_commit(session, organization_id, delivery_ids)
    return len(rows)


def _notify(sweep: _Sweep) -> int:
    """Notify members of late parts, once for each; return how many wait for their platform's rate limit.

    Notices that do not fit this run are sent in the next one. An organization gets one email for many posts.
    """
    guarded(partial(_note_limited, sweep), sweep.errors)
    guarded(partial(_note_crowded, sweep), sweep.errors)
    mails: list[NotificationId] = []
    for kind in (sweep.limited, sweep.late):
        for start in range(0, len(kind), PAGE_SIZE):
            if not sweep.has(ROOM_TO_MAIL):
                log.warning("reconcile.out_of_time", extra={"untold": len(kind) - start})
                break
            page = partial(_notify_page, kind[start : start + PAGE_SIZE], mails)
            guarded(page, sweep.errors)
    guarded(lambda: mail_bulk(mails, go_on=lambda: sweep.has(ROOM_TO_KEEP_HOUSE)), sweep.errors)
    return len(sweep.limited)


def _notify_page(page: Sequence[BulkNotice], mails: list[NotificationId]) -> int:
    with unit_of_work() as session:
        added = notify_bulk(session, page)
    mails += added
    return len(added)


def _note_limited(sweep: _Sweep) -> int:
    late_seconds = LATE_AFTER.total_seconds()
    with unit_of_work() as session:
        parts = late_queries.TAKE_LIMITED.all(session, late_seconds, PAGE_SIZE)
        attempts = late_queries.LIMITED_ATTEMPTS.all(session, late_seconds, PAGE_SIZE)
    rows: list[TakeLimitedRow | LimitedAttemptsRow] = [*parts, *attempts]
    sweep.limited += [_limited(row, row.until) for row in rows]
    return len(rows)


def _note_crowded(sweep: _Sweep) -> int:
    with unit_of_work() as session:
        rows = late_queries.TAKE_CROWDED.all(
            session, late_seconds=LATE_AFTER.total_seconds(), page_size=PAGE_SIZE
        )
    sweep.late += [
        BulkNotice(
            row.organization_id,
            row.customer_id,
            notices.crowded(row.id, row.revision, row.root_id, host=row.host),
        )
        for row in rows
    ]
    return len(rows)


def _limited(row: LimitedRow, until: datetime) -> BulkNotice:
    notice = notices.limited(
        row.id, row.generation, row.root_id, channel_name=row.channel_name, until=until
    )
    return BulkNotice(row.organization_id, row.customer_id, notice)


def _settle(row: TakeLostRow, part: PartRow) -> int:
    claimed = _claim_of_lost(row, part)
    with about(attempt_id=claimed.attempt_id, **claimed.part.ids):
        next_ = outcome.after_lost_lease(attempt_context(claimed, sent=row.sent, refreshed=True))
        log.warning("attempt.lost", extra={"next": type(next_).__name__})
        record(claimed, next_)
    return 1


def _claim_of_lost(row: TakeLostRow, part: PartRow) -> Claim:
    doubt_seconds = row.doubt_seconds
    return Claim(
        attempt_id=row.attempt_id,
        step=row.step,
        number=row.number,
        part=part_from(part),
        progress=row.progress or {},
        accepted=row.accepted,
        doubt_age=None if doubt_seconds is None else timedelta(seconds=doubt_seconds),
        age=timedelta(seconds=row.attempt_seconds),
    )


def _gauge() -> int:
    """Write the gauges for the alarms; return how many parts are late."""
    with read_only() as session:
        late = late_queries.LATE_PARTS.one(session, MOST_COUNTED).total
        crowded = late_queries.CROWDED_PARTS.one(session).total
    metrics.gauge_late_posts(late)
    metrics.gauge_crowded_posts(crowded)
    return late
