"""Creates, changes, tests and deletes webhooks, and lists their deliveries."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.keys import seal
from shared.billing.sections import Section
from shared.billing.usage import check_level, lock_allowances
from shared.core import clock
from shared.core.crypto import Purpose
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ChannelId, DeliveryId, EventId, OrganizationId, WebhookId, new_id
from shared.core.page import read_cursor, write_cursor
from shared.db.session import read_only, unit_of_work
from shared.db.statement import to_json
from shared.webhooks import queries
from shared.webhooks.announce import send_after_commit
from shared.webhooks.errors import (
    NoSuchDelivery,
    NoSuchWebhook,
    StillTried,
    TooManyWebhooks,
    WebhookIsDisabled,
)
from shared.webhooks.models import TEST_EVENT, DeliveryState
from shared.webhooks.post import as_json, post
from shared.webhooks.queries import WebhookRow
from shared.webhooks.schemas import (
    AddressTried,
    DeliveryList,
    DeliveryOut,
    WebhookChannel,
    WebhookEdit,
    WebhookIn,
    WebhookMade,
    WebhookOut,
)
from shared.webhooks.signing import new_signing_secret

UnknownChannels: TypeAlias = Callable[[Session, Sequence[ChannelId]], set[ChannelId]]
"""Returns the ids that are not channels that the caller sees. Channels are a higher feature, so callers pass it in."""

MOST_WEBHOOKS = 50  # each receives every post, so this limits the messages of one post
OLD_SECRET_SIGNS_FOR = timedelta(hours=24)
_BY_A_MEMBER = "A member disabled it."
_NOT_SENT = "The webhook was disabled before this was sent."
_TEST_BODY = [
    {
        "id": "00000000-0000-0000-0000-000000000000",
        "content": "<p>This is a test.</p>",
        "publishDate": "2026-01-15T10:30:00.000Z",
        "releaseURL": "https://example.com/posts/1",
        "state": "PUBLISHED",
        "integration": {
            "id": "00000000-0000-0000-0000-000000000000",
            "name": "Test",
            "providerIdentifier": "mastodon",
            "picture": None,
            "type": "social",
        },
    }
]


def list_webhooks(session: Session, organization_id: OrganizationId) -> list[WebhookOut]:
    """List an organization's webhooks, oldest first."""
    return [_out(row) for row in queries.LIST_WEBHOOKS.all(session, organization_id)]


def get_webhook(
    session: Session, organization_id: OrganizationId, webhook_id: WebhookId
) -> WebhookOut:
    """Return a webhook.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
    """
    return _out(_found(queries.FIND_WEBHOOK.find(session, organization_id, webhook_id)))


def add_webhook(
    actor: Actor, wanted: WebhookIn, *, unknown_channels: UnknownChannels
) -> WebhookMade:
    """Create a webhook. Only this answer shows its secret.

    Raises:
        InvalidInput: the caller does not see a channel.
        TooManyWebhooks: the organization already has `MOST_WEBHOOKS`.
        PlanUsedUp: the plan includes no more webhooks.
    """
    organization_id = actor.organization
    with read_only() as session:
        channel_ids = _channel_ids(session, wanted.integrations, unknown_channels)
    secret = new_signing_secret()
    # Asks the key service, so not in a transaction.
    sealed = seal(secret, Purpose.WEBHOOK, organization_id)
    with unit_of_work() as session:
        allowances = lock_allowances(session, organization_id)
        total = queries.COUNT_WEBHOOKS.one(session, organization_id).total
        check_level(allowances, Section.WEBHOOKS, before=total, after=total + 1)
        if total >= MOST_WEBHOOKS:
            raise TooManyWebhooks(MOST_WEBHOOKS)
        row = queries.ADD_WEBHOOK.one(
            session,
            organization_id=organization_id,
            webhook_id=WebhookId(new_id()),
            name=wanted.name,
            url=wanted.url,
            secret=sealed,
            events=to_json(list(dict.fromkeys(wanted.events))),
            channel_ids=to_json(channel_ids),
        )
        record(session, actor, Action.WEBHOOK_CREATED, row.id)
    return _made(row, secret)


