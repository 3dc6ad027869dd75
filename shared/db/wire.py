"""How statements travel to PostgreSQL: one round trip each, BEGIN riding along with the first of a transaction.

pg8000 1.31.6 sends a parameterised statement in three awaited steps (Parse, Describe, then Bind with Execute), because
it might want to learn the parameters' types from the answer. It never does: it sends text and the statement says the
type (`$1::UUID`). So all the messages can leave in one flush with a single Sync. A statement that is used again is
prepared under a name (`db/prepared.py`) and from then on is Bind and Execute alone. `PINNED` names the version whose
insides this file was written against.
"""

import contextlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pg8000
from pg8000.converters import JSON, JSONB, TIMESTAMPTZ, make_params, timestamptz_in
from pg8000.core import Context
from pg8000.exceptions import InterfaceError
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGCompiler
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.db.prepared import MOST_PREPARED, Key, Prepared, PreparedStatements

PINNED = "1.31.6"

_BEGIN = "begin transaction"
_SYNC = b"S\x00\x00\x00\x04"
_EXECUTE = b"E\x00\x00\x00\x09\x00\x00\x00\x00\x00"  # the unnamed portal, all rows
_DESCRIBE = b"D\x00\x00\x00\x06P\x00"  # the unnamed portal: the rows it will return
_READY = b"Z"
# Rows of one `executemany` sent before their answers are read. Each answers some 30 bytes: hundreds of them fit in the
# socket's buffers, so neither side ever waits for the other to read.
_ROWS_A_FLUSH = 200
# With one of these a connection is of no more use. 57P01 to 57P05: the server ends it, or is starting up; 25P03: it idled in
# a transaction; 25006: the server became a reader in a failover, and stays one; 08: whatever the connection itself met.
# Source: postgresql.org/docs/17/errcodes-appendix.html, read 2026-11.
_ENDINGS = frozenset({"25006", "25P03", "57P01", "57P02", "57P03", "57P04", "57P05"})
# Of these, the ones with which the server says that it did not carry out the statement. After a crash (57P02) nobody knows.
_NOT_CARRIED_OUT = _ENDINGS - {"57P02"}
# Fields of a reported error that quote rows, parameters or statements: detail, hint, context ("where") and internal query.
# Source: postgresql.org/docs/17/protocol-error-fields.html, read 2026-11.
_FIELDS_WITH_VALUES = frozenset("DHWq")
# How the server says that a prepared statement is of no more use, by SQLSTATE and routine: a migration changed what it
# returns, or it is gone (DISCARD, a failover behind the same address). Neither was executed. 0A000 alone says more than that.
# Source: PostgreSQL 17, src/backend/utils/cache/plancache.c and commands/prepare.c, read 2026-11.
_OUTDATED = frozenset({("0A000", "RevalidateCachedQuery"), ("26000", "FetchPreparedStatement")})
# The message of an error of this class ends with the value that could not be read: `invalid input syntax for ...: "value"`.
_BAD_DATA = "22"
_QUOTED_VALUE = re.compile(r': ".*"', re.DOTALL)
# The DB-API's class for the first two letters of an SQLSTATE; what is not here is a `ProgrammingError`.
_CLASSES = {
    "22": pg8000.DataError,
    "23": pg8000.IntegrityError,
    "08": pg8000.OperationalError,
    "40": pg8000.OperationalError,
    "53": pg8000.OperationalError,
    "55": pg8000.OperationalError,
    "57": pg8000.OperationalError,
    "58": pg8000.OperationalError,
    "XX": pg8000.InternalError,
}


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the constraint that a statement broke; empty when the server named none."""
    reported = error.orig.args[0] if error.orig else {}
    return str(reported.get("n", "")) if isinstance(reported, dict) else ""


def sqlstate_of(error: DBAPIError) -> str:
    """Return the SQLSTATE that the server gave for an error; empty when it gave none."""
    reported = error.orig.args[0] if error.orig and error.orig.args else {}
    return str(reported.get("C", "")) if isinstance(reported, dict) else ""


def is_ending(sqlstate: str) -> bool:
    """Return whether a connection on which the server answered this is to be given up."""
    return sqlstate in _ENDINGS or sqlstate.startswith("08")


def was_carried_out(error: DBAPIError) -> bool | None:
    """Return whether the statement that a connection broke on was carried out, where it was its own transaction.

    None: nobody knows. It was sent, and either no answer came or the server crashed.
    """
    return False if sqlstate_of(error) in _NOT_CARRIED_OUT else None


def is_outdated(error: BaseException | None) -> bool:
    """Return whether the server refused a prepared statement because it must be prepared again."""
    reported = error.args[0] if error and error.args else None
    return isinstance(reported, dict) and (reported.get("C"), reported.get("R")) in _OUTDATED


def _message(code: bytes, body: bytes) -> bytes:
    return code + (len(body) + 4).to_bytes(4) + body


def _json(stored: str) -> Any:
    """Read a JSON value. One nested too deeply for what is left of this stack is read on a fresh one.

    An exception here would end the connection, so one bad row would break every list it is on. None where a value is
    too deep even for a fresh stack; nothing of ours stores such a value.
    """
    try:
        return json.loads(stored)
    except RecursionError:
        with ThreadPoolExecutor(max_workers=1) as fresh:
            try:
                return fresh.submit(json.loads, stored).result()
            except RecursionError:
                return None


class WireConnection(pg8000.Connection):  # type: ignore[misc]  # pg8000 has no type hints
    """A pg8000 connection whose statements take one round trip."""

    _usock: Any
    _sock: Any

    def __init__(self, *args: Any, most_prepared: int = MOST_PREPARED, **kwargs: Any) -> None:
        self._begin_waits = False
        self.prepared = PreparedStatements(most_prepared)
        super().__init__(*args, **kwargs)
        self.register_in_adapter(TIMESTAMPTZ, _timestamptz)
        self.register_in_adapter(JSON, _json)
        self.register_in_adapter(JSONB, _json)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: N802  pg8000 calls it
        """Keep of a reported error what holds no values: its text goes to the log, wherever it is logged."""
        super().handle_ERROR_RESPONSE(data, context)
        context.error = pg8000.DatabaseError(_without_values(context.error.args[0]))

    def cursor(self) -> "WireCursor":
        return WireCursor(self)

    def execute_simple(self, statement: str) -> Any:
        """Run a statement without parameters. A BEGIN is held back until there is something to send it with."""
        if statement == _BEGIN:
            self._begin_waits = True
            return Context(statement)
        return self._exchange(Context(statement), self._query(statement))

    def execute_unnamed(
        self,
        statement: str,
        vals: Sequence[Any] = (),
        oids: Sequence[int] = (),
        stream: Any = None,
        *,
        prepares: bool = True,
    ) -> Any:
        """Run a statement with parameters. Nothing is sent when a parameter cannot be written."""
        if stream is not None:
            if self._begin_waits:
                self._begin_waits = False
                super().execute_simple(_BEGIN)
            return super().execute_unnamed(statement, vals=vals, oids=oids, stream=stream)
        if not vals:
            return self.execute_simple(statement)
        key = (statement, tuple(oids))
        values = self._written(vals)
        if not prepares:
            return self._execute_described(key, values, None)
        prepared = self.prepared.find(key)
        if prepared is None:
            return self._execute_described(key, values, self.prepared.name_for(key))
        may_repeat = self._begin_waits or not self._in_transaction
        try:
            return self._execute_prepared(statement, prepared, values)
        except pg8000.DatabaseError as error:
            if not is_outdated(error):
                raise
            self.prepared.forget_all()
            if not may_repeat:
                raise
        if self._in_transaction:  # which this statement began
            self.rollback()
            self._begin_waits = True
        return self._execute_described(key, values, self.prepared.name_for(key))

    def _execute_prepared(self, statement: str, prepared: Prepared, values: bytes) -> Any:
        messages = [*self._closing(), self._bind(values, prepared.name), _EXECUTE, _SYNC]
        context = Context(statement, columns=prepared.columns, input_funcs=prepared.readers)
        return self._exchange(context, b"".join(messages))

    def _execute_described(self, key: Key, values: bytes, name: bytes | None) -> Any:
        """Parse, describe and run a statement; prepare it if there is a name for it."""
        statement, oids = key
        messages = [
            *self._closing(),
            self._parse(statement, oids, name or b""),
            self._bind(values, name or b""),
            _DESCRIBE,
            _EXECUTE,
            _SYNC,
        ]
        try:
            context = self._exchange(Context(statement), b"".join(messages))
        except pg8000.DatabaseError:
            if name:  # parsed or not: nobody knows
                self.prepared.give_up(name)
            raise
        if name:
            self.prepared.keep(key, Prepared(name, context.columns, context.input_funcs))
        return context

    def _closing(self) -> list[bytes]:
        return [_message(b"C", b"S" + name + b"\x00") for name in self.prepared.take_unwanted()]

    def execute_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run one statement for each row of parameters; its rows, if it returns any, are dropped.

        `row_count` of the result is the sum. The statement is parsed once a flush.
        """
        total = 0
        for start in range(0, len(rows), _ROWS_A_FLUSH):
            messages = [self._parse(statement, ())]
            for row in rows[start : start + _ROWS_A_FLUSH]:
                messages += (self._bind(self._written(row)), _EXECUTE)
            messages.append(_SYNC)
            context = Context(statement)
            context.rows = []
            self._exchange(context, b"".join(messages))
            total += max(context.row_count, 0)
        context.row_count = total
        return context

    def commit(self) -> None:
        """Commit; a transaction in which nothing was sent takes no round trip."""
        if self._begin_waits:
            self._begin_waits = False
        elif self._in_transaction:
            self.execute_simple("commit")

    def rollback(self) -> None:
        """Roll back, if a transaction is open."""
        if self._begin_waits:
            self._begin_waits = False
        elif self._in_transaction:
            self.execute_simple("rollback")

    def begin_autocommit(self) -> None:
        """Make each statement its own transaction. A method, because SQLAlchemy's proxies pass on no assignments."""
        self.autocommit = True

    def end_autocommit(self) -> None:
        """Have statements begin a transaction again."""
        self.autocommit = False

    def ping(self, timeout_seconds: float) -> None:
        """Make one round trip outside any transaction.

        Raises:
            InterfaceError: the server is gone, or did not answer in time.
        """
        usual = self._usock.gettimeout()
        self._usock.settimeout(timeout_seconds)
        self.execute_simple(";")
        self._usock.settimeout(usual)

    @property
    def _in_transaction(self) -> bool:
        return self._begin_waits or super()._in_transaction

    def _query(self, statement: str) -> bytes:
        return _message(b"Q", statement.encode(self._client_encoding) + b"\x00")

    def _parse(self, statement: str, oids: Sequence[int], name: bytes = b"") -> bytes:
        types = b"".join((0 if oid == -1 else oid).to_bytes(4) for oid in oids)
        text = statement.encode(self._client_encoding)
        return _message(b"P", name + b"\x00" + text + b"\x00" + len(oids).to_bytes(2) + types)

    def _written(self, values: Sequence[Any]) -> bytes:
        """Write the parameters, each as text, with their number ahead of them."""
        body = bytearray(len(values).to_bytes(2))
        for text in make_params(self.py_types, values):
            if text is None:
                body += b"\xff\xff\xff\xff"
            else:
                encoded = text.encode(self._client_encoding)
                body += len(encoded).to_bytes(4) + encoded
        return bytes(body)

    @staticmethod
    def _bind(values: bytes, name: bytes = b"") -> bytes:
        # The unnamed portal; every parameter is text, and so is every column of the result.
        return _message(b"B", b"\x00" + name + b"\x00\x00\x00" + values + b"\x00\x00")

    def close(self) -> None:
        """Close the connection; one that broke is closed already, or cannot be told."""
        if self._usock is None:
            return
        file = self._sock
        with contextlib.suppress(InterfaceError):
            super().close()
        _close_file(file)

    def _exchange(self, context: Any, messages: bytes) -> Any:
        """Send everything in one write and read until the server is ready again."""
        if self._usock is None:
            raise InterfaceError("connection is closed")
        begin = Context(_BEGIN) if self._begin_waits else None
        if begin:
            messages = self._query(_BEGIN) + messages
        self._begin_waits = False
        try:
            self._send(messages)
            if begin:
                self._read_answer(begin)
            self._read_answer(context)
        except BaseException as error:
            # What is left of this answer would be read as the next one's, so the connection is of no more use.
            self._abandon()
            if isinstance(error, OSError):
                # The words by which SQLAlchemy knows a dead connection; pg8000 translates only some of these.
                raise InterfaceError("network error") from error
            raise
        _raise_reported(begin)
        _raise_reported(context)
        return context

    def _send(self, messages: bytes) -> None:
        # Straight on the socket: the buffered file in between would cut a long message in pieces.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._usock.sendall(messages)
        # A server that hung up may have said why before it did: the read that follows finds that, or fails in turn.

    def _read_answer(self, context: Any) -> None:
        """Read up to ReadyForQuery. A server that ends the connection says why first: that is raised then."""
        read, handlers = self._sock.read, self.message_types
        code = b""
        while code != _READY:
            head = read(5)
            size = int.from_bytes(head[1:]) - 4
            body = read(size) if size > 0 else b""
            if len(head) < 5 or len(body) < size:
                _raise_reported(context)
                raise InterfaceError("network error")
            code = head[:1]
            handlers[code](body, context)

    def _abandon(self) -> None:
        file, sock, self._usock, self._sock = self._sock, self._usock, None, None
        sock.close()
        _close_file(file)


