"""Stages a part's media on the platform: in ranges, by one process at a time, continuing where the last one stopped.

Every part with media has a staging for its revision and generation, and is published only when that is ready. If a platform
accepts media with the post, or fetches them itself, the staging is ready at once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy.orm import Session

from shared.aws import storage
from shared.channels.connection import open_connection
from shared.channels.tokens import disconnect
from shared.core.config import settings
from shared.core.errors_report import report
from shared.core.ids import PostId, StagingId, new_id
from shared.core.log import log, note
from shared.db.session import (
    CommitUnknown,
    after_commit,
    read_only,
    run,
    unit_of_work,
)
from shared.db.statement import Json
from shared.media.pick import MediaFile
from shared.media.variants import request_variants
from shared.posts.hints import (
    Hint,
    Schedule,
    Target,
    publish_hint,
    send,
    send_after_commit,
    stage_hint,
)
from shared.providers.base import CanStage, Staged
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    GrantRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.http import MediaReader
from shared.publishing import notices
from shared.publishing import stage_queries as queries
from shared.publishing.claim import DuePart, channel_ids, part_from
from shared.publishing.follow_up import hold_for
from shared.publishing.models import StagingState
from shared.publishing.notices import notify_members
from shared.publishing.outgoing import StillConverting, files_of, outgoing_post
from shared.publishing.renewal import with_new_token
from shared.publishing.stage_queries import ClaimStagingRow

# The lease is longer than the longest pause of its process, and is renewed with every range, so a killed process costs
# minutes, not the function's 15 minutes. After the last range, only the platform's answer remains.
LEASE = timedelta(minutes=3)
LEASE_FOR_THE_ANSWER = timedelta(minutes=6)
MAX_TRIES = 8
BACK_OFF = (timedelta(seconds=5), timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=4))
CONNECTED_AGAIN = timedelta(minutes=1)  # how often a disconnected channel is checked
NEARLY_DUE = timedelta(
    seconds=5
)  # for a part that is due sooner, its hint is sent when its media are ready


class LeaseLost(Exception):
    """Another process stages these media now; this one stops and writes nothing."""


@dataclass(slots=True)
class Held:
    """The right to stage a part's media, until the lease expires. `progress` and the part's token are current."""

    staging_id: StagingId
    step: int
    tries: int
    progress: Mapping[str, Any]
    part: DuePart


@dataclass(frozen=True, slots=True)
class _Kept:
    """The state that is written at the end."""

    state: StagingState
    data: Mapping[str, Any]
    after: timedelta = timedelta(0)
    expires_at: datetime | None = None
    error: ProviderError | None = None
    progressed: bool = True


def stage_due(part_id: PostId, revision: int, *, deadline: float) -> None:
    """Stage a part's media, or continue. For a root, its replies' media are staged by their own messages."""
    _send_replies(part_id, revision)  # first: if the queue refuses them, no lease is held
    with unit_of_work() as session:
        if _is_crowded(session, part_id, revision):
            return
        row = queries.CLAIM_STAGING.find(
            session,
            part_id=part_id,
            revision=revision,
            staging_id=StagingId(new_id()),
            lease_seconds=LEASE.total_seconds(),
        )
        files = files_of(session, part_from(row)) if row is not None else ()
    if row is None:
        log.info("stage.stale", extra={"part_id": part_id, "revision": revision})
        return
    held = _held(row)
    note(**held.part.ids)
    try:
        kept = _move(held, files, deadline=deadline)
    except LeaseLost:
        log.warning("stage.lease_lost", extra={"part_id": part_id, "step": held.step})
        return
    _let_go(held, kept)


def _is_crowded(session: Session, part_id: PostId, revision: int) -> bool:
    """Return whether the organization is at its staging limit; if so, send this part's hint again soon.

    The lock is held until the claim is committed, so that concurrent claims cannot share the last place.
    """
    part = queries.LOCK_STAGINGS.find(session, part_id)
    if part is None:
        return False
    row = queries.STAGINGS_ARE_CROWDED.find(
        session,
        organization_id=part.organization_id,
        part_id=str(part_id),
        most=settings().stage_at_once_per_organization,
    )
    if row is None:
        return False
    log.info("stage.crowded", extra={"part_id": part_id, "revision": revision})
    again = Hint(
        target=Target.STAGE,
        part_id=part_id,
        revision=revision,
        organization_id=part.organization_id,
        wait=timedelta(seconds=row.turn_seconds),
    )
    send_after_commit(session, again)
    return True


def _move(held: Held, files: Sequence[MediaFile], *, deadline: float) -> _Kept:
    """Stage what can be staged now and return the new state."""
    refreshed = False
    while True:
        try:
            return _move_once(held, files, deadline=deadline)
        except TokenExpired as error:
            if refreshed:
                return _after_error(held, error)
            renewed = with_new_token(held.part, deadline=deadline)
            if isinstance(renewed, ProviderError):
                return _after_error(held, renewed)
            held.part, refreshed = renewed, True
        except ProviderError as error:
            return _after_error(held, error)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  the one place that turns a mistake of ours into a staging's failure
            report(error, part_id=str(held.part.id))
            return _after_error(
                held,
                PlatformUnavailable(f"Roost failed to move the media ({type(error).__name__})."),
            )


def _move_once(held: Held, files: Sequence[MediaFile], *, deadline: float) -> _Kept:
    part = held.part
    provider, api = open_connection(
        part.channel, read_media=_renewing_reader(held, files), deadline=deadline
    )
    post = outgoing_post(provider, part, files)
    if not isinstance(provider, CanStage):
        return _Kept(StagingState.READY, {})
    if part.paused:
        words = f"{provider.spec.name} is limiting all of Roost for now."
        raise RateLimited(words, retry_after=part.paused)
    while True:
        answer = provider.stage(api, post, held.progress)
        if isinstance(answer, Staged):
            return _Kept(StagingState.READY, answer.data, expires_at=answer.expires_at)
        held.progress = dict(answer.state)
        if answer.after > timedelta(0) or api.time_left() < timedelta(seconds=20):
            return _Kept(StagingState.WAITING, held.progress, after=answer.after)
        _checkpoint(held)


def _checkpoint(held: Held) -> None:
    """Store the progress, so that a process that dies loses at most one range.

    Raises:
        LeaseLost: another process has taken over.
    """
    values = _values(held, _Kept(StagingState.RUNNING, held.progress))
    if run(lambda session: queries.KEEP_STAGING.find(session, **values)) is None:
        raise LeaseLost


def _renewing_reader(held: Held, files: Sequence[MediaFile]) -> MediaReader:
    """Read ranges from storage, and renew the lease with each."""
    stored = [
        one for file in files for one in (file.original, *(copy.file for copy in file.variants))
    ]
    sizes = {one.key: one.size_bytes for one in stored}

    def read(key: str, start: int, length: int) -> bytes:
        is_last = start + length >= sizes.get(key, 0)
        _renew(held, LEASE_FOR_THE_ANSWER if is_last else LEASE)
        return storage.read_range(key, start, length)

    return read


def _renew(held: Held, lease: timedelta) -> None:
    if not queries.RENEW_STAGING.alone(
        staging_id=held.staging_id, step=held.step, lease_seconds=lease.total_seconds()
    ):
        raise LeaseLost


def _after_error(held: Held, error: ProviderError) -> _Kept:
    if isinstance(error, RateLimited):
        return _Kept(StagingState.WAITING, held.progress, after=error.retry_after, error=error)
    if isinstance(error, ChannelDisconnected | GrantRejected):
        # The media are fine: staging continues when the member has reconnected, if that is in time.
        return _Kept(StagingState.WAITING, held.progress, after=CONNECTED_AGAIN, error=error)
    passing = isinstance(
        error, PlatformUnavailable | OutcomeUnknown | AppMisconfigured | TokenExpired
    )
    if passing and held.tries < MAX_TRIES:
        delay = BACK_OFF[min(held.tries, len(BACK_OFF)) - 1]
        return _Kept(
            StagingState.WAITING, held.progress, after=delay, error=error, progressed=False
        )
    return _failed(error)


def _failed(error: ProviderError) -> _Kept:
    return _Kept(StagingState.FAILED, {}, error=error, progressed=False)


def _let_go(held: Held, kept: _Kept) -> None:
    """Write the state, and retry if the connection breaks, because up to 15 minutes of work are known only here."""
    try:
        run(lambda session: _keep(session, held, kept))
    except CommitUnknown:  # the statement is conditional, so a repetition changes nothing
        log.warning("stage.kept_again", extra={"part_id": held.part.id, "step": held.step})
        run(lambda session: _keep(session, held, kept))


def _keep(session: Session, held: Held, kept: _Kept) -> None:
    """Write the state, and send the next hint: the part's if it is due, otherwise the staging's."""
    part = held.part
    row = queries.KEEP_STAGING.find(session, **_values(held, kept))
    if row is None:
        log.warning("stage.lease_lost", extra={"part_id": part.id, "step": held.step})
        return
    hold_for(session, part, kept.error)
    if isinstance(kept.error, ChannelDisconnected | GrantRejected):
        disconnect(
            session,
            *channel_ids(part),
            sent_version=part.channel.token_version,
            reason=kept.error.message,
        )
    finished = kept.state in {StagingState.READY, StagingState.FAILED}
    if finished and row.wait_seconds is not None and row.wait_seconds <= NEARLY_DUE.total_seconds():
        wait = timedelta(seconds=row.wait_seconds)
        send_after_commit(session, publish_hint(part, wait=wait))
    if kept.state is StagingState.WAITING and row.resume_at is not None:
        schedule = Schedule(name=f"{row.id}-s{row.step}", at=row.resume_at)
        send_after_commit(session, stage_hint(part, wait=kept.after, schedule=schedule))
    if isinstance(kept.error, StillConverting) and kept.state is StagingState.WAITING:
        _wait_for_copy(
            session, held, kept.error, is_due=row.wait_seconds is not None and row.wait_seconds <= 0
        )
    if kept.state is StagingState.FAILED and kept.error is not None:
        notice = notices.media_refused(part, kept.error.message)
        notify_members(session, part.organization_id, part.channel.customer_id, notice)
    log.info("stage.kept", extra={"part_id": part.id, "state": kept.state, "step": held.step})


def _wait_for_copy(session: Session, held: Held, error: StillConverting, *, is_due: bool) -> None:
    """Report a due part that waits for a picture's variant, and request the variant again.

    The queue may still hide the first message, if its function died.
    """
    part = held.part
    if is_due:
        notify_members(
            session,
            part.organization_id,
            part.channel.customer_id,
            notices.waits_for_copy(part, error.message),
        )
    if held.tries > 1 or not error.is_requested:
        owner, media_id = part.organization_id, error.media_id
        after_commit(session, lambda: request_variants([(owner, media_id)], also=error.plan))


def _send_replies(root_id: PostId, revision: int) -> None:
    with read_only() as session:
        replies = queries.REPLIES_WITH_MEDIA.all(session, root_id, revision)
    send(stage_hint(reply) for reply in replies)


def _held(row: ClaimStagingRow) -> Held:
    return Held(
        staging_id=row.staging_id,
        step=row.step,
        tries=row.tries,
        progress=row.progress,
        part=part_from(row),
    )


class _Values(TypedDict):
    staging_id: StagingId
    step: int
    state: str
    progress: Json
    after_seconds: float
    lease_seconds: float
    expires_at: datetime | None
    progressed: bool
    error_code: str | None
    error_message: str | None


def _values(held: Held, kept: _Kept) -> _Values:
    error = kept.error
    return {
        "staging_id": held.staging_id,
        "step": held.step,
        "state": kept.state,
        "progress": json.dumps(dict(kept.data)),
        "after_seconds": kept.after.total_seconds(),
        "lease_seconds": LEASE.total_seconds()
        if kept.state is StagingState.RUNNING
        else kept.after.total_seconds() + 60.0,
        "expires_at": kept.expires_at,
        "progressed": kept.progressed,
        "error_code": error.detail_code if error else None,
        "error_message": error.message if error else None,
    }
