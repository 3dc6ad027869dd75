"""What every table has in common: times, names of constraints, and how a Python type is stored."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, MetaData, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# A constraint without a name gets one from here, so that a migration can say which one it changes.
_NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
# `None` in a JSON column is SQL's NULL, never JSON's `null`: one way to say "there is none".
_JSON = JSONB(none_as_null=True)


class Base(DeclarativeBase):
    """The declarative base of every model."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        uuid.UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: _JSON,
        list[Any]: _JSON,
        list[str]: _JSON,
        list[dict[str, Any]]: _JSON,
    }
    # What the database fills in comes back with the same statement instead of with a SELECT at first use.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  SQLAlchemy declares it without ClassVar


class Timestamps:
    """When a row was made and last changed, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=900)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now(), sort_order=901
    )


class SoftDelete:
    """When a row was deleted; `None` while it lives. Every query says which of the two it wants."""

    deleted_at: Mapped[datetime | None] = mapped_column(default=None, sort_order=902)
