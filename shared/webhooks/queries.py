"""The statements that read and write webhooks and their deliveries. Times are compared by the database's clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.core.ids import DeliveryId, EventId, OrganizationId, WebhookId
from shared.db.statement import Json, NoRow, Statement, sql
from shared.webhooks.announce import body_kept_until


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class OfWebhook(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId


class WebhookRow(NamedTuple):
    id: WebhookId
    name: str
    url: str
    events: list[str]
    channel_ids: list[str]
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime


_SHOWN = sql("""
    id, name, url, events, channel_ids, failing_since, disabled_at, disabled_reason, created_at, updated_at
""")

LIST_WEBHOOKS = Statement(
    "list_webhooks",
    sql(
        """
        select {shown} from webhooks
        where organization_id = :organization_id and deleted_at is null
        order by created_at, id
        limit 1000
        """,
        shown=_SHOWN,
    ),
    params=OfOrganization,
    row=WebhookRow,
)
"""List an organization's webhooks, the oldest first; at most 1,000."""

FIND_WEBHOOK = Statement(
    "find_webhook",
    sql(
        """
        select {shown} from webhooks
        where organization_id = :organization_id and id = :webhook_id and deleted_at is null
        """,
        shown=_SHOWN,
    ),
    params=OfWebhook,
    row=WebhookRow,
)
"""Find a webhook."""


class Count(NamedTuple):
    total: int


COUNT_WEBHOOKS = Statement(
    "count_webhooks",
    sql("""
        select count(*) as total from webhooks
        where organization_id = :organization_id and deleted_at is null
    """),
    params=OfOrganization,
    row=Count,
)
"""Count an organization's webhooks."""


