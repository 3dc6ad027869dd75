"""Whether statements take one round trip, and whether they mean what they mean to the driver as shipped."""

import datetime as dt
import enum
import importlib.metadata
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pg8000
import pytest
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    NullPool,
    Table,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session
from sqlalchemy.schema import Column
from sqlalchemy.types import Integer, Text, Uuid

from shared.db.wire import PINNED, WireConnection, constraint_of
from tests.database.proxy import CountingProxy, counting_proxy


def open_with(kind: Callable[..., Any], url: URL, **options: Any) -> Any:
    return kind(
        url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        password=url.password,
        startup_params={"timezone": "UTC"},
        timeout=10,
        **options,
    )


@pytest.fixture
def server(postgres: str) -> URL:
    return make_url(postgres)


@pytest.fixture
def proxy(server: URL) -> Iterator[CountingProxy]:
    assert server.port is not None
    with counting_proxy(server.port) as running:
        yield running


@pytest.fixture
def wire(server: URL, proxy: CountingProxy) -> Iterator[WireConnection]:
    with closing(open_with(WireConnection, server.set(port=proxy.port))) as connection:
        yield connection


@pytest.fixture
def shipped(server: URL) -> Iterator[Any]:
    with closing(open_with(pg8000.connect, server)) as connection:
        yield connection


@pytest.fixture
def db(server: URL, proxy: CountingProxy) -> Iterator[Connection]:
    """Connect through SQLAlchemy; a temporary table `things` is there."""
    engine = create_engine(
        "postgresql+wire://",
        creator=lambda: open_with(WireConnection, server.set(port=proxy.port)),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE things (id int primary key, name text, code uuid,"
            " CONSTRAINT name_is_short CHECK (length(name) < 10))"
        )
        connection.commit()
        yield connection


things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("code", Uuid),
)


class TripsOf:
    """How many round trips each further block takes."""

    def __init__(self, proxy: CountingProxy) -> None:
        self._proxy = proxy

    def __call__(self, act: Callable[[], object]) -> int:
        before = self._proxy.round_trips
        act()
        return self._proxy.round_trips - before


@pytest.fixture
def trips(proxy: CountingProxy) -> TripsOf:
    return TripsOf(proxy)


def test_driver_is_the_one_this_was_written_for() -> None:
    assert importlib.metadata.version("pg8000") == PINNED


