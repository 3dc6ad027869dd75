"""Whether an id has its entity's type wherever it is annotated."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import NamedTuple, NewType, get_args

import pytest

from shared.core import ids
from shared.db.all_models import Base

ROOT = Path(__file__).parents[3]
CODE = ("shared", "functions", "layers", "local", "benchmarks")
TYPES = {name for name, kind in vars(ids).items() if isinstance(kind, NewType)}
# What has a UUID of no one entity, with the reason.
OF_NO_ONE_ENTITY = {
    **dict.fromkeys(
        [
            "shared/audit/entries.py Actor.link_id",
            "shared/audit/models.py AuditEvent.link_id",
            "shared/audit/queries.py EntryRow.link_id",
            "shared/audit/schemas.py LogEntry.link_id",
            "shared/posts/models.py PostReview.link_id",
            "shared/posts/review_queries.py Decide.link_id",
        ],
        "nothing has links yet",
    ),
    **dict.fromkeys(
        [
            "shared/audit/entries.py Entry.subject_id",
            "shared/audit/models.py AuditEvent.subject_id",
            "shared/audit/queries.py EntryRow.subject_id",
            "shared/audit/record.py record.subject_id",
            "shared/audit/schemas.py LogEntry.subject_id",
        ],
        "whatever was changed",
    ),
    **dict.fromkeys(
        [
            "shared/erasure/erase.py _remind.subject_id",
            "shared/erasure/erase.py _steps.subject_id",
            "shared/erasure/erase.py carry_out.subject_id",
            "shared/organizations/deletion_queries.py DueRow.subject_id",
            "shared/organizations/deletion_queries.py NewDeletion.subject_id",
            "shared/organizations/deletion_queries.py OneDeletion.subject_id",
            "shared/organizations/deletion_queries.py Reminder.subject_id",
            "shared/organizations/deletion_queries.py ReturnedRow.subject_id",
            "shared/organizations/deletions.py add_deletion.subject_id",
            "shared/organizations/models.py Deletion.subject_id",
        ],
        "a person or an organization",
    ),
    **dict.fromkeys(
        [
            "shared/organizations/directory_queries.py OrganizationSearch.after_id",
            "shared/organizations/directory_queries.py OrganizationSearch.id",
            "shared/organizations/directory_queries.py PeopleSearch.id",
        ],
        "typed by an operator, perhaps of something else",
    ),
    "shared/channels/models.py ChannelReport.subject_id": "a channel or a post; a column has one type",
    "shared/posts/models.py Post.series_id": "nothing has a series yet",
    "shared/posts/schemas.py PostRef.id": "a post or a deleted tag",
    "shared/publishing/history.py EventOut.id": "a change or an attempt; a union would be a different schema",
    "shared/publishing/history.py HistoryPage.after_id": "of a change or an attempt, or higher than any",
}
# Ids that are named for their role.
ROLES = {
    "actor_id": "UserId",
    "key_id": "ApiKeyId",
    "parent_id": "PostId",
    "part_id": "PostId",
    "person_id": "UserId",
    "root_id": "PostId",
    "twin_id": "PostId",
}


class Annotated(NamedTuple):
    """A parameter or a field: where it is, its name, and the names in its annotation."""

    where: str
    name: str
    names: set[str]


def annotated(tree: ast.AST, where: str = "") -> Iterator[Annotated]:
    for node in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{where}.{node.name}".strip(".")
        if isinstance(node, ast.arg) and node.annotation:
            yield Annotated(f"{where}.{node.arg}", node.arg, names_in(node.annotation))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            yield Annotated(f"{where}.{name}".strip("."), name, names_in(node.annotation))
        yield from annotated(node, inside)


def names_in(annotation: ast.expr) -> set[str]:
    found = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(annotation) if isinstance(node, ast.Attribute)}


def ids_in(source: str) -> Iterator[Annotated]:
    for one in annotated(ast.parse(source)):
        if re.fullmatch(r"(\w+_)?ids?", one.name):
            yield one


def untyped(source: str) -> list[str]:
    return [one.where for one in ids_in(source) if "UUID" in one.names]


def mistyped(source: str) -> list[str]:
    return [
        one.where
        for one in ids_in(source)
        if (kind := type_of(one.name)) and one.names & TYPES and kind not in one.names
    ]


def type_of(name: str) -> str | None:
    name = name.removesuffix("s")
    kind = ROLES.get(name) or "".join(word.title() for word in name.split("_"))
    return kind if kind in TYPES else None


def sources() -> Iterator[tuple[str, str]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text()


class TestAnnotations:
    def test_no_id_of_an_entity_is_a_bare_uuid(self) -> None:
        found = {f"{path} {where}" for path, source in sources() for where in untyped(source)}
        assert found == OF_NO_ONE_ENTITY.keys()

    def test_an_id_has_the_type_of_the_entity_that_it_is_named_for(self) -> None:
        assert [(path, where) for path, source in sources() for where in mistyped(source)] == []

    @pytest.mark.parametrize(
        ("source", "where"),
        [
            ("def get(*, post_id: UUID | None) -> None: ...", "get.post_id"),
            ("class Row:\n    ids: list[uuid.UUID]", "Row.ids"),
            ("class Post:\n    id: Mapped[uuid.UUID] = mapped_column()", "Post.id"),
        ],
    )
    def test_a_bare_one_is_found(self, source: str, where: str) -> None:
        assert untyped(source) == [where]

    @pytest.mark.parametrize(
        "name", ["channel_id: PostId", "root_id: ChannelId | None", "channel_ids: list[PostId]"]
    )
    def test_one_of_another_entity_is_found(self, name: str) -> None:
        assert mistyped(f"def get({name}) -> None: ...") == [f"get.{name.split(':')[0]}"]


class TestColumns:
    def test_a_foreign_key_has_the_type_of_the_row_that_it_names(self) -> None:
        tables = {str(mapper.local_table): mapper.class_ for mapper in Base.registry.mappers}
        wrong = [
            f"{table}.{key.parent.name}"
            for table, model in tables.items()
            for key in Base.metadata.tables[table].foreign_keys
            if key.column.name == "id"
            and kind_of(model, key.parent.name) is not kind_of(tables[key.column.table.name], "id")
        ]
        assert wrong == []

    def test_each_table_has_a_type_of_its_own(self) -> None:
        found = [
            kind_of(mapper.class_, "id")
            for mapper in Base.registry.mappers
            if "id" in mapper.columns
        ]
        assert all(isinstance(kind, NewType) for kind in found)
        assert len(set(found)) == len(found)


def kind_of(model: type, column: str) -> object:
    """Return the type of a column without `Mapped` and `None`."""
    [hint] = get_args(model.__annotations__[column])
    kinds = [kind for kind in get_args(hint) or [hint] if kind is not NoneType]
    assert len(kinds) == 1
    return kinds[0]
