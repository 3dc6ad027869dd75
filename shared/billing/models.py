"""The tables of plans: what was used of a flow, and what happened once."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import OrganizationId
from shared.db.base import Base


class Usage(Base):
    """How much of a flow an organization has used in the billing month that begins on `period_start` (UTC)."""

    __tablename__ = "usage"
    __table_args__ = (CheckConstraint("used >= 0", name="used_not_negative"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    section: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(default=0)


class FirstRun(Base):
    """Something that is done once for the whole system, and when it was."""

    __tablename__ = "first_runs"

    task: Mapped[str] = mapped_column(primary_key=True)
    ran_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