class TestRoundTrips:
    def test_statement_with_parameters_takes_one(self, db: Connection, trips: TripsOf) -> None:
        db.execute(select(things).where(things.c.id == 1)).all()
        assert trips(lambda: db.execute(select(things).where(things.c.id == 1)).all()) == 1

    def test_begin_rides_with_the_first_statement(self, db: Connection, trips: TripsOf) -> None:
        assert not db.in_transaction()
        assert trips(lambda: db.execute(insert(things).values(id=1, name="a"))) == 1
        assert trips(db.commit) == 1
        assert db.execute(select(things.c.name)).scalar_one() == "a"

    def test_begin_rides_with_a_statement_without_parameters(
        self, db: Connection, trips: TripsOf
    ) -> None:
        assert trips(lambda: db.exec_driver_sql("INSERT INTO things VALUES (1)")) == 1
        db.rollback()
        assert db.execute(select(things)).all() == []

    def test_transaction_without_statements_takes_none(
        self, db: Connection, trips: TripsOf
    ) -> None:
        def nothing() -> None:
            with db.begin():
                pass

        assert trips(nothing) == 0

    def test_autocommit_takes_no_begin_and_no_commit(
        self, server: URL, proxy: CountingProxy
    ) -> None:
        engine = create_engine(
            "postgresql+wire://",
            creator=lambda: open_with(WireConnection, server.set(port=proxy.port)),
            isolation_level="AUTOCOMMIT",
            pool_size=1,
        )

        def use() -> None:
            with engine.connect() as connection:
                connection.execute(select(text("1"))).all()
                connection.execute(text("SELECT :a + 1"), {"a": 1}).all()

        use()
        assert TripsOf(proxy)(use) == 2
        engine.dispose()

    def test_first_connection_asks_nothing_more_than_to_log_in(
        self, server: URL, proxy: CountingProxy
    ) -> None:
        engine = create_engine(
            "postgresql+wire://",
            creator=lambda: open_with(WireConnection, server.set(port=proxy.port)),
        )
        with closing(open_with(WireConnection, server.set(port=proxy.port))):
            login = proxy.round_trips
            with engine.connect():
                assert proxy.round_trips == 2 * login
        engine.dispose()

    def test_many_rows_are_one_insert(self, db: Connection, trips: TripsOf) -> None:
        rows = [{"id": n, "name": str(n)} for n in range(500)]
        assert trips(lambda: db.execute(insert(things), rows)) == 1

    def test_many_updates_share_a_trip(self, db: Connection, trips: TripsOf) -> None:
        db.execute(insert(things), [{"id": n} for n in range(150)])
        change = update(things).where(things.c.id == text(":n")).values(name=text(":to"))
        pairs = [{"n": n, "to": f"n{n}"} for n in range(150)]
        assert trips(lambda: db.execute(change, pairs)) == 1
        names = db.execute(select(things.c.name).order_by(things.c.id)).scalars().all()
        assert names == [f"n{n}" for n in range(150)]

    def test_a_large_statement_is_one_trip_too(self, db: Connection, trips: TripsOf) -> None:
        large = "x" * 3_000_000
        ask = text("SELECT length(CAST(:value AS text))")
        db.execute(
            ask, {"value": "x"}
        )  # so that no BEGIN is answered while the rest is still on its way
        assert trips(lambda: db.execute(ask, {"value": large})) == 1


class Color(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    HELLO = "hello"


NOW = dt.datetime(2026, 11, 22, 14, 3, 1, 120_000, dt.UTC)
VALUES = [
    ("text", "plain"),
    ("text", ""),
    ("text", "Ünïcødé 🐓 'quoted' \\ \"double\" %s %% $1 :x"),
    ("text", None),
    ("text", Word.HELLO),
    ("varchar", Color.RED),
    ("int", 0),
    ("int", -2_147_483_648),
    ("bigint", 9_223_372_036_854_775_807),
    ("smallint", 7),
    ("boolean", True),
    ("boolean", False),
    ("float8", 0.1),
    ("float8", float("inf")),
    ("numeric", Decimal("12345678901234567890.123456789")),
    ("uuid", uuid.UUID("019ab000-0000-7000-8000-000000000001")),
    ("bytea", b"\x00\xff\\'\n"),
    ("bytea", b""),
    ("bytea", bytearray(b"ab")),
    ("date", dt.date(2024, 2, 29)),
    ("time", dt.time(23, 59, 59, 999_999)),
    ("interval", dt.timedelta(days=-3, seconds=5, microseconds=7)),
    ("timestamp", dt.datetime(2026, 1, 1)),  # noqa: DTZ001  a type without a zone
    ("timestamptz", NOW),
    ("timestamptz", NOW.replace(microsecond=0)),
    ("timestamptz", NOW.replace(microsecond=1)),
    ("timestamptz", NOW.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=45)))),
    ("timestamptz", dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
    ("timestamptz", "infinity"),
    ("timestamptz", "0044-03-15 12:00:00+00 BC"),
    ("jsonb", json.dumps({"a": [1, None, {"b": "ü"}], "c": True})),
    ("jsonb", {"a": {"b": [1.5]}}),
    ("json", "[]"),
    ("jsonb", "null"),
    ("inet", ipaddress.ip_address("10.0.0.1")),
    ("text[]", ["a", None, "", "b,c", '"', "\\", "NULL", "{}", " space "]),
    ("text[]", []),
    ("int[]", [1, None, -3]),
    ("int[]", [[1, 2], [3, 4]]),
    ("uuid[]", [uuid.UUID(int=1), uuid.UUID(int=2)]),
    ("boolean[]", [True, False]),
    ("timestamptz[]", [NOW]),
    ("bytea[]", [b"\x00", b"ab"]),
    ("int4range", pg8000.Range(1, 5)),
]


