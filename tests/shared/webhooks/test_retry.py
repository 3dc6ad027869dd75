"""Whether the pauses between tries grow as documented, and end when they should."""

from datetime import timedelta

import pytest

from shared.webhooks.retry import BACK_OFF, MOST_TRIES, SPREAD, Answer, pause_after

BROKEN = Answer(500)


def test_eight_tries_within_about_a_day() -> None:
    pauses = [pause_after(BROKEN, tries) for tries in range(1, MOST_TRIES)]
    assert tuple(pauses) == BACK_OFF == tuple(sorted(BACK_OFF))
    assert MOST_TRIES == 8
    whole = sum(BACK_OFF, timedelta(0))
    assert timedelta(hours=22) < whole < whole * (1 + SPREAD) < timedelta(hours=27)
    assert pause_after(BROKEN, MOST_TRIES) is None


def test_what_a_receiver_says_is_cleaned_and_cut() -> None:
    """Finding 2.13: the delivery log showed control and bidirectional characters as they came."""
    answer = Answer(
        500, "no\x1b[31m \u202eway\n" + "x" * 5_000, "The connection failed. \x00\u2066"
    )
    assert answer.text == ("no[31m way\n" + "x" * 5_000)[:999] + "…"
    assert answer.error == "The connection failed. "
    assert (Answer(204).text, Answer(204).error) == (None, None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 410])
def test_not_again(status: int) -> None:
    assert pause_after(Answer(status), 1) is None


@pytest.mark.parametrize("status", [None, 100, 301, 302, 308, 400, 401, 404, 408, 429, 500, 503])
def test_again(status: int | None) -> None:
    answer = Answer(status)
    assert not answer.is_taken
    assert pause_after(answer, 1) == BACK_OFF[0]


@pytest.mark.parametrize(
    ("asked", "tries", "pause"),
    [
        (timedelta(hours=1), 1, timedelta(hours=1)),
        (timedelta(seconds=1), 1, BACK_OFF[0]),
        (timedelta(minutes=1), 6, BACK_OFF[5]),
        (timedelta(days=30), 1, timedelta(hours=24)),
    ],
)
def test_receiver_may_ask_for_a_longer_pause(
    asked: timedelta, tries: int, pause: timedelta
) -> None:
    assert pause_after(Answer(429, retry_after=asked), tries) == pause
