"""Sends statements to PostgreSQL in one round trip each; BEGIN is sent together with a transaction's first statement.

pg8000 1.31.6 sends a parameterized statement in three steps and waits for each (Parse, Describe, then Bind with Execute),
so that it could read the parameters' types from the answer. It never does: it sends text, and the statement contains the
type (`$1::UUID`). So all messages can be sent in one flush with a single Sync. A statement that is used again is prepared
under a name (`db/prepared.py`) and from then on needs only Bind and Execute. `PINNED` is the version whose internals this
file uses.
"""

import contextlib
import json
import re
import struct
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
_SIZE = struct.Struct("!i")  # of a value, in bytes
_NULL_SIZE = -1
# How the server plans statements: each time for their values, or once for any values.
_CUSTOM, _GENERIC = "force_custom_plan", "force_generic_plan"
# Rows of one `executemany` that are sent before their answers are read. Each answer has some 30 bytes, so hundreds fit in
# the socket's buffers, and neither side waits for the other to read.
_ROWS_A_FLUSH = 200
# After one of these, the connection is unusable. 57P01 to 57P05: the server ends it or is starting up; 25P03: it was idle in
# a transaction; 25006: the server became a reader in a failover, and stays one; 08: connection errors.
# Source: postgresql.org/docs/17/errcodes-appendix.html, read 2026-11.
_ENDINGS = frozenset({"25006", "25P03", "57P01", "57P02", "57P03", "57P04", "57P05"})
# Of these, the ones that mean that the statement was not carried out. After a crash (57P02) this is unknown.
_NOT_CARRIED_OUT = _ENDINGS - {"57P02"}
# Fields of an error message that quote rows, parameters or statements: detail, hint, context ("where") and internal query.
# Source: postgresql.org/docs/17/protocol-error-fields.html, read 2026-11.
_FIELDS_WITH_VALUES = frozenset("DHWq")
# The errors for an unusable prepared statement, by SQLSTATE and routine: a migration changed its result, or it no longer
# exists (DISCARD, a failover behind the same address). It was not executed. 0A000 alone also has other meanings.
# Source: PostgreSQL 17, src/backend/utils/cache/plancache.c and commands/prepare.c, read 2026-11.
_OUTDATED = frozenset({("0A000", "RevalidateCachedQuery"), ("26000", "FetchPreparedStatement")})
# The message of an error of this class ends with the invalid value: `invalid input syntax for ...: "value"`.
_BAD_DATA = "22"
_QUOTED_VALUE = re.compile(r': ".*"', re.DOTALL)
# The DB-API's class for the first two letters of an SQLSTATE; others are a `ProgrammingError`.
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
    """Return the name of the constraint that a statement violated; empty if the server named none."""
    reported = error.orig.args[0] if error.orig else {}
    return str(reported.get("n", "")) if isinstance(reported, dict) else ""


def sqlstate_of(error: DBAPIError) -> str:
    """Return the SQLSTATE of an error; empty if the server sent none."""
    reported = error.orig.args[0] if error.orig and error.orig.args else {}
    return str(reported.get("C", "")) if isinstance(reported, dict) else ""


def is_ending(sqlstate: str) -> bool:
    """Return whether the connection is unusable after this error."""
    return sqlstate in _ENDINGS or sqlstate.startswith("08")


def was_carried_out(error: DBAPIError) -> bool | None:
    """Return whether a statement in its own transaction was carried out when its connection broke.

    None means unknown: it was sent, and either no answer came or the server crashed.
    """
    return False if sqlstate_of(error) in _NOT_CARRIED_OUT else None


def is_outdated(error: BaseException | None) -> bool:
    """Return whether a prepared statement failed because it must be prepared again."""
    reported = error.args[0] if error and error.args else None
    return isinstance(reported, dict) and (reported.get("C"), reported.get("R")) in _OUTDATED


def _message(code: bytes, body: bytes) -> bytes:
    return code + (len(body) + 4).to_bytes(4) + body