class TestSameAsShipped:
    @pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{k}-{v!r:.20}" for k, v in VALUES])
    def test_value_comes_back_the_same(
        self, wire: WireConnection, shipped: Any, kind: str, value: Any
    ) -> None:
        ours, theirs = wire.cursor(), shipped.cursor()
        ours.execute(f"SELECT $1::{kind} AS v, $2::int AS n", (value, 1))
        theirs.execute(f"SELECT %s::{kind} AS v, %s::int AS n", (value, 1))
        assert ours.description == theirs.description
        mine, shippeds = ours.fetchall(), theirs.fetchall()
        assert mine == shippeds
        assert [type(v) for v in mine[0]] == [type(v) for v in shippeds[0]]
        assert ours.rowcount == theirs.rowcount == 1

    @pytest.mark.parametrize(
        ("sql", "arguments"),
        [
            ("SELECT 1 WHERE %s::int = 2", (1,)),
            ("SELECT generate_series(1, %s::int) AS n", (1000,)),
            ("SELECT", ()),
            ("", ()),
            ("SELECT 1 AS a; SELECT 2 AS a", ()),
            ("CREATE TEMPORARY TABLE other (id int)", ()),
            ("SET application_name = 'x'", ()),
            ("SELECT NULL, %s::text", (None,)),
        ],
    )
    def test_result_is_the_same(
        self, wire: WireConnection, shipped: Any, sql: str, arguments: tuple[Any, ...]
    ) -> None:
        ours, theirs = wire.cursor(), shipped.cursor()
        numbered = sql.replace("%s", "$1").replace("%%", "%")
        ours.execute(numbered, arguments)
        theirs.execute(sql, arguments)
        assert ours.rowcount == theirs.rowcount
        assert ours.description == theirs.description
        if theirs.description:
            assert ours.fetchall() == theirs.fetchall()

    @pytest.mark.parametrize(
        ("sql", "arguments", "state"),
        [
            ("SELECT 1 / %s::int", (0,), "22012"),
            ("SELECT %s::int", ("x",), "22P02"),
            ("SELECT nonsense(%s)", (1,), "42883"),
            ("SELEKT %s", (1,), "42601"),
            ("SELECT %s::text", ("a\x00b",), "22021"),
            ("SELECT %s::int, %s", (1,), "08P01"),
            ("INSERT INTO pairs VALUES (%s)", (1,), "23505"),
            ("INSERT INTO pairs VALUES (%s)", (None,), "23502"),
        ],
    )
    def test_error_is_the_same_and_leaves_the_connection_usable(
        self, wire: WireConnection, shipped: Any, sql: str, arguments: tuple[Any, ...], state: str
    ) -> None:
        reported = []
        for connection, ask in (
            (wire, sql.replace("%s", "$1", 1).replace("%s", "$2")),
            (shipped, sql),
        ):
            cursor = connection.cursor()
            cursor.execute("CREATE TEMPORARY TABLE pairs (id int PRIMARY KEY)")
            cursor.execute("INSERT INTO pairs VALUES (1)")
            connection.commit()
            with pytest.raises(pg8000.DatabaseError) as caught:
                cursor.execute(ask, arguments)
            reported.append(caught.value.args[0])
            # The transaction is lost, as ever, and says so; after a rollback all is well.
            with pytest.raises(pg8000.DatabaseError) as refused:
                cursor.execute("SELECT 1")
            assert refused.value.args[0]["C"] == "25P02"
            connection.rollback()
            cursor.execute("SELECT 2")
            assert cursor.fetchall() == ([2],)
        assert reported[0]["C"] == reported[1]["C"] == state
        # Finding 2.8: only what could not be read is left out.
        assert reported[0]["M"] == re.sub(r': "x"$', ': "…"', reported[1]["M"])


