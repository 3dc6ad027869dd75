"""Which statements read and write webhooks, and the messages to them. Times are compared by the database's clock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, tuple_, update
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, new_id
from shared.db.types import AnyRow
from shared.webhooks.announce import body_kept_until
from shared.webhooks.models import DeliveryState, Webhook, WebhookBody, WebhookDelivery

_SHOWN = (
    Webhook.id,
    Webhook.name,
    Webhook.url,
    Webhook.events,
    Webhook.channel_ids,
    Webhook.failing_since,
    Webhook.disabled_at,
    Webhook.disabled_reason,
    Webhook.created_at,
    Webhook.updated_at,
)
_DELIVERY_SHOWN = (
    WebhookDelivery.id,
    WebhookDelivery.event,
    WebhookDelivery.event_id,
    WebhookDelivery.state,
    WebhookDelivery.tries,
    WebhookDelivery.next_at,
    WebhookDelivery.response_status,
    WebhookDelivery.response_text,
    WebhookDelivery.error,
    func.coalesce(WebhookBody.body, WebhookDelivery.body).label("body"),
    WebhookDelivery.created_at,
    WebhookDelivery.finished_at,
)
_LIVES = Webhook.deleted_at.is_(None)


def list_webhooks(session: Session, organization_id: OrganizationId) -> Sequence[AnyRow]:
    """List an organization's webhooks, the first made first; at most 1,000."""
    return session.execute(
        select(*_SHOWN)
        .where(Webhook.organization_id == organization_id, _LIVES)
        .order_by(Webhook.created_at, Webhook.id)
        .limit(1_000)
    ).all()


def find_webhook(
    session: Session, organization_id: OrganizationId, webhook_id: UUID
) -> AnyRow | None:
    """Find a webhook."""
    return session.execute(
        select(*_SHOWN).where(
            Webhook.organization_id == organization_id, Webhook.id == webhook_id, _LIVES
        )
    ).one_or_none()


def count_webhooks(session: Session, organization_id: OrganizationId) -> int:
    """Count an organization's webhooks."""
    count = select(func.count()).where(Webhook.organization_id == organization_id, _LIVES)
    return session.execute(count).scalar_one()


def add_webhook(session: Session, organization_id: OrganizationId, **values: Any) -> AnyRow:
    """Add a webhook and return it."""
    return session.execute(
        insert(Webhook)
        .values(id=new_id(), organization_id=organization_id, **values)
        .returning(*_SHOWN)
    ).one()


def change_webhook(
    session: Session, organization_id: OrganizationId, webhook_id: UUID, **values: Any
) -> AnyRow | None:
    """Change a webhook and return it; None: there is none."""
    return session.execute(
        update(Webhook)
        .where(Webhook.organization_id == organization_id, Webhook.id == webhook_id, _LIVES)
        .values(updated_at=func.now(), **values)
        .returning(*_SHOWN)
    ).one_or_none()


_UNKNOWN_CHANNELS = text("""
    select given.id from unnest(cast(:ids as uuid[])) as given(id)
    where not exists (
        select 1 from channels
        where channels.id = given.id and channels.organization_id = :organization_id and channels.deleted_at is null)
""")


def unknown_channels(
    session: Session, organization_id: OrganizationId, ids: Sequence[UUID]
) -> set[UUID]:
    """Return those of the ids that are no channels of the organization."""
    values = {"organization_id": organization_id, "ids": list(ids)}
    return set(session.execute(_UNKNOWN_CHANNELS, values).scalars())


# --- the log ---------------------------------------------------------------------------------------------------


