"""Are reads counted in memory, for a minute, and for no more callers than there is room for?"""

from datetime import timedelta

import pytest
import time_machine

from shared.access import counts
from shared.access.counts import count_in_memory
from shared.access.errors import RateLimitReached
from shared.access.policy import Per, Quota, Rate
from shared.core import clock

TWICE = Rate("test", 2, timedelta(minutes=1), Per.PRINCIPAL, in_memory=True)


def test_third_call_waits_until_the_minute_is_over() -> None:
    """Finding 7.17: reads without a rate of their own had none."""
    began = clock.now()
    with time_machine.travel(began, tick=False):
        for _ in range(2):
            count_in_memory(TWICE, "ada")
        count_in_memory(TWICE, "bob")
    with time_machine.travel(began + timedelta(seconds=20), tick=False):
        with pytest.raises(RateLimitReached) as refused:
            count_in_memory(TWICE, "ada")
        assert refused.value.quota.resets_in_seconds == 40
    with time_machine.travel(began + timedelta(minutes=1), tick=False):
        count_in_memory(TWICE, "ada")


def test_oldest_are_forgotten_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding 7.17: a bound of keys, so that many addresses fill no memory."""
    monkeypatch.setattr(counts, "MOST_KEYS", 3)
    for number in range(10):
        count_in_memory(TWICE, str(number))
    assert list(counts._windows) == ["test:7", "test:8", "test:9"]


class TestTheSentence:
    @pytest.mark.parametrize(
        ("window", "seconds", "words"),
        [
            (timedelta(minutes=1), 1, "Rate limit: 1,200 calls a minute. Try again in 1 second."),
            (timedelta(minutes=1), 40, "1,200 calls a minute. Try again in 40 seconds."),
            (timedelta(minutes=10), 121, "1,200 calls per 10 minutes. Try again in 3 minutes."),
            (timedelta(hours=1), 3_600, "1,200 calls an hour. Try again in 60 minutes."),
        ],
    )
    def test_says_how_many_in_what_time_and_when_to_come_again(
        self, window: timedelta, seconds: int, words: str
    ) -> None:
        error = RateLimitReached(Quota(1_200, 0, seconds), window)
        assert words in error.message
