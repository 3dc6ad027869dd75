"""Sends hints: a delayed message for a part that is due soon, otherwise a schedule.

All hints of publishing are created and sent here: a part's, an attempt's and a staging's. A hint is checked against the row
when it arrives, so an unnecessary one does nothing, and reconcile sends a lost one again. So hints are sent after the
commit, and a failure loses nothing.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy.orm import Session

from shared.aws import queues, scheduler
from shared.aws.queues import Message
from shared.core.config import settings
from shared.core.ids import AttemptId, OrganizationId, PostId
from shared.db.session import after_commit
from shared.db.statement import NoRow, Statement, sql

_PARALLEL_CREATES = 8
_NOW = timedelta(0)
_PREFIX = "post-"  # of the schedules that the functions' role may make


class Target(StrEnum):
    """The function that a hint starts."""

    PUBLISH = "publish"
    STAGE = "stage"

    @property
    def queue_url(self) -> str:
        """The queue that it reads."""
        return (
            settings().publish_queue_url if self is Target.PUBLISH else settings().stage_queue_url
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The schedule of a hint that is too far away for a queue. `name` is unique for this wait; `at` is its end."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A hint to continue with a part, or with an attempt at a step, in `wait`. Without a `schedule` it is a message."""

    target: Target
    part_id: PostId
    revision: int
    organization_id: OrganizationId
    attempt: tuple[AttemptId, int] | None = None
    wait: timedelta = _NOW
    schedule: Schedule | None = None

    @property
    def message(self) -> Message:
        """The message for the target's queue. Its delay is rounded up, because a message that arrives early finds nothing to do."""
        body: dict[str, Any] = {"partId": str(self.part_id), "revision": self.revision}
        if self.attempt:
            attempt_id, step = self.attempt
            body = {"attemptId": str(attempt_id), "step": step}
        delay = max(0, math.ceil(self.wait.total_seconds()))
        return Message(body, delay_seconds=delay, tenant=str(self.organization_id))


class _Part(Protocol):
    @property
    def id(self) -> PostId: ...
    @property
    def revision(self) -> int: ...
    @property
    def organization_id(self) -> OrganizationId: ...


def publish_hint(part: _Part, *, wait: timedelta = _NOW, schedule: Schedule | None = None) -> Hint:
    """Create the hint that publishes a part."""
    return _hint(Target.PUBLISH, part, wait, schedule)


def stage_hint(part: _Part, *, wait: timedelta = _NOW, schedule: Schedule | None = None) -> Hint:
    """Create the hint that stages a part's media."""
    return _hint(Target.STAGE, part, wait, schedule)


def attempt_hint(
    attempt_id: AttemptId,
    step: int,
    part: _Part,
    *,
    wait: timedelta = _NOW,
    at: datetime | None = None,
) -> Hint:
    """Create the hint that continues an attempt at a step. With `at`, it may be a schedule for that time."""
    schedule = Schedule(name=f"{attempt_id}-a{step}", at=at) if at else None
    return replace(publish_hint(part, wait=wait, schedule=schedule), attempt=(attempt_id, step))


def _hint(target: Target, part: _Part, wait: timedelta, schedule: Schedule | None) -> Hint:
    return Hint(
        target=target,
        part_id=part.id,
        revision=part.revision,
        organization_id=part.organization_id,
        wait=wait,
        schedule=schedule,
    )


def send(hints: Iterable[Hint]) -> None:
    """Send hints as messages, in batches for each queue, or as schedules. Sending a schedule twice creates one."""
    hints = list(hints)
    near = [hint for hint in hints if hint.schedule is None or is_near(hint.wait)]
    send_messages(near)
    for hint in hints:
        if hint not in near:
            create_schedule(hint)


def send_messages(hints: Sequence[Hint]) -> None:
    """Send hints as messages, in batches for each queue. A function that only does this has no permission for schedules."""
    for target in Target:
        if messages := [hint.message for hint in hints if hint.target is target]:
            queues.send(target.queue_url, messages)


def send_after_commit(session: Session, hint: Hint) -> None:
    """Send a hint once the transaction has committed."""
    after_commit(session, lambda: send([hint]))


def create_schedule(hint: Hint) -> None:
    """Create the schedule of a hint, which starts `prepare` early, like a post's schedule.

    Raises:
        LookupError: the hint has no schedule.
    """
    if hint.schedule is None:
        raise LookupError(f"{hint} has no schedule")
    scheduler.create_schedule(
        f"{_PREFIX}{hint.schedule.name}",
        at=starts_at(hint.part_id, hint.schedule.at),
        payload={
            "partId": str(hint.part_id),
            "revision": hint.revision,
            "organizationId": str(hint.organization_id),  # for the log alone
        },
    )


def is_near(wait: timedelta) -> bool:
    """Return whether a queue can delay a message for this long."""
    return wait.total_seconds() <= settings().arm_threshold_seconds


