"""How members are notified of an event: a row in the caller's transaction, and a mail after the commit when it is urgent."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.core.cleaning import clean_name, clean_text, web_address
from shared.core.ids import OrganizationId, new_id
from shared.db.session import after_commit
from shared.notifications.models import NotificationKind

MAX_TITLE_CHARACTERS = 300
_ADD = text("""
    insert into notifications (id, organization_id, kind, title, content, link, dedupe_key)
    values (:id, :organization_id, :kind, :title, :content, :link, :dedupe_key)
    on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
    returning id
""")


def notifying(rows: str, which: str) -> str:
    """Write the CTE `notified`, which notifies the organizations of those rows of a CTE that meet the condition `which`.

    It is for statements that make the event true, which then need no second one, and for successes alone: nothing
    mails them before the digest. `values_of` returns its parameters.
    """
    return f"""
        notified as (
            insert into notifications (id, organization_id, kind, title, content, link, dedupe_key)
            select cast(:notification_id as uuid), organization_id, '{NotificationKind.SUCCESS}',
                cast(:notification_title as text), cast(:notification_content as text),
                cast(:notification_link as text), cast(:notification_dedupe_key as text)
            from {rows} where {which}
            on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
        )
    """  # noqa: S608, only names of CTEs and constants


def values_of(
    *, title: str, content: str, link: str | None, dedupe_key: str | None
) -> dict[str, object]:
    """Return the parameters of `notifying`."""
    values = _cleaned(title=title, content=content, link=link, dedupe_key=dedupe_key)
    return {f"notification_{name}": value for name, value in values.items()}


def _cleaned(
    *, title: str, content: str, link: str | None, dedupe_key: str | None
) -> dict[str, object]:
    return {
        "id": new_id(),
        "title": clean_name(title, max_length=MAX_TITLE_CHARACTERS),
        "content": clean_text(content),
        "link": web_address(link),
        "dedupe_key": dedupe_key,
    }


_ADD_MANY = text("""
    insert into notifications (id, organization_id, kind, title, content, link, dedupe_key, mailed_at)
    select id, organization_id, kind, title, content, link, dedupe_key, case when :mailed then now() end
    from unnest(cast(:ids as uuid[]), cast(:organization_ids as uuid[]), cast(:kinds as text[]), cast(:titles as text[]),
        cast(:contents as text[]), cast(:links as text[]), cast(:dedupe_keys as text[]))
        as given(id, organization_id, kind, title, content, link, dedupe_key)
    on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
    returning id, organization_id
""")


@dataclass(frozen=True, slots=True)
class NewNotification:
    """An event to notify an organization's members of, once per `dedupe_key`."""

    organization_id: UUID
    kind: NotificationKind
    title: str
    content: str
    link: str | None
    dedupe_key: str


def add_notifications(
    session: Session, given: Sequence[NewNotification], *, mailed: bool
) -> list[tuple[UUID, UUID]]:
    """Add those that are new, in one statement; return the id and organization of each.

    `mailed`: another mail lists them. The others are mailed by the caller, or by the digest function.
    """
    if not given:
        return []
    values = {
        "ids": [new_id() for _ in given],
        "organization_ids": [one.organization_id for one in given],
        "kinds": [one.kind for one in given],
        "titles": [one.title for one in given],
        "contents": [one.content for one in given],
        "links": [one.link for one in given],
        "dedupe_keys": [one.dedupe_key for one in given],
        "mailed": mailed,
    }
    return [(row.id, row.organization_id) for row in session.execute(_ADD_MANY, values)]


def notify(
    session: Session,
    organization_id: OrganizationId | UUID,
    kind: NotificationKind,
    *,
    title: str,
    content: str,
    link: str | None = None,
    dedupe_key: str | None = None,
) -> UUID | None:
    """Notify an organization's members of an event, once per `dedupe_key`; None when they know already.

    A success waits for the digest; the others are mailed as soon as the transaction has committed.
    """
    notification_id: UUID | None = session.execute(
        _ADD,
        _cleaned(title=title, content=content, link=link, dedupe_key=dedupe_key)
        | {"organization_id": organization_id, "kind": kind},
    ).scalar_one_or_none()
    if notification_id is not None and kind is not NotificationKind.SUCCESS:
        from shared.notifications.mails import (
            mail_now,  # a success never mails: the publisher need not load it
        )

        after_commit(session, lambda: mail_now([notification_id]))
    return notification_id