class TestErrors:
    def test_parameter_that_cannot_be_sent_leaves_the_connection_usable(
        self, wire: WireConnection, trips: TripsOf
    ) -> None:
        cursor = wire.cursor()
        with pytest.raises(UnicodeEncodeError):
            cursor.execute("SELECT $1::text", ("\ud800",))
        cursor.execute("SELECT $1::int", (5,))
        assert cursor.fetchall() == ([5],)

    def test_answer_that_cannot_be_read_closes_the_connection(self, wire: WireConnection) -> None:
        def refuse(_value: str) -> None:
            raise ValueError("no")

        wire.register_in_adapter(23, refuse)
        cursor = wire.cursor()
        with pytest.raises(ValueError, match="no"):
            cursor.execute("SELECT generate_series(1, $1::int)", (3,))
        with pytest.raises(pg8000.InterfaceError, match="connection is closed"):
            cursor.execute("SELECT 1")

    def test_commit_of_a_failed_transaction_is_an_error(self, wire: WireConnection) -> None:
        cursor = wire.cursor()
        with pytest.raises(pg8000.DataError):
            cursor.execute("SELECT 1 / $1::int", (0,))
        with pytest.raises(pg8000.InterfaceError, match="failed transaction"):
            wire.commit()
        wire.rollback()

    def test_constraint_is_named(self, db: Connection) -> None:
        with pytest.raises(sa_exc.IntegrityError) as caught:
            db.execute(insert(things).values(id=1, name="far too long"))
        assert constraint_of(caught.value) == "name_is_short"
        db.rollback()

    def test_executemany_stops_at_the_failing_row(self, db: Connection) -> None:
        db.execute(insert(things), [{"id": n} for n in range(3)])
        change = text("UPDATE things SET name = :to WHERE id = :n")
        with pytest.raises(sa_exc.IntegrityError), db.begin_nested():
            db.execute(change, [{"n": 0, "to": "a"}, {"n": 1, "to": "b" * 20}, {"n": 2, "to": "c"}])
        assert db.execute(select(things.c.name)).scalars().all() == [None, None, None]

    def test_lost_connection_is_a_disconnect(self, db: Connection, proxy: CountingProxy) -> None:
        proxy.cut()
        with pytest.raises(sa_exc.DBAPIError) as caught:
            db.execute(select(things))
        assert caught.value.connection_invalidated

    def test_server_that_ends_the_session_says_why(self, server: URL) -> None:
        engine = create_engine(
            "postgresql+wire://",
            creator=lambda: open_with(WireConnection, server),
            poolclass=NullPool,
        )
        with engine.connect() as db, closing(open_with(WireConnection, server)) as admin:
            pid = db.execute(text("SELECT pg_backend_pid()")).scalar_one()
            admin.cursor().execute("SELECT pg_terminate_backend($1::int, 5000)", (pid,))
            with pytest.raises(sa_exc.DBAPIError, match="terminating connection") as caught:
                db.execute(text("SELECT :n"), {"n": 1})
            assert caught.value.connection_invalidated

    def test_answer_that_does_not_come_is_a_disconnect(self, db: Connection) -> None:
        connection = db.connection.dbapi_connection
        assert isinstance(connection, WireConnection)
        connection._usock.settimeout(0.05)
        with pytest.raises(sa_exc.DBAPIError, match="network error") as caught:
            db.execute(text("SELECT pg_sleep(:s)"), {"s": 5})
        assert caught.value.connection_invalidated


