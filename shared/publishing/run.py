"""Publishes a due part: claim, send, decide, record. Read it from top to bottom.

Nothing here sleeps, and no transaction is open during requests to a platform. If this code stops at any line, the next message
or reconcile continues from the database's state; see `docs/lifecycle.md`, "If it stops here".
"""

import dataclasses
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.channels.connection import open_connection
from shared.core.errors_report import report
from shared.core.ids import AttemptId, PostId
from shared.core.log import log, note
from shared.db.session import read_only, run, unit_of_work
from shared.media.pick import MediaFile
from shared.posts.hints import attempt_hint, send, send_after_commit, stage_hint
from shared.posts.obstacles import NOT_STAGED, Then
from shared.providers.base import CanLookUp, CanReply, OutgoingPost, Processing, Provider, Released
from shared.providers.errors import (
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    Unsupported,
)
from shared.providers.http import Api
from shared.publishing import claim_queries, outcome, record_queries
from shared.publishing.claim import Claim, NotNow, attempt_context, claim, resume, task_of
from shared.publishing.follow_up import record, refuse
from shared.publishing.outcome import Refresh, Task, Wait
from shared.publishing.outgoing import files_of, outgoing_post
from shared.publishing.renewal import with_new_token
from shared.publishing.servers import know_server, name_host

ROOM_TO_GO_ON_SECONDS = 30.0  # a request's own limit, and the record
LOOK_BACK = timedelta(
    minutes=2
)  # the difference between clocks: a post that is older than the mark by more than this is not ours


class LeaseLost(Exception):
    """Another process has taken over the attempt, or it must not continue. Nothing may be sent."""


def publish_due(part_id: PostId, revision: int, *, deadline: float) -> None:
    """Publish a part if it is due and no other process has it. `deadline` is a `time.monotonic()` value."""
    found = claim(part_id, revision)
    if found is None:
        log.info("publish.stale", extra={"part_id": part_id, "revision": revision})
        return
    if isinstance(found, NotNow):
        put_off(found)
        return
    with read_only() as session:  # no statement if the part has no files
        files = files_of(session, found.part)
    carry_out(found, files, deadline=deadline)


def go_on(attempt_id: AttemptId, step: int, *, deadline: float) -> None:
    """Continue a waiting attempt, if it still waits at that step."""

    def take(session: Session) -> tuple[Claim | None, Sequence[MediaFile]]:
        found = resume(session, attempt_id, step)
        if found is None:
            _requeue_if_early(session, attempt_id, step)
        return found, files_of(session, found.part) if found else ()

    found, files = run(take)
    if found is not None:
        carry_out(found, files, deadline=deadline)


def put_off(found: NotNow) -> None:
    """Handle a queued part that cannot be published now."""
    part, obstacle = found.part, found.obstacle
    note(**part.ids)
    log.info("publish.put_off", extra={"part_id": part.id, "verdict": obstacle.verdict})
    match obstacle.then:
        case Then.FAIL:
            refuse(part, obstacle)
        case Then.WAIT if obstacle is NOT_STAGED:  # staging sends the part when it is done
            send([stage_hint(part)])
        case Then.WAIT:
            send([part.hint_in(found.wait)])
        case Then.DROP:
            pass


def carry_out(claimed: Claim, files: Sequence[MediaFile], *, deadline: float) -> None:
    """Send the claimed part, decide by the answer what to do next, and record it."""
    note(attempt_id=claimed.attempt_id, **claimed.part.ids)
    refreshed = False
    while True:
        try:
            next_ = _decide(claimed, files, deadline=deadline, refreshed=refreshed)
        except LeaseLost:
            log.warning(
                "publish.lease_lost", extra={"attempt_id": claimed.attempt_id, "step": claimed.step}
            )
            return
        if not isinstance(next_, Refresh):
            record(claimed, next_, deadline=deadline)
            if _goes_on_at_once(next_, deadline):
                go_on(claimed.attempt_id, claimed.step, deadline=deadline)
            return
        renewed = with_new_token(claimed.part, deadline=deadline)
        if isinstance(renewed, ProviderError):
            if not renewed.evidence.method:
                renewed.evidence = next_.error.evidence  # the refusal that required a new token
            context = attempt_context(claimed, sent=False, refreshed=True)
            record(claimed, outcome.without_asking(renewed, context), deadline=deadline)
            return
        claimed, refreshed = dataclasses.replace(claimed, part=renewed), True


def _goes_on_at_once(next_: outcome.Next, deadline: float) -> bool:
    """Return whether a continuation without delay can run here. Its message, which was sent too, will find its step taken."""
    return (
        isinstance(next_, Wait)
        and not next_.after
        and deadline - time.monotonic() > ROOM_TO_GO_ON_SECONDS
    )