class NewWebhook(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId
    name: str
    url: str
    secret: bytes
    events: Json
    channel_ids: Json


ADD_WEBHOOK = Statement(
    "add_webhook",
    sql(
        """
        insert into webhooks (id, organization_id, name, url, secret, events, channel_ids)
        values (:webhook_id, :organization_id, :name, :url, :secret, cast(:events as jsonb),
            cast(:channel_ids as jsonb))
        returning {shown}
        """,
        shown=_SHOWN,
    ),
    params=NewWebhook,
    row=WebhookRow,
)
"""Add a webhook and return it."""


class WebhookChanges(NamedTuple):
    """`changes`: the columns to change, with their values. `disabled` None: it stays as it is."""

    organization_id: OrganizationId
    webhook_id: WebhookId
    changes: Json
    disabled: bool | None
    reason: str


CHANGE_WEBHOOK = Statement(
    "change_webhook",
    sql(
        """
        update webhooks w set updated_at = now(),
            disabled_at = case cast(:disabled as boolean)
                when true then coalesce(w.disabled_at, now()) when false then null else w.disabled_at end,
            disabled_reason = case cast(:disabled as boolean)
                when true then coalesce(w.disabled_reason, :reason) when false then null else w.disabled_reason end,
            (name, url, events, channel_ids, failing_since) = (
                select changed.name, changed.url, changed.events, changed.channel_ids, changed.failing_since
                from jsonb_populate_record(w, cast(:changes as jsonb)) changed)
        where w.organization_id = :organization_id and w.id = :webhook_id and w.deleted_at is null
        returning {shown}
        """,
        shown=_SHOWN,
    ),
    params=WebhookChanges,
    row=WebhookRow,
)
"""Change a webhook, and disable or enable it; no row: there is none."""


class NewSecret(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId
    secret: bytes
    old_signs_seconds: float


ROTATE_SECRET = Statement(
    "rotate_webhook_secret",
    sql(
        """
        update webhooks set secret = :secret, previous_secret = secret,
            previous_ends_at = now() + make_interval(secs => :old_signs_seconds), updated_at = now()
        where organization_id = :organization_id and id = :webhook_id and deleted_at is null
        returning {shown}
        """,
        shown=_SHOWN,
    ),
    params=NewSecret,
    row=WebhookRow,
)
"""Replace a webhook's secret; the old one signs for a while. No row: there is none."""

DELETE_WEBHOOK = Statement(
    "delete_webhook",
    sql("""
        update webhooks set deleted_at = now(), secret = '', previous_secret = null, updated_at = now()
        where organization_id = :organization_id and id = :webhook_id and deleted_at is null
    """),
    params=OfWebhook,
    row=NoRow,
)
"""Mark a webhook as deleted, and forget its secrets."""


# --- the log ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    id: DeliveryId
    event: str
    event_id: EventId
    state: str
    tries: int
    next_at: datetime | None
    response_status: int | None
    response_text: str | None
    error: str | None
    body: list[dict[str, Any]]
    created_at: datetime
    finished_at: datetime | None


class Log(NamedTuple):
    """The page begins before a position, or with the newest."""

    organization_id: OrganizationId
    webhook_id: WebhookId
    before_time: datetime | None
    before_id: DeliveryId | None
    limit: int


@dataclass(frozen=True, slots=True)
class LoggedRow(DeliveryRow):
    """Of a webhook without deliveries the only row is none: `is_delivery` is false, and the rest null."""

    is_delivery: bool


LIST_DELIVERIES = Statement(
    "list_deliveries",
    sql("""
        select page.id, page.event, page.event_id, page.state, page.tries, page.next_at, page.response_status,
            page.response_text, page.error, page.body, page.created_at, page.finished_at,
            page.id is not null as is_delivery
        from webhooks w left join lateral (
            select d.id, d.event, d.event_id, d.state, d.tries, d.next_at, d.response_status, d.response_text,
                d.error, coalesce(b.body, d.body) as body, d.created_at, d.finished_at
            from webhook_deliveries d left join webhook_bodies b on b.event_id = d.event_id
            where d.organization_id = :organization_id and d.webhook_id = :webhook_id
                and (cast(:before_time as timestamptz) is null
                    or (d.created_at, d.id) < (cast(:before_time as timestamptz), cast(:before_id as uuid)))
            order by d.created_at desc, d.id desc
            limit :limit
        ) page on true
        where w.organization_id = :organization_id and w.id = :webhook_id and w.deleted_at is null
        order by page.created_at desc, page.id desc
    """),
    params=Log,
    row=LoggedRow,
    custom_plan=True,
)
"""List the messages to a webhook, the newest first; no row: there is no such webhook."""


class OneDelivery(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId
    delivery_id: DeliveryId


class FoundDelivery(NamedTuple):
    event: str
    event_id: EventId
    state: str
    body: list[dict[str, Any]]
    disabled: bool


FIND_DELIVERY = Statement(
    "find_delivery",
    sql("""
        select d.event, d.event_id, d.state, coalesce(b.body, d.body) as body, w.disabled_at is not null as disabled
        from webhook_deliveries d join webhooks w on w.id = d.webhook_id
        left join webhook_bodies b on b.event_id = d.event_id
        where d.organization_id = :organization_id and d.webhook_id = :webhook_id and d.id = :delivery_id
            and w.deleted_at is null
    """),
    params=OneDelivery,
    row=FoundDelivery,
)
"""Find a message to a webhook that is not deleted, and whether that is `disabled`."""


class NewDelivery(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId
    delivery_id: DeliveryId
    event: str
    event_id: EventId
    body: Json


ADD_DELIVERY = Statement(
    "add_delivery",
    sql(
        """
        with kept as (
            insert into webhook_bodies (event_id, organization_id, body, kept_until)
            values (:event_id, :organization_id, cast(:body as jsonb), {kept_until})
            on conflict (event_id) do update set kept_until = excluded.kept_until
            returning body
        )
        insert into webhook_deliveries (id, organization_id, webhook_id, event, event_id, next_at, enqueued_at)
        values (:delivery_id, :organization_id, :webhook_id, :event, :event_id, now(), now())
        returning id, event, event_id, state, tries, next_at, response_status, response_text, error,
            (select body from kept) as body, created_at, finished_at
        """,
        kept_until=body_kept_until(),
    ),
    params=NewDelivery,
    row=DeliveryRow,
)
"""Add a message that is to be sent at once, and return it. One statement, so that no message is without its body."""


class Undeliverable(NamedTuple):
    organization_id: OrganizationId
    webhook_id: WebhookId
    error: str


END_WAITING_DELIVERIES = Statement(
    "end_waiting_deliveries",
    sql("""
        update webhook_deliveries
        set state = 'failed', next_at = null, enqueued_at = null, finished_at = now(), error = :error
        where organization_id = :organization_id and webhook_id = :webhook_id and state = 'waiting'
    """),
    params=Undeliverable,
    row=NoRow,
)
"""Fail the messages of a webhook that wait to be sent."""
