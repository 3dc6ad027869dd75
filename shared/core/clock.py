"""What time it is: the only clock of the process.

Publishing never decides by this clock: due times are compared with the database's `now()` in the statement itself
(`docs/lifecycle.md`, "When hints are sent"). This clock stamps logs, tokens and everything a member reads.
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
    """Have `now` ask `read` instead of the machine, for the rest of this process."""
    global _read
    _read = read


def as_utc(value: datetime) -> datetime:
    """Return `value` in UTC; a time without an offset is read as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_wire(value: datetime) -> str:
    """Write a time as the API does: `2026-01-15T10:30:00.000Z`."""
    return as_utc(value).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