def _json(stored: str) -> Any:
    """Read a JSON value. A value that is nested too deeply for the current stack is read on a new one.

    An exception here would end the connection, so one bad row would break every list that contains it. Returns None if
    a value is too deep even for a new stack; no code of ours stores such a value.
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
        if most_prepared:
            kwargs["startup_params"] = {
                **(kwargs.get("startup_params") or {}),
                "plan_cache_mode": _GENERIC,
            }
        super().__init__(*args, **kwargs)
        self.register_in_adapter(TIMESTAMPTZ, _timestamptz)
        self.register_in_adapter(JSON, _json)
        self.register_in_adapter(JSONB, _json)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: N802  pg8000 calls it
        """Keep only the fields of an error that contain no values, because its text may be logged anywhere."""
        super().handle_ERROR_RESPONSE(data, context)
        context.error = pg8000.DatabaseError(_without_values(context.error.args[0]))

    def handle_DATA_ROW(self, data: bytes, context: Any) -> None:  # noqa: N802  pg8000 calls it
        """Read a row's values; takes half as long as pg8000."""
        encoding, end = self._client_encoding, 2
        row: list[Any] = []
        for read in context.input_funcs:
            start = end + _SIZE.size
            (size,) = _SIZE.unpack_from(data, end)
            if size == _NULL_SIZE:
                row.append(None)
                end = start
            else:
                end = start + size
                row.append(read(data[start:end].decode(encoding)))
        context.rows.append(row)

    def cursor(self) -> "WireCursor":
        return WireCursor(self)

    def execute_simple(self, statement: str) -> Any:
        """Run a statement without parameters. A BEGIN is delayed until the next statement."""
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
        custom_plan: bool = False,
    ) -> Any:
        """Run a statement with parameters. Nothing is sent if a parameter cannot be serialized.

        It is prepared and planned once, for any values. With `custom_plan` it is planned each time for its values instead.
        """
        if stream is not None:
            if self._begin_waits:
                self._begin_waits = False
                super().execute_simple(_BEGIN)
            return super().execute_unnamed(statement, vals=vals, oids=oids, stream=stream)
        if not vals:
            return self.execute_simple(statement)
        key = (statement, tuple(oids))
        values = self._written(vals)
        if custom_plan:
            return self._execute_planned(key, values)
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
        if self._in_transaction:  # started by this statement
            self.rollback()
            self._begin_waits = True
        return self._execute_described(key, values, self.prepared.name_for(key))

    def _execute_prepared(self, statement: str, prepared: Prepared, values: bytes) -> Any:
        messages = [*self._closing(), self._bind(values, prepared.name), _EXECUTE, _SYNC]
        context = Context(statement, columns=prepared.columns, input_funcs=prepared.readers)
        return self._exchange(context, b"".join(messages))

    def _execute_described(self, key: Key, values: bytes, name: bytes | None) -> Any:
        """Parse, describe and run a statement; prepare it if there is a name for it."""
        messages = [*self._closing(), *self._described(key, values, name or b""), _SYNC]
        try:
            context = self._exchange(Context(key[0]), b"".join(messages))
        except pg8000.DatabaseError:
            if name:  # it is unknown whether it was parsed
                self.prepared.give_up(name)
            raise
        if name:
            self.prepared.keep(key, Prepared(name, context.columns, context.input_funcs))
        return context

    def _execute_planned(self, key: Key, values: bytes) -> Any:
        """Run a statement that is planned for its values. If it fails, the server rolls the setting back too."""
        messages = self._described(key, values)
        if self.prepared.most:
            messages = [*self._set_plans(_CUSTOM), *messages, *self._set_plans(_GENERIC)]
        return self._exchange(Context(key[0]), b"".join([*messages, _SYNC]))

    def _described(self, key: Key, values: bytes, name: bytes = b"") -> list[bytes]:
        return [self._parse(*key, name), self._bind(values, name), _DESCRIBE, _EXECUTE]

    def _set_plans(self, mode: str) -> list[bytes]:
        return [self._parse(f"set plan_cache_mode = {mode}", ()), self._bind(bytes(2)), _EXECUTE]

    def _closing(self) -> list[bytes]:
        return [_message(b"C", b"S" + name + b"\x00") for name in self.prepared.take_unwanted()]

    def execute_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run one statement for each row of parameters; returned rows are dropped.

        The result's `row_count` is the sum. The statement is parsed once per flush.
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
        """Commit. A transaction without statements takes no round trip."""
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
        """Make each statement its own transaction. This is a method because SQLAlchemy's proxies do not forward assignments."""
        self.autocommit = True

    def end_autocommit(self) -> None:
        """Make statements start a transaction again."""
        self.autocommit = False

    def ping(self, timeout_seconds: float) -> None:
        """Make one round trip outside any transaction.

        Raises:
            InterfaceError: the connection is closed, or the server did not answer in time.
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
        """Serialize the parameters as text, preceded by their number."""
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
        # The unnamed portal; all parameters and all result columns are text.
        return _message(b"B", b"\x00" + name + b"\x00\x00\x00" + values + b"\x00\x00")

    def close(self) -> None:
        """Close the connection; a broken one is already closed or cannot be notified."""
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
            # The rest of this answer would be read as the next one's, so the connection is unusable.
            self._abandon()
            if isinstance(error, OSError):
                # SQLAlchemy recognizes a dead connection by these words; pg8000 translates only some of them.
                raise InterfaceError("network error") from error
            raise
        _raise_reported(begin)
        _raise_reported(context)
        return context

    def _send(self, messages: bytes) -> None:
        # Directly on the socket: the buffered file would split a long message.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._usock.sendall(messages)
        # A server may send the reason before it closes the connection: the following read finds it or fails too.

    def _read_answer(self, context: Any) -> None:
        """Read up to ReadyForQuery. If the server ends the connection, raise the reason that it sent before."""
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
    """Close the buffered file of a socket; the socket stays open until then."""
    with contextlib.suppress(OSError):
        file.close()


def _without_values(reported: dict[str, str]) -> dict[str, str]:
    """Remove quoted rows and parameters from an error message."""
    kept = {field: value for field, value in reported.items() if field not in _FIELDS_WITH_VALUES}
    if kept.get("C", "").startswith(_BAD_DATA) and "M" in kept:
        kept["M"] = _QUOTED_VALUE.sub(': "…"', kept["M"])
    return kept


def _raise_reported(context: Any) -> None:
    """Raise the server's error as the DB-API's class for its SQLSTATE."""
    error = context.error if context else None
    if error is None:
        return
    reported = error.args[0]
    if isinstance(reported, dict):
        raise _CLASSES.get(reported.get("C", "")[:2], pg8000.ProgrammingError)(reported)
    raise error


def _timestamptz(text: str) -> Any:
    """Read a time in the session's zone, which is UTC; ten times as fast as pg8000."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return timestamptz_in(text)  # infinity, and years that Python does not have


