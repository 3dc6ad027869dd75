"""The database's clock on a laptop and in tests: our own `now()` in a schema that is searched before PostgreSQL's.

The offset is written into the function's body, so PostgreSQL inlines it into each statement as a constant: plans and
costs stay those of the plain `now()`. A function that reads a table would be called for each row (20 times as slow over
200,000 rows), and a database setting reaches new connections only. When the body is replaced, PostgreSQL tells all open
connections to plan again, prepared statements as well. Within an open transaction the next statement on a table sees it.

The search path is set on the role, in this database alone, so it holds from a connection's first statement.
"""

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pg8000.dbapi
from pg8000.native import identifier

from local.database import connect

SCHEMA = "roost_clock"
PATH = f"{SCHEMA}, pg_catalog, public"
_OFFSET = re.compile(r"'(-?\d+) microseconds'")

_INSTALL = (
    f"create schema if not exists {SCHEMA}",
    """
    do $$ begin
        if to_regprocedure('roost_clock.now()') is null then
            create function roost_clock.now() returns timestamptz language sql stable parallel safe
            as 'select pg_catalog.now()';
        end if;
    end $$
    """,
)
_SET_PATH = f"""
    do $$ begin
        execute format('alter role %I in database %I set search_path = {PATH}', current_user, current_database());
    end $$
"""
_RESET_PATH = """
    do $$ begin
        execute format('alter role %I in database %I reset search_path', current_user, current_database());
    end $$
"""
_BODY = "select prosrc from pg_proc where oid = to_regprocedure('roost_clock.now()')"
# While only PostgreSQL's own functions are on the search path, the schema's appear with their full names.
_PLAIN_DEFAULTS = r"""
    select attrelid::regclass::text, attname, pg_get_expr(adbin, adrelid) as expression
    from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum join pg_class on pg_class.oid = adrelid
    where relnamespace = 'public'::regnamespace and attgenerated = ''
        and replace(pg_get_expr(adbin, adrelid), 'roost_clock.now()', '') ~ '\mnow\(\)'
"""


def install(address: str) -> timedelta:
    """Make the role of this address log in with the clock, and return the offset, which outlives a run.

    Migrations run with `public` as their only search path, so this may run before or after them.
    """
    with _connected(address) as cursor:
        for statement in (*_INSTALL, _SET_PATH):
            cursor.execute(statement)
        return _offset(cursor)


def uninstall(address: str) -> None:
    """Make the role of this address log in without the clock again. Column defaults that call it still do."""
    with _connected(address) as cursor:
        cursor.execute(_RESET_PATH)


def bind_defaults(address: str) -> int:
    """Bind all column defaults that call PostgreSQL's `now()` to the clock, and return how many there were."""
    with _connected(address) as cursor:
        cursor.execute("set local search_path = public")
        cursor.execute(_PLAIN_DEFAULTS)
        found = cursor.fetchall()
        cursor.execute(f"set local search_path = {PATH}")
        for table, column, expression in found:
            cursor.execute(
                f"alter table public.{table} alter column {identifier(column)} set default {expression}"
            )
        return len(found)


class DatabaseClock:
    """Moves the clock of one database."""

    def __init__(self, connection: pg8000.dbapi.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def move(self, offset: timedelta) -> None:
        """Set how far the clock is ahead of PostgreSQL's; every connection sees it at its next transaction."""
        microseconds = offset // timedelta(microseconds=1)
        ahead = f" + interval '{microseconds} microseconds'" if microseconds else ""
        self._cursor.execute(
            f"create or replace function {SCHEMA}.now() returns timestamptz language sql stable parallel safe"
            f" as $$select pg_catalog.now(){ahead}$$"
        )
        self._connection.commit()

    def rows(self, statement: str) -> list[Any]:
        """Run a reading statement and return its rows."""
        self._cursor.execute(statement)
        found = list(self._cursor.fetchall())
        self._connection.commit()
        return found


@contextlib.contextmanager
def opened(address: str) -> Iterator[DatabaseClock]:
    """Open a connection that moves the clock."""
    with contextlib.closing(connect(address)) as connection:
        yield DatabaseClock(connection)


def _offset(cursor: Any) -> timedelta:
    cursor.execute(_BODY)
    match = _OFFSET.search(cursor.fetchone()[0])
    return timedelta(microseconds=int(match[1])) if match else timedelta()


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    with contextlib.closing(connect(address)) as connection:
        yield connection.cursor()
        connection.commit()
