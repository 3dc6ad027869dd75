"""Which errors end a connection, what is repeated after one, and what nobody can know."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from shared.db.insist import PAUSES_SECONDS, insist
from shared.db.session import CommitUnknown, read_only, run
from tests.database.proxy import CountingProxy
from tests.database.test_session import ADD, KEYS, keys, through_proxy

__all__ = ["through_proxy"]

PID = text("select pg_backend_pid()")
ENDINGS = ["25006", "25P03", "57P01", "57P02", "57P03", "57P04", "57P05", "08000", "08003", "08006", "08P01"]  # fmt: skip


def fail_with(session: Session, sqlstate: str) -> None:
    """Have the server answer a statement with an error of this code."""
    session.execute(text(f"do $$ begin raise exception using errcode = '{sqlstate}'; end $$"))


class TestEndings:
    @pytest.mark.parametrize("sqlstate", ENDINGS)
    def test_the_connection_is_given_up_and_the_work_repeated_once(
        self, through_proxy: CountingProxy, sqlstate: str
    ) -> None:
        """Finding 8.2."""
        pids: list[int] = []

        def add(session: Session) -> None:
            pids.append(session.execute(PID).scalar_one())
            session.execute(ADD, {"key": str(len(pids))})
            if len(pids) == 1:
                fail_with(session, sqlstate)

        run(add)
        assert len(set(pids)) == 2
        assert keys() == ["2"]

    @pytest.mark.parametrize("sqlstate", ["22012", "42501", "57014", "53100"])
    def test_other_errors_end_nothing(self, through_proxy: CountingProxy, sqlstate: str) -> None:
        """Finding 8.2: a mistake of ours, or a statement that took too long, is not repeated."""
        pids: list[int] = []

        def add(session: Session) -> None:
            pids.append(session.execute(PID).scalar_one())
            fail_with(session, sqlstate)

        for _ in range(2):
            with pytest.raises(DBAPIError):
                run(add)
        assert len(pids) == 2
        assert len(set(pids)) == 1

    def test_a_writer_that_became_a_reader_is_left(self, through_proxy: CountingProxy) -> None:
        """Finding 8.2: after a failover the old connection answers, and refuses every write."""
        with read_only() as session:
            session.execute(text("set session characteristics as transaction read only"))
            before = session.execute(PID).scalar_one()
        for key in ("a", "b"):
            run(lambda session, key=key: session.execute(ADD, {"key": key}))  # type: ignore[misc]  # of lambdas mypy infers no defaults
        assert keys() == ["a", "b"]
        with read_only() as session:
            assert session.execute(PID).scalar_one() != before


class TestStatementsThatStandAlone:
    def test_a_break_on_one_that_writes_is_unknown(self, through_proxy: CountingProxy) -> None:
        """Finding 8.2: it may have been carried out, as with a COMMIT."""
        with pytest.raises(CommitUnknown), read_only() as session:
            session.execute(KEYS)
            through_proxy.cut()
            session.execute(ADD, {"key": "a"})

    def test_a_break_on_one_that_reads_is_not(self, through_proxy: CountingProxy) -> None:
        """Finding 8.2: it may be asked again."""
        with pytest.raises(DBAPIError) as broken, read_only() as session:
            session.execute(KEYS)
            through_proxy.cut()
            session.execute(KEYS)
        assert broken.value.connection_invalidated

    @pytest.mark.parametrize(("sqlstate", "is_known"), [("57P01", True), ("25006", True), ("57P02", False), ("08006", False)])  # fmt: skip
    def test_a_server_that_ends_it_says_whether(
        self, through_proxy: CountingProxy, sqlstate: str, is_known: bool
    ) -> None:
        """Finding 8.2: a refusal is known not to be carried out; after a crash nobody knows."""
        with (
            pytest.raises(DBAPIError if is_known else CommitUnknown),
            read_only() as session,
        ):
            fail_with_write = f"do $$ begin insert into rate_limits (key, count) values ('a', 1); raise exception using errcode = '{sqlstate}'; end $$"
            session.execute(text(fail_with_write))


class TestInsist:
    """Time is a number here: pauses move it on."""

    @pytest.fixture(autouse=True)
    def _start(self) -> None:
        self.clock = 0.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock += seconds

    def away(self, until: float) -> object:
        if self.clock < until:
            raise InterfaceError("insert", {}, Exception("network error"))
        return "written"

    def insist(self, until: float, deadline: float | None) -> object:
        return insist(
            lambda: self.away(until), deadline=deadline, pause=self.pause, now=lambda: self.clock
        )

    def test_outlasts_a_database_that_is_away_for_half_a_minute(self) -> None:
        """Finding 8.3."""
        assert self.insist(30, 50) == "written"
        assert self.pauses[:5] == list(PAUSES_SECONDS)
        assert set(self.pauses[5:]) == {PAUSES_SECONDS[-1]}

    def test_ends_before_its_time_does(self) -> None:
        """Finding 8.3: the function is not killed in a pause."""
        with pytest.raises(InterfaceError):
            self.insist(100, 50)
        assert 45 <= self.clock < 50

    def test_without_a_time_it_repeats_once_at_once(self) -> None:
        """Finding 8.3: a sweep waits for nothing."""
        with pytest.raises(InterfaceError):
            self.insist(1, None)
        assert self.pauses == [0.0]

    @pytest.mark.parametrize(
        "error",
        [CommitUnknown(), OperationalError("insert", {}, Exception("the system is starting up"))],
    )
    def test_what_may_pass_is_tried_again(self, error: Exception) -> None:
        """Finding 8.3."""
        answers = [error, None]

        def write() -> str:
            answer = answers.pop(0)
            if answer:
                raise answer
            return "written"

        assert insist(write, deadline=50, pause=self.pause, now=lambda: self.clock) == "written"

    def test_what_the_database_refuses_is_not(self, committed: Engine) -> None:
        """Finding 8.3: of a mistake nothing is gained by waiting."""

        def write() -> None:
            with read_only() as session:
                session.execute(text("select 1 / 0"))

        with pytest.raises(DBAPIError):
            insist(write, deadline=50, pause=self.pause, now=lambda: self.clock)
        assert self.pauses == []
