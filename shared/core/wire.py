"""What JSON looks like on the wire: camelCase names, and times as `2026-01-15T10:30:00.000Z`."""

import contextlib
import re
import zoneinfo
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.core import clock
from shared.core.cleaning import MAX_ADDRESS_CHARACTERS, clean_json, one_line, web_address

# Longer texts than any platform takes are refused before anything reads them; a field may set less.
MAX_TEXT_CHARACTERS = 200_000
_TIME = TypeAdapter(datetime)
_BEGINS_LIKE_A_DATE = re.compile(r"\d{4}-")


class WireModel(BaseModel):
    """An answer, or what bodies and answers share: snake_case here, camelCase there. A time in it is a `WireTime`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class RequestModel(WireModel):
    """A body. Limits are for what is sent to us: an answer shows what is there, whatever was let in before."""

    model_config = ConfigDict(str_max_length=MAX_TEXT_CHARACTERS)


def _read_time(value: Any) -> Any:
    """Refuse numbers: a bare 1768472000 would be read as seconds or milliseconds, depending on its size."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _BEGINS_LIKE_A_DATE.match(value):
        with contextlib.suppress(ValidationError):
            return _TIME.validate_python(value)
        with contextlib.suppress(
            ValueError
        ):  # other forms of ISO 8601, such as PostgreSQL's offset `+02`
            return datetime.fromisoformat(value)
    raise PydanticCustomError("invalid_time", "Write the time as 2026-01-15T10:30:00.000Z.")


def _in_utc(value: datetime) -> datetime:
    try:
        return clock.as_utc(value)
    except OverflowError as error:
        raise PydanticCustomError("invalid_time", "The time is out of range.") from error


WireTime = Annotated[
    datetime,
    BeforeValidator(_read_time),
    AfterValidator(_in_utc),
    PlainSerializer(clock.to_wire, return_type=str, when_used="json"),
]
"""A time; without an offset it is read as UTC."""


def _one_line(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value


VisibleName = Annotated[str, BeforeValidator(_one_line, json_schema_input_type=str)]
"""A name that people read, cleaned to one line before its length is checked, so a blank one is refused."""


def _web_address(value: str) -> str:
    address = web_address(value)
    if address is None:
        raise PydanticCustomError(
            "not_a_web_address", "Give an address that begins with https:// or http://."
        )
    return address


WebAddress = Annotated[str, Field(max_length=MAX_ADDRESS_CHARACTERS), AfterValidator(_web_address)]
"""An http or https address."""

ShownJson = Annotated[dict[str, Any], BeforeValidator(clean_json)]
"""JSON that was stored, as an answer shows it: what is nested deeper than any request may be is null."""


def _known_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PydanticCustomError(
            "unknown_timezone", "Name a time zone as IANA does, such as Europe/Berlin."
        ) from error
    return value


TimezoneName = Annotated[str, AfterValidator(_known_zone), Field(examples=["Europe/Berlin"])]
"""The IANA name of a time zone."""
