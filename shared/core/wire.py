"""The JSON format on the wire: camelCase names, and times as `2026-01-15T10:30:00.000Z`."""

import contextlib
import functools
import re
import zoneinfo
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from shared.core import clock
from shared.core.cleaning import MAX_ADDRESS_CHARACTERS, clean_json, one_line, web_address

# Texts longer than any platform accepts are refused before they are read; a field can set a lower limit.
MAX_TEXT_CHARACTERS = 200_000
_COLLECTIONS = frozenset({"list", "set", "dict"})
_INNER_SCHEMAS = ("schema", "items_schema", "values_schema")
_TIME = TypeAdapter(datetime)
_BEGINS_LIKE_A_DATE = re.compile(r"\d{4}-")


def _check_lengths_first(node: dict[str, Any]) -> None:
    """Change every bounded collection of a schema in place. A referenced model changes its own schema."""
    if getattr(node.get("function", {}).get("function"), "func", None) is _check_length:
        return  # pydantic returns the same schema again for a finished model
    inner = [node[name] for name in _INNER_SCHEMAS if isinstance(node.get(name), dict)]
    fields = node.get("fields", {})
    inner += [field["schema"] for field in fields.values()] if isinstance(fields, dict) else []
    inner += [one[0] if isinstance(one, tuple) else one for one in node.get("choices", ())]
    for schema in inner:
        _check_lengths_first(schema)
    if node["type"] in _COLLECTIONS and node.get("max_length") is not None:
        check = functools.partial(_check_length, most=node["max_length"])
        collection = dict(node)
        node.clear()
        node.update(core_schema.no_info_before_validator_function(check, collection))


def _check_length(value: Any, *, most: int) -> Any:
    if isinstance(value, list | tuple | set | dict) and len(value) > most:
        raise PydanticKnownError(
            "too_long",
            {
                "field_type": "Dictionary" if isinstance(value, dict) else "List",
                "max_length": most,
                "actual_length": len(value),
            },
        )
    return value


class WireModel(BaseModel):
    """An answer, or the fields that bodies and answers share: snake_case here, camelCase there. Its times are `WireTime`s."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class RequestModel(WireModel):
    """A body. Limits apply only to bodies: an answer shows stored values, even if they predate a limit.

    A list's length is checked before its items. Pydantic counts only valid items, so a million invalid ones would
    each cost an error before the list is refused.
    """

    model_config = ConfigDict(str_max_length=MAX_TEXT_CHARACTERS)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Check the length of each bounded list, set and dictionary first."""
        schema = handler(source)
        _check_lengths_first(cast("dict[str, Any]", handler.resolve_ref_schema(schema)))
        return schema


def _read_time(value: Any) -> Any:
    """Refuse numbers: 1768472000 would be read as seconds or milliseconds, depending on its size."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _BEGINS_LIKE_A_DATE.match(value):
        with contextlib.suppress(ValidationError):
            return _TIME.validate_python(value)
        with contextlib.suppress(
            ValueError
        ):  # other forms of ISO 8601, such as PostgreSQL's offset `+02`
            return datetime.fromisoformat(value)
    raise PydanticCustomError(
        "invalid_time", "This is not a time. Write it as 2026-01-15T10:30:00.000Z."
    )


def _in_utc(value: datetime) -> datetime:
    try:
        return clock.as_utc(value)
    except OverflowError as error:
        raise PydanticCustomError(
            "invalid_time", "This time is out of range. Choose a year from 1 to 9999."
        ) from error


WireTime = Annotated[
    datetime,
    BeforeValidator(_read_time),
    AfterValidator(_in_utc),
    PlainSerializer(clock.to_wire, return_type=str, when_used="json"),
]
"""A time; without an offset it counts as UTC."""


def _one_line(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value


VisibleName = Annotated[str, BeforeValidator(_one_line, json_schema_input_type=str)]
"""A display name, cleaned to one line before its length is checked, so a blank one is refused."""


def _web_address(value: str) -> str:
    address = web_address(value)
    if address is None:
        raise PydanticCustomError(
            "not_a_web_address",
            "This is not a web address. Enter one that begins with https:// or http://.",
        )
    return address


WebAddress = Annotated[str, Field(max_length=MAX_ADDRESS_CHARACTERS), AfterValidator(_web_address)]
"""An http or https address."""

DisplayedJson = Annotated[dict[str, Any], BeforeValidator(clean_json)]
"""Stored JSON in an answer: values nested deeper than a request may be are null."""


def _known_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PydanticCustomError(
            "unknown_timezone", "This is not a time zone. Use an IANA name, such as Europe/Berlin."
        ) from error
    return value


TimezoneName = Annotated[str, AfterValidator(_known_zone), Field(examples=["Europe/Berlin"])]
"""The IANA name of a time zone."""
