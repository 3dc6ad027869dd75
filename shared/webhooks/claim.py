"""Claims a message to a webhook, or makes it wait for its turn."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from shared.core.ids import DeliveryId, EventId, OrganizationId, WebhookId
from shared.webhooks import delivery_queries as queries

CROWDED = (
    "Your organization is already sending as many messages as it may at once. This one "
    "waits its turn."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The maximum number of an organization's messages that are sent at once, to all hosts and to one host."""

    per_organization: int
    per_host: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that only this process sends now. Secrets are sealed, newest first."""

    id: DeliveryId
    organization_id: OrganizationId
    webhook_id: WebhookId
    webhook_name: str
    url: str
    secrets: tuple[bytes, ...]
    event: str
    event_id: EventId
    body: list[dict[str, Any]]
    tries: int


@dataclass(frozen=True, slots=True)
class Crowded:
    """A message over a limit of its organization. It waits for `turn` without using up a try."""

    organization_id: OrganizationId
    turn: timedelta


def claim_delivery(
    session: Session, delivery_id: DeliveryId, bounds: Bounds, *, lease: timedelta, most_tries: int
) -> Claimed | Crowded | None:
    """Claim a due message. None: it is not due, another process has it, or its webhook was deleted."""
    row = queries.CLAIM.find(
        session,
        delivery_id=delivery_id,
        lease_seconds=lease.total_seconds(),
        most_tries=most_tries,
        most_per_organization=bounds.per_organization,
        most_per_host=bounds.per_host,
        crowded_message=CROWDED,
    )
    if row is None:
        return None
    if row.is_crowded:
        return Crowded(row.organization_id, timedelta(seconds=row.turn_seconds))
    return Claimed(
        id=row.id,
        organization_id=row.organization_id,
        webhook_id=row.webhook_id,
        webhook_name=row.webhook_name,
        url=row.url,
        secrets=(row.secret, row.previous_secret) if row.previous_secret else (row.secret,),
        event=row.event,
        event_id=row.event_id,
        body=row.body,
        tries=row.tries,
    )
