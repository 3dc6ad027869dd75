"""Database sessions: one transaction for a use case that writes, autocommit for one that only reads.

with unit_of_work() as session:                 # commits at the end, rolls back on an error
post = compose(session, member, draft)
after_commit(session, lambda: arm(post))    # runs once the commit is certain

with read_only() as session:                    # autocommit: no BEGIN, no COMMIT
page = list_posts(session, organization_id)

rows = MARK.alone(id=id)                        # one statement that writes, in one round trip (`db/statement.py`)
"""

import contextlib
import functools
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import pg8000
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from shared.core import clock
from shared.core.config import settings
from shared.core.errors import Unavailable
from shared.core.log import log
from shared.core.metrics import count_after_commit_failure
from shared.db.prepared import MOST_PREPARED
from shared.db.wire import WireConnection, is_outdated, sqlstate_of, was_carried_out

try:
    from snapshot_restore_py import register_before_snapshot
except ImportError:  # only Lambda's Python 3.12 and later bring it
    register_before_snapshot = None

T = TypeVar("T")

_CONNECT_TIMEOUT = timedelta(seconds=5)
# Longer than the role's statement timeout, so that the server ends a statement first and gives the reason; and longer than
# the 15 s or so that a paused cluster needs to resume while the first connection waits.
_ANSWER_TIMEOUT = timedelta(seconds=30)
_POOL_TIMEOUT = timedelta(seconds=30)  # how long the threads of one batch wait for a connection
_PING_AFTER = timedelta(minutes=1)
_PING_TIMEOUT = timedelta(seconds=3)
_making = threading.Lock()
# deadlock_detected, serialization_failure (postgresql.org/docs/17/mvcc-serialization-failure-handling.html, read 2026-11)
_CLASHES = frozenset({"40P01", "40001"})
_WRITING = re.compile(r"\b(insert|update|delete|merge)\b(?! of\b)", re.IGNORECASE)
_AFTER_COMMIT = "after_commit"
_IN_USE = "in_use"


class CommitUnknown(Unavailable):
    """The connection broke during COMMIT or during a statement in autocommit, so it is unknown whether the data was stored."""

    code = "commit_unknown"

    def __init__(self) -> None:
        super().__init__(
            "The connection broke while saving. Check whether it was saved before you try again."
        )


class Clashed(Unavailable):
    """PostgreSQL aborted the transaction because of a concurrent one: a deadlock or a serialization failure.

    Nothing was stored, so work that a rollback undoes may run once more.
    """

    code = "clashed"

    def __init__(
        self,
        message: str = "Somebody else changed this at the same time. Try again in a moment.",
    ) -> None:
        super().__init__(message)


class SchemaChanged(Clashed):
    """A migration changed the result of a prepared statement during the transaction, which is aborted."""

    code = "schema_changed"

    def __init__(self) -> None:
        super().__init__("Roost is being updated. Try again in a moment.")


class SavedButNotDone(Unavailable):
    """A call after the commit failed and no sweep repeats it, so the caller must be notified. Subclasses name the call."""


@dataclass(frozen=True, slots=True)
class Login:
    """A role that logs in with a password instead of IAM."""

    user: str
    password: str = field(repr=False)


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Open a session with one transaction: it commits at the end of the block and rolls back on an error.

    After the commit, the connection is released and the calls given to `after_commit` run in order. A call that fails is
    logged and undoes nothing: a sweep repeats it.

    Raises:
        CommitUnknown: the connection broke during the commit.
        Clashed: another transaction or a migration (`SchemaChanged`) interfered.
        SavedButNotDone: one of the calls raised it; all of them ran.
    """
    with _telling_clashes(), _open(Session, autocommit=False) as session:
        yield session
        session.flush()
        _commit(session)
    follow(session.info.get(_AFTER_COMMIT, ()))


@contextmanager
def read_only() -> Iterator[Session]:
    """Open a session in autocommit, without BEGIN and COMMIT. It raises when objects are to be written.

    At the end, the connection is released and the calls given to `after_commit` run in order, since every statement was
    committed by itself.

    Raises:
        CommitUnknown: the connection broke on a statement that does write and is not `repeatable`.
        SavedButNotDone: one of the calls raised it; all of them ran.
    """
    with _open(_ReadOnlySession, autocommit=True) as session:
        yield session
    follow(session.info.get(_AFTER_COMMIT, ()))


class Rows(NamedTuple):
    """What a statement returned: its rows, the names of their columns, and how many rows it wrote."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    written: int


