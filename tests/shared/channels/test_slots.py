"""Posting times in the zones and across the clock changes where they go wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.channels.errors import NoFreeSlot, NoSlots
from shared.channels.slots import (
    PostingTimes,
    default_posting_times,
    is_timezone,
    next_free_slot,
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(*minutes: int, zone: str = "UTC", weekdays: list[int] | None = None) -> PostingTimes:
    entries: list[dict[str, Any]] = [{"time": minute} for minute in minutes]
    if weekdays is not None:
        entries = [{**entry, "weekdays": weekdays} for entry in entries]
    return PostingTimes(entries, zone)


class TestNextFreeSlot:
    @pytest.mark.parametrize(
        ("channel", "after", "expected"),
        [
            pytest.param(times(540, 600), "2026-01-15T08:00", "2026-01-15T09:00", id="today"),
            pytest.param(times(600, 540), "2026-01-15T09:00", "2026-01-15T10:00", id="unsorted"),
            pytest.param(times(540), "2026-01-15T09:00", "2026-01-16T09:00", id="later-than"),
            pytest.param(times(540), "2026-01-15T09:00:01", "2026-01-16T09:00", id="second-late"),
            pytest.param(times(0), "2026-01-15T23:59", "2026-01-16T00:00", id="midnight"),
            pytest.param(
                times(560, zone="Europe/Berlin"),
                "2026-01-15T00:00",
                "2026-01-15T08:20",
                id="winter",
            ),
            pytest.param(
                times(560, zone="Europe/Berlin"),
                "2026-07-15T00:00",
                "2026-07-15T07:20",
                id="summer",
            ),
            pytest.param(
                times(60, zone="Pacific/Kiritimati"),
                "2026-01-15T10:30",
                "2026-01-15T11:00",
                id="there-it-is-tomorrow",
            ),
            pytest.param(
                times(1380, zone="Pacific/Pago_Pago"),
                "2026-01-15T09:00",
                "2026-01-15T10:00",
                id="there-it-is-yesterday",
            ),
            pytest.param(
                times(540, weekdays=[0]), "2026-01-15T00:00", "2026-01-19T09:00", id="mondays"
            ),
            pytest.param(
                times(1410, zone="America/New_York", weekdays=[6]),
                "2026-01-15T00:00",
                "2026-01-19T04:30",
                id="weekday-on-the-channels-clock",
            ),
        ],
    )
    def test_first_slot_after(self, channel: PostingTimes, after: str, expected: str) -> None:
        assert next_free_slot([channel], taken=[], after=utc(after)) == utc(expected)

    @pytest.mark.parametrize(
        ("after", "expected", "hours"),
        [
            # Europe/Berlin goes forward on 2026-03-29 and back on 2026-10-25.
            ("2026-03-28T08:20", "2026-03-29T07:20", 23),
            ("2026-10-24T07:20", "2026-10-25T08:20", 25),
            ("2026-03-29T07:20", "2026-03-30T07:20", 24),
        ],
    )
    def test_gap_across_a_clock_change(self, after: str, expected: str, hours: int) -> None:
        found = next_free_slot([times(560, zone="Europe/Berlin")], taken=[], after=utc(after))
        assert found == utc(expected)
        assert found - utc(after) == timedelta(hours=hours)

    def test_a_skipped_time_falls_an_hour_later_and_a_doubled_one_is_the_first(self) -> None:
        half_past_two = [times(150, zone="Europe/Berlin")]
        spring = next_free_slot(half_past_two, taken=[], after=utc("2026-03-29T00:00"))
        autumn = next_free_slot(half_past_two, taken=[], after=utc("2026-10-25T00:00"))
        assert spring == utc("2026-03-29T01:30")  # 03:30 there
        assert autumn == utc("2026-10-25T00:30")  # 02:30 of the first pass
        after_it = next_free_slot(half_past_two, taken=[], after=autumn)
        assert after_it == utc("2026-10-26T01:30")

    def test_taken_slots_are_passed_over_whatever_the_second(self) -> None:
        taken = [utc("2026-01-15T09:00:42"), utc("2026-01-15T10:00")]
        found = next_free_slot([times(540, 600, 660)], taken=taken, after=utc("2026-01-15T08:00"))
        assert found == utc("2026-01-15T11:00")

    def test_several_channels_give_their_union(self) -> None:
        channels = [times(560, zone="Europe/Berlin"), times(480), PostingTimes([], "UTC")]
        first = next_free_slot(channels, taken=[], after=utc("2026-01-15T00:00"))
        second = next_free_slot(channels, taken=[first], after=utc("2026-01-15T00:00"))
        assert [first, second] == [utc("2026-01-15T08:00"), utc("2026-01-15T08:20")]

    def test_no_posting_times_at_all(self) -> None:
        with pytest.raises(NoSlots):
            next_free_slot([PostingTimes([], "UTC")], taken=[], after=utc("2026-01-15T00:00"))

    def test_the_search_ends(self) -> None:
        first = utc("2026-01-15T09:00")
        taken = {first + timedelta(days=day) for day in range(500)}
        with pytest.raises(NoFreeSlot):
            next_free_slot([times(540)], taken=taken, after=utc("2026-01-15T00:00"))


class TestDefaultPostingTimes:
    def test_a_zone_keeps_its_clock(self) -> None:
        assert default_posting_times("Asia/Kolkata") == (
            [{"time": 560}, {"time": 850}, {"time": 1140}],
            "Asia/Kolkata",
        )

    @pytest.mark.parametrize(
        ("offset", "expected"),
        [(0, [560, 850, 1140]), (120, [440, 730, 1020]), (-480, [180, 1040, 1330])],
    )
    def test_an_offset_becomes_utc(self, offset: int, expected: list[int]) -> None:
        entries, zone = default_posting_times(offset)
        assert [entry["time"] for entry in entries] == expected
        assert zone == "UTC"


class TestIsTimezone:
    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("Europe/Berlin", True),
            ("UTC", True),
            ("Mars/Olympus", False),
            ("", False),
            ("../etc/passwd", False),
            ("Europe", False),
            ("a\0b", False),
        ],
    )
    def test_names(self, name: str, known: bool) -> None:
        assert is_timezone(name) is known