def list_deliveries(
    session: Session,
    organization_id: OrganizationId,
    webhook_id: UUID,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """List the messages of a living webhook, newest first, `before` a position.

    One row of nothing but nulls says that the webhook is there and has no messages; no row: there is no such webhook.
    """
    told = (
        select(*_DELIVERY_SHOWN)
        .outerjoin(WebhookBody, WebhookBody.event_id == WebhookDelivery.event_id)
        .where(
            WebhookDelivery.organization_id == organization_id,
            WebhookDelivery.webhook_id == webhook_id,
        )
    )
    if before:
        position = tuple_(WebhookDelivery.created_at, WebhookDelivery.id)
        told = told.where(position < tuple_(*before))
    page = (
        told.order_by(WebhookDelivery.created_at.desc(), WebhookDelivery.id.desc())
        .limit(limit)
        .subquery()
    )
    living = (
        select(Webhook.id.label("webhook_id"))
        .where(Webhook.organization_id == organization_id, Webhook.id == webhook_id, _LIVES)
        .subquery()
    )
    return session.execute(
        select(page)
        .select_from(living)
        .outerjoin(page, living.c.webhook_id.is_not(None))
        .order_by(page.c.created_at.desc(), page.c.id.desc())
    ).all()


def find_delivery(
    session: Session, organization_id: OrganizationId, webhook_id: UUID, delivery_id: UUID
) -> AnyRow | None:
    """Find a message of a living webhook, and whether that is `disabled`."""
    return session.execute(
        select(*_DELIVERY_SHOWN, Webhook.disabled_at.is_not(None).label("disabled"))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .outerjoin(WebhookBody, WebhookBody.event_id == WebhookDelivery.event_id)
        .where(
            WebhookDelivery.organization_id == organization_id,
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.id == delivery_id,
            _LIVES,
        )
    ).one_or_none()


_ADD_DELIVERY = text(f"""
    with kept as (
        insert into webhook_bodies (event_id, organization_id, body, kept_until)
        values (:event_id, :organization_id, cast(:body as jsonb), {body_kept_until()})
        on conflict (event_id) do update set kept_until = excluded.kept_until
        returning body
    )
    insert into webhook_deliveries (id, organization_id, webhook_id, event, event_id, next_at, enqueued_at)
    values (:delivery_id, :organization_id, :webhook_id, :event, :event_id, now(), now())
    returning id, event, event_id, state, tries, next_at, response_status, response_text, error,
        (select body from kept) as body, created_at, finished_at
""")  # noqa: S608, only a constant


def add_delivery(
    session: Session,
    organization_id: OrganizationId,
    webhook_id: UUID,
    *,
    event: str,
    event_id: UUID,
    body: list[dict[str, Any]],
) -> AnyRow:
    """Add a message that is to be sent at once, and return it. The event's body is kept for as long as it is shown."""
    values = {
        "delivery_id": new_id(),
        "organization_id": organization_id,
        "webhook_id": webhook_id,
        "event": event,
        "event_id": event_id,
        "body": json.dumps(body),
    }
    return session.execute(_ADD_DELIVERY, values).one()


def give_up_waiting(
    session: Session, organization_id: OrganizationId, webhook_id: UUID, *, error: str
) -> int:
    """End the messages of a webhook that wait to be sent; how many."""
    ended = session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.organization_id == organization_id,
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.state == DeliveryState.WAITING,
        )
        .values(
            state=DeliveryState.FAILED,
            next_at=None,
            enqueued_at=None,
            finished_at=func.now(),
            error=error,
        )
        .returning(WebhookDelivery.id)
    )
    return len(ended.all())


# --- delivering ------------------------------------------------------------------------------------------------


