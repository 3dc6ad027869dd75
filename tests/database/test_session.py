"""Whether a unit of work is committed once, wholly or not at all, and finds a live connection."""

import contextlib
import datetime as dt
import functools
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pg8000
import pytest
import snapshot_restore_py
import sqlalchemy
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from local.postgres import EmbeddedPostgres
from shared.core.config import settings
from shared.db import session as sessions
from shared.db.session import (
    Clashed,
    CommitUnknown,
    Login,
    after_commit,
    connect,
    dispose,
    engine,
    read_only,
    run,
    unit_of_work,
)
from shared.db.wire import WireConnection
from shared.organizations.models import Organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.database.proxy import CountingProxy, counting_proxy

ADD = text("INSERT INTO rate_limits (key, count) VALUES (:key, 1)")
KEYS = text("SELECT key FROM rate_limits ORDER BY key")


def keys() -> list[str]:
    with read_only() as session:
        return list(session.execute(KEYS).scalars())


@pytest.fixture
def through_proxy(
    committed: Engine, configure: Configure, database_url: str
) -> Iterator[CountingProxy]:
    """Reach the database through a proxy, on one connection, as a Lambda function does."""
    url = make_url(database_url)
    assert url.port is not None
    with counting_proxy(url.port) as proxy:
        dispose()
        by_proxy = url.set(port=proxy.port).render_as_string(hide_password=False)
        configure(DATABASE_URL=by_proxy, DATABASE_POOL_SIZE=1)
        yield proxy
        dispose()
        configure(DATABASE_URL=database_url)


