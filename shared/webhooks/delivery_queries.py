"""The statements that claim deliveries to webhooks, record their tries and find the due ones, over all organizations."""

from typing import Any, NamedTuple

from shared.core.ids import DeliveryId, EventId, OrganizationId, WebhookId
from shared.db.statement import NoRow, Statement, sql


class Claim(NamedTuple):
    delivery_id: DeliveryId
    lease_seconds: float
    most_tries: int
    most_per_organization: int
    most_per_host: int
    crowded_message: str


class ClaimRow(NamedTuple):
    """The claimed columns are null if `is_crowded`; otherwise `turn_seconds` is."""

    id: DeliveryId
    organization_id: OrganizationId
    webhook_name: str
    url: str
    secret: bytes
    previous_secret: bytes | None
    is_crowded: bool
    webhook_id: WebhookId
    event: str
    event_id: EventId
    tries: int
    body: list[dict[str, Any]]
    turn_seconds: float


# The wait of a message over a limit: one to three seconds at first, spread by a hash, and longer the longer it has waited,
# so that a long backlog costs few claims. Webhook messages need not arrive on the second.
_TURN_SHARE, _LONGEST_TURN_SECONDS = 8, 60
_TURN = sql(
    """make_interval(secs => least({longest_seconds},
            1 + (hashtext(judged.id::text || now()::text) & 2147483647) % 3
                + extract(epoch from now() - judged.created_at)::float8 / {share}))""",
    longest_seconds=_LONGEST_TURN_SECONDS,
    share=_TURN_SHARE,
)

# Of two messages about one delivery, the second finds the first one's lease. A process that dies has used up a try. The
# limit is checked last, because the check takes a lock.
CLAIM = Statement(
    "claim_delivery",
    sql(
        """
        with asked as (
            select d.id, d.organization_id, d.created_at, w.name as webhook_name, w.url, w.secret, w.host,
                case when w.previous_ends_at > now() then w.previous_secret end as previous_secret
            from webhook_deliveries d join webhooks w on w.id = d.webhook_id
            where d.id = :delivery_id and d.state = 'waiting' and d.next_at <= now() and d.tries < :most_tries
                and w.deleted_at is null and w.disabled_at is null
                and exists (select from organizations o where o.id = d.organization_id and o.deleted_at is null)
            for update of d
        ), judged as materialized (
            select id, organization_id, created_at, webhook_name, url, secret, previous_secret,
                webhooks_are_crowded(organization_id, host, :most_per_organization, :most_per_host) as is_crowded
            from asked
        ), put_back as (
            update webhook_deliveries d set next_at = now() + {turn}, enqueued_at = now() + {turn},
                error = coalesce(d.error, :crowded_message)
            from judged where d.id = judged.id and judged.is_crowded
            returning extract(epoch from d.next_at - now())::float8 as turn_seconds
        ), taken as (
            update webhook_deliveries d set tries = d.tries + 1, enqueued_at = null,
                next_at = now() + make_interval(secs => :lease_seconds),
                lease_until = now() + make_interval(secs => :lease_seconds)
            from judged where d.id = judged.id and not judged.is_crowded
            returning d.webhook_id, d.event, d.event_id, d.tries,
                coalesce((select b.body from webhook_bodies b where b.event_id = d.event_id), d.body) as body
        )
        select judged.id, judged.organization_id, judged.webhook_name, judged.url, judged.secret,
            judged.previous_secret, judged.is_crowded, taken.webhook_id, taken.event, taken.event_id, taken.tries,
            taken.body, put_back.turn_seconds
        from judged left join taken on true left join put_back on true
        """,
        turn=_TURN,
    ),
    params=Claim,
    row=ClaimRow,
)
"""Take a message that is due, or put it back when it is over a limit; no row if it is not due, is taken, or has no receiver.

One statement, so that the lock on the message is held while the limit is counted.
"""


class Taken(NamedTuple):
    delivery_id: DeliveryId
    status: int | None
    text: str | None


# A success ends a webhook's failing, whichever process reports it: the receiver got the message even if the lease was lost.
RECORD_TAKEN = Statement(
    "record_taken",
    sql("""
        with taken as (
            update webhook_deliveries set state = 'delivered', next_at = null, lease_until = null,
                finished_at = now(), error = null, response_status = :status, response_text = :text
            where id = :delivery_id and state = 'waiting'
            returning webhook_id
        )
        update webhooks set failing_since = null
        from taken where webhooks.id = taken.webhook_id and webhooks.failing_since is not null
    """),
    params=Taken,
    row=NoRow,
)
"""Record that the receiver has the message. One statement, since the end of the failing belongs to the success."""