def change_webhook(
    session: Session,
    actor: Actor,
    webhook_id: WebhookId,
    wanted: WebhookEdit,
    *,
    unknown_channels: UnknownChannels,
) -> WebhookOut:
    """Change, disable or enable a webhook. Disabling it drops unsent messages.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
        InvalidInput: the caller does not see a channel.
    """
    organization_id = actor.organization
    values: dict[str, Any] = wanted.model_dump(include={"name", "url"}, exclude_none=True)
    if wanted.events is not None:
        values["events"] = list(dict.fromkeys(wanted.events))
    if wanted.integrations is not None:
        values["channel_ids"] = _channel_ids(session, wanted.integrations, unknown_channels)
    if wanted.url is not None or wanted.disabled is False:
        values["failing_since"] = None
    changed = queries.CHANGE_WEBHOOK.find(
        session,
        organization_id,
        webhook_id,
        changes=to_json(values),
        disabled=wanted.disabled,
        reason=_BY_A_MEMBER,
    )
    row = _found(changed)
    recorded = None if wanted.disabled is None else {"disabled": wanted.disabled}
    record(session, actor, Action.WEBHOOK_UPDATED, webhook_id, after=recorded)
    if wanted.disabled:
        _end_waiting(session, organization_id, webhook_id)
    return _out(row)


def rotate_secret(actor: Actor, webhook_id: WebhookId) -> WebhookMade:
    """Give a webhook a new secret. For a day, the old one signs too.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
    """
    organization_id = actor.organization
    with read_only() as session:
        get_webhook(session, organization_id, webhook_id)
    secret = new_signing_secret()
    # Asks the key service, so not in a transaction.
    sealed = seal(secret, Purpose.WEBHOOK, organization_id)
    with unit_of_work() as session:
        row = queries.ROTATE_SECRET.find(
            session,
            organization_id,
            webhook_id,
            secret=sealed,
            old_signs_seconds=OLD_SECRET_SIGNS_FOR.total_seconds(),
        )
        rotated = _found(row)
        record(session, actor, Action.WEBHOOK_SECRET_ROTATED, webhook_id)
    return _made(rotated, secret)


def remove_webhook(session: Session, actor: Actor, webhook_id: WebhookId) -> None:
    """Delete a webhook and its secrets. Unsent messages are dropped.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
    """
    if not queries.DELETE_WEBHOOK.run(session, actor.organization, webhook_id):
        raise NoSuchWebhook
    record(session, actor, Action.WEBHOOK_DELETED, webhook_id)
    _end_waiting(session, actor.organization, webhook_id)


def send_test(session: Session, actor: Actor, webhook_id: WebhookId) -> DeliveryOut:
    """Send a message that looks like that of a published post, once. The log shows the outcome.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
        WebhookIsDisabled: it is switched off.
    """
    organization_id = actor.organization
    webhook = _found(queries.FIND_WEBHOOK.find(session, organization_id, webhook_id))
    if webhook.disabled_at:
        raise WebhookIsDisabled
    record(session, actor, Action.WEBHOOK_TESTED, webhook_id)
    return _send(session, organization_id, webhook_id, TEST_EVENT, EventId(new_id()), _TEST_BODY)


def try_address(url: str, body: Any) -> AddressTried:
    """Send an unsigned body once to an address, which need not be a webhook's. Not for use inside a transaction."""
    answer = post(url, as_json(body), {"webhook-event": TEST_EVENT})
    return AddressTried(
        send=answer.is_taken,
        response_status=answer.status,
        response_text=answer.text,
        error=None if answer.is_taken else answer.reason,
    )


