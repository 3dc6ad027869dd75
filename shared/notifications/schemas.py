"""Response schemas of notifications."""

from pydantic import Field

from shared.core.ids import NotificationId
from shared.core.wire import WireModel, WireTime
from shared.notifications.models import NotificationKind


class UnreadCount(WireModel):
    total: int = Field(description="At most 1,000.")


class NotificationOut(WireModel):
    id: NotificationId
    kind: NotificationKind
    title: str
    content: str
    link: str | None
    created_at: WireTime
    unread: bool


class NotificationList(WireModel):
    """Newest first. `lastReadNotifications` is the user's read time before this request."""

    last_read_notifications: WireTime
    notifications: list[NotificationOut]
    next_cursor: str | None


class ReadMark(WireModel):
    last_read_notifications: WireTime