class TestStatements:
    def test_returning(self, db: Connection) -> None:
        row = db.execute(insert(things).values(id=1, name="a").returning(things)).one()
        assert row == (1, "a", None)

    def test_conflict(self, db: Connection) -> None:
        statement = pg_insert(things).values(id=1, name="a").on_conflict_do_nothing()
        assert db.execute(statement).rowcount == 1
        assert db.execute(statement).rowcount == 0

    def test_rows_are_returned_in_the_order_given(self, db: Connection) -> None:
        rows = [{"id": n, "name": f"n{n}", "code": uuid.uuid4()} for n in range(1500)]
        statement = insert(things).returning(things.c.id, sort_by_parameter_order=True)
        assert db.execute(statement, rows).scalars().all() == list(range(1500))
        assert db.execute(select(things.c.code).order_by(things.c.id)).scalars().all() == [
            row["code"] for row in rows
        ]

    def test_savepoint_keeps_what_was_before_it(self, db: Connection) -> None:
        db.execute(insert(things).values(id=1))
        with pytest.raises(sa_exc.IntegrityError), db.begin_nested():
            db.execute(insert(things).values(id=1))
        with db.begin_nested():
            db.execute(insert(things).values(id=2))
        db.commit()
        assert db.execute(select(things.c.id).order_by(things.c.id)).scalars().all() == [1, 2]

    def test_savepoint_as_first_statement(self, db: Connection) -> None:
        with db.begin_nested():
            db.execute(insert(things).values(id=1))
        db.rollback()
        assert db.execute(select(things)).all() == []

    def test_percent_sign_is_a_percent_sign(self, db: Connection) -> None:
        db.execute(insert(things).values(id=15, name="50%"))
        found = select(things.c.id % 10).where(things.c.name.like("%\\%"))
        assert db.execute(found).scalar_one() == 5

    def test_rowcount_of_many_updates_is_the_sum(self, db: Connection) -> None:
        db.execute(insert(things), [{"id": n} for n in range(250)])
        change = text("UPDATE things SET name = 'x' WHERE id < :below")
        assert db.execute(change, [{"below": n} for n in range(250)]).rowcount == 250 * 249 // 2

    def test_copy_in_and_out(self, wire: WireConnection) -> None:
        cursor = wire.cursor()
        cursor.execute("CREATE TEMPORARY TABLE copied (id int)")
        wire.commit()
        cursor.execute("COPY copied FROM STDIN", stream=["1\n", "2\n"])
        wire.rollback()
        cursor.execute("COPY copied FROM STDIN", stream=["3\n"])
        wire.commit()
        cursor.execute("SELECT id FROM copied")
        assert cursor.fetchall() == ([3],)

    def test_notices_in_between_do_no_harm(self, db: Connection) -> None:
        db.exec_driver_sql("DO $$ BEGIN RAISE WARNING 'careful'; END $$")
        assert db.execute(text("SELECT :n + 1"), {"n": 1}).scalar_one() == 2


def test_engine_refuses_isolation_levels_it_would_not_set(server: URL) -> None:
    engine: Engine = create_engine(
        "postgresql+wire://",
        creator=lambda: open_with(WireConnection, server),
        isolation_level="SERIALIZABLE",
    )
    with pytest.raises(sa_exc.ArgumentError, match="SERIALIZABLE"):
        engine.connect()


class TestDeepJson:
    """Finding 2.4: a row whose JSON is nested 900 deep ended the connection where the stack was deep already."""

    @pytest.mark.parametrize(("depth", "is_read"), [(900, True), (5_000, False)])
    def test_is_read_or_is_nothing_and_the_connection_goes_on(
        self, session: Session, depth: int, is_read: bool
    ) -> None:
        value = text("select cast(repeat('[', :n) || repeat(']', :n) as jsonb)").bindparams(n=depth)

        def deep(frames: int) -> Any:
            return deep(frames - 1) if frames else session.execute(value).scalar_one()

        read = deep(150)
        assert (read is not None) is is_read
        assert session.execute(text("select 1")).scalar_one() == 1
