"""Keeps the monthly partitions of tables: creates the coming months, drops old ones, and empties the default partition.

The owner of the tables runs this in every deployment and once a day. A row whose month has no partition goes into the
default partition. PostgreSQL refuses to create a month whose rows are there, so they are moved in the same transaction.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from shared.core.log import log
from shared.db.roles import APPEND_ONLY, revoke_changes

PARTITIONED: Mapping[str, str] = {"audit_events": "at"}
"""The tables that are partitioned by month, with the column that says in which."""

MONTHS_AHEAD = 3
# Writers wait while a partition is attached or dropped. If this fails, the next day tries again.
_LOCK_TIMEOUT = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """Return the month that `moment` is in."""
        known = moment.astimezone(UTC)
        return cls(known.year, known.month)

    @property
    def begins(self) -> datetime:
        """Return its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def later(self, months: int) -> "Month":
        """Return the month that many months later."""
        count = self.year * 12 + self.number - 1 + months
        return Month(count // 12, count % 12 + 1)

    def partition_of(self, table: str) -> str:
        """Return the name of a table's partition for this month."""
        return f"{table}_{self.year:04}_{self.number:02}"


def keep_partitions(connection: Connection, *, now: datetime, keep: timedelta) -> None:
    """Create the month of `now` and `MONTHS_AHEAD` more, move rows out of default partitions, and drop old months.

    A month is dropped when all of it is longer ago than `keep`. Tables that do not exist yet are skipped.
    """
    for table in PARTITIONED:
        if not _exists(connection, table):
            continue
        stray = _count_stray(connection, table)
        if stray:
            log.warning("partition.missed", extra={"table": table, "rows": stray})
            with _transaction(connection):
                _move_stray(connection, table)
        _create_coming(connection, table, Month.of(now))
        _drop_old(connection, table, before=now - keep)


def partitions(connection: Connection) -> set[str]:
    """Return the names of all partitions; the models do not declare them."""
    rows = connection.execute(
        text(
            "SELECT relname FROM pg_class"
            " WHERE relispartition AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    )
    return {row[0] for row in rows}


def default_partition_of(table: str) -> str:
    """Return the name of the partition for rows whose month has none."""
    return f"{table}_default"


def _create_coming(connection: Connection, table: str, this_month: Month) -> None:
    present = _months(connection, table)
    connection.rollback()
    for months in range(MONTHS_AHEAD + 1):
        if (month := this_month.later(months)) not in present:
            with _transaction(connection):
                _create(connection, table, month)


def _drop_old(connection: Connection, table: str, *, before: datetime) -> None:
    present = _months(connection, table)
    connection.rollback()
    for month in sorted(present):
        if month.later(1).begins <= before:
            name = month.partition_of(table)
            with _transaction(connection):
                connection.exec_driver_sql(f"DROP TABLE {name}")
            log.info("partition.dropped", extra={"partition": name})


def _create(connection: Connection, table: str, month: Month) -> None:
    """Create a month's table and attach it, which unlike `PARTITION OF` does not block the table's writers."""
    name = month.partition_of(table)
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    begins, ends = month.begins.isoformat(), month.later(1).begins.isoformat()
    connection.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')"
    )
    _protect(connection, table, name)


def _move_stray(connection: Connection, table: str) -> None:
    """Replace the default partition by an empty one, and insert its rows again, which then go to their months.

    No row is updated or deleted, because an append-only table refuses that.
    """
    default, old = default_partition_of(table), f"{table}_stray"
    connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(f"ALTER TABLE {table} DETACH PARTITION {default}")
    connection.exec_driver_sql(f"ALTER TABLE {default} RENAME TO {old}")
    for month in _months_of_rows(connection, old, PARTITIONED[table]) - _months(connection, table):
        _create(connection, table, month)
    connection.exec_driver_sql(f"CREATE TABLE {default} PARTITION OF {table} DEFAULT")
    _protect(connection, table, default)
    connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {old}")  # noqa: S608  names of ours
    connection.exec_driver_sql(f"DROP TABLE {old}")


def _protect(connection: Connection, table: str, partition: str) -> None:
    """Protect a new partition of an append-only table: it inherits neither the lack of a privilege nor this trigger."""
    if table not in APPEND_ONLY:
        return
    connection.exec_driver_sql(
        f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {partition}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    revoke_changes(connection, partition)


def _months(connection: Connection, table: str) -> set[Month]:
    named = re.compile(rf"{table}_(\d{{4}})_(\d\d)")
    found = (named.fullmatch(name) for name in partitions(connection))
    return {Month(int(match[1]), int(match[2])) for match in found if match}


def _months_of_rows(connection: Connection, table: str, column: str) -> set[Month]:
    found = connection.exec_driver_sql(
        f"SELECT DISTINCT date_trunc('month', {column}, 'UTC') FROM {table}"  # noqa: S608  names of ours
    )
    return {Month.of(begins) for (begins,) in found}


def _count_stray(connection: Connection, table: str) -> int:
    counted: int = connection.exec_driver_sql(
        f"SELECT count(*) FROM {default_partition_of(table)}"  # noqa: S608  a name of ours
    ).scalar_one()
    connection.rollback()
    return counted


def _exists(connection: Connection, table: str) -> bool:
    found = connection.execute(text("SELECT to_regclass(:name)"), {"name": f"public.{table}"})
    exists = found.scalar_one() is not None
    connection.rollback()
    return exists


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    try:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT.seconds}s'")
        yield
        connection.commit()
    finally:
        connection.rollback()
