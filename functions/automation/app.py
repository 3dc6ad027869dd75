"""`/webhooks/*`: an organization's webhooks and the log of their deliveries."""

from typing import Annotated, Any

from fastapi import Body, Query

from shared.access.actor import actor_of
from shared.access.context import ActingMember
from shared.channels.queries import find_unknown_channels
from shared.core.ids import DeliveryId, WebhookId
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router, refusals
from shared.webhooks import manage
from shared.webhooks.address import WebhookUrl
from shared.webhooks.schemas import (
    AddressTried,
    DeliveryList,
    DeliveryOut,
    WebhookEdit,
    WebhookEditById,
    WebhookIn,
    WebhookMade,
    WebhookOut,
    WebhookRemoved,
)

webhooks = Router(prefix="/webhooks", tags=["Webhooks"])


@webhooks.get("")
def list_webhooks(member: Acting, session: Reading) -> list[WebhookOut]:
    """List the organization's webhooks, oldest first."""
    return manage.list_webhooks(session, member.organization_id)


@webhooks.post("", status_code=201, responses=refusals(409))
def create_webhook(body: WebhookIn, member: Acting) -> WebhookMade:
    """Create a webhook. Only this answer shows the secret that signs its messages.

    Without `events` it receives only published posts. An organization can have 50 webhooks.
    """
    return manage.add_webhook(actor_of(member), body, unknown_channels=_unknown_channels(member))


@webhooks.put("")
def update_webhook_alias(body: WebhookEditById, member: Acting, session: Writing) -> WebhookOut:
    """Change a webhook (alias). The same as `PUT /webhooks/{webhook_id}`, with the id in the body."""
    return manage.change_webhook(
        session, actor_of(member), body.id, body, unknown_channels=_unknown_channels(member)
    )


@webhooks.post("/send")
def send_webhook(
    url: Annotated[WebhookUrl, Query()], body: Annotated[dict[str, Any] | list[Any], Body()]
) -> AddressTried:
    """Test an address before creating a webhook. Sends the body once, unsigned, and returns the result."""
    return manage.try_address(url, body)


@webhooks.get("/{webhook_id}")
def get_webhook(webhook_id: WebhookId, member: Acting, session: Reading) -> WebhookOut:
    """Return a webhook and its state."""
    return manage.get_webhook(session, member.organization_id, webhook_id)


@webhooks.put("/{webhook_id}")
def update_webhook(
    webhook_id: WebhookId, body: WebhookEdit, member: Acting, session: Writing
) -> WebhookOut:
    """Change, disable or enable a webhook. Omitted fields stay unchanged.

    While a webhook is disabled, its events are not kept, and unsent messages are dropped. Deliveries in its log can be sent
    again.
    """
    return manage.change_webhook(
        session, actor_of(member), webhook_id, body, unknown_channels=_unknown_channels(member)
    )


@webhooks.delete("/{webhook_id}")
def delete_webhook(webhook_id: WebhookId, member: Acting, session: Writing) -> WebhookRemoved:
    """Delete a webhook. Unsent messages are dropped."""
    manage.remove_webhook(session, actor_of(member), webhook_id)
    return WebhookRemoved(id=webhook_id)


@webhooks.post("/{webhook_id}/rotate")
def rotate_webhook_secret(webhook_id: WebhookId, member: Acting) -> WebhookMade:
    """Rotate a webhook's secret. Only this answer shows the new one. For a day messages are also signed with the old one."""
    return manage.rotate_secret(actor_of(member), webhook_id)


@webhooks.post("/{webhook_id}/test", status_code=201, responses=refusals(409))
def test_webhook(webhook_id: WebhookId, member: Acting, session: Writing) -> DeliveryOut:
    """Send a test message once. It has the event `webhook.test` and the body of an invented published post."""
    return manage.send_test(session, actor_of(member), webhook_id)


@webhooks.get("/{webhook_id}/deliveries")
def list_webhook_deliveries(
    webhook_id: WebhookId,
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> DeliveryList:
    """List a webhook's deliveries of the last 30 days and its unsent ones, newest first."""
    return manage.list_deliveries(
        session, member.organization_id, webhook_id, cursor=cursor, limit=limit
    )


@webhooks.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=201, responses=refusals(409)
)
def redeliver_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, member: Acting, session: Writing
) -> DeliveryOut:
    """Send a message again as a new delivery with the same event id."""
    return manage.redeliver(session, actor_of(member), webhook_id, delivery_id)


def _unknown_channels(member: ActingMember) -> manage.UnknownChannels:
    return lambda session, ids: find_unknown_channels(session, member.reach, ids)


app = make_app("automation", routers=[webhooks])
handler = as_handler(app)
