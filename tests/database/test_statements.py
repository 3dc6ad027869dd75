"""Whether every statement means what its classes say: parameters and columns, against the migrated schema."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

import shared
from shared.access.context_queries import every_way
from shared.db import statement as statement_module
from shared.db.session import bound_to
from shared.db.statement import NoParams, NoRow, Sql, Statement, literals, sql

ROOT = Path(__file__).parents[2]
# What PostgreSQL calls a type, and what Python calls its values. `Any` is for JSON.
TYPES: dict[str, tuple[object, ...]] = {
    "boolean": (bool,),
    "bytea": (bytes,),
    "bigint": (int,),
    "character varying": (str,),
    "character varying[]": (list[str],),
    "date": (date,),
    "double precision": (float,),
    "double precision[]": (list[float],),
    "integer": (int,),
    "interval": (timedelta,),
    "json": (dict, list, Any),
    "jsonb": (dict, list, Any),
    "numeric": (Decimal, float, int),
    "smallint": (int,),
    "text": (str,),
    "boolean[]": (list[bool],),
    "integer[]": (list[int],),
    "text[]": (list[str],),
    "timestamp with time zone": (datetime,),
    "uuid": (UUID,),
    "uuid[]": (list[UUID],),
    "void": (str,),
}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(shared.__path__, "shared."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def statements() -> list[Statement[..., Any]]:
    found: dict[int, Statement[..., Any]] = {id(one): one for one in every_way()}
    for module in modules():
        for value in vars(module).values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Statement):
                    found[id(one)] = one
    return list(found.values())


ALL = statements()


def plain(hint: object) -> object:
    """Take off what PostgreSQL does not know: optional, a `NewType`, the members of an enum, what is in a JSON value."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not NoneType)
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        return str
    if get_origin(hint) is list and (inner := plain(get_args(hint)[0])) in (
        bool,
        float,
        int,
        str,
        UUID,
    ):
        return list[inner]  # type: ignore[valid-type]
    return get_origin(hint) or hint


def matches(hint: object, postgres_type: str) -> bool:
    known = TYPES[postgres_type]
    found = plain(hint)
    return found in known or (get_origin(found) is list and list in known)


class TestEveryStatement:
    @pytest.mark.parametrize("statement", ALL, ids=lambda statement: statement.name)
    def test_classes_are_what_postgres_says(
        self, session: Session, statement: Statement[..., Any]
    ) -> None:
        driver: Any = session.connection().connection.dbapi_connection
        server_name, columns, _ = driver.prepare_statement(statement.sql, ())
        types = session.connection().exec_driver_sql(
            "select parameter_types::text[], result_types::text[] from pg_prepared_statements where name = $1",
            (server_name.rstrip(b"\x00").decode(),),
        )
        parameter_types, result_types = types.one()
        params = get_type_hints(statement.params)
        wrong = [
            f"{field}: {hint}, PostgreSQL says {found}"
            for (field, hint), found in zip(params.items(), parameter_types, strict=True)
            if not (matches(hint, found) or (found == "jsonb" and plain(hint) is str))
        ]
        row = get_type_hints(statement.row)
        names = [column["name"] for column in columns or ()]
        assert sorted(names) == sorted(row)
        wrong += [
            f"{field}: {row[field]}, PostgreSQL says {found}"
            for field, found in zip(names, result_types or (), strict=True)
            if not matches(row[field], found)
        ]
        assert wrong == []

    def test_names_are_unique(self) -> None:
        names = [statement.name for statement in ALL]
        assert sorted(names) == sorted(set(names))


class _Letter(StrEnum):
    A = "a"


class _LetterRow(NamedTuple):
    number: int
    letter: _Letter


class _MaybeLetter(NamedTuple):
    letter: str | None


class _MaybeLetterRow(NamedTuple):
    letter: _Letter | None


