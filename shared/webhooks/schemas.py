"""Request and response schemas of webhooks."""

from typing import Any

from pydantic import Field

from shared.core.ids import ChannelId, DeliveryId, EventId, WebhookId
from shared.core.wire import RequestModel, VisibleName, WireModel, WireTime
from shared.webhooks.address import WebhookUrl
from shared.webhooks.models import DeliveryState, Event

_EVENTS = "Events to receive; an empty list means all."
_CHANNELS = "Channels whose posts it receives; an empty list means all."


class WebhookChannel(WireModel):
    id: ChannelId


class WebhookIn(RequestModel):
    """A new webhook. Existing programs send no events and expect only published posts."""

    name: VisibleName = Field(min_length=1, max_length=100, examples=["Zapier"])
    url: WebhookUrl
    events: list[Event] = Field(default=[Event.PUBLISHED], max_length=20, description=_EVENTS)
    integrations: list[WebhookChannel] = Field(default=[], max_length=1_000, description=_CHANNELS)


class WebhookEdit(RequestModel):
    """Omitted fields stay unchanged."""

    name: VisibleName | None = Field(default=None, min_length=1, max_length=100)
    url: WebhookUrl | None = None
    events: list[Event] | None = Field(default=None, max_length=20, description=_EVENTS)
    integrations: list[WebhookChannel] | None = Field(
        default=None, max_length=1_000, description=_CHANNELS
    )
    disabled: bool | None = Field(
        default=None,
        description=("false enables it again after a member or too many failures disabled it."),
    )


class WebhookEditById(WebhookEdit):
    """The same with the id in the body, for existing programs."""

    id: WebhookId


class AddressTried(WireModel):
    """An address's answer to a test. `send` is true if it accepted the message."""

    send: bool
    response_status: int | None
    response_text: str | None = Field(description="The beginning of the response.")
    error: str | None


class WebhookOut(WireModel):
    id: WebhookId
    name: str
    url: str
    events: list[Event]
    integrations: list[WebhookChannel]
    disabled: bool
    disabled_at: WireTime | None
    disabled_reason: str | None
    failing_since: WireTime | None = Field(
        description="When a message first failed, if none was accepted since."
    )
    created_at: WireTime
    updated_at: WireTime


class WebhookMade(WebhookOut):
    secret: str = Field(
        description="The secret that signs messages. It is shown only here.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    )


class WebhookRemoved(WireModel):
    id: WebhookId


class DeliveryOut(WireModel):
    """`eventId` is the header `webhook-id`: the same in every try and in a redelivery."""

    id: DeliveryId
    event: str = Field(examples=["post.published"])
    event_id: EventId
    state: DeliveryState
    tries: int
    next_at: WireTime | None = Field(description="When it is sent next.")
    response_status: int | None
    response_text: str | None = Field(description="The beginning of the last response.")
    error: str | None
    body: list[dict[str, Any]]
    created_at: WireTime
    finished_at: WireTime | None


class DeliveryList(WireModel):
    """Newest first."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None
