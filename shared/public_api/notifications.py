"""Lists an organization's notifications for the public API, by numbered pages, newest first."""

from sqlalchemy.orm import Session

from shared.core.ids import NotificationId
from shared.core.reach import Reach
from shared.core.wire import WireModel, WireTime
from shared.notifications import queries

PAGE_SIZE = 100
MOST_NUMBERED = 10_000  # notifications that the pages list: a numbered page is found by counting


class Told(WireModel):
    """One notification of the organization."""

    id: NotificationId
    content: str
    link: str | None
    created_at: WireTime


class ToldPage(WireModel):
    """One page; the first has the number 0. `total` counts all that the pages list, which is at most the newest 10,000."""

    notifications: list[Told]
    total: int
    page: int
    limit: int
    has_more: bool


def list_public_notifications(session: Session, reach: Reach, *, page: int) -> ToldPage:
    """List one page of the notifications that the caller may see, without marking them as read."""
    offset = min(page * PAGE_SIZE, MOST_NUMBERED)
    rows = queries.NUMBERED_PAGE.all(
        session,
        *reach,
        limit=min(PAGE_SIZE, MOST_NUMBERED - offset),
        offset=offset,
        most=MOST_NUMBERED,
    )
    total = rows[0].total
    items = [
        # Here a notification is one text, so what it is about comes with it.
        Told(
            id=row.id,
            content=f"{row.title}. {row.content}",
            link=row.link,
            created_at=row.created_at,
        )
        for row in rows
        if row.is_there
    ]
    return ToldPage(
        notifications=items,
        total=total,
        page=page,
        limit=PAGE_SIZE,
        has_more=(page + 1) * PAGE_SIZE < total,
    )
