"""Unknown fields are found wherever a body may hold them."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from shared.core.unknown_fields import (
    MAX_PATH_CHARACTERS,
    missing_fields,
    unknown_field,
    unknown_fields,
)
from shared.core.wire import WireModel


class Leaf(WireModel):
    short_text: str = ""
    anything: dict[str, Any] = Field(default_factory=dict)


class Open(WireModel):
    model_config = ConfigDict(extra="allow")


class Root(WireModel):
    leaf: Leaf | None = None
    leaves: Annotated[list[Annotated[Leaf, "note"]], "note"] = Field(default_factory=list)
    open: Open | None = None
    words: list[str] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({}, []),
        ({"leaf": {"shortText": "", "short_text": "", "anything": {"x": 1}}}, []),
        ({"leef": 1, "leaf": {"text": 1}}, ["leef", "leaf.text"]),
        ({"leaves": [{}, {"images": [], "shortText": ""}]}, ["leaves.1.images"]),
        ({"leaf": None, "leaves": None, "words": ["x"]}, []),
        ({"open": {"whatever": 1}}, []),
        ({"leaf": ["no object"], "leaves": {"no": "list"}}, []),
        ([], []),
        ("text", []),
    ],
)
def test_paths(value: Any, found: list[str]) -> None:
    """Finding 1.7: each field that is not read is named by its path."""
    assert unknown_fields(Root, value, most=10) == found


def test_bounds() -> None:
    many = {f"field{number}": 1 for number in range(100)}
    assert unknown_fields(Root, many, most=3) == ["field0", "field1", "field2"]
    assert [len(path) for path in unknown_fields(Root, {"x" * 5_000: 1}, most=3)] == [
        MAX_PATH_CHARACTERS
    ]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("visiblity", "visibility"), ("PartNumber", "number"), ("ETag", "etag"), ("other", None)],
)
def test_most_similar_name_is_suggested_whatever_its_case(sent: str, meant: str | None) -> None:
    class Known(BaseModel):
        visibility: str
        number: int
        etag: str

    words = unknown_field(Known, sent).message
    assert words.endswith(f"Did you mean `{meant}`?" if meant else "Leave it out.")


def test_required_fields_that_are_missing_are_listed() -> None:
    class Wanted(WireModel):
        repeat_password: str = Field(description="The same once more.")
        token: str
        note: str = ""

    missing = [(one.path, one.message) for one in missing_fields(Wanted, {"token": "x"})]
    assert missing == [("repeatPassword", "`repeatPassword` is required. The same once more.")]
    assert missing_fields(Wanted, []) == []


def test_plain_models() -> None:
    class Plain(BaseModel):
        visibility: str = Field(default="public", alias="visibility")

    assert unknown_fields(Plain, {"visibility": "x", "visiblity": "y"}, most=3) == ["visiblity"]