CROWDED = (
    "Your organization is already sending as many messages as it may at once. This one "
    "waits its turn."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many messages of one organization are sent at once, to all hosts and to one."""

    per_organization: int
    per_host: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process, and no other, is to send now. Secrets are sealed, newest first."""

    id: UUID
    organization_id: UUID
    webhook_id: UUID
    webhook_name: str
    url: str
    secrets: tuple[bytes, ...]
    event: str
    event_id: UUID
    body: list[dict[str, Any]]
    tries: int


@dataclass(frozen=True, slots=True)
class Crowded:
    """A message that is over a bound of its organization. `turn` is how long it waits, without having used up a try."""

    organization_id: UUID
    turn: timedelta


_TURN_SHARE, _LONGEST_TURN_SECONDS = 8, 60
# How long a message over a bound waits: one to three seconds at first, spread by a hash, and longer the longer it has
# waited already, so that a long line costs few claims. Messages to webhooks promise no second.
_TURN = f"""make_interval(secs => least({_LONGEST_TURN_SECONDS},
            1 + (hashtext(judged.id::text || now()::text) & 2147483647) % 3
                + extract(epoch from now() - judged.created_at)::float8 / {_TURN_SHARE}))"""

# Of two messages about one delivery, the second finds the first one's lease. A holder that vanishes has used up a try.
# The bound is judged last, since asking takes a lock.
_CLAIM = text(f"""
    with asked as (
        select told.id, told.organization_id, told.created_at, hears.name as webhook_name, hears.url, hears.secret,
            hears.host, case when hears.previous_ends_at > now() then hears.previous_secret end as previous_secret
        from webhook_deliveries told join webhooks hears on hears.id = told.webhook_id
        where told.id = :delivery_id and told.state = 'waiting' and told.next_at <= now() and told.tries < :most_tries
            and hears.deleted_at is null and hears.disabled_at is null
            and exists (select from organizations o where o.id = told.organization_id and o.deleted_at is null)
        for update of told
    ), judged as materialized (
        select *, webhooks_are_crowded(organization_id, host, :most_per_organization, :most_per_host) as is_crowded
        from asked
    ), put_back as (
        update webhook_deliveries told set next_at = now() + {_TURN}, enqueued_at = now() + {_TURN},
            error = coalesce(told.error, :crowded_message)
        from judged where told.id = judged.id and judged.is_crowded
        returning extract(epoch from told.next_at - now())::float8 as turn_seconds
    ), taken as (
        update webhook_deliveries told set tries = told.tries + 1, enqueued_at = null,
            next_at = now() + make_interval(secs => :lease_seconds),
            lease_until = now() + make_interval(secs => :lease_seconds)
        from judged where told.id = judged.id and not judged.is_crowded
        returning told.webhook_id, told.event, told.event_id, told.tries,
            coalesce((select kept.body from webhook_bodies kept where kept.event_id = told.event_id), told.body) as body
    )
    select judged.*, taken.*, put_back.turn_seconds
    from judged left join taken on true left join put_back on true
""")  # noqa: S608, only constants of this file


def claim_delivery(
    session: Session, delivery_id: UUID, bounds: Bounds, *, lease: timedelta, most_tries: int
) -> Claimed | Crowded | None:
    """Take a message that is due; None: it is not, or somebody has it, or nobody receives it any more."""
    values = {
        "delivery_id": delivery_id,
        "lease_seconds": lease.total_seconds(),
        "most_tries": most_tries,
        "most_per_organization": bounds.per_organization,
        "most_per_host": bounds.per_host,
        "crowded_message": CROWDED,
    }
    row = session.execute(_CLAIM, values).one_or_none()
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


# A success ends a webhook's failing, and counts whichever process brings it: a holder that lost its lease was heard all the same.
_RECORD_TAKEN = text("""
    with taken as (
        update webhook_deliveries set state = 'delivered', next_at = null, lease_until = null, finished_at = now(),
            error = null, response_status = :status, response_text = :text
        where id = :delivery_id and state = 'waiting'
        returning webhook_id
    )
    update webhooks set failing_since = null
    from taken where webhooks.id = taken.webhook_id and webhooks.failing_since is not null
""")


def record_taken(
    session: Session, claimed: Claimed, *, status: int | None, response_text: str | None
) -> None:
    """Write down that the receiver has the message."""
    values = {"status": status, "text": response_text}
    session.execute(_RECORD_TAKEN, {"delivery_id": claimed.id} | values)


# `tries` is the lease: the process that took the message over has raised it. A webhook's row is changed by its first failure and
# by the one that disables it, not by each in between. A message that a member asked for as a test does not count.
_RECORD_FAILED = text("""
    with tried as (
        update webhook_deliveries set
            state = case when cast(:pause_seconds as float8) is null then 'failed' else 'waiting' end,
            next_at = now() + make_interval(secs => cast(:pause_seconds as float8)),
            enqueued_at = case when :enqueues then now() + make_interval(secs => cast(:pause_seconds as float8)) end,
            finished_at = case when cast(:pause_seconds as float8) is null then now() end,
            lease_until = null, error = :error, response_status = :status, response_text = :text
        where id = :delivery_id and tries = :tries and state = 'waiting'
        returning id, webhook_id
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
    select tried.id, failing.disabled_at is not null as disabled from tried left join failing on true
""")


@dataclass(frozen=True, slots=True)
class Failure:
    """What is written of a try that failed. `pause` None: there is no other; `enqueues`: a message is sent for the next.

    `counts`: it says something of the webhook; `gone`: it wants to hear nothing any more.
    """

    error: str
    status: int | None
    response_text: str | None
    pause: timedelta | None
    enqueues: bool
    counts: bool
    gone: bool


def record_failed(
    session: Session, claimed: Claimed, failure: Failure, *, failing_for: timedelta, reason: str
) -> AnyRow | None:
    """Write down a failure; `disabled` says that it was the one too many, for `reason`. None: the lease is lost."""
    return session.execute(
        _RECORD_FAILED,
        {
            "delivery_id": claimed.id,
            "tries": claimed.tries,
            "error": failure.error,
            "status": failure.status,
            "text": failure.response_text,
            "pause_seconds": failure.pause.total_seconds() if failure.pause else None,
            "enqueues": failure.enqueues,
            "counts": failure.counts,
            "gone": failure.gone,
            "failing_for_seconds": failing_for.total_seconds(),
            "reason": reason,
        },
    ).one_or_none()


# What is due and has no message: the wait was too long for a queue, the message was lost, or its holder vanished. What
# nobody may send any more ends here.
_TAKE_DUE = text("""
    with due as (
        select told.id,
            told.tries < :most_tries and hears.deleted_at is null and hears.disabled_at is null
                and o.deleted_at is null as goes_on
        from webhook_deliveries told
        join webhooks hears on hears.id = told.webhook_id join organizations o on o.id = told.organization_id
        where told.next_at <= now()
            and (told.enqueued_at is null or told.enqueued_at <= now() - make_interval(secs => :grace_seconds))
        order by told.next_at limit :page_size
        for update of told skip locked
    )
    update webhook_deliveries told set
        enqueued_at = case when due.goes_on then now() end,
        next_at = case when due.goes_on then told.next_at end,
        state = case when due.goes_on then told.state else 'failed' end,
        finished_at = case when due.goes_on then null else now() end,
        error = case when due.goes_on then told.error else coalesce(told.error, 'Nothing came of any try.') end
    from due where told.id = due.id
    returning told.id, told.organization_id, due.goes_on
""")


def take_due(
    session: Session, *, grace: timedelta, most_tries: int, page_size: int
) -> Sequence[AnyRow]:
    """Take a page of messages that are due and that nobody was asked to send lately, of every organization.

    `goes_on` says which of them are to be sent; the others have just ended.
    """
    values = {
        "grace_seconds": grace.total_seconds(),
        "most_tries": most_tries,
        "page_size": page_size,
    }
    return session.execute(_TAKE_DUE, values).all()


def delete_old_bodies(session: Session, *, page_size: int) -> int:
    """Delete a page of the bodies that no message shows any more, of every organization; how many."""
    old = select(WebhookBody.event_id).where(WebhookBody.kept_until <= func.now()).limit(page_size)
    deleted = session.execute(
        delete(WebhookBody).where(WebhookBody.event_id.in_(old)).returning(WebhookBody.event_id)
    )
    return len(deleted.all())


def delete_old_deliveries(session: Session, *, kept: timedelta, page_size: int) -> int:
    """Delete a page of the log that is older than `kept`, of every organization; how many."""
    old = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.created_at <= func.now() - kept)
        .limit(page_size)
    )
    deleted = session.execute(
        delete(WebhookDelivery).where(WebhookDelivery.id.in_(old)).returning(WebhookDelivery.id)
    )
    return len(deleted.all())
