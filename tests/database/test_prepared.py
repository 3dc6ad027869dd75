"""Whether statements are prepared at their second use, prepared again when they must be, and mean the same throughout."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pg8000
import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.orm import Session

from shared.db.migrate import migrating
from shared.db.prepared import MOST_PREPARED
from shared.db.session import SchemaChanged, dispose, read_only, run, unit_of_work
from shared.db.wire import WireConnection, is_outdated
from shared.posts import read_queries as queries
from tests.conftest import Configure
from tests.database.proxy import CountingProxy
from tests.database.test_session import ADD, KEYS, keys, through_proxy
from tests.database.test_wire import VALUES, open_with, proxy, server, wire

__all__ = ["proxy", "server", "through_proxy", "wire"]

ASK = "SELECT id, name FROM things WHERE id > $1::int ORDER BY id"
LIST = text("SELECT key FROM rate_limits WHERE count > :count ORDER BY key")
MODE = "SELECT current_setting('plan_cache_mode'), 1 / $1::int"
CUSTOM, GENERIC = "force_custom_plan", "force_generic_plan"
NAMED = "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements ORDER BY prepare_time"


class Sent:
    """The kinds of messages that a connection has sent since it was last asked."""

    def __init__(self, connection: WireConnection, patch: pytest.MonkeyPatch) -> None:
        self._kinds: list[str] = []
        send = connection._send

        def noted(messages: bytes) -> None:
            rest = messages
            while rest:
                self._kinds.append(rest[:1].decode())
                rest = rest[1 + int.from_bytes(rest[1:5]) :]
            send(messages)

        patch.setattr(connection, "_send", noted)

    def take(self) -> str:
        taken, self._kinds = "".join(self._kinds), []
        return taken


@pytest.fixture
def sent(wire: WireConnection, monkeypatch: pytest.MonkeyPatch) -> Sent:
    cursor = wire.cursor()
    cursor.execute("CREATE TEMPORARY TABLE things (id int PRIMARY KEY, name text)")
    cursor.execute("INSERT INTO things VALUES (1, 'a'), (2, 'b')")
    wire.commit()
    return Sent(wire, monkeypatch)


def ask(wire: WireConnection, sql: str = ASK, *values: Any) -> Any:
    cursor = wire.cursor()
    cursor.execute(sql, values or (0,))
    return cursor.fetchall()


def prepared(wire: WireConnection) -> dict[str, int]:
    """Return the statements that the server has prepared, and how often each was run."""
    cursor = wire.cursor()
    cursor.execute(NAMED)
    return dict(cursor.fetchall())


class TestNames:
    def test_second_use_prepares_and_every_further_one_only_binds(
        self, wire: WireConnection, sent: Sent
    ) -> None:
        wire.autocommit = True
        kinds = []
        for _ in range(4):
            assert ask(wire) == ([1, "a"], [2, "b"])
            kinds.append(sent.take())
        assert kinds == ["PBDES", "PBDES", "BES", "BES"]
        assert prepared(wire) == {ASK: 3}

    def test_a_transaction_begins_with_the_prepared_statement(
        self, wire: WireConnection, sent: Sent, proxy: CountingProxy
    ) -> None:
        for _ in range(2):
            ask(wire)
        wire.commit()
        sent.take()
        before = proxy.round_trips
        ask(wire)
        assert sent.take() == "QBES"
        assert proxy.round_trips - before == 1

    def test_rollback_keeps_what_is_prepared(self, wire: WireConnection, sent: Sent) -> None:
        for _ in range(2):
            ask(wire)
        wire.rollback()
        sent.take()
        assert ask(wire) == ([1, "a"], [2, "b"])
        assert sent.take() == "QBES"

    def test_columns_are_the_same_described_or_remembered(self, wire: WireConnection) -> None:
        found = []
        for _ in range(3):
            cursor = wire.cursor()
            cursor.execute("SELECT $1::int AS a, 'x'::text AS b, now() AS c", (1,))
            found.append((cursor.description, cursor.rowcount))
        assert found[0] == found[1] == found[2]

    def test_a_statement_without_rows_has_none(self, wire: WireConnection, sent: Sent) -> None:
        for number in range(10, 14):
            cursor = wire.cursor()
            cursor.execute("INSERT INTO things VALUES ($1, $2)", (number, "x"))
            assert (cursor.rowcount, cursor.description) == (1, None)
        assert len(ask(wire)) == 6

    @pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{k}-{v!r:.20}" for k, v in VALUES])
    def test_values_come_back_the_same(self, wire: WireConnection, kind: str, value: Any) -> None:
        answers = [ask(wire, f"SELECT $1::{kind} AS v", value) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert len({type(answer[0][0]) for answer in answers}) == 1

    def test_types_given_beside_the_text_are_another_statement(self, wire: WireConnection) -> None:
        for oids in ((23,), (25,), (23,), (25,)):
            cursor = wire.cursor()
            cursor._input_oids = oids
            cursor.execute("SELECT pg_typeof($1)::text", (1,))
            assert cursor.fetchall() == (["integer" if oids == (23,) else "text"],)
        cursor.execute(NAMED)
        assert len(cursor.fetchall()) == 2

    def test_many_rows_beside_a_prepared_statement(self, wire: WireConnection, sent: Sent) -> None:
        insert = "INSERT INTO things VALUES ($1, $2)"
        for number in range(10, 13):
            wire.cursor().execute(insert, (number, "x"))
        cursor = wire.cursor()
        cursor.executemany(insert, [(number, "y") for number in range(20, 250)])
        assert cursor.rowcount == 230
        wire.cursor().execute(insert, (300, "z"))
        assert len(ask(wire)) == 2 + 3 + 230 + 1


class TestCustomPlans:
    def test_a_statement_that_is_planned_for_its_values_is_not_prepared(
        self, through_proxy: CountingProxy
    ) -> None:
        with read_only() as session:
            for statement in (LIST, LIST.execution_options(custom_plan=True)):
                for _ in range(3):
                    session.execute(statement, {"count": 0}).all()
            [(_, uses)] = session.execute(text(NAMED)).all()
        assert uses == 2

    def test_lists_of_posts_with_optional_filters_are(self) -> None:
        for statement in (
            queries.LATEST,
            queries.LATEST_BY_STATE,
            queries.LATEST_BY_TAG,
            queries.FILTERED_RANGE_JSON,
            queries.RANGE,
        ):
            assert statement.options["custom_plan"]

    @pytest.mark.parametrize("autocommit", [True, False])
    def test_it_alone_is_planned_for_its_values(
        self, wire: WireConnection, proxy: CountingProxy, autocommit: bool
    ) -> None:
        wire.autocommit = autocommit
        modes = []
        for custom_plan in (False, True, False, False, True):
            cursor = wire.cursor()
            cursor.custom_plan = custom_plan
            before = proxy.round_trips
            cursor.execute(MODE, (1,))
            assert (proxy.round_trips - before, cursor.rowcount) == (1, 1)
            modes.append(cursor.fetchone()[0])
        assert modes == [GENERIC, CUSTOM, GENERIC, GENERIC, CUSTOM]

    @pytest.mark.parametrize("autocommit", [True, False])
    def test_an_error_leaves_the_others_as_they_were(
        self, wire: WireConnection, autocommit: bool
    ) -> None:
        wire.autocommit = autocommit
        ask(wire, MODE, 1)
        cursor = wire.cursor()
        cursor.custom_plan = True
        with pytest.raises(pg8000.DataError):
            cursor.execute(MODE, (0,))
        wire.rollback()
        assert ask(wire, MODE, 1) == ([GENERIC, 1],)

    def test_behind_a_proxy_the_server_decides(self, server: URL) -> None:
        with closing(open_with(WireConnection, server, most_prepared=0)) as connection:
            cursor = connection.cursor()
            cursor.custom_plan = True
            cursor.execute(MODE, (1,))
            assert cursor.fetchone()[0] == "auto"


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "good", "bad", "state"),
        [
            ("SELECT 1 / $1::int", 1, 0, "22012"),
            ("SELECT $1::int", 1, "x", "22P02"),
            ("INSERT INTO things VALUES ($1)", 10, 1, "23505"),
        ],
    )
    @pytest.mark.parametrize("uses", [0, 1, 2])
    def test_is_the_same_however_often_it_was_used(
        self, wire: WireConnection, sent: Sent, sql: str, good: Any, bad: Any, state: str, uses: int
    ) -> None:
        for _ in range(uses):
            wire.cursor().execute(sql, (good,))
            wire.rollback()
        with pytest.raises(pg8000.DatabaseError) as caught:
            wire.cursor().execute(sql, (bad,))
        assert caught.value.args[0]["C"] == state
        wire.rollback()
        for _ in range(3):
            wire.cursor().execute(sql, (good,))
            wire.rollback()
        assert len(prepared(wire)) == 1

    def test_parameter_that_cannot_be_sent_leaves_it_usable(self, wire: WireConnection) -> None:
        for _ in range(3):
            assert ask(wire, "SELECT $1::text", "a") == (["a"],)
        with pytest.raises(UnicodeEncodeError):
            ask(wire, "SELECT $1::text", "\ud800")
        assert ask(wire, "SELECT $1::text", "b") == (["b"],)

    def test_one_that_fails_while_it_is_prepared_leaves_nothing_behind(
        self, wire: WireConnection
    ) -> None:
        wire.autocommit = True
        for number in range(100):
            for _ in range(2):
                with pytest.raises(pg8000.DatabaseError):
                    ask(wire, f"SELECT $1::int / 0 AS n{number}", 1)
        assert len(prepared(wire)) <= 1


class TestRoom:
    def test_the_least_recently_used_makes_room(self, wire: WireConnection, sent: Sent) -> None:
        def number(n: int) -> None:
            assert ask(wire, f"SELECT $1::int + {n}", 1) == ([1 + n],)

        for n in range(MOST_PREPARED):
            number(n)
            number(n)
        number(0)
        for n in range(MOST_PREPARED, MOST_PREPARED + 3):
            number(n)
            number(n)
        number(0)
        wire.commit()
        left = set(prepared(wire))
        assert len(left) <= MOST_PREPARED
        assert "SELECT $1::int + 0" in left
        assert not left & {f"SELECT $1::int + {n}" for n in (1, 2, 3)}
        sent.take()
        number(1)
        number(0)
        assert sent.take().endswith("BES")

    def test_what_is_used_once_takes_none(self, wire: WireConnection) -> None:
        for n in range(1000):
            ask(wire, f"SELECT $1::int + {n}", 1)
        assert prepared(wire) == {}
        assert len(wire.prepared._seen) <= 256


@pytest.fixture
def changing(committed: Engine) -> Iterator[Callable[[], None]]:
    """Make a table, and return what changes the type of its column in place, as no migration of ours does."""

    def administer(*statements: str) -> None:
        with migrating() as connection:
            for statement in statements:
                connection.execute(text(statement))
            connection.commit()

    administer("CREATE TABLE changing (number int)", "INSERT INTO changing VALUES (1)")
    yield lambda: administer("ALTER TABLE changing ALTER number TYPE text")
    administer("DROP TABLE changing")


NUMBER = text("SELECT number FROM changing WHERE :any")
ALL = {"any": True}


def lose_all(session: Session) -> None:
    """Have the server forget what it prepared, as after a failover behind the same address."""
    session.execute(text("DEALLOCATE ALL"))


class TestPreparedAgain:
    """What PostgreSQL answers to a prepared statement that is outdated (0A000) or unknown (26000)."""

    def test_outside_a_transaction_at_once(
        self, through_proxy: CountingProxy, changing: Callable[[], None]
    ) -> None:
        with read_only() as session:
            for _ in range(3):
                assert session.execute(NUMBER, ALL).scalar_one() == 1
            changing()
            assert session.execute(NUMBER, ALL).scalar_one() == "1"
            lose_all(session)
            assert session.execute(NUMBER, ALL).scalar_one() == "1"

    def test_as_the_first_statement_at_once(
        self, through_proxy: CountingProxy, changing: Callable[[], None]
    ) -> None:
        for _ in range(3):
            with unit_of_work() as session:
                assert session.execute(NUMBER, ALL).scalar_one() == 1
        for spoil in (changing, lambda: None):
            spoil()
            with unit_of_work() as session:
                assert session.execute(NUMBER, ALL).scalar_one() == "1"
                session.execute(ADD, {"key": f"{len(keys_in(session))}"})
            with read_only() as session:
                lose_all(session)
        assert keys() == ["0", "1"]

    def test_in_the_middle_by_running_the_work_again(
        self, through_proxy: CountingProxy, changing: Callable[[], None]
    ) -> None:
        tries: list[int] = []

        def work(session: Session) -> Any:
            tries.append(1)
            session.execute(ADD, {"key": f"try {len(tries)}"})
            return session.execute(NUMBER, ALL).scalar_one()

        for _ in range(3):
            run(work)
        changing()
        tries.clear()
        with unit_of_work() as session:
            session.execute(text("DELETE FROM rate_limits"))
        assert run(work) == "1"
        assert (len(tries), keys()) == (2, ["try 2"])

    def test_in_the_middle_of_a_plain_unit_of_work_is_told(
        self, through_proxy: CountingProxy, changing: Callable[[], None]
    ) -> None:
        def work() -> Any:
            with unit_of_work() as session:
                session.execute(ADD, {"key": "a"})
                number = session.execute(NUMBER, ALL).scalar_one()
                session.execute(text("DELETE FROM rate_limits"))
                return number

        for _ in range(3):
            work()
        changing()
        with pytest.raises(SchemaChanged) as told:
            work()
        assert (told.value.status, told.value.code) == (503, "schema_changed")
        assert keys() == []
        assert work() == "1"

    def test_one_answer_makes_all_of_them_anew(
        self, through_proxy: CountingProxy, changing: Callable[[], None]
    ) -> None:
        """Else the retry would meet the next one in the middle of its transaction."""
        others = [text(f"SELECT number, {n} FROM changing WHERE :any") for n in range(3)]

        def work(session: Session) -> None:
            session.execute(KEYS)
            for other in others:
                session.execute(other, ALL).all()

        for _ in range(3):
            run(work)
        changing()
        run(work)

    def test_another_thing_that_is_not_supported_is_an_error(self, wire: WireConnection) -> None:
        for _ in range(3):
            with pytest.raises(pg8000.DatabaseError) as caught:
                ask(
                    wire,
                    "SELECT relname FROM pg_class WHERE relname = $1 FOR UPDATE OF nothing",
                    "a",
                )
            assert not is_outdated(caught.value)
            wire.rollback()


def keys_in(session: Session) -> list[str]:
    return list(session.execute(KEYS).scalars())


class TestBehindAProxy:
    def test_nothing_is_prepared(self, committed: Engine, configure: Configure) -> None:
        configure(DATABASE_BEHIND_PROXY="true", DATABASE_POOL_SIZE=1)
        dispose()
        with read_only() as session:
            for _ in range(5):
                session.execute(LIST, {"count": 0}).all()
            assert session.execute(text(NAMED)).all() == []
        dispose()
        configure(DATABASE_BEHIND_PROXY="false")
        with read_only() as session:
            for _ in range(5):
                session.execute(LIST, {"count": 0}).all()
            assert len(session.execute(text(NAMED)).all()) == 1
        dispose()