def _close_file(file: Any) -> None:
    """Close the buffered file over a socket, which the system keeps open until then."""
    with contextlib.suppress(OSError):
        file.close()


def _without_values(reported: dict[str, str]) -> dict[str, str]:
    """Drop what the server quotes of rows and parameters from an error that it reports."""
    kept = {field: value for field, value in reported.items() if field not in _FIELDS_WITH_VALUES}
    if kept.get("C", "").startswith(_BAD_DATA) and "M" in kept:
        kept["M"] = _QUOTED_VALUE.sub(': "…"', kept["M"])
    return kept


def _raise_reported(context: Any) -> None:
    """Raise what the server reported for a statement, as the DB-API's class for its SQLSTATE."""
    error = context.error if context else None
    if error is None:
        return
    reported = error.args[0]
    if isinstance(reported, dict):
        raise _CLASSES.get(reported.get("C", "")[:2], pg8000.ProgrammingError)(reported)
    raise error


def _timestamptz(text: str) -> Any:
    """Read a time of the session's zone, which is UTC; ten times as fast as pg8000 does it."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return timestamptz_in(text)  # infinity, and years that Python does not have


class WireCursor(pg8000.Cursor):  # type: ignore[misc]  # pg8000 has no type hints
    """A cursor for statements whose parameters are numbered already (`$1`), as `WireDialect` compiles them."""

    _c: WireConnection
    _input_oids: Sequence[int]
    prepares = True

    def execute(self, operation: str, args: Sequence[Any] = (), stream: Any = None) -> "WireCursor":
        connection = self._open_connection()
        if args or stream is not None:
            oids, self._input_oids = self._input_oids, ()
            self._took(
                connection.execute_unnamed(operation, args, oids, stream, prepares=self.prepares)
            )
        else:
            self._took(connection.execute_simple(operation))
        return self

    def executemany(self, operation: str, param_sets: Sequence[Sequence[Any]]) -> "WireCursor":
        connection = self._open_connection()
        if not param_sets:
            self._took(Context(operation))
        else:
            self._took(connection.execute_each(operation, param_sets))
        return self

    def _open_connection(self) -> WireConnection:
        if self._c is None:
            raise InterfaceError("Cursor closed")
        if not self._c.autocommit and not self._c._in_transaction:
            self._c.execute_simple(_BEGIN)
        return self._c

    def _took(self, context: Any) -> None:
        self._context = context
        self._row_iter = None if context.rows is None else iter(context.rows)


class WireDialect(PGDialect_pg8000):
    """SQLAlchemy's dialect for `WireConnection`, without the round trips of its own that we can answer ourselves."""

    driver = "wire"
    supports_statement_cache = True
    statement_compiler = PGCompiler  # type: ignore[assignment]  # pg8000's own doubles `%`, for `%s`
    # Several rows leave as one INSERT whether or not something is returned.
    use_insertmanyvalues_wo_returning = True
    _default = "READ COMMITTED"

    def __init__(self, **kwargs: Any) -> None:
        # `$1` is what the server reads: pg8000 would rewrite `%s` letter by letter each time a statement is run.
        super().__init__(**{**kwargs, "paramstyle": "numeric_dollar"})  # type: ignore[no-untyped-call]

    @classmethod
    def import_dbapi(cls) -> Any:
        return pg8000

    def do_execute(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        """Run a statement. One with `.execution_options(custom_plan=True)` is planned each time, for its values."""
        if context is not None and context.execution_options.get("custom_plan"):
            cursor.prepares = False
        cursor.execute(statement, parameters)

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        # The server says this, and the next, when a connection opens.
        version = _said_at_start(connection, "server_version").split(" ")[0]
        return tuple(int(part) for part in version.split(".") if part.isdigit())

    def _set_backslash_escapes(self, connection: Any) -> None:
        said = _said_at_start(connection, "standard_conforming_strings")
        self._backslash_escapes = said == "off"

    def _get_default_schema_name(self, _connection: Any) -> str:
        return "public"

    def get_default_isolation_level(self, _dbapi_connection: Any) -> Any:
        return self._default

    def get_isolation_level_values(self, _dbapi_connection: Any) -> Any:
        return ("AUTOCOMMIT", self._default)

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Switch autocommit on or off: only this side knows of it, so nothing is sent."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Know a dead connection also by what the server says when it ends one."""
        reported = e.args[0] if e.args and isinstance(e.args[0], dict) else {}
        gone = super().is_disconnect(e, connection, cursor)  # type: ignore[no-untyped-call]
        return is_ending(str(reported.get("C", ""))) or bool(gone)


class AutocommitDialect(WireDialect):
    """The same, in autocommit. The pool ends that when a connection is given back (`db/session.py`).

    An `isolation_level` for each connection does this too, and takes as long as half a SELECT by key.
    """

    driver = "wire_autocommit"
    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Switch autocommit on."""
        dbapi_connection.begin_autocommit()


def _said_at_start(connection: Any, name: str) -> str:
    return str(connection.connection.dbapi_connection.parameter_statuses[name])


registry.register("postgresql.wire", __name__, WireDialect.__name__)
registry.register("postgresql.wire_autocommit", __name__, AutocommitDialect.__name__)
