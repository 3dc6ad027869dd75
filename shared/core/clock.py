"""The only clock of the process.

Publishing never uses this clock: its statements compare due times with the database's `now()` (`docs/lifecycle.md`, "When
hints are sent"). This clock is for logs, tokens and everything that members read.
"""

from collections.abc import Callable
from datetime import UTC, datetime


def machine_time() -> datetime:
    """Return the time of this machine's clock, aware, in UTC."""
    return datetime.now(UTC)


_read: Callable[[], datetime] = machine_time


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return _read()


def read_from(read: Callable[[], datetime]) -> None:
    """Make `now` use `read` instead of the machine's clock for the rest of this process."""
    global _read
    _read = read


def as_utc(value: datetime) -> datetime:
    """Return `value` in UTC; a time without an offset counts as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_wire(value: datetime) -> str:
    """Format a time for the API: `2026-01-15T10:30:00.000Z`."""
    return as_utc(value).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