def _decide(
    claimed: Claim, files: Sequence[MediaFile], *, deadline: float, refreshed: bool
) -> outcome.Next:
    """Make one try and return the decision."""
    context = attempt_context(claimed, sent=False, refreshed=refreshed)
    if context.task is Task.REPEAT and not context.key_is_live:
        return outcome.after_lapsed_key(context)
    if context.task is not None and claimed.part.paused:
        return outcome.while_paused(claimed.part.paused, context)
    try:
        provider, api, post = _open(claimed, files, deadline=deadline)
    except ProviderError as error:
        return outcome.without_asking(error, context)
    looks_up = context.task is Task.LOOK_UP
    found: Released | Processing | None = None
    candidates: Sequence[Released] = ()
    failure: ProviderError | None = None
    try:
        if looks_up:
            candidates = _look_up(claimed, provider, api, post)
        else:
            name_host(claimed, provider, api)
            claimed, api = know_server(claimed, provider, api)
            context = attempt_context(claimed, sent=False, refreshed=refreshed)
            found = _send_part(claimed, provider, api, post)
    except ProviderError as error:
        failure = error
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001  the one place that turns a mistake of ours into a part's failure
        report(error, part_id=str(claimed.part.id), attempt_id=str(claimed.attempt_id))
        failure = _our_mistake(error, sent=api.sent)
    context = dataclasses.replace(context, sent=api.sent)
    if looks_up:
        alone = candidates[0] if len(candidates) == 1 else None
        return outcome.after_look_up(alone, context, failure, several=candidates)
    if failure is not None:
        return outcome.after(failure, context)
    if found is None:
        raise LookupError(f"{provider.spec.slug} returned neither a release nor an error")
    return outcome.after(found, context)


def _open(
    claimed: Claim, files: Sequence[MediaFile], *, deadline: float
) -> tuple[Provider, Api, OutgoingPost]:
    """Open the connection and build the post. Nothing has been sent yet if this fails."""
    try:
        provider, api = open_connection(
            claimed.part.channel, mark_sending=lambda: mark_sending(claimed), deadline=deadline
        )
        return provider, api, outgoing_post(provider, claimed.part, files)
    except ProviderError:
        raise
    except Exception as error:  # as in `_decide`: the key service may be unavailable, or the token sealed for another organization
        report(error, part_id=str(claimed.part.id), attempt_id=str(claimed.attempt_id))
        raise _our_mistake(error, sent=False) from error


def _send_part(
    claimed: Claim, provider: Provider, api: Api, post: OutgoingPost
) -> Released | Processing:
    if task_of(claimed) is Task.RESUME:
        return provider.resume(api, post, claimed.progress.get("state") or {})
    if claimed.part.position == 0:
        return provider.publish(api, post)
    if claimed.part.to is None or not claimed.part.to.parent.id:
        raise Unsupported(
            "The part before this one has no id on the platform, so nothing can reply to it."
        )
    if not isinstance(provider, CanReply):
        raise Unsupported(f"{provider.spec.name} does not support threads.")
    return provider.reply(api, post, to=claimed.part.to)


def _look_up(
    claimed: Claim, provider: Provider, api: Api, post: OutgoingPost
) -> Sequence[Released]:
    """List the posts on the platform that could be this part: new enough, and not recorded for another part."""
    if not isinstance(provider, CanLookUp):
        return ()
    to = claimed.part.to
    if claimed.part.position > 0 and to is None:
        return ()  # the part that it replies to no longer exists there
    since = claimed.part.read_at - (claimed.doubt_age or timedelta(0)) - LOOK_BACK
    found = provider.look_up(api, post, to=to, since=since)
    candidates = [one.released for one in found if one.created_at >= since]
    with unit_of_work() as session:
        rows = record_queries.KNOWN_RELEASES.all(
            session,
            provider=claimed.part.channel.provider,
            remote_id=claimed.part.channel.remote_id,
            part_id=claimed.part.id,
            release_ids=[candidate.id for candidate in candidates],
        )
    known = {row.release_id for row in rows}
    return [candidate for candidate in candidates if candidate.id not in known]


def mark_sending(claimed: Claim) -> None:
    """Set the mark right before an irrevocable request.

    Raises:
        LeaseLost: the attempt is no longer ours; nothing may be sent.
    """
    if not claim_queries.MARK_SENDING.alone(claimed.attempt_id, claimed.step):
        raise LeaseLost(f"attempt {claimed.attempt_id} at step {claimed.step}")


def _our_mistake(error: Exception, *, sent: bool) -> ProviderError:
    if sent:
        return OutcomeUnknown(f"Roost failed after the post was sent ({type(error).__name__}).")
    return PlatformUnavailable(f"Roost failed before the post was sent ({type(error).__name__}).")


def _requeue_if_early(session: Session, attempt_id: AttemptId, step: int) -> None:
    row = claim_queries.RESUME_WAIT.find(session, attempt_id, step)
    if row is None:
        log.info("publish.stale", extra={"attempt_id": attempt_id, "step": step})
        return
    wait = timedelta(seconds=row.wait_seconds)
    send_after_commit(session, attempt_hint(attempt_id, step, row, wait=wait))
