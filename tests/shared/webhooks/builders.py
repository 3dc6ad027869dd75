"""Webhooks and their messages for tests, and what was put on their queue."""

import json
from typing import Any
from uuid import UUID, uuid4

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends
from sqlalchemy import func
from sqlalchemy.orm import Session

from shared.aws.keys import seal
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.core.ids import DeliveryId, new_id
from shared.organizations.models import Organization
from shared.webhooks.models import Webhook, WebhookDelivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def a_webhook(session: Session, organization: Organization, **columns: Any) -> Webhook:
    """Add a webhook with `SECRET`, which hears of everything."""
    values: dict[str, Any] = {
        "id": new_id(),
        "organization_id": organization.id,
        "name": "Zapier",
        "url": "https://hooks.example.org/roost",
        "secret": seal(SECRET, Purpose.WEBHOOK, organization.id),
    }
    webhook = Webhook(**values | columns)
    session.add(webhook)
    session.flush()
    return webhook


def a_delivery(session: Session, webhook: Webhook, **columns: Any) -> WebhookDelivery:
    """Add a message to it that is due."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "organization_id": webhook.organization_id,
        "webhook_id": webhook.id,
        "event": "post.published",
        "event_id": uuid4(),
        "body": [{"id": "1", "content": "<p>Grüße</p>"}],
        "next_at": func.now(),
        "enqueued_at": func.now(),
    }
    delivery = WebhookDelivery(**values | columns)
    session.add(delivery)
    session.flush()
    session.refresh(delivery)
    return delivery


def on_the_queue() -> list[dict[str, Any]]:
    """Return, and take off the queue, the messages as they are."""
    queue = sqs_backends[DEFAULT_ACCOUNT_ID][settings().aws_region].get_queue("webhooks")
    found = [json.loads(message.body) for message in queue._messages]
    queue._messages.clear()
    return found


def queued() -> dict[DeliveryId, int]:
    """Return, and take off the queue, which deliveries have a message there, and for how many seconds it is held back."""
    queue = sqs_backends[DEFAULT_ACCOUNT_ID][settings().aws_region].get_queue("webhooks")
    found = {}
    for message in list(queue._messages):
        sent_ms: Any = message.sent_timestamp
        held_ms = max(0, message.delayed_until - sent_ms)
        delivery_id = DeliveryId(UUID(json.loads(message.body)["deliveryId"]))
        assert delivery_id not in found
        found[delivery_id] = round(held_ms / 1000)
    queue._messages.clear()
    return found
