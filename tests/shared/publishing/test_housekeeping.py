"""What is done once an hour: every step that a feature has, each although another fails, and a page at a time."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import shared
from shared.db import sweep
from shared.organizations.sweep import delete_old_rate_limits, take_hour
from shared.publishing import housekeeping, reconcile
from shared.publishing.housekeeping import DAILY_STEPS, STEPS, keep_house

# What runs every minute, or inside a step.
# Steps that stand beside what they are about, not in a feature's `sweep`.
OF_OTHER_MODULES = {"check_old_domains", "remove_unneeded_media", "request_due_deletions"}
NOT_HOURLY = {"send_due_deliveries", "request_missing_variants", "remove_unneeded_files"}


def broken() -> int:
    raise LookupError("broken")


def steps_of_features() -> set[str]:
    names = set()
    for feature in pkgutil.iter_modules(shared.__path__):
        name = f"shared.{feature.name}.sweep"
        if feature.name == "db" or importlib.util.find_spec(name) is None:
            continue
        functions = inspect.getmembers(importlib.import_module(name), inspect.isfunction)
        names |= {
            function.__name__
            for title, function in functions
            if function.__module__ == name and not title.startswith("_")
        }
    return names


class TestSteps:
    def test_every_step_of_a_feature_runs(self) -> None:
        steps = STEPS + DAILY_STEPS
        names = {step.__name__ for step in steps} - OF_OTHER_MODULES
        assert steps_of_features() - NOT_HOURLY - {"take_hour", "take_day"} == names
        assert len(steps) == len(set(steps))
        for name in NOT_HOURLY:
            assert hasattr(reconcile, name) or hasattr(housekeeping, name)

    @pytest.mark.usefixtures("session")
    def test_all_run_although_one_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.7: a bucket that does not answer must not let codes pile up."""
        ran: list[str] = []

        def last() -> int:
            ran.append("last")
            return 1

        monkeypatch.setattr(housekeeping, "STEPS", (broken, last))
        with pytest.raises(ExceptionGroup):
            keep_house()
        assert ran == ["last"]

    @pytest.mark.usefixtures("session")
    def test_none_runs_without_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "STEPS", (broken,))
        assert keep_house(has_time=lambda: False)

    def test_some_run_once_a_day(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[str] = []

        def step(name: str) -> Callable[[], int]:
            def run() -> int:
                ran.append(name)
                return 0

            return run

        monkeypatch.setattr(housekeeping, "STEPS", (step("hourly"),))
        monkeypatch.setattr(housekeeping, "DAILY_STEPS", (step("daily"),))
        for age in ("0 hours", "2 hours", "25 hours"):
            age_it = text(
                "update rate_limits set window_started_at = now() - cast(:age as interval)"
            )
            session.execute(age_it, {"age": age})
            keep_house()
        assert ran == ["hourly", "daily", "hourly", "hourly", "daily"]


class TestHour:
    @pytest.mark.parametrize(("age", "is_due"), [("59 minutes", False), ("61 minutes", True)])
    def test_once_an_hour(self, session: Session, age: str, is_due: bool) -> None:
        assert take_hour()
        age_it = text("update rate_limits set window_started_at = now() - cast(:age as interval)")
        session.execute(age_it, {"age": age})
        assert take_hour() is is_due


class TestPages:
    @pytest.mark.parametrize(("most", "deleted"), [(2, 4), (20, 5)])
    def test_a_step_deletes_some_pages_and_no_more(
        self, session: Session, monkeypatch: pytest.MonkeyPatch, most: int, deleted: int
    ) -> None:
        monkeypatch.setattr(sweep, "PAGE_SIZE", 2)
        monkeypatch.setattr(sweep, "MOST_PAGES", most)
        session.execute(
            text(
                "insert into rate_limits (key, count, window_started_at)"
                " select n, 1, now() - interval '25 hours' from generate_series(1, 5) n"
            )
        )
        assert delete_old_rate_limits() == deleted
