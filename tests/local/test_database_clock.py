"""Whether the database's clock can be moved, who sees it, and what it costs."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from local import database_clock
from local.database import connect
from shared.core.config import settings
from shared.db import migrate
from shared.db.base import Base
from shared.db.session import read_only, unit_of_work

FORTY_DAYS = timedelta(days=40)
DEFAULTS = """
    select relname || '.' || attname, pg_get_expr(adbin, adrelid)
    from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum join pg_class on pg_class.oid = adrelid
    where relnamespace = 'public'::regnamespace and pg_get_expr(adbin, adrelid) ~ 'now|current|timeofday'
"""


@pytest.fixture
def clock(database_url: str) -> Iterator[database_clock.DatabaseClock]:
    """The clock of the tests' database, back where it was afterwards."""
    with database_clock.opened(database_url) as opened:
        yield opened
        opened.move(timedelta())


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    with contextlib.closing(connect(database_url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def asked(cursor: Any, statement: str) -> Any:
    cursor.execute(statement)
    return cursor.fetchone()[0]


def is_ahead(moment: datetime) -> bool:
    return abs(moment - datetime.now(UTC) - FORTY_DAYS) < timedelta(minutes=1)


class TestMove:
    def test_open_connections_see_it_at_once(
        self, clock: database_clock.DatabaseClock, cursor: Any
    ) -> None:
        assert not is_ahead(asked(cursor, "select now()"))
        clock.move(FORTY_DAYS)
        assert is_ahead(asked(cursor, "select now()"))

    def test_prepared_statements_see_it_too(
        self, clock: database_clock.DatabaseClock, cursor: Any
    ) -> None:
        cursor.execute("prepare asked as select now(), (select count(*) from users)")
        for _ in range(7):  # by then the plan is a generic one that is kept
            asked(cursor, "execute asked")
        clock.move(FORTY_DAYS)
        assert is_ahead(asked(cursor, "execute asked"))

    def test_open_transaction_sees_it_at_its_next_statement_on_a_table(
        self, clock: database_clock.DatabaseClock, cursor: Any
    ) -> None:
        cursor.execute("begin")
        asked(cursor, "select count(*) from users")
        clock.move(FORTY_DAYS)
        cursor.execute("select now(), (select count(*) from channels)")
        seen = cursor.fetchone()[0]
        cursor.execute("rollback")
        assert is_ahead(seen)

    def test_our_own_sessions_follow(
        self, clock: database_clock.DatabaseClock, database_url: str
    ) -> None:
        clock.move(FORTY_DAYS)
        for opened in (unit_of_work, read_only):
            with opened() as session:
                assert is_ahead(session.execute(text("select now()")).scalar_one())

    def test_functions_of_the_schema_follow(
        self, clock: database_clock.DatabaseClock, cursor: Any
    ) -> None:
        # As `publishing_is_crowded`: written in PL/pgSQL, so its names are looked up when it runs.
        cursor.execute(
            "create function pg_temp.asked() returns timestamptz language plpgsql volatile"
            " as $$ begin return now(); end $$"
        )
        clock.move(FORTY_DAYS)
        assert is_ahead(asked(cursor, "select pg_temp.asked()"))

    def test_rows_are_stamped_with_it(
        self, clock: database_clock.DatabaseClock, cursor: Any
    ) -> None:
        clock.move(FORTY_DAYS)
        cursor.execute("begin")
        cursor.execute(
            "insert into provider_pauses (provider, until, reason) values ('x', now(), '')"
        )
        stamped = asked(cursor, "select updated_at from provider_pauses where provider = 'x'")
        cursor.execute("rollback")
        assert is_ahead(stamped)

    def test_outlives_who_moved_it(
        self, clock: database_clock.DatabaseClock, database_url: str
    ) -> None:
        offset = timedelta(days=40, microseconds=7)
        clock.move(offset)
        assert database_clock.install(database_url) == offset
        clock.move(timedelta())
        assert database_clock.install(database_url) == timedelta()


class TestCost:
    @pytest.mark.parametrize("offset", [timedelta(), FORTY_DAYS])
    def test_it_is_a_constant_beside_the_plain_now(
        self, clock: database_clock.DatabaseClock, cursor: Any, offset: timedelta
    ) -> None:
        clock.move(offset)
        cursor.execute("explain (costs off) select from posts where due_at <= now()")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        # Were the function called, the plan would say `now()`: it is the one that is found first.
        assert "pg_catalog.now()" in plan


class TestDefaults:
    def test_every_one_that_asks_for_the_time_asks_the_clock(
        self, database_url: str, cursor: Any
    ) -> None:
        cursor.execute("set search_path = public")
        cursor.execute(DEFAULTS)
        found = dict(cursor.fetchall())
        declared = {
            f"{table.name}.{column.name}"
            for table in Base.metadata.sorted_tables
            for column in table.columns
            if "now()" in str(getattr(column.server_default, "arg", ""))
        }
        assert len(declared) > 10
        assert set(found) == declared
        assert {name for name, told in found.items() if told.count("now()") != told.count("roost_clock.now()")} == set()  # fmt: skip

    def test_homes_that_exist_are_bound_once(self, migrated_database: Connection) -> None:
        address = settings().database_url
        database_clock.install(address)
        assert database_clock.bind_defaults(address) > 10
        assert database_clock.bind_defaults(address) == 0

    def test_migrations_have_public_alone_in_sight(self, empty_database: Connection) -> None:
        address = settings().database_url
        database_clock.install(address)
        with migrate.migrating() as connection:
            migrate.upgrade(connection)
            assert connection.execute(text("show search_path")).scalar_one() == database_clock.PATH
            connection.rollback()
            assert migrate.differences(connection) == []
            tables = "select distinct schemaname from pg_tables where tablename = 'posts'"
            assert connection.execute(text(tables)).scalar_one() == "public"
            plain = "select count(*) from pg_attrdef where pg_get_expr(adbin, adrelid) ~ 'now'"
            bound = f"{plain} and pg_get_expr(adbin, adrelid) ~ 'pg_catalog'"
            assert connection.execute(text(bound)).scalar_one() > 10
            connection.rollback()
            assert database_clock.bind_defaults(address) > 10
            assert migrate.differences(connection) == []
            migrate.downgrade(connection, "base")


class TestWithoutIt:
    def test_role_can_log_in_without_it(self, database_url: str) -> None:
        database_clock.uninstall(database_url)
        try:
            with contextlib.closing(connect(database_url)) as connection:
                cursor = connection.cursor()
                assert "roost_clock" not in asked(cursor, "show search_path")
        finally:
            database_clock.install(database_url)
