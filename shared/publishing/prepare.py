"""What is done minutes before a part is due: the message for the second itself, then whatever can be put right in time.

Nothing here is irrevocable, and every step may run twice. What is wrong is told at once; the part stays queued, and fails
at its time if nobody mends it.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping

from shared.aws import queues
from shared.aws.queues import MAX_DELAY_SECONDS
from shared.channels.errors import ChannelNotFound
from shared.channels.line import get_opened_channel
from shared.channels.tokens import refresh_ahead
from shared.core.config import settings
from shared.core.ids import OrganizationId
from shared.core.log import log
from shared.db.session import read_only, unit_of_work
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.posts.schedule import publish_message, stage_message
from shared.providers.errors import ProviderError
from shared.publishing import queries
from shared.publishing.claim import Verdict
from shared.publishing.follow_up import REFUSALS, post_link, send

EXPIRES_SOON = timedelta(minutes=10)


def prepare(part_id: UUID, revision: int) -> None:
    """Prepare a part whose schedule has fired early. A stale firing does nothing."""
    with read_only() as session:
        row = (
            session.execute(
                queries.PREPARE,
                {
                    "part_id": part_id,
                    "revision": revision,
                    "threshold_seconds": float(MAX_DELAY_SECONDS),
                },
            )
            .mappings()
            .one_or_none()
        )
    if row is None or not row["near"]:
        log.info("prepare.stale", extra={"part_id": part_id, "revision": revision})
        return
    _send_for_the_second(row)
    if row["thread_has_media"]:
        message = stage_message(row["id"], row["revision"], row["organization_id"])
        queues.send(settings().stage_queue_url, [message])
    if problem := _problem(row):
        _tell(row, problem)
    elif _token_expires_before(row):
        _refresh(row)


def _send_for_the_second(row: RowMapping) -> None:
    send(
        publish_message(
            row["id"], row["revision"], row["organization_id"], wait_seconds=row["wait_seconds"]
        )
    )
    with unit_of_work() as session:
        session.execute(queries.MARK_ENQUEUED, {"part_id": row["id"], "revision": row["revision"]})


def _problem(row: RowMapping) -> str | None:
    """Name what would keep the part from going out, as things stand."""
    checks = {
        Verdict.CHANNEL_DELETED: row["channel_deleted_at"] is not None,
        Verdict.CHANNEL_DISABLED: row["disabled"],
        Verdict.CHANNEL_DISCONNECTED: row["disconnected_at"] is not None,
        Verdict.CHANNEL_NEEDS_PAGE: row["needs_page"],
        Verdict.PLAN_ENDED: row["plan_ended"],
    }
    return next((REFUSALS[verdict] for verdict, wrong in checks.items() if wrong), None)


def _token_expires_before(row: RowMapping) -> bool:
    expires_at = row["token_expires_at"]
    return expires_at is not None and expires_at <= row["due_at"] + EXPIRES_SOON


def _refresh(row: RowMapping) -> None:
    """Get a new token ahead of time. A platform that does not answer now is asked again when the part is due."""
    try:
        refresh_ahead(get_opened_channel(row))  # a channel it disconnects, it tells of itself
    except ChannelNotFound:
        log.info("prepare.channel_gone", extra={"part_id": row["id"]})
    except ProviderError as error:
        log.warning(
            "prepare.not_refreshed", extra={"part_id": row["id"], "code": error.detail_code}
        )


def _tell(row: RowMapping, problem: str) -> None:
    with unit_of_work() as session:
        notify(
            session,
            OrganizationId(row["organization_id"]),
            NotificationKind.FAILURE,
            title=f"Your post for {row['channel_name']} cannot go out as things stand",
            content=f"It is due at {row['publish_at']:%Y-%m-%d %H:%M} UTC. {problem}",
            link=post_link(row["root_id"]),
            dedupe_key=f"prepare:{row['id']}:{row['revision']}",
        )
