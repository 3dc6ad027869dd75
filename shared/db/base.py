"""Shared by all tables: timestamps, names of constraints, and the storage of Python types."""

import uuid
from datetime import datetime
from typing import Any, ClassVar, NewType

from sqlalchemy import DateTime, MetaData, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.core import ids

# Names for constraints without one, so that a migration can refer to them.
_NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
# `None` in a JSON column is SQL's NULL, never JSON's `null`, so there is only one form of "no value".
_JSON = JSONB(none_as_null=True)
_IDS = [kind for kind in vars(ids).values() if isinstance(kind, NewType)]


class Base(DeclarativeBase):
    """The declarative base of every model."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        **dict.fromkeys([uuid.UUID, *_IDS], Uuid()),
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: _JSON,
        list[Any]: _JSON,
        list[str]: _JSON,
        list[dict[str, Any]]: _JSON,
    }
    # Values from the database are returned by the same statement, not by a SELECT at first use.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  SQLAlchemy declares it without ClassVar


class Timestamps:
    """When a row was created and last changed, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=900)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now(), sort_order=901
    )


class SoftDelete:
    """When a row was deleted; `None` if it was not. Every query states which of the two it selects."""

    deleted_at: Mapped[datetime | None] = mapped_column(default=None, sort_order=902)
