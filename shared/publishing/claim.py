"""Claims a part for publishing: one conditional statement moves it from `queued` to `publishing`.

A message that is a duplicate, late or about an older revision finds no row, and nothing happens. A part that cannot be
published yet, or ever, is returned with its obstacle instead of an attempt.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy.orm import Session

from shared.channels.connection import OpenedChannel, get_opened_channel
from shared.core.config import settings
from shared.core.ids import AttemptId, ChannelId, OrganizationId, PostId, new_id
from shared.core.log import log
from shared.db.session import CommitUnknown
from shared.posts.hints import Hint, Schedule, publish_hint
from shared.posts.lifecycle import PostState
from shared.posts.obstacles import CROWDED, Obstacle, Step, named, sentence
from shared.providers import registry
from shared.providers.base import CanLookUp, Provider, Released, ThreadPosition
from shared.providers.registry import UnknownProvider
from shared.providers.spec import Idempotency, IdempotencyForm
from shared.publishing import claim_queries as queries
from shared.publishing.claim_queries import ClaimRow, PartRow
from shared.publishing.outcome import AttemptContext, Task


@dataclass(frozen=True, slots=True)
class DuePart:
    """A part with all data for publishing, read in one statement at `read_at`, by the database's clock.

    `late` is measured from the member's time; `paused` is the rest of its platform's pause.
    """

    id: PostId
    organization_id: OrganizationId
    root_id: PostId
    position: int
    revision: int
    generation: int
    content: str
    media: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    title: str | None
    created_at: datetime
    publish_at: datetime
    read_at: datetime
    wait: timedelta
    late: timedelta
    paused: timedelta
    channel: OpenedChannel
    disconnected_reason: str | None

    @property
    def ids(self) -> Mapping[str, UUID]:
        """The ids for log lines."""
        return {
            "organization_id": self.organization_id,
            "channel_id": self.channel.id,
            "post_id": self.root_id,
            "part_id": self.id,
        }

    to: ThreadPosition | None
    staged: Mapping[str, Any]
    staging_error: str | None

    def hint_in(self, wait: timedelta) -> Hint:
        """Return the hint that publishes it in `wait`, or when its platform's pause has ended."""
        at = self.read_at + wait
        name = f"{self.id}-{self.revision}-p{at:%Y%m%d%H%M}"
        return publish_hint(self, wait=wait, schedule=Schedule(name=name, at=at))

    def with_channel(self, channel: OpenedChannel) -> "DuePart":
        """Return the part with its channel's new token."""
        return dataclasses.replace(self, channel=channel)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to act for an attempt at one step, until its lease runs out."""

    attempt_id: AttemptId
    step: int
    number: int
    part: DuePart
    progress: Mapping[str, Any]
    accepted: bool = False
    doubt_age: timedelta | None = None
    age: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class NotNow:
    """A queued part that must not be sent now, and for how long."""

    obstacle: Obstacle
    part: DuePart
    wait: timedelta


def claim(
    part_id: PostId, revision: int, *, session: Session | None = None
) -> Claim | NotNow | None:
    """Claim a part for publishing; None if the message is stale or a duplicate.

    Without a session the statement is its own transaction.

    Raises:
        CommitUnknown: the answer was lost, and this claim has no attempt (yet).
    """
    attempt_id = AttemptId(new_id())
    values: _ClaimValues = {
        "part_id": part_id,
        "revision": revision,
        "attempt_id": attempt_id,
        "lease_seconds": float(settings().lease_seconds),
        "max_late_seconds": settings().max_late.total_seconds(),
        "crowded_message": sentence(CROWDED, Step.CLAIM),
    }
    if session is None:
        rows = _claim_alone(values, attempt_id)
    else:
        rows = queries.CLAIM.all(session, **values, **_bounds())
    for row in rows:  # one at most
        if row.attempt_id is None:
            return _not_now(row)
        return Claim(
            attempt_id=row.attempt_id, step=1, number=row.number, part=part_from(row), progress={}
        )
    return None


def _claim_alone(values: "_ClaimValues", attempt_id: AttemptId) -> list[ClaimRow]:
    """Claim in autocommit. If the answer is lost, continue with the stored attempt, or claim again.

    Claiming again is safe: the statement finds only a queued part, and waits for a first claim that is still running.
    """
    try:
        return queries.CLAIM.alone(**values, **_bounds())
    except CommitUnknown:
        found = (
            queries.CLAIMED.alone(attempt_id=attempt_id)
            or queries.CLAIM.alone(**values, **_bounds())
            or queries.CLAIMED.alone(attempt_id=attempt_id)
        )
        if not found:
            raise
        log.warning("publish.claimed_before", extra={"attempt_id": attempt_id})
        return found


def _not_now(row: ClaimRow) -> NotNow:
    obstacle = named(row.verdict or "")
    wait = _seconds(getattr(row, obstacle.seconds)) if obstacle.seconds else None
    return NotNow(obstacle, part_from(row), wait or timedelta(0))


def resume(session: Session, attempt_id: AttemptId, step: int) -> Claim | None:
    """Claim the continuation of a waiting attempt; None if it does not wait at that step, or not yet.

    If its organization is at its limit, it is not continued yet either: its time is moved.
    """
    row = queries.RESUME.find(
        session,
        attempt_id=attempt_id,
        step=step,
        lease_seconds=float(settings().lease_seconds),
        **_bounds(),
    )
    if row is None:
        return None
    return Claim(
        attempt_id=row.attempt_id,
        step=row.step,
        number=row.number,
        part=part_from(row),
        progress=row.progress or {},
        accepted=row.accepted,
        doubt_age=_seconds(row.doubt_seconds),
        age=timedelta(seconds=row.attempt_seconds),
    )


class _ClaimValues(TypedDict):
    part_id: PostId
    revision: int
    attempt_id: AttemptId
    lease_seconds: float
    max_late_seconds: float
    crowded_message: str


class _Bounds(TypedDict):
    most_per_organization: int
    most_per_host: int


def _bounds() -> _Bounds:
    return {
        "most_per_organization": settings().publish_at_once_per_organization,
        "most_per_host": settings().publish_at_once_per_host,
    }


def part_from(row: PartRow) -> DuePart:
    """Return the part of a row of any statement built on the candidate."""
    return DuePart(
        id=row.id,
        organization_id=row.organization_id,
        root_id=row.root_id,
        position=row.position,
        revision=row.revision,
        generation=row.generation,
        content=row.content,
        media=row.media,
        settings=row.settings,
        title=row.title,
        created_at=row.created_at,
        publish_at=row.publish_at,
        read_at=row.now,
        wait=timedelta(seconds=row.wait_seconds or 0),
        late=timedelta(seconds=row.late_seconds),
        paused=_seconds(row.paused_seconds) or timedelta(0),
        channel=get_opened_channel(row),
        disconnected_reason=row.disconnected_reason,
        to=_thread_position(row),
        staged=(row.staged or {}) if row.staging_state == "ready" else {},
        staging_error=row.staging_error_message,
    )


def _thread_position(row: PartRow) -> ThreadPosition | None:
    if row.position == 0 or row.predecessor_state != PostState.PUBLISHED:
        return None
    return ThreadPosition(
        root=_released(row.root_release_id, row.root_release_url, row.root_release_data),
        parent=_released(row.parent_release_id, row.parent_release_url, row.parent_release_data),
    )


def _released(release_id: str | None, url: str | None, data: Mapping[str, Any] | None) -> Released:
    return Released(id=release_id or "", url=url or "", data=data or {})


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def channel_ids(part: DuePart) -> tuple[OrganizationId, ChannelId]:
    """Return the organization's and the channel's id for the channels feature."""
    return part.organization_id, part.channel.id


def attempt_context(claimed: Claim, *, sent: bool, refreshed: bool) -> AttemptContext:
    """Return an attempt's context for the decision table, from its claim and its provider's table.

    An unknown platform, or a server that was not identified recently, promises nothing.
    """
    provider = _find_provider(claimed.part.channel.provider)
    channel = claimed.part.channel
    promise = (
        provider.promise(channel.account_settings, at=claimed.part.read_at)
        if provider
        else Idempotency()
    )
    return AttemptContext(
        number=claimed.number,
        sent=sent,
        accepted=claimed.accepted,
        doubt_age=claimed.doubt_age,
        has_key=promise.form is not IdempotencyForm.NONE,
        key_is_record=promise.form is IdempotencyForm.RECORD_KEY,
        key_lifetime=promise.lifetime,
        can_look_up=isinstance(provider, CanLookUp),
        refreshed=refreshed,
        task=task_of(claimed),
        request_ended=bool(claimed.progress.get("request_ended")),
        repetitions=int(claimed.progress.get("repeated", 0)),
        rounds=int(claimed.progress.get("rounds", 0)),
        age=claimed.age,
    )


def _find_provider(slug: str) -> Provider | None:
    try:
        return registry.provider(slug)
    except UnknownProvider:
        return None


def task_of(claimed: Claim) -> Task | None:
    """Return the task of a continuation; None for a first try."""
    name = claimed.progress.get("task")
    return Task(name) if name else None
