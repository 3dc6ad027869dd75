"""How members are told of an event: a row in the caller's transaction, and a mail after the commit when it is urgent."""

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
    """Tell an organization's members of an event, once per `dedupe_key`; None when they know already.

    A success waits for the digest; the others are mailed as soon as the transaction has committed.
    """
    notification_id: UUID | None = session.execute(
        _ADD,
        {
            "id": new_id(),
            "organization_id": organization_id,
            "kind": kind,
            "title": clean_name(title, max_length=MAX_TITLE_CHARACTERS),
            "content": clean_text(content),
            "link": web_address(link),
            "dedupe_key": dedupe_key,
        },
    ).scalar_one_or_none()
    if notification_id is not None and kind is not NotificationKind.SUCCESS:
        from shared.notifications.mails import (
            mail_now,  # a success never mails: the publisher need not load it
        )

        after_commit(session, lambda: mail_now([notification_id]))
    return notification_id
