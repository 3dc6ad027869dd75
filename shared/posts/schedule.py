"""How a queued part gets to the publisher in time: a delayed message when it is due soon, a schedule otherwise.

Both are hints. What they carry is checked against the row when they arrive, so one too many does nothing; what they
fail to carry, reconcile finds. Arming therefore runs after the commit and may fail without losing anything.
"""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.aws import queues, scheduler
from shared.aws.queues import Message
from shared.core.config import settings
from shared.db.session import after_commit, execute_alone

_PARALLEL_CREATES = 8


@dataclass(frozen=True, slots=True)
class Armable:
    """A queued part with a time. `wait_seconds` is the database's `due_at - now()`, negative when overdue."""

    part_id: UUID
    organization_id: UUID
    revision: int
    arm_count: int
    due_at: datetime
    wait_seconds: float
    has_media: bool

    @property
    def schedule_name(self) -> str:
        """Return the schedule's name, another one for every revision and every arming."""
        return schedule_name(self.part_id, self.revision, self.arm_count)


def schedule_name(part_id: UUID, revision: int, arm_count: int) -> str:
    """Name a schedule: at most 64 of `[0-9a-zA-Z-_.]`, as EventBridge wants."""
    return f"post-{part_id}-{revision}-{arm_count}"


def is_near(wait_seconds: float) -> bool:
    """Return whether a part is due so soon that a queue can hold its message until then."""
    return wait_seconds <= settings().arm_threshold_seconds


def fires_at(part_id: UUID, due_at: datetime) -> datetime:
    """Return when a far part's schedule fires: early, by the lead and a spread that depends on the id alone.

    The spread keeps 100,000 posts due at nine from reaching the Scheduler, the functions and the database at once.
    """
    spread_seconds = settings().arm_spread_seconds
    share = int.from_bytes(hashlib.blake2b(part_id.bytes, digest_size=4).digest(), "big") / 2**32
    return due_at - timedelta(seconds=settings().arm_lead_seconds + share * spread_seconds)


def publish_message(
    part_id: UUID, revision: int, organization_id: UUID, *, wait_seconds: float
) -> Message:
    """Make the message that reaches the publisher on the second."""
    return Message(
        {"partId": str(part_id), "revision": revision},
        delay_seconds=max(0, math.ceil(wait_seconds)),
        tenant=str(organization_id),
    )


def stage_message(part_id: UUID, revision: int, organization_id: UUID) -> Message:
    """Make the message that has a part's media moved ahead."""
    return Message({"partId": str(part_id), "revision": revision}, tenant=str(organization_id))


def arm_after_commit(session: Session, parts: Sequence[Armable]) -> None:
    """Arm `parts` once the transaction has committed."""
    if parts:
        after_commit(session, lambda: arm(parts))


def arm(parts: Sequence[Armable]) -> None:
    """Give each part its message or schedule, and record which have it.

    A part that is near and carries media is also handed to `stage`; a far one's media wait for `prepare`.
    """
    near = [part for part in parts if is_near(part.wait_seconds)]
    far = [part for part in parts if not is_near(part.wait_seconds)]
    if near:
        _enqueue(near)
        mark_armed(near, sent=True)
    if far:
        _schedule(far)


def _schedule(parts: Sequence[Armable]) -> None:
    """Create the schedules, several side by side. Those that were made are recorded, even where another could not be."""
    if len(parts) == 1:
        _create_schedule(parts[0])  # most posts: making threads would cost more than the call
        mark_armed(parts, sent=False)
        return
    with ThreadPoolExecutor(min(_PARALLEL_CREATES, len(parts))) as pool:
        creations = [pool.submit(copy_context().run, _create_schedule, part) for part in parts]
    errors = [creation.exception() for creation in creations]
    made = [part for part, error in zip(parts, errors, strict=True) if error is None]
    mark_armed(made, sent=False)
    for error in errors:
        if error is not None:
            raise error


def _enqueue(parts: Sequence[Armable]) -> None:
    queues.send(
        settings().publish_queue_url,
        [
            publish_message(p.part_id, p.revision, p.organization_id, wait_seconds=p.wait_seconds)
            for p in parts
        ],
    )
    if with_media := [p for p in parts if p.has_media]:
        queues.send(
            settings().stage_queue_url,
            [stage_message(p.part_id, p.revision, p.organization_id) for p in with_media],
        )


def _create_schedule(part: Armable) -> None:
    scheduler.create_schedule(
        part.schedule_name,
        at=fires_at(part.part_id, part.due_at),
        payload={
            "partId": str(part.part_id),
            "revision": part.revision,
            "organizationId": str(part.organization_id),  # for the log alone
        },
    )


# Locked in the order in which edits lock them, so that two who arm and edit one group never wait for each other.
_MARK_ARMED = text("""
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
""").execution_options(repeatable=True)


def mark_armed(parts: Sequence[Armable], *, sent: bool) -> None:
    """Record what was armed; an edit that came in between keeps its own, later arming.

    `sent`: the on-the-second message is on its queue already.
    """
    if not parts:
        return
    execute_alone(
        _MARK_ARMED,
        {
            "ids": [part.part_id for part in parts],
            "revisions": [part.revision for part in parts],
            "sent": sent,
        },
    )


def disarm_after_commit(session: Session, part_id: UUID, revision: int, arm_count: int) -> None:
    """Take an older schedule off once the transaction has committed, as well as can be: it would do nothing anyway."""
    after_commit(
        session, lambda: scheduler.delete_schedule(schedule_name(part_id, revision, arm_count))
    )