def redeliver(
    session: Session,
    actor: Actor,
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
) -> DeliveryOut:
    """Send a delivery again, as a new delivery with the same event id.

    Raises:
        NoSuchDelivery: the webhook has no such delivery, or the organization no such webhook.
        StillTried: the delivery is still being tried.
        WebhookIsDisabled: it is switched off.
    """
    organization_id = actor.organization
    row = queries.FIND_DELIVERY.find(session, organization_id, webhook_id, delivery_id)
    if row is None:
        raise NoSuchDelivery
    if row.disabled:
        raise WebhookIsDisabled
    if row.state == DeliveryState.WAITING:
        raise StillTried
    record(session, actor, Action.WEBHOOK_REDELIVERED, webhook_id)
    return _send(session, organization_id, webhook_id, row.event, row.event_id, row.body)


def list_deliveries(
    session: Session,
    organization_id: OrganizationId,
    webhook_id: WebhookId,
    *,
    cursor: str | None,
    limit: int,
) -> DeliveryList:
    """List one page of a webhook's log, newest first.

    Raises:
        NoSuchWebhook: the organization has no such webhook.
        InvalidInput: the cursor is not one of ours.
    """
    before_time, before_id = _read(cursor) if cursor else (None, None)
    found = queries.LIST_DELIVERIES.all(
        session,
        organization_id,
        webhook_id,
        before_time=before_time,
        before_id=before_id,
        limit=limit + 1,
    )
    if not found:
        raise NoSuchWebhook
    rows = [row for row in found if row.is_delivery]
    page, more = rows[:limit], len(rows) > limit
    return DeliveryList(
        deliveries=[DeliveryOut.model_validate(row) for row in page],
        next_cursor=write_cursor(page[-1].created_at.isoformat(), str(page[-1].id))
        if more
        else None,
    )


def _end_waiting(session: Session, organization_id: OrganizationId, webhook_id: WebhookId) -> None:
    queries.END_WAITING_DELIVERIES.run(session, organization_id, webhook_id, error=_NOT_SENT)


def _send(
    session: Session,
    organization_id: OrganizationId,
    webhook_id: WebhookId,
    event: str,
    event_id: EventId,
    body: list[dict[str, Any]],
) -> DeliveryOut:
    row = queries.ADD_DELIVERY.one(
        session,
        organization_id=organization_id,
        webhook_id=webhook_id,
        delivery_id=DeliveryId(new_id()),
        event=event,
        event_id=event_id,
        body=to_json(body),
    )
    send_after_commit(session, organization_id, [row.id])
    return DeliveryOut.model_validate(row)


def _channel_ids(
    session: Session, wanted: Sequence[WebhookChannel], unknown_channels: UnknownChannels
) -> list[str]:
    """Return the ids as they are stored.

    Raises:
        InvalidInput: some ids are not channels that the caller sees.
    """
    ids = list(dict.fromkeys(channel.id for channel in wanted))
    unknown = unknown_channels(session, ids) if ids else set()
    problems = [
        FieldProblem(
            f"integrations.{index}.id",
            "channel_not_found",
            "This channel does not exist. It may be deleted, or belong to another organization.",
        )
        for index, channel in enumerate(wanted)
        if channel.id in unknown
    ]
    if problems:
        raise InvalidInput("Some channels do not exist.", problems=problems)
    return [str(channel_id) for channel_id in ids]


def _found(row: WebhookRow | None) -> WebhookRow:
    if row is None:
        raise NoSuchWebhook
    return row


def _out(row: WebhookRow) -> WebhookOut:
    return WebhookOut(**_fields_of(row))


def _made(row: WebhookRow, secret: str) -> WebhookMade:
    return WebhookMade(**_fields_of(row), secret=secret)


def _fields_of(row: WebhookRow) -> dict[str, Any]:
    values = row._asdict()
    channel_ids = values.pop("channel_ids")
    values["integrations"] = [
        WebhookChannel(id=ChannelId(UUID(channel_id))) for channel_id in channel_ids
    ]
    return values | {"disabled": row.disabled_at is not None}


def _read(cursor: str) -> tuple[datetime, DeliveryId]:
    created_at, delivery_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(created_at)), DeliveryId(UUID(delivery_id))
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error
