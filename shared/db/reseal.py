"""Seals all stored secrets again with new data keys, in pages, while the system runs.

A value that was replaced meanwhile (a token that was refreshed) is left alone: it is newer and already has a new data key.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Column, Connection, Table, select, update

from shared.core.crypto import CannotOpen, Purpose
from shared.core.log import log
from shared.db.all_models import Base
from shared.db.types import Sealed

Seal: TypeAlias = Callable[[str, Purpose, UUID], bytes]
Open: TypeAlias = Callable[[bytes, Purpose, UUID], str]
PAGE = 100


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values, with the columns of the row's id and of the owner's."""

    table: Table
    column: Column[bytes]
    id: Column[Any]
    owner: Column[UUID]
    purpose: Purpose

    @property
    def name(self) -> str:
        """Return the name with its table's: `channels.access_token`."""
        return f"{self.table.name}.{self.column.name}"


class Position(NamedTuple):
    """How far the work is: after a row of a column. `after` of "" is the column's beginning."""

    column: str
    after: str


@dataclass(slots=True)
class Resealed:
    """What was done. `position` is where to go on; None: everything is done."""

    sealed: int = 0
    replaced_meanwhile: int = 0
    unreadable: int = 0
    position: Position | None = None


def sealed_columns() -> list[SealedColumn]:
    """List all columns of sealed values, by name."""
    return sorted(_sealed_columns(), key=lambda each: each.name)


def reseal(
    connection: Connection,
    *,
    seal: Seal,
    open_sealed: Open,
    start: Position | None = None,
    until: float,
) -> Resealed:
    """Seal every value again, from `start` on, and stop after the page in which `until` (`time.monotonic()`) passes.

    Each page is a transaction. A value that cannot be opened is logged, counted and stays as it is.

    Raises:
        ValueError: `start` names a column that does not exist.
    """
    done = Resealed()
    columns = sealed_columns()
    names = [each.name for each in columns]
    if start is not None and start.column not in names:
        raise ValueError(f"There is no sealed column {start.column}. There are {', '.join(names)}.")
    for each in columns[names.index(start.column) if start else 0 :]:
        after = start.after if start and start.column == each.name else ""
        while last := _reseal_page(
            connection, each, after, done, seal=seal, open_sealed=open_sealed
        ):
            after = last
            if time.monotonic() > until:
                done.position = Position(each.name, after)
                return done
    return done


def _reseal_page(
    connection: Connection,
    of: SealedColumn,
    after: str,
    done: Resealed,
    *,
    seal: Seal,
    open_sealed: Open,
) -> str:
    """Seal the values of one page again, and return the id of its last row; "" if there is none."""
    wanted = select(of.id, of.owner, of.column).where(of.column.is_not(None))
    if after:
        wanted = wanted.where(of.id > of.id.type.python_type(after))
    rows = connection.execute(wanted.order_by(of.id).limit(PAGE)).all()
    connection.rollback()  # the key service may be slow, so no transaction waits for it
    changes: list[tuple[Any, bytes, bytes]] = []
    for row_id, owner, sealed in rows:
        try:
            plain = open_sealed(sealed, of.purpose, owner)
        except CannotOpen as error:
            done.unreadable += 1
            log.warning(
                "reseal.unreadable",
                extra={"column": of.name, "row_id": str(row_id), "detail": str(error)},
            )
            continue
        changes.append((row_id, sealed, seal(plain, of.purpose, owner)))
    for row_id, old, new in changes:
        change = (
            update(of.table).where(of.id == row_id, of.column == old).values({of.column.name: new})
        )
        if connection.execute(change).rowcount:
            done.sealed += 1
        else:
            done.replaced_meanwhile += 1
    connection.commit()
    return str(rows[-1][0]) if rows else ""


def _sealed_columns() -> Iterator[SealedColumn]:
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Sealed):
                (row_id,) = table.primary_key.columns
                owner = table.columns[column.type.owner_column]
                yield SealedColumn(table, column, row_id, owner, column.type.purpose)