class WireCursor(pg8000.Cursor):  # type: ignore[misc]  # pg8000 has no type hints
    """A cursor for statements with numbered parameters (`$1`), as `WireDialect` compiles them."""

    _c: WireConnection
    _input_oids: Sequence[int]
    custom_plan = False
    rows_only = False

    @property
    def columns(self) -> list[str]:
        """The names of the columns; empty if the statement returns no rows."""
        return [column["name"] for column in self._context.columns or ()]

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """All rows, before and after the cursor is closed."""
        return self._context.rows or ()

    @property
    def description(self) -> Any:
        """The columns for SQLAlchemy's results; None if the caller reads `columns` and `rows` itself."""
        return None if self.rows_only else self._getDescription()

    def execute(self, operation: str, args: Sequence[Any] = (), stream: Any = None) -> "WireCursor":
        connection = self._open_connection()
        if args or stream is not None:
            oids, self._input_oids = self._input_oids, ()
            self._took(
                connection.execute_unnamed(
                    operation, args, oids, stream, custom_plan=self.custom_plan
                )
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
    """SQLAlchemy's dialect for `WireConnection`, without its own unnecessary round trips."""

    driver = "wire"
    supports_statement_cache = True
    statement_compiler = PGCompiler  # type: ignore[assignment]  # pg8000's own doubles `%`, for `%s`
    # Several rows are sent as one INSERT whether or not it returns rows.
    use_insertmanyvalues_wo_returning = True
    _default = "READ COMMITTED"

    def __init__(self, **kwargs: Any) -> None:
        # `$1` is the server's own form: pg8000 would rewrite `%s` letter by letter each time a statement runs.
        super().__init__(**{**kwargs, "paramstyle": "numeric_dollar"})  # type: ignore[no-untyped-call]

    @classmethod
    def import_dbapi(cls) -> Any:
        return pg8000

    def do_execute(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        """Run a statement. Its execution options may be `custom_plan`, to plan it each time for its values, and `rows_only`."""
        if context is not None:
            cursor.custom_plan = context.execution_options.get("custom_plan", False)
            cursor.rows_only = context.execution_options.get("rows_only", False)
        cursor.execute(statement, parameters)

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        # The server reports this and the next value when a connection opens.
        version = _parameter_at_start(connection, "server_version").split(" ")[0]
        return tuple(int(part) for part in version.split(".") if part.isdigit())

    def _set_backslash_escapes(self, connection: Any) -> None:
        setting = _parameter_at_start(connection, "standard_conforming_strings")
        self._backslash_escapes = setting == "off"

    def _get_default_schema_name(self, _connection: Any) -> str:
        return "public"

    def get_default_isolation_level(self, _dbapi_connection: Any) -> Any:
        return self._default

    def get_isolation_level_values(self, _dbapi_connection: Any) -> Any:
        return ("AUTOCOMMIT", self._default)

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Switch autocommit on or off. It exists only on this side, so nothing is sent."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Also recognize a dead connection by the server's final message."""
        reported = e.args[0] if e.args and isinstance(e.args[0], dict) else {}
        gone = super().is_disconnect(e, connection, cursor)  # type: ignore[no-untyped-call]
        return is_ending(str(reported.get("C", ""))) or bool(gone)


class AutocommitDialect(WireDialect):
    """The same dialect in autocommit. The pool ends autocommit when a connection is returned (`db/session.py`).

    An `isolation_level` for each connection has the same effect, but takes half as long as a SELECT by primary key.
    """

    driver = "wire_autocommit"
    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Switch autocommit on."""
        dbapi_connection.begin_autocommit()


def _parameter_at_start(connection: Any, name: str) -> str:
    return str(connection.connection.dbapi_connection.parameter_statuses[name])


registry.register("postgresql.wire", __name__, WireDialect.__name__)
registry.register("postgresql.wire_autocommit", __name__, AutocommitDialect.__name__)
