"""Is all SQL a `Statement`, and do the modules of statements hold nothing else: no value objects and no effects?"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from types import ModuleType

import pytest

from tests.database.test_statements import ALL, ROOT, modules

# Where SQL is run that is no `Statement`, and why. A new line here is a decision.
OTHER_SQL: Mapping[str, str] = {
    "shared/db/migrate.py": "what surrounds a migration, on a connection of its own: locks and settings, no rows",
    "shared/db/partitions.py": "DDL with the names of partitions, on a migration's connection",
    "shared/db/reseal.py": "every sealed column that the models have, on a migration's connection",
    "shared/db/roles.py": "DDL with the names of roles, for which PostgreSQL takes no parameters",
    "shared/db/session.py": "sends the text of a statement that runs alone",
    "shared/db/statement.py": "sends the text of a statement",
    "shared/db/wire.py": "the driver",
    "shared/web/health.py": "DDL, which PREPARE does not take",
}
# What makes SQL of expressions or texts, and what runs SQL or has objects written.
MAKING = {"select", "insert", "update", "delete", "text", "literal_column", "union_all"}
RUNNING = {"execute", "scalar", "scalars", "exec_driver_sql", "executemany"}
OF_OURS = {"execute", "execute_alone"}
OBJECTS = {"get", "get_one", "add", "add_all", "delete", "merge", "query", "refresh"}

# What follows from a statement, or tells somebody, has its place where the statement is run.
EFFECTS = {"after_commit", "follow", "log", "notify", "post", "put", "seal", "unit_of_work"}
EFFECT_PREFIXES = ("send", "arm_", "disarm_", "emit", "gauge_", "count_in_")
EFFECT_MODULES = ("shared.aws", "shared.core.log", "shared.core.metrics", "shared.db.session")


def trees() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("shared", "functions"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            # A table's indexes and defaults are texts; providers cannot import SQLAlchemy, which a contract holds.
            if not {"migrations", "providers"} & set(path.parts) and path.name != "models.py":
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    """Return the names by which a module imports what makes SQL, or runs a text."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if (node.module.startswith("sqlalchemy") and alias.name in MAKING)
        or (node.module == "shared.db.session" and alias.name in OF_OURS)
    }


def sql_in(tree: ast.Module) -> Iterator[int]:
    """List the lines on which SQL is made or run that is no `Statement`."""
    names = imported(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id=name) if name in names:
                yield node.lineno
            case ast.Attribute(attr=name) if name in RUNNING:
                yield node.lineno
            case ast.Attribute(value=ast.Name(id="session"), attr=name) if name in OBJECTS:
                yield node.lineno


def is_of_statements(module: ModuleType) -> bool:
    name = module.__name__.rpartition(".")[2]
    return name == "queries" or name.endswith("_queries")


def effects_in(tree: ast.Module) -> Iterator[str]:
    """List what a module imports or calls that has an effect, by name."""
    called = [
        name
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for name in ast.walk(call.func)
    ]
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.alias)]
    for node in [*imported, *called]:
        match node:
            case ast.ImportFrom(module=str(name)) | ast.alias(name=name) if name.startswith(
                EFFECT_MODULES
            ):
                yield name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) if (
                name in EFFECTS
                or name.endswith("_after_commit")
                or name.startswith(EFFECT_PREFIXES)
            ):
                yield name


STATEMENT_MODULES = [module for module in modules() if is_of_statements(module)]


def test_all_sql_is_a_statement() -> None:
    found = {path for path, tree in trees() if any(sql_in(tree))}
    assert found == set(OTHER_SQL)


@pytest.mark.parametrize("module", STATEMENT_MODULES, ids=lambda module: module.__name__)
def test_classes_are_parameters_and_rows(module: ModuleType) -> None:
    """A value object that a use case passes on stands beside that use case."""
    used = {
        base
        for statement in ALL
        for one in (statement.params, statement.row)
        if inspect.isclass(one)
        for base in one.__mro__
    }
    others = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
        if value not in used and not issubclass(value, Enum)
    ]
    assert others == []


@pytest.mark.parametrize("module", STATEMENT_MODULES, ids=lambda module: module.__name__)
def test_there_are_no_effects(module: ModuleType) -> None:
    assert list(effects_in(ast.parse(inspect.getsource(module)))) == []


def test_the_modules_are_found() -> None:
    assert len(STATEMENT_MODULES) > 20
    assert sum(1 for _ in (ROOT / "shared").rglob("*queries.py")) == len(STATEMENT_MODULES)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("from sqlalchemy import select\nselect(1)", [2]),
        ("from sqlalchemy.dialects.postgresql import insert as upsert\nupsert(Tag)", [2]),
        ("from sqlalchemy import text as clause\nclause('select 1')", [2]),
        ("session.execute(made)", [1]),
        ("from shared.db.session import execute_alone\nexecute_alone('select 1')", [2]),
        ("session.connection().exec_driver_sql('select 1')", [1]),
        ("session.get(Tag, 1)", [1]),
        ("session.add(Tag())", [1]),
        ("answer.text()", []),
        ("headers.get('a')", []),
        ("FIND_TAG.find(session, 1)", []),
    ],
)  # fmt: skip
def test_what_counts_as_sql(source: str, lines: list[int]) -> None:
    assert list(sql_in(ast.parse(source))) == lines


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from shared.aws import queues", ["shared.aws"]),
        ("from shared.core.log import log\nlog.info('post.published')", ["shared.core.log", "log", "log"]),
        ("from shared.db.session import after_commit", ["shared.db.session", "after_commit"]),
        ("from shared.webhooks.announce import send_after_commit", ["send_after_commit"]),
        ("hints.arm_after_commit(session, posts)", ["arm_after_commit"]),
        ("from shared.notifications.notify import notifying", []),
        ("from shared.posts.hints import QUEUED_COLUMNS", []),
    ],
)  # fmt: skip
def test_what_counts_as_an_effect(source: str, found: list[str]) -> None:
    assert list(effects_in(ast.parse(source))) == found
