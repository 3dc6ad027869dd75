"""What the shared types of bodies take and refuse."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from shared.core.wire import VisibleName, WireModel, WireTime


class _Body(WireModel):
    name: Annotated[VisibleName, Field(min_length=3)] = "Ada"
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
        with pytest.raises(ValidationError, match="Write the time as 2026-01-15T10:30"):
            _Body.model_validate({"at": given})
