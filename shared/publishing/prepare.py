"""Prepares a part minutes before it is due: sends its message, then checks everything that can still be fixed.

Nothing here is irrevocable, and every step can run twice. Members are notified of problems; the part stays queued, and fails
at its time if nobody fixes them.
"""

from datetime import timedelta

from shared.aws import queues
from shared.aws.queues import MAX_DELAY_SECONDS
from shared.channels.connection import get_opened_channel
from shared.channels.errors import ChannelNotFound
from shared.channels.tokens import refresh_ahead
from shared.core.ids import PostId
from shared.core.log import log, note
from shared.db.session import read_only, unit_of_work
from shared.posts.hints import Hint, attempt_hint, publish_hint, send_messages, stage_hint
from shared.posts.obstacles import Obstacle, Step, Then, named, sentence
from shared.providers import registry
from shared.providers.errors import ProviderError
from shared.providers.registry import UnknownProvider
from shared.publishing import notices
from shared.publishing import prepare_queries as queries
from shared.publishing.notices import notify_members
from shared.publishing.prepare_queries import PrepareRow, WaitsRow
from shared.publishing.servers import know_server_ahead
from shared.publishing.warm import warm_ahead


def prepare(part_id: PostId, revision: int) -> None:
    """Prepare a part whose schedule has fired early. A stale schedule does nothing."""
    threshold_seconds = float(MAX_DELAY_SECONDS)
    with read_only() as session:
        row = queries.PREPARE.find(session, part_id, revision, threshold_seconds=threshold_seconds)
        near = row is not None and row.near
        waits = (
            []
            if near
            else queries.WAITS.all(session, part_id, revision, threshold_seconds=threshold_seconds)
        )
    send_messages([_hint_of(wait) for wait in waits])
    if row is None or not near:
        log.info(
            "prepare.woken" if waits else "prepare.stale",
            extra={"part_id": part_id, "revision": revision},
        )
        return
    note(organization_id=row.organization_id, post_id=row.root_id)
    _send_for_the_second(row)
    if row.thread_has_media:  # now, or when a waiting staging continues
        send_messages([stage_hint(row, wait=timedelta(seconds=row.staging_wait_seconds or 0))])
    obstacle = named(row.verdict) if row.verdict else None
    if obstacle and obstacle.then is Then.FAIL:
        _notify(row, obstacle)
    elif obstacle is None:
        if _token_expires_before(row):
            _refresh(row)
        know_server_ahead(get_opened_channel(row), at=row.now)


def _hint_of(row: WaitsRow) -> Hint:
    """Return the hint of a waiting attempt or staging."""
    wait = timedelta(seconds=row.wait_seconds)
    if row.attempt_id is None:
        return stage_hint(row, wait=wait)
    return attempt_hint(row.attempt_id, row.step, row, wait=wait)


def _send_for_the_second(row: PrepareRow) -> None:
    hint = publish_hint(row, wait=timedelta(seconds=row.wait_seconds))
    warming = warm_ahead(row.due_at, wait_seconds=row.wait_seconds)
    queues.send(hint.target.queue_url, [hint.message, *warming])
    queries.MARK_ENQUEUED.alone(row.id, row.revision)


def _token_expires_before(row: PrepareRow) -> bool:
    expires_at = row.token_expires_at
    ahead = _renewed_ahead(row.provider)
    if expires_at is None or ahead is None:
        return False
    return expires_at <= row.due_at + ahead


def _renewed_ahead(slug: str) -> timedelta | None:
    """Return how long before its expiry a platform's token is renewed; None for an unknown platform."""
    try:
        return registry.provider(slug).spec.refresh_ahead
    except UnknownProvider:
        return None


def _refresh(row: PrepareRow) -> None:
    """Renew the token ahead of time. If the platform does not answer, it is renewed when the part is due."""
    try:
        refresh_ahead(
            get_opened_channel(row)
        )  # it notifies members itself if it disconnects the channel
    except ChannelNotFound:
        log.info("prepare.channel_gone", extra={"part_id": row.id})
    except ProviderError as error:
        log.warning("prepare.not_refreshed", extra={"part_id": row.id, "code": error.detail_code})


def _notify(row: PrepareRow, obstacle: Obstacle) -> None:
    name, reason = row.channel_name, row.disconnected_reason
    notice = notices.will_fail(
        row.id,
        row.revision,
        row.root_id,
        channel_name=name,
        publish_at=row.publish_at,
        problem=sentence(obstacle, Step.PREPARE, channel=name, reason=reason),
    )
    with unit_of_work() as session:
        notify_members(session, row.organization_id, row.customer_id, notice)