class Failed(NamedTuple):
    """`pause_seconds` None: there is no other try; `enqueues`: a message is sent for the next one.

    `counts`: the failure counts against the webhook; `gone`: the receiver wants no more messages.
    """

    delivery_id: DeliveryId
    tries: int
    error: str
    status: int | None
    text: str | None
    pause_seconds: float | None
    enqueues: bool
    counts: bool
    gone: bool
    failing_for_seconds: float
    reason: str


class FailedRow(NamedTuple):
    disabled: bool


# `tries` is the lease: the process that took the message over has raised it. A webhook's row is changed by its first failure and
# by the one that disables it, not by each in between. A message that a member asked for as a test does not count.
RECORD_FAILED = Statement(
    "record_failed",
    sql("""
        with tried as (
            update webhook_deliveries set
                state = case when cast(:pause_seconds as float8) is null then 'failed' else 'waiting' end,
                next_at = now() + make_interval(secs => cast(:pause_seconds as float8)),
                enqueued_at = case when :enqueues then now() + make_interval(secs => cast(:pause_seconds as float8)) end,
                finished_at = case when cast(:pause_seconds as float8) is null then now() end,
                lease_until = null, error = :error, response_status = :status, response_text = :text
            where id = :delivery_id and tries = :tries and state = 'waiting'
            returning webhook_id
        ), failing as (
            update webhooks set failing_since = coalesce(webhooks.failing_since, now()),
                disabled_at = case when :gone or (cast(:pause_seconds as float8) is null
                    and webhooks.failing_since <= now() - make_interval(secs => :failing_for_seconds)) then now() end,
                disabled_reason = case when :gone or (cast(:pause_seconds as float8) is null
                    and webhooks.failing_since <= now() - make_interval(secs => :failing_for_seconds))
                    then cast(:reason as text) end
            from tried
            where webhooks.id = tried.webhook_id and webhooks.disabled_at is null and :counts
                and (webhooks.failing_since is null or :gone or cast(:pause_seconds as float8) is null)
            returning webhooks.disabled_at
        )
        select failing.disabled_at is not null as disabled from tried left join failing on true
    """),
    params=Failed,
    row=FailedRow,
)
"""Record a failed try; `disabled` if it was one too many, for `reason`. No row: the lease is lost.

One statement, so that a message and its webhook agree.
"""


class DuePage(NamedTuple):
    grace_seconds: float
    most_tries: int
    page_size: int


class DueRow(NamedTuple):
    id: DeliveryId
    organization_id: OrganizationId
    goes_on: bool


# What is due and has no message: the wait was too long for a queue, the message was lost, or its process died. Messages
# that may no longer be sent end here.
TAKE_DUE = Statement(
    "take_due",
    sql("""
        with due as (
            select d.id,
                d.tries < :most_tries and w.deleted_at is null and w.disabled_at is null
                    and o.deleted_at is null as goes_on
            from webhook_deliveries d
            join webhooks w on w.id = d.webhook_id join organizations o on o.id = d.organization_id
            where d.next_at <= now()
                and (d.enqueued_at is null or d.enqueued_at <= now() - make_interval(secs => :grace_seconds))
            order by d.next_at limit :page_size
            for update of d skip locked
        )
        update webhook_deliveries d set
            enqueued_at = case when due.goes_on then now() end,
            next_at = case when due.goes_on then d.next_at end,
            state = case when due.goes_on then d.state else 'failed' end,
            finished_at = case when due.goes_on then null else now() end,
            error = case when due.goes_on then d.error else coalesce(d.error, 'Nothing came of any try.') end
        from due where d.id = due.id
        returning d.id, d.organization_id, due.goes_on
    """),
    params=DuePage,
    row=DueRow,
)
"""Take a page of messages that are due and that no queue holds, of every organization; end those that do not `goes_on`.

One statement, so that no two sweeps take the same.
"""


class Page(NamedTuple):
    page_size: int


DELETE_OLD_BODIES = Statement(
    "delete_old_bodies",
    sql("""
        delete from webhook_bodies where event_id in (
            select event_id from webhook_bodies where kept_until <= now() limit :page_size)
    """),
    params=Page,
    row=NoRow,
)
"""Delete a page of the bodies that no message shows any more, of every organization."""


class OldPage(NamedTuple):
    kept_days: int
    page_size: int


DELETE_OLD_DELIVERIES = Statement(
    "delete_old_deliveries",
    sql("""
        delete from webhook_deliveries where id in (
            select id from webhook_deliveries where created_at <= now() - make_interval(days => :kept_days)
            limit :page_size)
    """),
    params=OldPage,
    row=NoRow,
)
"""Delete a page of the log that is older than `kept_days`, of every organization."""
