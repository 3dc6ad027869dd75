"""Lists notifications for a member."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import NotificationId, UserId
from shared.core.page import read_cursor, write_cursor
from shared.core.reach import Reach
from shared.notifications import queries
from shared.notifications.models import NotificationKind
from shared.notifications.queries import PageRow
from shared.notifications.schemas import NotificationList, NotificationOut


def list_notifications(
    session: Session,
    reach: Reach,
    user_id: UserId,
    *,
    cursor: str | None,
    limit: int,
) -> NotificationList:
    """List one page of what the caller may see, newest first. Reading the first page marks everything as read.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    rows = _page(session, reach, user_id, cursor, limit + 1)
    last_read_at = rows[0].last_read_at
    listed = [row for row in rows if row.is_there]
    page, more = listed[:limit], len(listed) > limit
    return NotificationList(
        last_read_notifications=last_read_at,
        notifications=[
            NotificationOut(
                id=row.id,
                kind=NotificationKind(row.kind),
                title=row.title,
                content=row.content,
                link=row.link,
                created_at=row.created_at,
                unread=row.created_at > last_read_at,
            )
            for row in page
        ],
        next_cursor=write_cursor(page[-1].created_at.isoformat(), str(page[-1].id))
        if more
        else None,
    )


def _page(
    session: Session,
    reach: Reach,
    user_id: UserId,
    cursor: str | None,
    limit: int,
) -> list[PageRow]:
    if not cursor:
        return queries.FIRST_PAGE.all(session, *reach, user_id, limit)
    created_at, notification_id = _read(cursor)
    return queries.FURTHER_PAGE.all(
        session, *reach, user_id, limit, created_at=created_at, id=notification_id
    )


def _read(cursor: str) -> tuple[datetime, NotificationId]:
    created_at, notification_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(created_at)), NotificationId(
            UUID(notification_id)
        )
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error
