"""The limit that looks back from each call: what it counts, for how long, at what cost, and with two calls at once."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.access.context import Credentials, identify
from shared.access.context_queries import PARTS_OF_WINDOW
from shared.access.errors import RateLimitReached
from shared.access.give_back import give_back
from shared.access.policy import Quota, Rate, Rule, Who
from shared.db.session import read_only, unit_of_work
from shared.organizations.models import Member
from shared.organizations.sweep import delete_old_rate_limits
from tests.builders import a_member, an_organization
from tests.gateway import by_key

RATE = Rate("rolling", 3, timedelta(minutes=1), rolling=True)  # a part of its window is a second


class Caller:
    """A program that calls, in a transaction in which no time passes by itself."""

    def __init__(self, session: Session, member: Member) -> None:
        self._session = session
        self.key = by_key(None, session, member).headers["authorization"]

    def call(self, rate: Rate = RATE) -> Quota:
        found = identify(self._session, Credentials(api_key=self.key), Rule(Who.VIEWER, rate=rate))
        assert found.quota
        return found.quota

    def give_back(self) -> int | None:
        return give_back(self._session, self.key, RATE)

    def holds(self) -> tuple[Sequence[float], Sequence[int]]:
        """Return the ages of what is kept, in seconds, and how many calls each stands for."""
        row = self._session.execute(
            text(
                "select array(select extract(epoch from now() - at)::float8 from unnest(calls) at) as ages, counts"
                " from rate_limits where key like 'rolling:%'"
            )
        ).one()
        return row.ages, row.counts

    def put(self, ages: Sequence[float], counts: Sequence[int]) -> None:
        self._session.execute(
            text(
                "update rate_limits set counts = :counts, calls ="
                " array(select now() - make_interval(secs => age) from unnest(cast(:ages as float8[])) age)"
            ),
            {"ages": list(ages), "counts": list(counts)},
        )

    def wait(self, seconds: float) -> None:
        ages, counts = self.holds()
        self.put([age + seconds for age in ages], counts)


@pytest.fixture
def caller(session: Session, aws: None) -> Caller:
    return Caller(session, a_member(session, an_organization(session)))


class TestRolling:
    def test_calls_of_one_part_are_kept_as_one(self, caller: Caller) -> None:
        assert [caller.call().remaining for _ in range(3)] == [2, 1, 0]
        assert caller.holds() == ([0.0], [3])

    def test_looks_back_from_each_call(self, caller: Caller) -> None:
        caller.call()
        caller.put([59, 0], [1, 2])
        for _ in range(2):  # who was refused has taken no place
            with pytest.raises(RateLimitReached) as refused:
                caller.call()
            assert refused.value.quota == Quota(limit=3, remaining=0, resets_in_seconds=1)
        caller.put([60, 0], [1, 2])
        assert caller.call() == Quota(limit=3, remaining=0, resets_in_seconds=60)
        with pytest.raises(RateLimitReached):
            caller.call()

    def test_number_is_of_the_calls_and_not_of_the_parts(self, caller: Caller) -> None:
        caller.call()
        caller.put([30], [2])
        assert caller.call() == Quota(limit=3, remaining=0, resets_in_seconds=30)
        assert caller.holds() == ([30.0, 0.0], [2, 1])

    def test_what_an_older_version_wrote_counts_once_each(self, caller: Caller) -> None:
        caller.call()
        caller.put([30, 20], [])
        assert caller.call().remaining == 0
        assert caller.holds() == ([30.0, 20.0, 0.0], [1, 1, 1])

    @pytest.mark.parametrize("seed", range(20))
    def test_no_window_has_more_calls_and_none_waits_longer_than_a_part(
        self, caller: Caller, seed: int
    ) -> None:
        chosen = random.Random(seed)
        window, part = 600, 10  # in tenths of a second, so that sums are exact
        now, taken = 0, list[int]()
        for _ in range(80):
            now += (step := chosen.choice([1, 3, 9, 10, 70, 195]))
            if taken:
                caller.wait(step / 10)
            recent = [at for at in taken if at > now - window]
            try:
                quota = caller.call()
            except RateLimitReached:
                assert len([at for at in taken if at > now - window - part]) >= 3
            else:
                assert len(recent) < 3
                assert quota.remaining <= 2 - len(recent)
                taken.append(now)

    def test_waiting_as_long_as_told_is_enough(self, caller: Caller) -> None:
        for _ in range(3):
            caller.call()
            caller.wait(0.4)
        with pytest.raises(RateLimitReached) as refused:
            caller.call()
        caller.wait(refused.value.retry_after_seconds)
        caller.call()

    def test_outlives_the_sweep(self, session: Session, caller: Caller) -> None:
        caller.call()
        session.execute(
            text("update rate_limits set window_started_at = now() - interval '2 days'")
        )
        caller.call()
        delete_old_rate_limits()
        caller.call()
        with pytest.raises(RateLimitReached):
            caller.call()

    def test_row_stays_as_short_whatever_the_limit(self, caller: Caller) -> None:
        many = Rate("rolling", 10_000, timedelta(minutes=1), rolling=True)
        caller.call(many)
        caller.put([n * 0.06 for n in range(999, 0, -1)], [])  # as an older version wrote it
        assert caller.call(many).remaining == 10_000 - 1000
        ages, counts = caller.holds()
        assert len(ages) == len(counts) <= PARTS_OF_WINDOW + 1
        assert sum(counts) == 1000

    def test_lower_limit_refuses_and_forgets_nothing(self, caller: Caller) -> None:
        caller.call()
        caller.put([30], [5])
        with pytest.raises(RateLimitReached):
            caller.call()
        assert caller.holds() == ([30.0], [5])


class TestGiveBack:
    def test_one_of_the_newest_is_taken_off(self, caller: Caller) -> None:
        caller.call()
        caller.put([30, 0], [1, 2])
        assert caller.give_back() == 2
        assert caller.holds() == ([30.0, 0.0], [1, 1])
        assert caller.give_back() == 1
        assert caller.holds() == ([30.0], [1])
        assert caller.give_back() == 0
        assert caller.holds() == ([], [])
        assert caller.call().remaining == 2

    def test_a_call_by_the_key_of_before_is_taken_off_while_that_is_good(
        self, session: Session, caller: Caller
    ) -> None:
        caller.call()
        replaced = (
            "update api_keys set previous_hash = key_hash, key_hash = '\\x00',"
            " previous_ends_at = now() + make_interval(secs => :left)"
        )
        session.execute(text(replaced), {"left": 1})
        assert caller.give_back() == 0
        session.execute(text("update api_keys set previous_ends_at = now()"))
        assert caller.give_back() is None


def test_two_at_once_do_not_take_the_last_place_twice(committed: Engine, aws: None) -> None:
    with unit_of_work() as session:
        member = a_member(session, an_organization(session))
        key = by_key(None, session, member).headers["authorization"]
    together = Barrier(4)

    def call(_: int) -> UUID | None:
        together.wait()
        with read_only() as session:
            try:
                return identify(
                    session, Credentials(api_key=key), Rule(Who.VIEWER, rate=RATE)
                ).principal
            except RateLimitReached:
                return None

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(call, range(4)))
    assert len([answer for answer in answers if answer]) == 3
