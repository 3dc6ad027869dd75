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
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.core import clock

# Longer texts than any platform takes are refused before anything reads them; a field may set less.
MAX_TEXT_CHARACTERS = 200_000
_TIME = TypeAdapter(datetime)
_BEGINS_LIKE_A_DATE = re.compile(r"\d{4}-")


class WireModel(BaseModel):
    """A body or an answer: snake_case here, camelCase there. A time in it is a `WireTime`."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        from_attributes=True,
        str_max_length=MAX_TEXT_CHARACTERS,
    )


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


VisibleName = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A name that people read: space around it is cut off before its length is checked, so a blank one is refused."""


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
