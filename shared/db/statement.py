"""SQL statements as values: a name, the text, and classes for the parameters and the rows.

    class DueBefore(NamedTuple):
        organization_id: OrganizationId
        before: datetime

    class DuePart(NamedTuple):
        id: PostId
        due_at: datetime

    LIST_DUE = Statement(
        "list_due",
        sql("select id, due_at from posts where organization_id = :organization_id and {is_due}", is_due=_IS_DUE),
        params=DueBefore,
        row=DuePart,
    )
    \"\"\"List the parts of an organization that are due.\"\"\"

    for part in LIST_DUE.all(session, organization_id=organization_id, before=noon):
        part.due_at

mypy checks the keywords against the parameters' class. `tests/database/test_statements.py` prepares every statement against
the migrated schema and compares names and types of its parameters and columns with the two classes.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from operator import itemgetter
from types import UnionType
from typing import (
    Any,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_args,
    get_type_hints,
)

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shared.db.session import Rows, execute, execute_alone

P = ParamSpec("P")
R = TypeVar("R")

Json: TypeAlias = str
"""A parameter that the statement casts to `jsonb`: the serialized value."""


def to_json(value: object) -> Json:
    """Serialize a value for a parameter that the statement casts to `jsonb`."""
    return json.dumps(value)


_FRAGMENT = re.compile(r"\{([a-z_]+)\}")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")


class NoParams(NamedTuple):
    """For a statement without parameters."""


class NoRow(NamedTuple):
    """For a statement that returns no rows."""


class Sql(str):
    """SQL made only of constants. Only `sql` creates it, so an outside value never becomes part of the text."""

    __slots__ = ()


def sql(text: str, **fragments: Sql | int) -> Sql:
    """Return `text` with each `{name}` replaced by the fragment of that name. `text` is a literal, which a test checks.

    Raises:
        TypeError: a fragment is missing, or `text` does not name it.
    """
    unused = fragments.keys() - set(_FRAGMENT.findall(text))
    if unused:
        raise TypeError(f"the SQL text does not name {sorted(unused)}")

    def fragment(match: re.Match[str]) -> str:
        if match[1] not in fragments:
            raise TypeError(f"the SQL text names {match[0]}, which was not given")
        return str(fragments[match[1]])

    return Sql(_FRAGMENT.sub(fragment, text))


def literals(*members: StrEnum) -> Sql:
    """Return the members' values as comma-separated SQL literals, for an `in` list."""
    return Sql(", ".join(f"'{member.value}'" for member in members))


def columns_in(alias: str, row: type[Any]) -> Sql:
    """Return the comma-separated columns of `alias` for the fields of a row."""
    return Sql(", ".join(f"{alias}.{name}" for name in fields_of(row)))


