"""Finds the next free slot from posting times and time zones. Pure.

A slot is a time in its channel's time zone, so the gap across a clock change is 23 or 25 hours. A time that the change skips
(02:30 in spring) is read with the previous offset, so it is an hour later; of a time that occurs twice, the first one counts.
"""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.channels.errors import NoFreeSlot, NoSlots

MINUTES_A_DAY = 24 * 60
SEARCHED_DAYS = 400
DEFAULT_MINUTES = (560, 850, 1140)  # 09:20, 14:10, 19:00


@dataclass(frozen=True, slots=True)
class PostingTimes:
    """A channel's slots: times as stored, in `timezone` (IANA)."""

    times: Sequence[Mapping[str, Any]]
    timezone: str


def next_free_slot(
    channels: Sequence[PostingTimes], *, taken: Collection[datetime], after: datetime
) -> datetime:
    """Find the first slot of any of `channels` after `after` that is not in `taken`.

    The result is in UTC, to the minute. A post at any second of a minute takes that minute's slot.

    Raises:
        NoSlots: none of the channels has a posting time.
        NoFreeSlot: every slot of the next 400 days is taken.
    """
    if not any(channel.times for channel in channels):
        raise NoSlots
    held = {_to_the_minute(moment) for moment in taken}
    for slot in heapq.merge(*(_slots(channel, after) for channel in channels)):
        if slot > after and slot not in held:
            return slot
    raise NoFreeSlot


def default_posting_times(zone: str | int) -> tuple[list[dict[str, Any]], str]:
    """Return the posting times of a new channel, and the time zone they are read in.

    `zone` is an IANA name, or the minutes that local time is ahead of UTC, as clients of the public API send it. An
    offset has no clock changes, so its times are stored in UTC, which those clients expect.
    """
    if isinstance(zone, str):
        return [{"time": minutes} for minutes in DEFAULT_MINUTES], zone
    return [
        {"time": minutes}
        for minutes in sorted((minutes - zone) % MINUTES_A_DAY for minutes in DEFAULT_MINUTES)
    ], "UTC"


def is_timezone(name: str) -> bool:
    """Return whether `name` is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _slots(channel: PostingTimes, after: datetime) -> Iterator[datetime]:
    """Yield a channel's slots in UTC, ascending, from the day before `after` on."""
    zone = ZoneInfo(channel.timezone)
    first = after.astimezone(zone).date() - timedelta(days=1)
    for number in range(SEARCHED_DAYS + 2):
        yield from _slots_of_day(channel, zone, first + timedelta(days=number))


def _slots_of_day(channel: PostingTimes, zone: ZoneInfo, day: date) -> list[datetime]:
    return sorted(
        datetime(
            day.year, day.month, day.day, *divmod(int(entry["time"]), 60), tzinfo=zone
        ).astimezone(UTC)
        for entry in channel.times
        if day.weekday() in (entry.get("weekdays") or range(7))
    )


def _to_the_minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