def execute(
    connection: Connection, statement: str, values: Sequence[Any], options: Mapping[str, Any]
) -> Rows:
    """Send a statement unchanged, with `values` in the order of its parameters and its execution `options`.

    Bypasses SQLAlchemy's result, because describing the columns each time costs more than reading a row.
    """
    result = connection.exec_driver_sql(
        statement, tuple(values) or None, execution_options={**options, "rows_only": True}
    )
    cursor: Any = result.context.cursor  # a `WireCursor`
    return Rows(cursor.columns, cursor.rows, result.rowcount)


def execute_alone(statement: str, values: Sequence[Any], options: Mapping[str, Any]) -> Rows:
    """Execute a statement in autocommit, as its own transaction.

    It is run once more if it clashed, or if the connection broke and the statement was certainly not executed, only
    reads, or has the option `repeatable`. A repeatable statement stores and returns the same when it runs again, or the
    difference does no harm. `tests/database/test_repeatable.py` breaks the connection under each of them.

    Raises:
        CommitUnknown: the connection broke after a writing statement was sent that is not repeatable.
        Clashed: another transaction interfered twice.
    """
    try:
        return _execute_alone(statement, values, options)
    except Clashed:
        log.warning("database.clashed")
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        log.warning("database.reconnected")
    return _execute_alone(statement, values, options)


def _execute_alone(statement: str, values: Sequence[Any], options: Mapping[str, Any]) -> Rows:
    with _telling_clashes(), autocommit() as connection:
        return execute(connection, statement, values, options)


@contextmanager
def autocommit() -> Iterator[Connection]:
    """Open a connection in autocommit for statements only: a session costs a third of a statement more."""
    if _bound is None:
        with _autocommit_engine().connect() as connection:
            yield connection
        return
    with _open(Session, autocommit=True) as session:
        yield session.connection()


def run(work: Callable[[Session], T]) -> T:
    """Run `work` in a unit of work, and once more if the connection was dead before the commit or the transaction clashed.

    `work` must not do anything that a rollback does not undo.

    Raises:
        CommitUnknown: the connection broke during the commit, so the work was not repeated.
    """
    try:
        with unit_of_work() as session:
            return work(session)
    except Clashed:
        log.warning("database.clashed")
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        log.warning("database.reconnected")
    with unit_of_work() as session:
        return work(session)


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Run `call` after the unit of work of `session` is committed, in autocommit at its end; never if it is rolled back."""
    session.info.setdefault(_AFTER_COMMIT, []).append(call)


def follow(calls: Iterable[Callable[[], object]]) -> None:
    """Run `calls` after a commit or after `execute_alone`.

    A call that fails is logged and undoes nothing: a sweep repeats it.

    Raises:
        SavedButNotDone: one of the calls raised it; all of them ran.
    """
    failures = [_call_and_log(call) for call in calls]
    for failure in failures:
        if isinstance(failure, SavedButNotDone):
            raise failure


def engine() -> Engine:
    """Return the process's engine, which is created at first use."""
    with _making:  # several threads of a batch may call this first
        return _engines().writing


def close_connections() -> None:
    """Close the unused connections; the next use opens new ones."""
    if _engines.cache_info().currsize:
        _engines().close()


def dispose() -> None:
    """Close the connections and drop the engine and the credentials; the next use creates them again.

    Runs before a SnapStart snapshot, because restored copies must not share a connection.
    """
    _forget(close=True)


