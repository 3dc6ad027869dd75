"""Computes when a schedule fires: `at(...)`, `rate(...)` and `cron(...)` as EventBridge Scheduler reads them.

Source: docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html, read 2026-11.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_HORIZON = timedelta(days=366 * 5)


class ExpressionRefused(Exception):
    """A schedule's expression cannot be read; the message names it."""


def next_firing(
    expression: str,
    timezone: str,
    *,
    created: datetime,
    after: datetime | None,
    now: datetime | None = None,
) -> datetime | None:
    """Return when a schedule fires next, in UTC; None if never again.

    `created` anchors rates. `after` is the last firing, None if it has not fired. A one-time schedule whose time has
    passed fires at once. A recurring one that has fired continues after `now`; it fires once for everything it missed.

    Raises:
        ExpressionRefused: the expression is not known here.
    """
    if expression.startswith("at(") and expression.endswith(")"):
        try:
            at = datetime.fromisoformat(expression[3:-1])
        except ValueError as error:
            raise ExpressionRefused(expression) from error
        return at.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC) if after is None else None
    reached = created if after is None else max(after, now or after)
    if step := rate_step(expression):
        begun = created if after is None else after
        return begun + step * ((reached - begun) // step + 1)
    if expression.startswith("cron(") and expression.endswith(")"):
        return _Cron(expression).next_after(reached, ZoneInfo(timezone))
    raise ExpressionRefused(expression)


def rate_step(expression: str) -> timedelta | None:
    """Return the interval of `rate(...)`; None if the expression is not a rate."""
    match = _RATE.fullmatch(expression)
    return int(match[1]) * _UNITS[match[2]] or None if match else None


class _Cron:
    """Six fields: minute, hour, day of month, month, day of week (1 is Sunday), year."""

    def __init__(self, expression: str) -> None:
        fields = expression[5:-1].split()
        if len(fields) != 6:
            raise ExpressionRefused(expression)
        try:
            self._minutes = _values(fields[0], 0, 59)
            self._hours = _values(fields[1], 0, 23)
            self._days = _values(fields[2], 1, 31)
            self._months = _values(fields[3], 1, 12, _MONTHS, first=1)
            self._weekdays = _values(fields[4], 1, 7, _WEEKDAYS, first=1)
            self._years = _values(fields[5], 1970, 2199)
        except ValueError as error:
            raise ExpressionRefused(f"{expression}: {error}") from error

    def next_after(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        moment = after.astimezone(zone).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = moment + _HORIZON
        while moment < end:
            if not self._is_day(moment):
                moment = (moment + timedelta(days=1)).replace(hour=0, minute=0)
            elif moment.hour not in self._hours:
                moment = (moment + timedelta(hours=1)).replace(minute=0)
            elif moment.minute not in self._minutes:
                moment += timedelta(minutes=1)
            else:
                return moment.astimezone(UTC)
        return None

    def _is_day(self, moment: datetime) -> bool:
        weekday = moment.isoweekday() % 7 + 1
        return (
            moment.year in self._years
            and moment.month in self._months
            and moment.day in self._days
            and weekday in self._weekdays
        )


def _values(
    field: str, low: int, high: int, names: Sequence[str] = (), *, first: int = 0
) -> frozenset[int]:
    values: set[int] = set()
    for part in field.upper().split(","):
        span, _, step = part.partition("/")
        start, dash, end = span.partition("-")
        if start in ("*", "?"):
            from_value, to_value = low, high
        else:
            from_value = _number(start, names, first)
            to_value = _number(end, names, first) if dash else (high if step else from_value)
        if not low <= from_value <= to_value <= high:
            raise ValueError(f"{part} is not within {low} and {high}")
        values.update(range(from_value, to_value + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, names: Sequence[str], first: int) -> int:
    return names.index(text) + first if text in names else int(text)
