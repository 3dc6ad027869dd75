"""Creates the messages of an event: rows with its content, and SQS messages after the commit."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.aws import queues
from shared.aws.queues import MAX_DELAY_SECONDS, Message
from shared.core.config import settings
from shared.core.ids import DeliveryId, OrganizationId
from shared.db.session import after_commit
from shared.db.statement import Sql, sql

KEPT = timedelta(days=30)  # the log of what was sent
_BODY_KEPT = KEPT + timedelta(days=1)
# A request sends at most one SQS batch of messages before it is answered; the consumer spreads the rest.
_AT_ONCE = 10
_IDS_A_MESSAGE = 600  # ten such messages are under the 256 KiB of a batch
_IDS = "deliveryIds"


def body_kept_until() -> Sql:
    """Return the expression for when a body sent now may be deleted: after the log entry that shows it."""
    return sql("now() + make_interval(days => {days})", days=_BODY_KEPT.days)


def messages_of_events() -> Sql:
    """Return the CTEs, the last of them `messages`, that add a message for each row of the CTE `events` and each webhook.

    The columns of `events` are `organization_id`, `channel_id`, `event`, `event_id` and `body`. The CTEs belong in the statement that
    makes the event true: a message exists if and only if its transaction commits, and costs no statement of its own.
    A body is stored once, however many webhooks receive it.
    """
    return sql(
        """
        heard as materialized (
            select announced.organization_id, hears.id as webhook_id, announced.event, announced.event_id
            from events announced join webhooks hears on hears.organization_id = announced.organization_id
            where hears.deleted_at is null and hears.disabled_at is null
                and (hears.events = '[]' or hears.events @> to_jsonb(announced.event))
                and (hears.channel_ids = '[]' or hears.channel_ids @> to_jsonb(cast(announced.channel_id as text)))
        ), bodies as (
            insert into webhook_bodies (event_id, organization_id, body, kept_until)
            select announced.event_id, announced.organization_id, announced.body, {kept_until}
            from events announced where announced.event_id in (select heard.event_id from heard)
        ), messages as (
            insert into webhook_deliveries (id, organization_id, webhook_id, event, event_id, next_at, enqueued_at)
            select gen_random_uuid(), organization_id, webhook_id, event, event_id, now(), now() from heard
            returning id, organization_id
        )
        """,
        kept_until=body_kept_until(),
    )


def send_after_commit(
    session: Session, organization_id: OrganizationId, delivery_ids: Sequence[DeliveryId] | None
) -> None:
    """Put messages on the queue once the transaction has committed. Reconcile finds those that are lost."""
    if delivery_ids:
        ids = list(delivery_ids)
        after_commit(session, lambda: send(organization_id, ids))


def send(
    organization_id: OrganizationId, delivery_ids: Sequence[DeliveryId], *, delay_seconds: int = 0
) -> None:
    """Queue deliveries. Many are sent as a few messages that list them, so that a request does not wait for each."""
    if len(delivery_ids) > _AT_ONCE and not delay_seconds:
        pages = range(0, len(delivery_ids), _IDS_A_MESSAGE)
        messages = [
            _list_of(organization_id, delivery_ids[start : start + _IDS_A_MESSAGE])
            for start in pages
        ]
    else:
        messages = [_message(organization_id, one, delay_seconds) for one in delivery_ids]
    queues.send(settings().webhooks_queue_url, messages)


def spread(listed: Mapping[str, Any]) -> None:
    """Queue a message for each delivery that a message lists. Duplicates are harmless: only one is sent."""
    organization_id = OrganizationId(UUID(listed["organizationId"]))
    ids = [DeliveryId(UUID(one)) for one in listed[_IDS]]
    queues.send(settings().webhooks_queue_url, [_message(organization_id, one, 0) for one in ids])


def is_list(body: Mapping[str, Any]) -> bool:
    """Return whether a message lists deliveries instead of naming one."""
    return _IDS in body


def send_all(due: Sequence[tuple[OrganizationId, DeliveryId]]) -> None:
    """Put messages of many organizations on the queue: pairs of organization and delivery."""
    queues.send(settings().webhooks_queue_url, [_message(*each, 0) for each in due])


def fits_a_queue(delay_seconds: float) -> bool:
    """Return whether a queue can delay a message that long; reconcile handles longer waits."""
    return delay_seconds <= MAX_DELAY_SECONDS


def _list_of(organization_id: OrganizationId, delivery_ids: Sequence[DeliveryId]) -> Message:
    body = {"organizationId": str(organization_id), _IDS: [str(one) for one in delivery_ids]}
    return Message(body, tenant=str(organization_id))


def _message(
    organization_id: OrganizationId, delivery_id: DeliveryId, delay_seconds: int
) -> Message:
    body = {"deliveryId": str(delivery_id)}
    return Message(body, delay_seconds=delay_seconds, tenant=str(organization_id))