def connect(
    *,
    login: Login | None = None,
    answer_within: timedelta = _ANSWER_TIMEOUT,
    most_prepared: int | None = None,
) -> WireConnection:
    """Open one connection as the settings say. A statement that takes longer than `answer_within` breaks it.

    Up to `most_prepared` statements stay prepared: by default `MOST_PREPARED`, and none behind a proxy.

    With `DATABASE_URL`, its user and password are used, and TLS if it says `sslmode=verify-full`. Without it, the role logs
    in with an IAM token, and TLS is always verified. `login` replaces either.

    Raises:
        pg8000.Error: the server cannot be reached, its certificate is not trusted, or it refuses the role.
    """
    target = _target(login)
    with contextlib.ExitStack() as undo:
        try:
            sock = socket.create_connection(
                (target.host, target.port), _CONNECT_TIMEOUT.total_seconds()
            )
            undo.callback(sock.close)
            # Without this, Nagle's algorithm may delay a statement until the previous one is acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.settimeout(answer_within.total_seconds())
            connection = WireConnection(
                target.user,
                host=target.host,
                database=target.database,
                password=_iam_token(target) if target.by_iam else target.password,
                sock=sock,
                ssl_context=_tls() if target.verified else False,
                application_name="roost",
                startup_params={"timezone": "UTC"},
                most_prepared=_most_prepared() if most_prepared is None else most_prepared,
            )
        except OSError as error:
            raise pg8000.InterfaceError(f"network error: {target.host}: {error}") from error
        undo.pop_all()
    return connection


@contextmanager
def bound_to(connection: Connection) -> Iterator[None]:
    """Make every unit of work in this process a savepoint on `connection`; the caller ends its transaction.

    For tests and for experiments with real data.
    """
    global _bound
    before, _bound = _bound, connection
    try:
        yield
    finally:
        _bound = before


_bound: Connection | None = None


class _ReadOnlySession(Session):
    def flush(self, objects: Any = None) -> None:
        if self.new or self.dirty or self.deleted:
            raise RuntimeError("a read_only() session cannot write")
        super().flush(objects)


@contextmanager
def _open(kind: type[Session], *, autocommit: bool) -> Iterator[Session]:
    if _bound is None:
        with kind(
            _autocommit_engine() if autocommit else engine(), expire_on_commit=False
        ) as session:
            yield session
        return
    if _IN_USE in _bound.info:
        raise RuntimeError(
            "a unit of work inside another would wait forever for the only connection"
        )
    _bound.info[_IN_USE] = True
    mode: Any = "rollback_only" if autocommit else "create_savepoint"
    try:
        with kind(_bound, join_transaction_mode=mode, expire_on_commit=False) as session:
            yield session
    finally:
        del _bound.info[_IN_USE]


@dataclass(frozen=True, slots=True)
class _Engines:
    """One pool with two engines: with transactions and in autocommit."""

    writing: Engine
    autocommit: Engine

    def close(self) -> None:
        self.writing.dispose()
        self.autocommit.pool = self.writing.pool  # a new one


@functools.cache
def _engines() -> _Engines:
    hidden: Any = {  # an error's text is logged, and parameters can contain hashes of secrets
        "hide_parameters": True
    }
    writing = create_engine(
        "postgresql+wire://",
        creator=connect,
        pool_size=settings().database_pool_size,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT.total_seconds(),
        **hidden,
    )
    event.listen(writing, "checkin", _give_back)
    event.listen(writing, "checkout", _check_idle)
    autocommit = create_engine("postgresql+wire_autocommit://", pool=writing.pool, **hidden)
    event.listen(autocommit, "handle_error", _tell_unknown)
    return _Engines(writing, autocommit)


def _autocommit_engine() -> Engine:
    with _making:
        return _engines().autocommit


