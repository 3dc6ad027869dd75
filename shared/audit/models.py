"""The tables of the audit log: what was done, and from which network address.

No row refers to another by a foreign key, and none contains a name, an address or a text, so that nothing has to change
when what it is about is deleted. Network addresses are in a table of their own, whose rows are deleted after 30 days.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import ApiKeyId, AuditEventId, GrantId, OrganizationId, SessionId, UserId
from shared.db.base import Base


class AuditEvent(Base):
    """One thing that somebody did. Rows are never changed or deleted; old months are dropped.

    `user_id` is the person in whose name it was done, `impersonated_by` the super admin who did it in their place.
    `organization_id` is null for what concerns only the person's account. `action` and `subject_kind` are texts without a
    check, because rows outlive the actions that the code knows.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        PrimaryKeyConstraint("at", "id"),  # PostgreSQL requires the partition's column in it
        Index("ix_audit_events_organization_id", "organization_id", "at", "id"),
        Index("ix_audit_events_subject_id", "subject_id", "at", "id"),
        Index("ix_audit_events_user_id", "user_id", "at", "id"),
        Index(
            "ix_audit_events_impersonated_by",
            "impersonated_by",
            "at",
            "id",
            postgresql_where=text("impersonated_by is not null"),
        ),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime]
    id: Mapped[AuditEventId]
    organization_id: Mapped[OrganizationId | None]
    user_id: Mapped[UserId | None]
    impersonated_by: Mapped[UserId | None]
    session_id: Mapped[SessionId | None]
    api_key_id: Mapped[ApiKeyId | None]
    grant_id: Mapped[GrantId | None]
    link_id: Mapped[UUID | None]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    request_id: Mapped[str | None]


class AuditAddress(Base):
    """The network address that an event came from."""

    __tablename__ = "audit_addresses"
    __table_args__ = (Index("ix_audit_addresses_at", "at"),)

    audit_event_id: Mapped[AuditEventId] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    address: Mapped[str]