class TestUnitOfWork:
    def test_commits_at_the_end(self, committed: Engine) -> None:
        with unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            assert keys() == []
        assert keys() == ["a"]

    def test_error_rolls_back(self, committed: Engine) -> None:
        with pytest.raises(ZeroDivisionError), unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            raise ZeroDivisionError
        assert keys() == []

    def test_death_of_the_process_rolls_back(self, committed: Engine) -> None:
        class Killed(BaseException):
            pass

        with pytest.raises(Killed), unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            raise Killed
        assert keys() == []

    def test_takes_a_trip_for_each_statement_and_one_to_commit(
        self, through_proxy: CountingProxy
    ) -> None:
        def two_statements() -> None:
            with unit_of_work() as session:
                session.execute(KEYS)
                session.execute(ADD, {"key": str(through_proxy.round_trips)})

        two_statements()
        before = through_proxy.round_trips
        two_statements()
        assert through_proxy.round_trips - before == 3

    def test_without_statements_takes_no_connection(self, through_proxy: CountingProxy) -> None:
        with unit_of_work():
            pass
        assert through_proxy.round_trips == 0

    def test_only_connection_is_free_again_afterwards(self, through_proxy: CountingProxy) -> None:
        for _ in range(3):
            with pytest.raises(IntegrityError), unit_of_work() as session:
                session.execute(ADD, {"key": "a"})
                session.execute(ADD, {"key": "a"})
        assert keys() == []

    def test_threads_wait_for_their_turn(self, through_proxy: CountingProxy) -> None:
        def add(key: str) -> None:
            with unit_of_work() as session:
                session.execute(ADD, {"key": key})
                session.execute(text("SELECT pg_sleep(0.02)"))

        threads = [threading.Thread(target=add, args=(f"{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert keys() == [f"{n}" for n in range(8)]

    def test_one_inside_another_is_found_out(self, session: Session) -> None:
        with unit_of_work(), pytest.raises(RuntimeError, match="only connection"), read_only():
            pass

    def test_one_inside_another_times_out_in_production(
        self, through_proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine().pool, "_timeout", 0.05)
        with unit_of_work() as session:
            session.execute(KEYS)
            with pytest.raises(PoolTimeout), read_only() as inner:
                inner.execute(KEYS)

    def test_threads_that_are_first_share_one_engine(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Engine] = []
        create = sqlalchemy.create_engine

        def slowly(*arguments: Any, **options: Any) -> Engine:
            time.sleep(0.05)
            made.append(create(*arguments, **options))
            return made[-1]

        dispose()
        monkeypatch.setattr(sessions, "create_engine", slowly)
        threads = [threading.Thread(target=engine) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [one.driver for one in made] == ["wire", "wire_autocommit"]
        assert made[0].pool is made[1].pool
        dispose()


class TestAfterCommit:
    def test_calls_follow_the_commit_in_order(self, committed: Engine) -> None:
        seen: list[Any] = []
        with unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            after_commit(session, lambda: seen.append(("first", keys())))
            after_commit(session, lambda: seen.append(("second", keys())))
            assert seen == []
        assert seen == [("first", ["a"]), ("second", ["a"])]

    def test_calls_find_the_connection_free(self, through_proxy: CountingProxy) -> None:
        seen: list[list[str]] = []
        with unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            after_commit(session, lambda: seen.append(keys()))
        assert seen == [["a"]]

    def test_rollback_drops_the_calls(self, committed: Engine) -> None:
        seen: list[int] = []
        with pytest.raises(ZeroDivisionError), unit_of_work() as session:
            after_commit(session, lambda: seen.append(1))
            raise ZeroDivisionError
        assert seen == []

    def test_failing_call_undoes_nothing_and_the_rest_runs(
        self, committed: Engine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[int] = []

        def fail() -> None:
            raise OSError("the queue does not answer")

        with unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            after_commit(session, fail)
            after_commit(session, lambda: seen.append(1))
        assert (seen, keys()) == ([1], ["a"])


class TestReadOnly:
    def test_takes_one_trip_for_each_statement(self, through_proxy: CountingProxy) -> None:
        keys()
        before = through_proxy.round_trips
        with read_only() as session:
            session.execute(KEYS)
            session.execute(text("SELECT :n"), {"n": 1})
        assert through_proxy.round_trips - before == 2

    def test_refuses_to_write_objects(self, committed: Engine) -> None:
        with pytest.raises(RuntimeError, match="read_only"), read_only() as session:
            session.add(Organization(name="x"))
            session.execute(KEYS)

    def test_next_unit_of_work_is_a_transaction_again(self, through_proxy: CountingProxy) -> None:
        keys()
        with pytest.raises(ZeroDivisionError), unit_of_work() as session:
            session.execute(ADD, {"key": "a"})
            raise ZeroDivisionError
        assert keys() == []


class TestDeadConnections:
    def test_run_tries_once_more(self, through_proxy: CountingProxy) -> None:
        tries: list[int] = []

        def add(session: Session) -> str:
            tries.append(1)
            if len(tries) == 1:
                session.execute(ADD, {"key": "lost"})
                through_proxy.cut()
            session.execute(ADD, {"key": "kept"})
            return "done"

        assert run(add) == "done"
        assert (len(tries), keys()) == (2, ["kept"])

    def test_run_does_not_try_a_third_time(self, through_proxy: CountingProxy) -> None:
        tries: list[int] = []

        def add(session: Session) -> None:
            tries.append(1)
            session.execute(KEYS)
            through_proxy.cut()
            session.execute(KEYS)

        with pytest.raises(DBAPIError):
            run(add)
        assert len(tries) == 2

    def test_run_does_not_repeat_what_may_be_committed(self, through_proxy: CountingProxy) -> None:
        tries: list[int] = []

        def add(session: Session) -> None:
            tries.append(1)
            session.execute(ADD, {"key": "a"})
            through_proxy.cut()

        with pytest.raises(CommitUnknown):
            run(add)
        assert len(tries) == 1

    @pytest.mark.parametrize("code", ["40P01", "40001"])
    def test_run_repeats_what_another_transaction_ended(self, committed: Engine, code: str) -> None:
        """Finding 1.17: a deadlock is retried once, a second one is told as such."""
        tries: list[int] = []

        def add(session: Session, clashes: int) -> str:
            tries.append(1)
            session.execute(ADD, {"key": f"{clashes}, try {len(tries)}"})
            if len(tries) <= clashes:
                session.execute(text(f"do $$ begin raise sqlstate '{code}'; end $$"))
            return "done"

        assert run(functools.partial(add, clashes=1)) == "done"
        assert keys() == ["1, try 2"]
        tries.clear()
        with pytest.raises(Clashed):
            run(functools.partial(add, clashes=2))
        assert (len(tries), keys()) == (2, ["1, try 2"])

    def test_run_does_not_repeat_other_errors(self, committed: Engine) -> None:
        tries: list[int] = []

        def add(session: Session) -> None:
            tries.append(1)
            session.execute(ADD, {"key": "a"})
            session.execute(ADD, {"key": "a"})

        with pytest.raises(IntegrityError):
            run(add)
        assert len(tries) == 1

    def test_connection_that_idled_is_pinged_and_replaced(
        self, through_proxy: CountingProxy
    ) -> None:
        with time_machine.travel(dt.datetime(2026, 11, 22, tzinfo=dt.UTC), tick=False) as clock:
            keys()
            through_proxy.cut()
            clock.shift(61)
            with unit_of_work() as session:
                session.execute(ADD, {"key": "a"})
        assert keys() == ["a"]

    def test_ping_is_spared_within_the_minute(self, through_proxy: CountingProxy) -> None:
        with time_machine.travel(dt.datetime(2026, 11, 22, tzinfo=dt.UTC), tick=False) as clock:
            costs = []
            keys()
            for seconds in (59, 61):
                clock.shift(seconds)
                before = through_proxy.round_trips
                keys()
                costs.append(through_proxy.round_trips - before)
        assert costs == [1, 2]

    def test_dispose_closes_and_starts_afresh(self, through_proxy: CountingProxy) -> None:
        keys()
        before = engine()
        dispose()
        assert before.pool.checkedin() == 0  # type: ignore[attr-defined]
        assert keys() == []
        assert engine() is not before


class TestBoundTo:
    def test_code_under_test_sees_the_test_s_rows_and_the_other_way_round(
        self, session: Session
    ) -> None:
        session.execute(ADD, {"key": "a"})
        with unit_of_work() as inner:
            assert list(inner.execute(KEYS).scalars()) == ["a"]
            inner.execute(ADD, {"key": "b"})
        assert list(session.execute(KEYS).scalars()) == ["a", "b"] == keys()

    def test_rollback_undoes_only_the_unit(self, session: Session) -> None:
        session.execute(ADD, {"key": "a"})
        with pytest.raises(IntegrityError), unit_of_work() as inner:
            inner.execute(ADD, {"key": "b"})
            inner.execute(ADD, {"key": "a"})
        assert keys() == ["a"]

    def test_nothing_is_left_behind(self, session: Session) -> None:
        assert keys() == []

    def test_costs_are_those_of_production(self, session: Session) -> None:
        with count_statements() as cost, unit_of_work() as inner:
            inner.execute(ADD, {"key": "a"})
            inner.execute(KEYS)
        assert (cost.statements, cost.round_trips) == (2, 3)


class TestConnect:
    def test_iam_token_is_the_one_that_boto3_makes(
        self, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(
            DATABASE_URL="",
            DATABASE_HOST="db.example",
            DATABASE_USER="roost",
            AWS_REGION="eu-west-1",
        )
        dispose()
        with time_machine.travel(dt.datetime(2026, 11, 22, tzinfo=dt.UTC), tick=False):
            theirs = boto3.client("rds", region_name="eu-west-1").generate_db_auth_token(
                "db.example", 5432, "roost"
            )
            ours = sessions._iam_token(sessions._target(None))
        assert ours == theirs
        assert "X-Amz-Security-Token=testing" in ours

    def test_without_url_tls_is_verified(self, configure: Configure) -> None:
        configure(DATABASE_URL="", DATABASE_HOST="db.example")
        for login in (None, Login("admin", "secret")):
            target = sessions._target(login)
            assert target.verified
            assert target.by_iam is (login is None)
        context = sessions._tls()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname

    def test_server_without_tls_is_refused_when_tls_is_asked_for(
        self, database_url: str, configure: Configure
    ) -> None:
        configure(DATABASE_URL=f"{database_url}?sslmode=verify-full")
        with pytest.raises(pg8000.InterfaceError, match="refuses SSL"):
            sessions.connect()

    def test_nobody_listening_is_a_database_error(self, configure: Configure) -> None:
        configure(DATABASE_URL="postgresql://u@127.0.0.1:1/x")
        dispose()
        with pytest.raises(DBAPIError, match="network error"):
            keys()
        dispose()

    def test_socket_has_nodelay_and_a_time_limit(self, committed: Engine) -> None:
        with committed.connect() as connection:
            wire = connection.connection.dbapi_connection
            assert isinstance(wire, WireConnection)
            assert wire._usock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert wire._usock.gettimeout() == 30

    def test_session_s_zone_is_utc(self, committed: Engine) -> None:
        with read_only() as session:
            assert session.execute(text("SHOW timezone")).scalar_one() == "UTC"

    def test_snapshot_closes_connections_first(self) -> None:
        registered: list[Callable[..., Any]] = [
            entry[0] for entry in snapshot_restore_py._before_snapshot_registry
        ]
        assert dispose in registered


@pytest.fixture(scope="module")
def tls_server() -> Iterator[tuple[str, Path]]:
    """Run a server with a certificate of its own; its URL, and the file to trust."""
    folder = Path(tempfile.mkdtemp(prefix="roost-tls-"))
    folder.chmod(0o755)
    trusted = folder / "ca.pem"
    server = EmbeddedPostgres(folder / "postgres", folder / "log", durable=False)
    server.start()
    server.stop()
    files = folder / "postgres" / "data"
    certificate, key = a_certificate("localhost")
    for name, content in (("server.crt", certificate), ("server.key", key)):
        (files / name).write_bytes(content)
        (files / name).chmod(0o600)
        os.chown(files / name, files.stat().st_uid, files.stat().st_gid)
    trusted.write_bytes(certificate)
    (files / "postgresql.auto.conf").write_text("ssl = on\n")
    try:
        yield server.start().replace("127.0.0.1", "localhost"), trusted
    finally:
        server.stop()
        shutil.rmtree(folder)


class TestTls:
    def test_trusted_server_is_spoken_to_in_secret(
        self, tls_server: tuple[str, Path], configure: Configure
    ) -> None:
        url, trusted = tls_server
        configure(DATABASE_URL=f"{url}?sslmode=verify-full", DATABASE_CA_FILE=trusted)
        with contextlib.closing(connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT ssl, $1::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()", (1,)
            )
            assert cursor.fetchall() == ([True, 1],)

    @pytest.mark.parametrize(
        ("host", "trusts", "reason"),
        [("localhost", False, "self-signed"), ("127.0.0.1", True, "mismatch")],
    )
    def test_other_server_is_refused(
        self,
        tls_server: tuple[str, Path],
        configure: Configure,
        host: str,
        trusts: bool,
        reason: str,
    ) -> None:
        url, trusted = tls_server
        configure(
            DATABASE_URL=f"{url.replace('localhost', host)}?sslmode=verify-full",
            DATABASE_CA_FILE=trusted if trusts else "",
        )
        with pytest.raises(pg8000.InterfaceError, match=reason):
            connect()


def a_certificate(name: str) -> tuple[bytes, bytes]:
    """Make a self-signed certificate for `name`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM), key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def test_forked_child_leaves_its_parent_s_connection_alone(through_proxy: CountingProxy) -> None:
    keys()
    child = os.fork()
    if child == 0:
        # Nothing that pytest or the coverage of it would do at the end of a process.
        os._exit(sessions._engines.cache_info().currsize)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = through_proxy.round_trips
    assert keys() == []
    assert through_proxy.round_trips - before == 1


def test_pool_is_one_connection_unless_set(database_url: str, configure: Configure) -> None:
    configure(DATABASE_POOL_SIZE=1)
    dispose()
    assert settings().database_pool_size == 1
    assert engine().pool.size() == 1  # type: ignore[attr-defined]
    dispose()


def test_error_does_not_tell_parameters(session: Session) -> None:
    """Finding 2.8: the hash of a secret stood in the log of a statement that failed."""
    with pytest.raises(DBAPIError) as failed, session.begin_nested():
        session.execute(text("select cast(:value as int)"), {"value": "hash-of-a-secret"})
    assert "[SQL parameters hidden due to hide_parameters=True]" in str(failed.value)
    with pytest.raises(DBAPIError) as failed, session.begin_nested():
        session.execute(text("select 1 / 0 where :value = 'x'"), {"value": "hash-of-a-secret"})
    assert "hash-of-a-secret" not in str(failed.value)