def starts_at(part_id: PostId, due_at: datetime) -> datetime:
    """Return when a part's schedule starts `prepare`: early by the lead, plus a spread that depends only on the id.

    The spread prevents 100,000 posts that are due at nine from reaching the Scheduler, the functions and the database at once.
    """
    spread_seconds = settings().arm_spread_seconds
    share = int.from_bytes(hashlib.blake2b(part_id.bytes, digest_size=4).digest(), "big") / 2**32
    return due_at - timedelta(seconds=settings().arm_lead_seconds + share * spread_seconds)


# --- arming ----------------------------------------------------------------------------------------------------

QUEUED_COLUMNS = sql("""posts.id, posts.organization_id, posts.revision, posts.arm_count, posts.due_at,
        extract(epoch from posts.due_at - now())::float8 as wait_seconds""")
"""The columns that `Queued.from_row` reads, except `has_media`."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A queued part with a time. `wait_seconds` is the database's `due_at - now()`, negative when overdue."""

    id: PostId
    organization_id: OrganizationId
    revision: int
    arm_count: int
    due_at: datetime
    wait_seconds: float
    has_media: bool

    @classmethod
    def from_row(cls, row: Any) -> "Queued":
        """Read the columns of this class from a row that may have more."""
        return cls(*(getattr(row, name) for name in cls.__slots__))

    @property
    def wait(self) -> timedelta:
        """`wait_seconds` as a duration."""
        return timedelta(seconds=self.wait_seconds)

    @property
    def hint(self) -> Hint:
        """The hint that publishes it. The schedule's name is new for every revision and arming."""
        name = schedule_name(self.id, self.revision, self.arm_count)
        return publish_hint(
            self,
            wait=self.wait,
            schedule=Schedule(name=name, at=self.due_at),
        )


def schedule_name(part_id: PostId, revision: int, arm_count: int) -> str:
    """Return a schedule's name, including its prefix at most 64 of `[0-9a-zA-Z-_.]`, as EventBridge requires."""
    return f"{part_id}-{revision}-{arm_count}"


def arm_after_commit(session: Session, parts: Sequence[Queued]) -> None:
    """Arm `parts` once the transaction has committed."""
    if parts:
        after_commit(session, lambda: arm(parts))


def arm(parts: Sequence[Queued]) -> None:
    """Send each part's hint, and record which parts have one.

    For a part with media that is due soon, staging is started too; a later part's media are staged by `prepare`.
    """
    near = [part for part in parts if is_near(part.wait)]
    far = [part for part in parts if not is_near(part.wait)]
    if near:
        media = [stage_hint(part) for part in near if part.has_media]
        send([*(part.hint for part in near), *media])
        mark_armed(near, sent=True)
    if far:
        _schedule(far)


def _schedule(parts: Sequence[Queued]) -> None:
    """Create the schedules, several in parallel. Created ones are recorded even if another one fails."""
    if len(parts) == 1:
        create_schedule(
            parts[0].hint
        )  # the common case: starting threads would cost more than the call
        mark_armed(parts, sent=False)
        return
    with ThreadPoolExecutor(min(_PARALLEL_CREATES, len(parts))) as pool:
        creations = [pool.submit(copy_context().run, create_schedule, part.hint) for part in parts]
    errors = [creation.exception() for creation in creations]
    made = [part for part, error in zip(parts, errors, strict=True) if error is None]
    mark_armed(made, sent=False)
    for error in errors:
        if error is not None:
            raise error


class Armed(NamedTuple):
    ids: list[PostId]
    revisions: list[int]
    sent: bool


# Locked in the same order as by edits, so that arming and editing one group cannot deadlock.
MARK_ARMED = Statement(
    "mark_armed",
    sql("""
        with armed as (
            select * from unnest(cast(:ids as uuid[]), cast(:revisions as integer[])) as given(id, revision)
        ), locked as (
            select posts.id, armed.revision from posts join armed on armed.id = posts.id
            where posts.revision = armed.revision and posts.state = 'queued'
            order by posts.root_id, posts.position
            for update of posts
        )
        update posts set
            armed_revision = locked.revision,
            enqueued_at = case when :sent then now() end
        from locked where posts.id = locked.id
    """),
    params=Armed,
    row=NoRow,
    repeatable=True,
)
"""Record which parts have a hint at their revision; an edit in between keeps its own, later arming."""


def mark_armed(parts: Sequence[Queued], *, sent: bool) -> None:
    """Record the armed parts; an edit in between keeps its own, later arming.

    `sent`: the message is already in its queue.
    """
    if not parts:
        return
    MARK_ARMED.alone(
        ids=[part.id for part in parts],
        revisions=[part.revision for part in parts],
        sent=sent,
    )


def disarm_after_commit(session: Session, part_id: PostId, revision: int, arm_count: int) -> None:
    """Try to delete an older schedule after the commit; if that fails, the schedule does nothing when it fires."""
    name = f"{_PREFIX}{schedule_name(part_id, revision, arm_count)}"
    after_commit(session, lambda: scheduler.delete_schedule(name))
