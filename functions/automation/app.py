"""`/webhooks/*`: who is notified of an organization's posts, and the log of deliveries."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Query

from shared.channels.queries import find_unknown_channels
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
    """Create a webhook. The answer shows the secret that its messages are signed with, once.

    Without `events` it receives published posts alone. An organization may have 50.
    """
    return manage.add_webhook(member.organization_id, body, unknown_channels=find_unknown_channels)


@webhooks.put("")
def update_webhook_alias(body: WebhookEditById, member: Acting, session: Writing) -> WebhookOut:
    """Change a webhook (alias). The same as `PUT /webhooks/{webhook_id}`, with the id in the body."""
    return manage.change_webhook(
        session, member.organization_id, body.id, body, unknown_channels=find_unknown_channels
    )


@webhooks.post("/send")
def send_webhook(
    url: Annotated[WebhookUrl, Query()], body: Annotated[dict[str, Any] | list[Any], Body()]
) -> AddressTried:
    """Test an address before creating a webhook. It is sent the body, unsigned, once, and the answer says how it went."""
    return manage.try_address(url, body)


@webhooks.get("/{webhook_id}")
def get_webhook(webhook_id: UUID, member: Acting, session: Reading) -> WebhookOut:
    """Return a webhook and its state."""
    return manage.get_webhook(session, member.organization_id, webhook_id)


@webhooks.put("/{webhook_id}")
def update_webhook(
    webhook_id: UUID, body: WebhookEdit, member: Acting, session: Writing
) -> WebhookOut:
    """Change, disable or enable a webhook; omitted fields stay.

    While it is off nothing is kept for it, and what was not sent yet is given up; its log can be delivered again.
    """
    return manage.change_webhook(
        session, member.organization_id, webhook_id, body, unknown_channels=find_unknown_channels
    )


@webhooks.delete("/{webhook_id}")
def delete_webhook(webhook_id: UUID, member: Acting, session: Writing) -> WebhookRemoved:
    """Delete a webhook; unsent messages are dropped."""
    manage.remove_webhook(session, member.organization_id, webhook_id)
    return WebhookRemoved(id=webhook_id)


@webhooks.post("/{webhook_id}/rotate")
def rotate_webhook_secret(webhook_id: UUID, member: Acting) -> WebhookMade:
    """Rotate a webhook's secret, shown once. For a day its messages carry a signature by the old one as well."""
    return manage.rotate_secret(member.organization_id, webhook_id)


@webhooks.post("/{webhook_id}/test", status_code=201, responses=refusals(409))
def test_webhook(webhook_id: UUID, member: Acting, session: Writing) -> DeliveryOut:
    """Send a test message, once. It has the event `webhook.test` and the body of a published post that is none."""
    return manage.send_test(session, member.organization_id, webhook_id)


@webhooks.get("/{webhook_id}/deliveries")
def list_webhook_deliveries(
    webhook_id: UUID,
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> DeliveryList:
    """List a webhook's deliveries of the last 30 days and those still to be sent, newest first."""
    return manage.list_deliveries(
        session, member.organization_id, webhook_id, cursor=cursor, limit=limit
    )


@webhooks.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=201, responses=refusals(409)
)
def redeliver_webhook_delivery(
    webhook_id: UUID, delivery_id: UUID, member: Acting, session: Writing
) -> DeliveryOut:
    """Redeliver a message, with the same event id, as a new delivery."""
    return manage.redeliver(session, member.organization_id, webhook_id, delivery_id)


app = make_app("automation", routers=[webhooks])
handler = as_handler(app)
