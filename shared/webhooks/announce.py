"""How an event becomes messages to those who want to hear of it: rows with what it tells of, SQS after the commit."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from shared.aws import queues
from shared.aws.queues import MAX_DELAY_SECONDS, Message
from shared.core.config import settings
from shared.db.session import after_commit


def messages_of(events: str) -> str:
    """Write the INSERT, to be a CTE, of a message for each webhook that hears of each row of the CTE `events`.

    Its columns are `organization_id`, `channel_id`, `event`, `event_id` and `body`. In the statement that makes the
    event true: what is told is true if and only if the transaction commits, and to tell costs no statement of its own.
    """
    return f"""
        insert into webhook_deliveries (id, organization_id, webhook_id, event, event_id, body, next_at, enqueued_at)
        select gen_random_uuid(), hears.organization_id, hears.id, told.event, told.event_id, told.body, now(), now()
        from {events} told join webhooks hears on hears.organization_id = told.organization_id
        where hears.deleted_at is null and hears.disabled_at is null
            and (hears.events = '[]' or hears.events @> to_jsonb(told.event))
            and (hears.channel_ids = '[]' or hears.channel_ids @> to_jsonb(cast(told.channel_id as text)))
        returning id, organization_id
    """  # noqa: S608, only names of CTEs


def send_after_commit(
    session: Session, organization_id: UUID, delivery_ids: Sequence[UUID] | None
) -> None:
    """Put messages on the queue once the transaction has committed. What gets lost there, reconcile finds."""
    if delivery_ids:
        ids = list(delivery_ids)
        after_commit(session, lambda: send(organization_id, ids))


def send(organization_id: UUID, delivery_ids: Sequence[UUID], *, delay_seconds: int = 0) -> None:
    """Put messages on the queue."""
    queues.send(
        settings().webhooks_queue_url,
        [_message(organization_id, delivery_id, delay_seconds) for delivery_id in delivery_ids],
    )


def send_all(due: Sequence[tuple[UUID, UUID]]) -> None:
    """Put messages of many organizations on the queue: pairs of organization and delivery."""
    queues.send(settings().webhooks_queue_url, [_message(*each, 0) for each in due])


def fits_a_queue(delay_seconds: float) -> bool:
    """Say whether a queue can hold a message back for as long; longer waits are reconcile's."""
    return delay_seconds <= MAX_DELAY_SECONDS


def _message(organization_id: UUID, delivery_id: UUID, delay_seconds: int) -> Message:
    body = {"deliveryId": str(delivery_id)}
    return Message(body, delay_seconds=delay_seconds, tenant=str(organization_id))
