"""What every test stands on: a real PostgreSQL, settings of its own, closed sockets, and AWS in process when asked for.

A change of a post's state that `shared/posts/lifecycle.py` does not list is refused by a trigger.

- `session`: a session in a transaction that is rolled back; `unit_of_work()` and `read_only()` of the code under test
  join it. After such code has run, `session.expire_all()` before looking at objects loaded earlier. `now()` in SQL is
  the time at which the test began.
- `committed`: real commits on several connections, for tests of concurrency; every table is emptied afterwards.
- `without_clock`: connections as production's, for tests of plans. The others have a `now()` that
  `local/database_clock.py` can move.
- `configure(PUBLIC_URL="https://...")`: other settings, for one test.
- `empty_database`: a connection to a database without tables, for migrations; `migrated_database`: with them, without rows.
- `aws`: moto in place of AWS, with nothing in it.
- `log_lines`: what the log writes.
"""

import functools
import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core import models as moto_models
from pytest_socket import socket_allow_hosts
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from local import database_clock
from local.postgres import EmbeddedPostgres
from shared.access.counts import forget_counts
from shared.aws import clients, secrets
from shared.core.config import settings
from shared.core.log import log
from shared.db import migrate
from shared.db.base import Base
from shared.db.session import bound_to, dispose, engine
from shared.posts.lifecycle import MOVES
from tests.loop import use_loop
from tests.providers import not_judged

Configure = Callable[..., None]
use_loop()  # before a test module imports a function
# What a test sends to AWS by `requests` is the PUT of an uploaded part. Preparing the other methods of each of 180
# services takes longer than most tests.
moto_models.RESPONSES_METHODS[:] = ["PUT"]

