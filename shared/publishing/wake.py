"""How what waits goes on at its second: by a delayed message, or, where no queue holds one so long, by a schedule.

The schedule fires `prepare` minutes early, as a post's own does; that finds what the part waits for and puts the
message on its queue. Both are hints: what they fail to wake, reconcile wakes.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.aws import queues, scheduler
from shared.aws.queues import Message
from shared.core.config import settings
from shared.posts.schedule import fires_at, is_near, publish_message
from shared.publishing.claim import DuePart


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is wanted in `wait`, at `at` by the database's clock. `name` is this wait's alone."""

    name: str
    organization_id: UUID
    part_id: UUID
    revision: int
    queue_url: str
    message: Message
    at: datetime
    wait: timedelta


def wake(waiting: Waiting) -> None:
    """Have the message arrive when its time has come. The same wait twice is one schedule."""
    if is_near(waiting.wait.total_seconds()):
        queues.send(waiting.queue_url, [waiting.message])
        return
    scheduler.create_schedule(
        f"post-{waiting.name}",  # the prefix is what the functions' role may make
        at=fires_at(waiting.part_id, waiting.at),
        payload={
            "partId": str(waiting.part_id),
            "revision": waiting.revision,
            "organizationId": str(waiting.organization_id),  # for the log alone
        },
    )


def waiting_attempt(
    attempt_id: UUID, step: int, part: DuePart, *, at: datetime, wait: timedelta
) -> Waiting:
    """Describe the wait of an attempt for its continuation."""
    return Waiting(
        name=f"{attempt_id}-a{step}",
        organization_id=part.organization_id,
        part_id=part.id,
        revision=part.revision,
        queue_url=settings().publish_queue_url,
        message=continuation(attempt_id, step, part.organization_id, wait=wait),
        at=at,
        wait=wait,
    )


def waiting_staging(
    staging_id: UUID, step: int, part: DuePart, *, at: datetime, wait: timedelta
) -> Waiting:
    """Describe the wait of a staging for its next step."""
    return Waiting(
        name=f"{staging_id}-s{step}",
        organization_id=part.organization_id,
        part_id=part.id,
        revision=part.revision,
        queue_url=settings().stage_queue_url,
        message=delayed_staging(part.id, part.revision, part.organization_id, wait=wait),
        at=at,
        wait=wait,
    )


def waiting_part(part: DuePart, *, wait: timedelta) -> Waiting:
    """Describe the wait of a queued part: for its time, or for the end of its platform's pause."""
    at = part.read_at + wait
    return Waiting(
        name=f"{part.id}-{part.revision}-p{at:%Y%m%d%H%M}",
        organization_id=part.organization_id,
        part_id=part.id,
        revision=part.revision,
        queue_url=settings().publish_queue_url,
        message=publish_message(
            part.id, part.revision, part.organization_id, wait_seconds=wait.total_seconds()
        ),
        at=at,
        wait=wait,
    )


def continuation(attempt_id: UUID, step: int, organization_id: UUID, *, wait: timedelta) -> Message:
    """Make the message that continues an attempt."""
    return Message(
        {"attemptId": str(attempt_id), "step": step},
        delay_seconds=_whole_seconds(wait),
        tenant=str(organization_id),
    )


def delayed_staging(
    part_id: UUID, revision: int, organization_id: UUID, *, wait: timedelta
) -> Message:
    """Make the message that goes on with a staging."""
    return Message(
        {"partId": str(part_id), "revision": revision},
        delay_seconds=_whole_seconds(wait),
        tenant=str(organization_id),
    )


def _whole_seconds(wait: timedelta) -> int:
    """Round up: a message that comes too early finds nothing to do."""
    return max(0, math.ceil(wait.total_seconds()))