class Statement(Generic[P, R]):
    """A statement whose text never changes, so that a connection prepares it once.

    `params` is a NamedTuple; `row` is a NamedTuple, or a frozen dataclass if rows of several statements share fields.
    `:name` in `text` is the parameter with that name; the columns of the result are the fields of `row` in any order.
    `sql` is the text that is sent. A `repeatable` statement stores and returns the same when it is executed twice, or the
    difference does no harm. A `custom_plan` statement is planned each time for its values; all others are planned once, for
    any values.
    """

    __slots__ = (
        "_read",
        "name",
        "options",
        "params",
        "row",
        "sql",
        "text",
    )

    def __init__(
        self,
        name: str,
        text: Sql,
        *,
        params: Callable[P, tuple[Any, ...]],
        row: type[R],
        repeatable: bool = False,
        custom_plan: bool = False,
    ) -> None:
        self.name, self.text, self.params, self.row = name, text, params, row
        self.sql = _numbered(text, params)
        self.options = {"repeatable": repeatable, "custom_plan": custom_plan}
        self._read: Callable[[Any], R] | None = None

    def __repr__(self) -> str:
        return f"<Statement {self.name}>"

    def all(self, session: Session | Connection, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Return all rows."""
        return self._rows(self._execute(session, self.params(*args, **kwargs)))

    def find(self, session: Session | Connection, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return the row, or None if there is none.

        Raises:
            ValueError: there are several rows.
        """
        rows = self.all(session, *args, **kwargs)
        if len(rows) > 1:
            raise ValueError(f"{self.name} returned {len(rows)} rows, not one")
        return rows[0] if rows else None

    def one(self, session: Session | Connection, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the only row.

        Raises:
            ValueError: there is no row, or there are several.
        """
        rows = self.all(session, *args, **kwargs)
        if len(rows) != 1:
            raise ValueError(f"{self.name} returned {len(rows)} rows, not one")
        return rows[0]

    def run(self, session: Session | Connection, *args: P.args, **kwargs: P.kwargs) -> int:
        """Execute the statement and return the number of rows it wrote."""
        return self._execute(session, self.params(*args, **kwargs)).written

    def alone(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Run the statement in autocommit, as its own transaction (`execute_alone`), and return its rows."""
        return self._rows(execute_alone(self.sql, self.params(*args, **kwargs), self.options))

    def _execute(self, session: Session | Connection, values: tuple[Any, ...]) -> Rows:
        if isinstance(session, Session):
            session.flush()
            session = session.connection()
        return execute(session, self.sql, values, self.options)

    def _rows(self, found: Rows) -> list[R]:
        if self._read is None and found.columns:
            self._read = _reader(found.columns, self.row)
        return list(map(self._read, found.rows)) if self._read else []


def _numbered(text: Sql, params: Callable[..., Any]) -> str:
    """Replace each `:name` by `$n`, where n is the position of the field in `params`; an instance is then the tuple to send."""
    fields: tuple[str, ...] = params._fields  # type: ignore[attr-defined]  # of every NamedTuple
    named = set(_PARAMETER.findall(text))
    if named != set(fields):
        raise TypeError(f"{params} and the SQL text differ in {sorted(named ^ set(fields))}")
    return _PARAMETER.sub(lambda match: f"${fields.index(match[1]) + 1}", text)


def _reader(columns: Iterable[str], row: type[R]) -> Callable[[Any], R]:
    """Return a function that makes a `row` from the values of `columns`. A field of a `StrEnum` gets its member, or None.

    Raises:
        TypeError: the columns differ from the fields of `row`.
    """
    names, wanted = tuple(columns), fields_of(row)
    make: Callable[[Any], R] = (
        row._make if issubclass(row, tuple) else lambda values: row(*values)  # type: ignore[attr-defined]  # a NamedTuple
    )
    if sorted(names) != sorted(wanted):
        raise TypeError(f"{row} and the columns differ in {sorted(set(names) ^ set(wanted))}")
    if members := _members(row):
        make = _with_members(make, members)
    if names == wanted:
        return make
    in_order = itemgetter(*(names.index(name) for name in wanted))
    return lambda values: make(in_order(values))


def _members(row: type[Any]) -> list[tuple[int, type[StrEnum]]]:
    hints = get_type_hints(row)
    return [
        (place, kind)
        for place, name in enumerate(fields_of(row))
        for hint in [hints[name]]
        for kind in (get_args(hint) if isinstance(hint, UnionType) else [hint])
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    ]


def _with_members(
    make: Callable[[Any], R], members: Sequence[tuple[int, type[StrEnum]]]
) -> Callable[[Any], R]:
    def read(values: Sequence[Any]) -> R:
        converted = list(values)
        for place, enum in members:
            if converted[place] is not None:
                converted[place] = enum(converted[place])
        return make(converted)

    return read


def fields_of(row: type[Any]) -> tuple[str, ...]:
    """Return the names of the fields of a NamedTuple or a dataclass."""
    if is_dataclass(row):
        return tuple(field.name for field in fields(row))
    names: tuple[str, ...] = row._fields
    return names
