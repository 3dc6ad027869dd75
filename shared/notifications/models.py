"""The tables of notifications and announcements."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import (
    AnnouncementId,
    CustomerId,
    NotificationId,
    OrganizationId,
    UserId,
    new_id,
)
from shared.db.base import Base
from shared.db.types import text_enum


class NotificationKind(StrEnum):
    """The urgency: successes wait for the digest, failures are emailed immediately, `info` ignores preferences."""

    SUCCESS = "success"
    FAILURE = "failure"
    INFO = "info"


class Notification(Base):
    """One event, for a whole organization. `dedupe_key` keeps one incident from being reported twice.

    `customer_id` is the customer of the channel it is about, at that time. Without one, only members who are not limited to
    customers see it.

    `mailed_at` is set when its email was sent (or nobody wanted one); the digest function sends the others.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        Index(
            "ix_notifications_shown",
            "organization_id",
            "created_at",
            "id",
            postgresql_include=["customer_id"],
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "uq_notifications_dedupe_key",
            "organization_id",
            "dedupe_key",
            unique=True,
            postgresql_where=text("dedupe_key is not null"),
        ),
        Index(
            "ix_notifications_unmailed",
            "kind",
            "created_at",
            postgresql_where=text("mailed_at is null"),
        ),
    )

    id: Mapped[NotificationId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    kind: Mapped[NotificationKind] = mapped_column(text_enum(NotificationKind))
    title: Mapped[str]
    content: Mapped[str]
    link: Mapped[str | None]
    dedupe_key: Mapped[str | None]
    customer_id: Mapped[CustomerId | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    mail_claimed_until: Mapped[datetime | None]
    mailed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class AnnouncementColor(StrEnum):
    """How urgent an announcement looks."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Announcement(Base):
    """A text that the operators of the server show to the members of every organization, until it is deleted."""

    __tablename__ = "announcements"
    __table_args__ = (Index("ix_announcements_created_by", "created_by"),)

    id: Mapped[AnnouncementId] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str]
    description: Mapped[str]
    color: Mapped[AnnouncementColor] = mapped_column(text_enum(AnnouncementColor))
    created_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
