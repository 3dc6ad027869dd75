"""Notifies members of an event: a row in the caller's transaction, and an email after the commit if it is urgent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy.orm import Session

from shared.core.cleaning import clean_name, clean_text, web_address
from shared.core.ids import CustomerId, NotificationId, OrganizationId, new_id
from shared.db.session import after_commit
from shared.db.statement import Sql, literals, sql
from shared.notifications import queries
from shared.notifications.models import NotificationKind

MAX_TITLE_CHARACTERS = 300


class Wording(TypedDict):
    """The parameters of `notifying`."""

    notification_id: NotificationId
    notification_title: str
    notification_content: str
    notification_link: str | None
    notification_dedupe_key: str | None
    notification_customer_id: CustomerId | None


def notifying(rows: str, which: Sql) -> Sql:
    """Return the CTE `notified`, which notifies the organizations of those rows of a CTE that meet the condition `which`.

    It is part of the statement that makes the event true, which saves a second statement. It is only for successes, which
    are emailed in the digest. `values_of` returns its parameters.
    """
    return sql(
        """
        notified as (
            insert into notifications (id, organization_id, kind, title, content, link, dedupe_key, customer_id)
            select cast(:notification_id as uuid), organization_id, {kind},
                cast(:notification_title as text), cast(:notification_content as text),
                cast(:notification_link as text), cast(:notification_dedupe_key as text),
                cast(:notification_customer_id as uuid)
            from {rows} where {which}
            on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
        )
        """,
        kind=literals(NotificationKind.SUCCESS),
        rows=Sql(rows),
        which=which,
    )


def values_of(
    *,
    title: str,
    content: str,
    link: str | None,
    dedupe_key: str | None,
    customer_id: CustomerId | None,
) -> Wording:
    """Return the parameters of `notifying`. `customer_id` is the customer of the channel that it is about."""
    return {
        "notification_id": NotificationId(new_id()),
        "notification_title": clean_name(title, max_length=MAX_TITLE_CHARACTERS),
        "notification_content": clean_text(content),
        "notification_link": web_address(link),
        "notification_dedupe_key": dedupe_key,
        "notification_customer_id": customer_id,
    }


@dataclass(frozen=True, slots=True)
class NewNotification:
    """An event to notify an organization's members of, once per `dedupe_key`. `customer_id`: of the channel that it is about."""

    organization_id: OrganizationId
    customer_id: CustomerId | None
    kind: NotificationKind
    title: str
    content: str
    link: str | None
    dedupe_key: str


def add_notifications(
    session: Session, given: Sequence[NewNotification], *, mailed: bool
) -> list[tuple[NotificationId, OrganizationId]]:
    """Add the new notifications in one statement; return the id and organization of each.

    `mailed`: another email lists them. The others are emailed by the caller, or by the digest function.
    """
    if not given:
        return []
    added = queries.ADD_MANY.all(
        session,
        ids=[NotificationId(new_id()) for _ in given],
        organization_ids=[one.organization_id for one in given],
        kinds=[one.kind for one in given],
        titles=[one.title for one in given],
        contents=[one.content for one in given],
        links=[one.link for one in given],
        dedupe_keys=[one.dedupe_key for one in given],
        customer_ids=[one.customer_id for one in given],
        mailed=mailed,
    )
    return [(row.id, row.organization_id) for row in added]


def notify(
    session: Session,
    organization_id: OrganizationId,
    kind: NotificationKind,
    *,
    title: str,
    content: str,
    link: str | None = None,
    dedupe_key: str | None = None,
    customer_id: CustomerId | None = None,
) -> NotificationId | None:
    """Notify an organization's members of an event, once per `dedupe_key`.

    `customer_id` is the customer of the channel that it is about. Without one, only members who are not limited to customers see it.

    Returns None if they were already notified. A success waits for the digest; everything else is emailed right after
    the commit.
    """
    added = queries.ADD.find(
        session,
        organization_id=organization_id,
        id=NotificationId(new_id()),
        kind=kind,
        title=clean_name(title, max_length=MAX_TITLE_CHARACTERS),
        content=clean_text(content),
        link=web_address(link),
        dedupe_key=dedupe_key,
        customer_id=customer_id,
    )
    if added is None:
        return None
    if kind is not NotificationKind.SUCCESS:
        from shared.notifications.mails import (
            mail_now,  # a success sends no email, so the publisher need not load this
        )

        after_commit(session, lambda: mail_now([added.id]))
    return added.id
