"""Whether every refusal of a field says what was expected, in a sentence that is not Pydantic's."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, EmailStr, Field, ValidationError
from pydantic_core.core_schema import ErrorType

from local.docs.openapi import apps
from shared.core import sentences
from shared.core.sentences import field_at, sentence
from shared.core.wire import TimezoneName, WireModel, WireTime
from shared.providers.registry import provider, slugs
from shared.web.openapi import describe


class Color(StrEnum):
    RED, GREEN = "red", "green"


class Part(WireModel):
    sent_by: str = Field(default="", pattern="^[a-z]*$", examples=["ada"])
    named: str = Field(default="", pattern="^[a-z]*$", title="Language", description="ISO code.")
    bare: str = Field(default="", pattern="^[a-z]*$")


class Sample(WireModel):
    model_config = ConfigDict(extra="forbid")

    needed: int = Field(default=..., description="How many there are.")
    name: str = Field(default="abc", min_length=1, max_length=3)
    password: str = Field(default="abcd", min_length=4)
    tags: list[str] = Field(default=["a"], min_length=1, max_length=1)
    share: Annotated[float, Field(ge=0, lt=2, allow_inf_nan=False)] = 0
    kind: Literal["draft", "now"] = "now"
    color: Color = Color.RED
    flag: bool = True
    id: UUID | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    email: EmailStr = "ada@example.com"
    at: WireTime | None = None
    zone: TimezoneName = "UTC"
    parts: list[Part] = Field(default_factory=list)
    first: Part | None = None


def refused(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as error:
        Sample.model_validate({"needed": 1, **fields})
    return [sentence(found, field_at(Sample, found["loc"])) for found in error.value.errors()]


class TestSentence:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"needed": "x"}, "This must be a whole number."),
            ({"needed": 1.5}, "This must be a whole number."),
            ({"needed": None}, "This must be a whole number."),
            ({"name": 1}, "This must be text."),
            ({"name": ""}, "This must not be empty."),
            ({"name": "abcd"}, "This must have at most 3 characters."),
            ({"password": "abc"}, "This must have at least 4 characters."),
            ({"tags": []}, "This must not be empty."),
            ({"tags": ["a", "b"]}, "This must have at most 1 item."),
            ({"tags": {}}, "This must be a list."),
            ({"share": -1}, "This must be 0 or more."),
            ({"share": 2}, "This must be less than 2."),
            ({"share": float("inf")}, "This must be a finite number."),
            ({"share": "x"}, "This must be a number."),
            ({"kind": "later"}, "This must be 'draft' or 'now'."),
            ({"color": "blue"}, "This must be 'red' or 'green'."),
            ({"flag": "perhaps"}, "This must be true or false."),
            (
                {"id": "x"},
                "This is not an id. Send one such as 019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f.",
            ),
            ({"settings": []}, "This must be an object."),
            ({"parts": ["x"]}, "This must be an object."),
            ({"other": 1}, "This field is unknown. Leave it out."),
            (
                {"email": "ada"},
                "This is not an email address. An email address must have an @-sign.",
            ),
            ({"at": "soon"}, "This is not a time. Write it as 2026-01-15T10:30:00.000Z."),
            ({"zone": "Mars"}, "This is not a time zone. Use an IANA name, such as Europe/Berlin."),
            ({"parts": [{}, {"sentBy": "A"}]}, "This is not in the right form. Write it as ada."),
            ({"first": {"sentBy": "A"}}, "This is not in the right form. Write it as ada."),
            (
                {"first": {"named": "A"}},
                "This is not in the right form. Language: ISO code.",
            ),
            ({"first": {"bare": "A"}}, "This is not in the right form."),
        ],
    )
    def test_says_what_was_expected(self, fields: dict[str, Any], said: str) -> None:
        assert refused(**fields) == [said]

    def test_says_what_a_missing_field_is(self) -> None:
        with pytest.raises(ValidationError) as error:
            Sample.model_validate({})
        [found] = error.value.errors()
        field = field_at(Sample, found["loc"])
        assert sentence(found, field) == "`needed` is required. How many there are."
        assert sentence(found) == "`needed` is required."

    def test_keeps_what_our_validators_say(self) -> None:
        found = {"type": "value_error", "msg": "Value error, Give a name.", "loc": ("x",)}
        assert sentence(found) == "Give a name."

    def test_of_what_has_no_sentence_is_not_pydantics(self) -> None:
        for kind in get_args(ErrorType):
            if kind in {"value_error", "assertion_error"}:
                continue
            limits = dict.fromkeys(re.findall(r"{(\w+)}", sentences.SENTENCES.get(kind, "")), 1)
            context = {"min_length": 2, "max_length": 2, **limits}
            said = sentence({"type": kind, "msg": "Input should be otherwise", "ctx": context})
            assert said.endswith(".")
            assert "Input" not in said

    def test_is_written_for_kinds_that_exist(self) -> None:
        written = {*sentences.SENTENCES, *sentences.AT_LEAST, *sentences.AT_MOST}
        assert written | {*sentences.EXPLAINED} <= {*get_args(ErrorType)}


class TestFieldAt:
    @pytest.mark.parametrize(
        "path", [(), ("nothing",), ("parts",  0), ("settings", "a"), ("parts", 0, "nothing")]
    )  # fmt: skip
    def test_where_there_is_none(self, path: tuple[str | int, ...]) -> None:
        assert field_at(Sample, path) is None

    def test_of_no_model(self) -> None:
        assert field_at(dict[str, str], ("a",)) is None


def patterns(schema: Any) -> list[dict[str, Any]]:
    """Find everything in a JSON schema that has a pattern."""
    inner = schema.values() if isinstance(schema, dict) else schema
    found = [schema] if isinstance(schema, dict) and isinstance(schema.get("pattern"), str) else []
    nested = (one for one in inner if isinstance(one, dict | list))
    return found + [one for each in nested for one in patterns(each)]


def test_every_pattern_is_explained_somewhere() -> None:
    document = describe(apps())
    in_routes = [
        parameter | parameter["schema"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
        if patterns(parameter["schema"])
    ]
    settings = [provider(slug).spec.settings.model_json_schema() for slug in slugs()]
    models = [*document["components"]["schemas"].values(), *settings]
    found = [*in_routes, *(one for model in models for one in patterns(model))]
    assert found
    for one in found:
        assert one.get("examples") or one.get("description"), one


def test_models_are_found_in_what_holds_them() -> None:
    class Plain(BaseModel):
        inner: dict[str, list[Part] | None] = Field(default_factory=dict)

    field = field_at(Plain, ("inner", "sentBy"))
    assert field
    assert field.examples == ["ada"]
