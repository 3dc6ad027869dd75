"""Sweeps that run at the same time take different rows, and none waits for another."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.shared.publishing.test_conditions import SWEEPS, Case, a_channel_of_ours, a_thread

# Cases at the very edge of a limit would be past it when the second transaction begins.
LATER = {"60001 milliseconds": "61 seconds", "19999 milliseconds": "19 seconds"}
SWEPT = {
    *("adopt_late", "take_crowded", "take_limited", "take_lost", "take_overdue"),
    *("take_stagings", "take_stuck", "take_unarmed", "take_unsent", "take_waiting"),
}
CASES = [case for case in SWEEPS if case.statement.name in SWEPT]


def safe(given: str) -> str:
    for edge, instead in LATER.items():
        given = given.replace(edge, instead)
    return given


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_one_sweep_has_taken_is_skipped_by_another(committed: Engine, case: Case) -> None:
    with Session(committed) as session, session.begin():
        thread = a_thread(session, a_channel_of_ours(session), tuple(map(safe, case.given)))
        params = case.params(thread)
    with committed.connect() as one, committed.connect() as other:
        other.execute(text("set local lock_timeout = '1s'"))
        assert len(case.statement.all(one, **params)) == case.found
        assert case.statement.all(other, **params) == []


def test_every_sweep_that_locks_rows_is_among_them() -> None:
    locking = {case.statement.name for case in SWEEPS if "skip locked" in case.statement.text}
    assert locking == SWEPT == {case.statement.name for case in CASES}