def _tell_unknown(broken: ExceptionContext) -> None:
    """Raise `CommitUnknown` if a statement in autocommit may have been executed and that matters."""
    error, execution = broken.sqlalchemy_exception, broken.execution_context
    if not broken.is_disconnect or not isinstance(error, DBAPIError):
        return
    if was_carried_out(error) is False or not _WRITING.search(broken.statement or ""):
        return
    if execution is None or not execution.execution_options.get("repeatable"):
        raise CommitUnknown from error


@contextmanager
def _telling_clashes() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if sqlstate_of(error) in _CLASHES:
            raise Clashed from error
        if is_outdated(error.orig):
            raise SchemaChanged from error
        raise


def _commit(session: Session) -> None:
    try:
        session.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise CommitUnknown from error
        raise


def _call_and_log(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  committed is committed: the caller's work is done and its other calls are due
        log.exception("after_commit.failed", extra={"call": _name(call)})
        count_after_commit_failure()
        return error
    return None


def _name(call: Callable[[], object]) -> str:
    """Return a call's name without its arguments, which may be texts and addresses."""
    function = call.func if isinstance(call, functools.partial) else call
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"


def _give_back(connection: WireConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = clock.now()
    if connection is not None:  # not invalidated
        connection.end_autocommit()


def _check_idle(connection: WireConnection, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Ping a connection after an idle period: the container may have been frozen and the server may have closed it."""
    idle_since = record.info.get("idle_since")
    if idle_since is None or clock.now() - idle_since < _PING_AFTER:
        return
    try:
        connection.ping(_PING_TIMEOUT.total_seconds())
    except pg8000.Error as error:
        raise DisconnectionError from error  # the pool opens another one


def _most_prepared() -> int:
    """Return 0 behind a proxy: it uses any of its connections for a transaction, and a name exists on only one of them."""
    return 0 if settings().database_behind_proxy else MOST_PREPARED


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    user: str
    database: str
    password: str | None
    by_iam: bool
    verified: bool


def _target(login: Login | None) -> _Target:
    config = settings()
    if not config.database_url:
        return _Target(
            host=config.database_host,
            port=config.database_port,
            user=login.user if login else config.database_user,
            database=config.database_name,
            password=login.password if login else None,
            by_iam=login is None,
            verified=True,
        )
    url = make_url(config.database_url)
    return _Target(
        host=url.host or "localhost",
        port=url.port or 5432,
        user=login.user if login else url.username or config.database_user,
        database=url.database or config.database_name,
        password=login.password if login else url.password,
        by_iam=False,
        verified=url.query.get("sslmode") == "verify-full",
    )


def _tls() -> ssl.SSLContext:
    """Trust the certificates in `DATABASE_CA_FILE`, or the system's; the host name must match."""
    return ssl.create_default_context(cafile=settings().database_ca_file or None)


def _iam_token(target: _Target) -> str:
    """Sign a password that RDS accepts for the next 15 minutes. Sends nothing.

    The same as boto3's `generate_db_auth_token`, without loading the model of the whole RDS API, which costs more than
    everything else a cold start does for the database.
    """
    from botocore.auth import SigV4QueryAuth  # only if IAM is used, and only once
    from botocore.awsrequest import AWSRequest

    address = f"https://{target.host}:{target.port}/"
    request = AWSRequest("GET", address, params={"Action": "connect", "DBUser": target.user})
    credentials = _aws_session().get_credentials()
    SigV4QueryAuth(credentials, "rds-db", settings().aws_region, expires=900).add_auth(request)
    return str(request.url).removeprefix("https://")


@functools.cache
def _aws_session() -> Any:
    from botocore.session import Session as AwsSession

    return AwsSession()


def _forget(*, close: bool) -> None:
    if _engines.cache_info().currsize:
        _engines().writing.dispose(close=close)
    _engines.cache_clear()
    _aws_session.cache_clear()


# A forked child must not use its parent's connections, not even to close them properly.
os.register_at_fork(after_in_child=functools.partial(_forget, close=False))
if register_before_snapshot is not None:
    register_before_snapshot(dispose)