_ENVIRONMENT = {
    "STAGE": "test",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",  # until a fixture says which
    "MAIL_TRANSPORT": "ses",
    "LOG_LEVEL": "INFO",
    "POWERTOOLS_SERVICE_NAME": "roost",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_runtest_setup() -> None:
    """Let a test reach this machine and nothing else."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a process of pytest-xdist did not judge to the one that writes the summary."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["not_judged"] = dict(not_judged.counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what another process did not judge."""
    not_judged.counts.update(getattr(node, "workeroutput", {}).get("not_judged", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was not compared with the platforms' published descriptions, and why."""
    if lines := not_judged.summary(not_judged.counts):
        terminalreporter.section("requests not compared with a published description")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "DATABASE_HOST"):
            patch.delenv(name, raising=False)
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _no_calls_counted() -> None:
    """Begin with nothing counted in memory: calls of other tests are not this one's."""
    forget_counts()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Set settings by the names of their variables, until the test ends."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        settings.cache_clear()

    yield change
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run one server for this process's tests; its URL, whose database is empty."""
    folder = Path(tempfile.mkdtemp(prefix="roost-tests-"))
    folder.chmod(0o755)  # the server is not root
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", durable=False)
    try:
        yield server.start()
    finally:
        dispose()
        server.stop()
        shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(postgres: str, _environment: None) -> Iterator[str]:
    """Point the settings at a migrated database; its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", postgres)
        settings.cache_clear()
        with migrate.migrating() as connection:
            migrate.upgrade(connection)
            _refuse_other_moves(connection)
        database_clock.install(postgres)
        database_clock.bind_defaults(postgres)
        yield postgres
        dispose()
    settings.cache_clear()


def _refuse_other_moves(connection: Connection) -> None:
    """Have the test database refuse every row and change of a state that `posts/lifecycle.py` does not list.

    Builders store parts in any state: `tests/builders.py` says so to the trigger.
    """
    listed = ", ".join(f"('{before or ''}', '{after or ''}')" for before, after in MOVES)
    connection.execute(
        text(f"""
            create function refuse_other_moves() returns trigger language plpgsql as $$
            declare
                before text := '';
                after text := case when new.deleted_at is null then new.state else '' end;
            begin
                if tg_op = 'INSERT' then
                    if current_setting('tests.any_state', true) = 'on' then
                        return new;
                    end if;
                elsif old.deleted_at is null then
                    before := old.state;
                end if;
                if before <> after and (before, after) not in ({listed}) then
                    raise exception 'a part that is % cannot become %', before, after
                        using hint = 'shared/posts/lifecycle.py lists the moves';
                end if;
                return new;
            end $$
        """)
    )
    connection.execute(
        text("""
            create trigger refuse_other_moves after insert or update of state, deleted_at on posts
            for each row execute function refuse_other_moves()
        """)
    )
    connection.commit()


@pytest.fixture
def without_clock(database_url: str) -> Iterator[None]:
    """Log in as production does, without the clock that can be moved: for tests of plans and growth."""
    database_clock.uninstall(database_url)
    dispose()
    yield
    dispose()
    database_clock.install(database_url)


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """Open a session whose writes, and those of the code under test, are gone when the test ends."""
    with engine().connect() as connection, connection.begin() as everything, bound_to(connection):
        with Session(
            connection, join_transaction_mode="rollback_only", expire_on_commit=False
        ) as opened:
            yield opened
        everything.rollback()


@pytest.fixture
def committed(database_url: str, configure: Configure) -> Iterator[Engine]:
    """Let `unit_of_work()` really commit, on up to eight connections; every table is emptied afterwards."""
    dispose()
    configure(DATABASE_POOL_SIZE=8)
    yield engine()
    with engine().begin() as connection:
        empty_tables(connection)
    dispose()


def empty_tables(connection: Connection) -> None:
    """Remove every row. Deleting the few rows of a test takes milliseconds, TRUNCATE of all tables half a second."""
    names = [table.name for table in Base.metadata.sorted_tables]
    filled = text("""
        select c.oid::regclass::text as name, pg_relation_size(c.oid) > 1000000 as is_large
        from pg_class c left join pg_inherits i on i.inhrelid = c.oid
        where c.relkind = 'r' and pg_relation_size(c.oid) > 0
          and coalesce(i.inhparent, c.oid) in (select n::regclass from unnest(cast(:names as text[])) n)
    """)
    # The triggers of append-only tables refuse both, and foreign keys would need an order.
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    for name, is_large in connection.execute(filled, {"names": names}).all():
        connection.execute(text(f"TRUNCATE {name} CASCADE" if is_large else f"DELETE FROM {name}"))


@pytest.fixture
def empty_database(postgres: str, configure: Configure) -> Iterator[Connection]:
    """Connect to a database of its own, in which there is nothing; the settings name it."""
    with _database_of_its_own(postgres, configure, template="template0") as connection:
        yield connection


@pytest.fixture(scope="session")
def migrated_template(postgres: str, _environment: None) -> str:
    """Migrate a database once, to be copied; its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", postgres)
        settings.cache_clear()
        with migrate.migrating() as usual:
            admin = usual.execution_options(isolation_level="AUTOCOMMIT")
            admin.execute(text("CREATE DATABASE migrated TEMPLATE template0"))
        patch.setenv("DATABASE_URL", _with_database(postgres, "migrated"))
        settings.cache_clear()
        with migrate.migrating() as connection:
            migrate.upgrade(connection)
    settings.cache_clear()
    return "migrated"


@pytest.fixture
def migrated_database(
    postgres: str, migrated_template: str, configure: Configure
) -> Iterator[Connection]:
    """Connect to a database of its own with all tables and no rows; the settings name it."""
    with _database_of_its_own(postgres, configure, migrated_template) as connection:
        yield connection


@contextmanager
def _database_of_its_own(
    postgres: str, configure: Configure, template: str
) -> Iterator[Connection]:
    configure(DATABASE_URL=postgres)
    with migrate.migrating() as usual:
        admin = usual.execution_options(isolation_level="AUTOCOMMIT")
        admin.execute(text(f"CREATE DATABASE empty TEMPLATE {template}"))
        configure(DATABASE_URL=_with_database(postgres, "empty"))
        try:
            with migrate.migrating() as connection:
                yield connection
        finally:
            admin.execute(text("DROP DATABASE empty WITH (FORCE)"))


def _with_database(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Catch what the log writes, one JSON object a line."""
    written = io.StringIO()
    handler = next(one for one in log.handlers if isinstance(one, logging.StreamHandler))
    monkeypatch.setattr(handler, "stream", written)
    return written


@pytest.fixture(scope="session")
def aws_session(_environment: None) -> boto3.Session:
    """Make one session for all tests of this process, which makes each client once.

    Reading what services there are, and what a service can do, takes longer than most tests.
    """
    session = boto3.Session()
    session.client = functools.cache(session.client)  # type: ignore[method-assign]
    return session


@pytest.fixture
def aws(aws_session: boto3.Session) -> Iterator[None]:
    """Put moto in place of AWS; it holds nothing."""
    _forget_aws()
    with mock_aws():
        boto3.DEFAULT_SESSION = aws_session  # moto's own patch ends with it
        yield
    _forget_aws()


def _forget_aws() -> None:
    secrets.forget_secrets()
    clients._client.cache_clear()
