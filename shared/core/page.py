"""Pages of results with a cursor that names the last row, never an offset."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared.core.errors import FieldProblem, InvalidInput

T = TypeVar("T")
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page, in the list's order. `next_cursor` is None on the last one."""

    items: Sequence[T]
    next_cursor: str | None


def write_cursor(*values: str) -> str:
    """Encode the sort key of a page's last row."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *, parts: int) -> list[str]:
    """Decode a cursor that `write_cursor` made from `parts` values.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    try:
        values: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, UnicodeDecodeError):
        values = None
    if (
        not isinstance(values, list)
        or len(values) != parts
        or not all(isinstance(v, str) for v in values)
    ):
        problem = FieldProblem(
            "cursor",
            "invalid",
            "This cursor is not valid. Use `nextCursor` from an earlier page, or leave it out.",
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem])
    return values
