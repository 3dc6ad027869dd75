"""The tables of webhooks and of their deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.crypto import Purpose
from shared.core.ids import DeliveryId, EventId, OrganizationId, WebhookId, new_id
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import Sealed, text_enum


class Event(StrEnum):
    """The events that a webhook can receive. `failed` is also sent for an unconfirmed post; its body says which it is."""

    CREATED = "post.created"
    UPDATED = "post.updated"
    PUBLISHED = "post.published"
    FAILED = "post.failed"
    DELETED = "post.deleted"


TEST_EVENT = "webhook.test"  # sent at a member's request; nobody subscribes to it


class DeliveryState(StrEnum):
    """The state of a message to a webhook. `waiting` is tried again at `next_at`."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


_HOST = r"lower(substring(url, '^[a-zA-Z]+://(?:[^/?#]*@)?(\[[^]]*\]|[^/?#:]*)'::text))"


class Webhook(Timestamps, SoftDelete, Base):
    """An address that is notified of an organization's posts. `host` is the server in its `url`.

    `events` and `channel_ids` choose which; empty means all. `secret` is sealed with the organization's id as
    associated data; until `previous_ends_at`, the previous one signs too. `failing_since` is the first failure without
    a success after it; `disabled_at` is set when failures have lasted too long, or by a member, and `disabled_reason`
    says why.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index(
            "ix_webhooks_organization_id",
            "organization_id",
            postgresql_where=text("deleted_at is null"),
        ),
    )

    id: Mapped[WebhookId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    url: Mapped[str]
    host: Mapped[str | None] = mapped_column(Computed(_HOST, persisted=True))
    secret: Mapped[bytes] = mapped_column(Sealed(Purpose.WEBHOOK))
    previous_secret: Mapped[bytes | None] = mapped_column(Sealed(Purpose.WEBHOOK))
    previous_ends_at: Mapped[datetime | None]
    events: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    channel_ids: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class WebhookBody(Base):
    """An event's content, stored once for all webhooks that receive it.

    Deliveries refer to it by their `event_id`, without a foreign key: those written before this table existed hold their
    own body. `kept_until` is extended when a delivery is repeated; after it, the sweep deletes the body.
    """

    __tablename__ = "webhook_bodies"
    __table_args__ = (Index("ix_webhook_bodies_kept_until", "kept_until"),)

    event_id: Mapped[EventId] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    body: Mapped[list[dict[str, Any]]]
    kept_until: Mapped[datetime]


class WebhookDelivery(Base):
    """One message to one webhook, written in the transaction of the change it reports, and the log of its outcome.

    `event_id` is the same for all webhooks that receive one event, and for a redelivery. `next_at` is when it is sent
    (again), or the end of the lease while it is being sent; None: never. `lease_until` is also that end, and None while
    nobody is sending it; until then it takes one of its organization's places. `enqueued_at`, a hint, is when its
    message reaches the queue's consumer; None: there is no message. `response_status` and `response_text` (its
    beginning) are from the last answer. `body` is empty if a `WebhookBody` holds it.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "created_at"),
        Index(
            "ix_webhook_deliveries_next_at",
            "next_at",
            postgresql_where=text("next_at is not null"),
        ),
        Index("ix_webhook_deliveries_created_at", "created_at"),
        Index(
            "ix_webhook_deliveries_lease_until",
            "organization_id",
            postgresql_where=text("lease_until is not null"),
        ),
    )

    id: Mapped[DeliveryId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    webhook_id: Mapped[WebhookId] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str]
    event_id: Mapped[EventId]
    body: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default=text("'[]'"))
    state: Mapped[DeliveryState] = mapped_column(
        text_enum(DeliveryState), server_default=text("'waiting'")
    )
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    next_at: Mapped[datetime | None]
    enqueued_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    response_status: Mapped[int | None]
    response_text: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    finished_at: Mapped[datetime | None]
