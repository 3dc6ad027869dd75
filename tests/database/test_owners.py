"""Which feature reads and writes which table: its own, and of others what stands here and nothing else.

What a feature does is derived from its code: SQL text (what follows `from`, `join`, `using`, `into`, `update`) and model
classes (used: read; constructed, or given to `insert`, `update` or `delete`: written).
"""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.db.all_models import Base

ROOT = Path(__file__).parents[2]
TABLES = {mapper.class_: str(mapper.local_table) for mapper in Base.registry.mappers}
MODELS = {(model.__module__, model.__name__): table for model, table in TABLES.items()}
OWNERS = {table: model.__module__.split(".")[1] for model, table in TABLES.items()}
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][
    0
]["layers"]


class Uses(NamedTuple):
    """The tables of other features that a feature reads, and those that it writes (and may read)."""

    reads: set[str]
    writes: set[str]


# A new line here is a decision: could the other feature have a function for it? Of a feature above, none may stand here.
FOREIGN: dict[str, Uses] = {
    "billing": Uses(reads=set(), writes={"organizations"}),  # the plan
    "erasure": Uses(
        reads={"audit_events", "members", "sessions"},
        # The last rows. The pages before are deleted from tables that are listed by name.
        writes={
            "audit_addresses",
            "challenges",
            "invitations",
            "notifications",
            "organizations",
            "rate_limits",
            "users",
        },
    ),
    "webhooks": Uses(reads={"organizations"}, writes=set()),
    "notifications": Uses(
        reads={"members", "organizations"},
        writes={"users"},  # when a member last looked
    ),
    "apps": Uses(reads={"members", "organizations", "users"}, writes=set()),
    "organizations": Uses(
        # What super admins see of people, and the seats that stay closed after a recovery.
        reads={"challenges", "factors", "recoveries", "sessions"},
        writes={"users"},  # accounts that were never activated go with their organizations
    ),
    "channels": Uses(
        # Whether who began to connect may still do so.
        reads={
            "api_keys",
            "impersonations",
            "members",
            "oauth_apps",
            "oauth_grants",
            "organizations",
            "sessions",
            "users",
        },
        writes=set(),
    ),
    "posts": Uses(reads={"channels", "media", "users", "webhooks"}, writes=set()),
    "publishing": Uses(
        reads={
            "channels",
            "notifications",
            "organizations",
            "provider_pauses",
            "revisions",
            "users",
        },
        writes={"posts"},  # what became of them
    ),
    "access": Uses(
        reads={
            "company_logins",
            "factors",
            "impersonations",
            "members",
            "oauth_apps",
            "organizations",
            "sessions",
            "users",
        },
        # The statement of every request: what it was used for last, and how often it came.
        writes={"api_keys", "oauth_grants", "rate_limits"},
    ),
    "public_api": Uses(reads={"channels", "post_tags", "posts", "tags"}, writes=set()),
}

WRITING = {"insert", "upsert", "pg_insert", "update", "delete"}
_NAME = (
    r"(\w+)(?:[ \t]+(?:as[ \t]+)?(?!on\b|where\b|join\b|using\b|set\b|left\b|cross\b|order\b)\w+)?"
)
_READ = re.compile(rf"\b(?:from|join|using)\s+((?:{_NAME}\s*,\s*)*{_NAME})", re.IGNORECASE)
_WRITE = re.compile(r"\b(?:insert\s+into|update|delete\s+from)\s+(\w+)", re.IGNORECASE)


def features() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "shared").rglob("*.py")):
        feature = path.relative_to(ROOT / "shared").parts[0]
        if "migrations" not in path.parts:
            yield feature, path


def texts(tree: ast.Module) -> Iterator[str]:
    """List the string constants, without docstrings."""
    described = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in described:
            continue
        if isinstance(node.value, str):
            yield node.value


def models(tree: ast.Module) -> dict[str, str]:
    """Return the tables of the models that a module imports, by the name that it gives them."""
    return {
        alias.asname or alias.name: MODELS[node.module, alias.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if (node.module, alias.name) in MODELS
    }


def used(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """List what a module does to tables: pairs of `reads` or `writes`, and a table."""
    for text in texts(tree):
        for name in _WRITE.findall(text):
            yield "writes", name
        for names in _READ.findall(text):
            for part in names[0].split(","):
                yield "reads", part.split()[0]
    tables = models(tree)
    for table in tables.values():
        yield "reads", table
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        given = call.args[0].id if call.args and isinstance(call.args[0], ast.Name) else ""
        if name in tables:
            yield "writes", tables[name]
        if name in WRITING and given in tables:
            yield "writes", tables[given]


def foreign() -> dict[str, Uses]:
    found: dict[str, Uses] = defaultdict(lambda: Uses(set(), set()))
    for feature, path in features():
        for what, table in used(ast.parse(path.read_text())):
            if OWNERS.get(table, feature) != feature:
                getattr(found[feature], what).add(table)
    return {feature: Uses(uses.reads - uses.writes, uses.writes) for feature, uses in found.items()}


def layer_of(feature: str) -> int:
    (place,) = (
        number for number, names in enumerate(LAYERS) if feature in re.findall(r"\w+", names)
    )
    return place


def test_features_use_the_tables_that_are_listed() -> None:
    assert foreign() == FOREIGN


@pytest.mark.parametrize("feature", FOREIGN)
def test_tables_belong_to_features_below(feature: str) -> None:
    uses = FOREIGN[feature]
    owners = {OWNERS[table] for table in uses.reads | uses.writes}
    assert [owner for owner in owners if layer_of(owner) <= layer_of(feature)] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('sql("delete from posts where true")', {("writes", "posts"), ("reads", "posts")}),
        ('sql("insert  into tags (id) select id from media m, posts p")',
         {("writes", "tags"), ("reads", "media"), ("reads", "posts")}),
        ('sql("delete from users using lapsed, members m where true")',
         {("writes", "users"), ("reads", "users"), ("reads", "lapsed"), ("reads", "members")}),
        ('sql("update posts p set a = 1 from media join tags on true")',
         {("writes", "posts"), ("reads", "media"), ("reads", "tags")}),
        ('"""Taken from posts."""', set()),
        ("from shared.posts.models import Post as P\ninsert(P)",
         {("reads", "posts"), ("writes", "posts")}),
        ("from shared.posts.models import Post\nPost(id=1)",
         {("reads", "posts"), ("writes", "posts")}),
        ("from sqlalchemy.orm import Session\nSession()", set()),
    ],
)  # fmt: skip
def test_what_counts_as_a_use(source: str, expected: set[tuple[str, str]]) -> None:
    assert set(used(ast.parse(source))) == expected
