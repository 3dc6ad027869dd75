"""What the shared types of bodies take and refuse."""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

import functions
import shared
from shared.core.wire import RequestModel, VisibleName, WireModel, WireTime


class _Body(WireModel):
    name: VisibleName = Field(default="Ada", min_length=3)
    at: WireTime | None = None


class TestVisibleName:
    def test_space_around_it_does_not_count(self) -> None:
        assert _Body(name="  Ada L ").name == "Ada L"

    @pytest.mark.parametrize("given", ["   ", " a\t ", "\n\n\n\n"])
    def test_a_blank_one_is_too_short(self, given: str) -> None:
        with pytest.raises(ValidationError, match="at least 3 characters"):
            _Body(name=given)


class TestWireTime:
    @pytest.mark.parametrize(
        ("given", "wire"),
        [
            ("2026-12-24", "2026-12-24T00:00:00.000Z"),
            ("2026-12-24T10:30", "2026-12-24T10:30:00.000Z"),
            ("2026-12-24T10:30:00+02:00", "2026-12-24T08:30:00.000Z"),
            ("2026-12-24 10:30:00.123456+02", "2026-12-24T08:30:00.123Z"),  # as PostgreSQL writes
        ],
    )
    def test_is_in_utc(self, given: str, wire: str) -> None:
        assert _Body.model_validate({"at": given}).model_dump(mode="json")["at"] == wire

    @pytest.mark.parametrize(
        "given", [1_768_472_000, "1768472000", "tomorrow", "2027-02-31T00:00:00Z", "2027-13-01", ""]
    )
    def test_how_to_write_one_is_said(self, given: Any) -> None:
        with pytest.raises(ValidationError, match="Write it as 2026-01-15T10:30"):
            _Body.model_validate({"at": given})


class _Item(RequestModel):
    number: int
    type: Literal["a"] = "a"


class _Lists(RequestModel):
    items: list[_Item] | None = Field(default=None, max_length=3)
    pairs: dict[str, int] = Field(default_factory=dict, max_length=3)
    as_text: Annotated[list[_Item], BeforeValidator(lambda _: [{}] * 4)] = Field(
        default_factory=list, max_length=3
    )


class TestLengths:
    @pytest.mark.parametrize(
        ("sent", "kind"),
        [
            ({"items": [{}] * 50_000}, "List"),
            ({"items": [{"number": 1}] * 4}, "List"),
            ({"pairs": {str(number): "x" for number in range(4)}}, "Dictionary"),
            ({"asText": "a text from which a list is read"}, "List"),
        ],
    )
    def test_are_checked_before_the_items(self, sent: dict[str, Any], kind: str) -> None:
        """0.9 MB of invalid items cost an error each, four seconds in all, before the list was refused."""
        with pytest.raises(ValidationError) as refused:
            _Lists.model_validate(sent)
        [problem] = refused.value.errors()
        assert (problem["type"], problem["loc"]) == ("too_long", (next(iter(sent)),))
        assert problem["ctx"]["field_type"] == kind

    def test_every_wrong_item_of_a_short_list_is_named(self) -> None:
        with pytest.raises(ValidationError) as refused:
            _Lists.model_validate({"items": [{}, {"number": 1}, {}]})
        assert [found["loc"] for found in refused.value.errors()] == [
            ("items", 0, "number"),
            ("items", 2, "number"),
        ]

    def test_every_list_of_a_request_has_a_bound_that_is_checked_first(self) -> None:
        """A list without `max_length`, or one whose items are read first, lets one body cost seconds."""
        for folder in (shared, functions):
            for module in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."):
                if "migrations" not in module.name:
                    importlib.import_module(module.name)
        models = [
            model
            for model in _subclasses(RequestModel)
            if model.__module__.startswith(("shared.", "functions."))
        ]
        found = {
            f"{model.__name__}{path}": is_bounded
            for model in models
            for path, is_bounded in _lists_in(model.__pydantic_core_schema__, "")
        }
        assert len(found) > 20
        assert [path for path, is_bounded in found.items() if not is_bounded] == []


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _subclasses(one)


def _lists_in(node: Any, path: str, *, checked: bool = False) -> Iterator[tuple[str, bool]]:
    """Find the lists and sets of a schema, and whether the node above each one checks its length."""
    if isinstance(node, list | tuple):
        for one in node:
            yield from _lists_in(one, path)
    if not isinstance(node, dict):
        return
    if node.get("type") in ("list", "set", "frozenset"):  # a field may be named "type", too
        yield path, checked
    function = node.get("function")
    checks = isinstance(function, dict) and isinstance(function.get("function"), partial)
    for name, inner in node.items():
        if name not in {"metadata", "cls", "json_schema_input_schema"}:
            where = path if name in {"schema", "fields"} else f"{path}.{name}"
            yield from _lists_in(inner, where, checked=checks)