class TestRow:
    def test_a_field_that_is_an_enum_is_its_member(self, session: Session) -> None:
        """A text would equal the member, but `is` would not find it."""
        statement = Statement(
            "test_letter", sql("select 'a' as letter, 1 as number"), params=NoParams, row=_LetterRow
        )
        row = statement.one(session)
        assert row.letter is _Letter.A
        assert row.number == 1
        with pytest.raises(ValueError, match="'b' is not a valid"):
            Statement(
                "test_letter_b",
                sql("select 1 as number, 'b' as letter"),
                params=NoParams,
                row=_LetterRow,
            ).one(session)

    @pytest.mark.parametrize(("stored", "read"), [("a", _Letter.A), (None, None)])
    def test_a_field_that_may_be_null_too(
        self, session: Session, stored: str | None, read: _Letter | None
    ) -> None:
        statement = Statement(
            "test_letter_or_none",
            sql("select cast(:letter as text) as letter"),
            params=_MaybeLetter,
            row=_MaybeLetterRow,
        )
        assert statement.one(session, stored).letter is read


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / "shared").rglob("*.py")):
        if "migrations" not in path.parts:
            yield path, ast.parse(path.read_text())


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_statement(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(calls(node.value, "Statement"))


class TestSource:
    def test_sql_is_a_literal(self) -> None:
        """A text that was put together may hold a value from outside."""
        places = [
            f"{path.relative_to(ROOT)}:{call.lineno}"
            for path, tree in trees()
            for call in calls(tree, "sql")
            if not is_literal(call.args[0])
        ]
        assert places == []

    def test_a_sentence_says_what_each_does(self) -> None:
        silent = []
        for path, tree in trees():
            for node, after in pairwise([*tree.body, ast.Pass()]):
                described = isinstance(after, ast.Expr) and is_literal(after.value)
                if is_statement(node) and not described:
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
        assert silent == []


class Numbers(NamedTuple):
    first: int
    second: int


class Swapped(NamedTuple):
    second: int
    first: int


class WithText(NamedTuple):
    first: int
    t: str
    second: int


class TestStatement:
    def test_parameters_and_columns_go_by_name(self, session: Session) -> None:
        swapped = Statement(
            "swapped",
            sql(
                "select cast(:second as int) as second, cast(:first as int) as first, 'a:b'::text as t"
            ),
            params=Swapped,
            row=WithText,
        )
        row = swapped.one(session, first=1, second=2)
        assert (row.first, row.second, row.t) == (1, 2, "a:b")
        assert swapped.one(session, first=3, second=4)[0] == 3

    def test_several_rows_are_not_one(self, session: Session) -> None:
        series = Statement(
            "series",
            sql(
                "select generate_series(1, cast(:first as int)) as first, cast(:second as int) as second"
            ),
            params=Numbers,
            row=Numbers,
        )
        assert series.find(session, 0, 1) is None
        with pytest.raises(ValueError, match="series returned 2 rows"):
            series.find(session, 2, 1)
        with pytest.raises(ValueError, match="series returned 0 rows"):
            series.one(session, 0, 1)

    def test_the_classes_are_read_once(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To read a class's annotations costs more than the statement's round trip."""
        read: list[type] = []

        def read_class(row: type) -> dict[str, Any]:
            read.append(row)
            return get_type_hints(row)

        monkeypatch.setattr(statement_module, "get_type_hints", read_class)
        series = Statement(
            "series",
            sql("select cast(:first as int) as first, cast(:second as int) as second"),
            params=Numbers,
            row=Numbers,
        )
        with bound_to(session.connection()):
            assert series.alone(1, 2) == series.alone(1, 2) == [(1, 2)]
        assert series.all(session, 1, 2) == [(1, 2)]
        assert read == [Numbers]

    def test_how_many_rows_were_written(self, session: Session) -> None:
        add = Statement(
            "add",
            sql(
                "insert into rate_limits (key, count) select cast(n as text), :second from generate_series(1, :first) n"
            ),
            params=Numbers,
            row=NoRow,
        )
        assert add.run(session, 3, 1) == 3
        assert add.run(session, 0, 1) == 0

    def test_parameters_that_the_text_does_not_name(self) -> None:
        with pytest.raises(TypeError, match="second"):
            Statement("one", sql("select :first"), params=Numbers, row=NoRow)

    def test_columns_that_the_row_does_not_have(self, session: Session) -> None:
        statement = Statement("one", sql("select 1 as first"), params=NoParams, row=Numbers)
        with pytest.raises(TypeError, match="second"):
            statement.all(session)


class TestSql:
    def test_fragments_take_their_places(self) -> None:
        text = sql("select {column}, '{}', '{\"a\": 1}' limit {most}", column=sql("id"), most=5)
        assert text == "select id, '{}', '{\"a\": 1}' limit 5"

    def test_a_fragment_that_is_not_given(self) -> None:
        with pytest.raises(TypeError, match="column"):
            sql("select {column}")

    def test_a_fragment_that_is_not_named(self) -> None:
        with pytest.raises(TypeError, match="column"):
            sql("select 1", column=Sql("id"))

    def test_literals(self) -> None:
        class Color(StrEnum):
            RED = "red"
            BLUE = "blue"

        assert literals(*Color) == "'red', 'blue'"
