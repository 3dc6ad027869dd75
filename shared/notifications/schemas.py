"""Schemas of notifications and announcements."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from shared.core.ids import AnnouncementId, NotificationId
from shared.core.wire import RequestModel, VisibleName, WireModel, WireTime
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


def _wire_color(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Color = Literal["INFO", "WARNING", "ERROR"]


class AnnouncementIn(RequestModel):
    """What the members of every organization are shown."""

    title: VisibleName = Field(min_length=1, max_length=200, examples=["Maintenance on Sunday"])
    description: str = Field(
        min_length=1, max_length=5_000, examples=["Posts that are due from 2 to 3 UTC go out late."]
    )
    color: Color = "INFO"


class AnnouncementOut(WireModel):
    id: AnnouncementId
    title: str
    description: str
    color: Annotated[Color, BeforeValidator(_wire_color)]
    created_at: WireTime


class AnnouncementRef(WireModel):
    id: AnnouncementId
