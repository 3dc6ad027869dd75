"""Holding a platform for the whole application: the longer hold stays."""

from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.channels.models import ProviderPause
from shared.channels.pauses import held_providers, held_until, hold_provider


def minutes_left(session: Session, slug: str) -> float | None:
    until, now = held_until(session, slug), session.scalar(select(func.now()))
    return None if until is None or now is None else (until - now).total_seconds() / 60


class TestHoldProvider:
    def test_a_hold_is_by_the_databases_clock(self, session: Session) -> None:
        hold_provider(session, "x", wait=timedelta(minutes=5), reason="429")
        assert minutes_left(session, "x") == 5
        assert held_until(session, "mastodon") is None
        assert list(held_providers(session)) == ["x"]

    def test_a_shorter_hold_changes_nothing_and_a_longer_one_does(self, session: Session) -> None:
        hold_provider(session, "x", wait=timedelta(minutes=5), reason="first")
        hold_provider(session, "x", wait=timedelta(minutes=1), reason="shorter")
        pause = session.get_one(ProviderPause, "x")
        assert (minutes_left(session, "x"), pause.reason) == (5, "first")
        hold_provider(session, "x", wait=timedelta(minutes=9), reason="longer")
        session.refresh(pause)
        assert (minutes_left(session, "x"), pause.reason) == (9, "longer")

    def test_a_hold_ends_by_itself(self, session: Session) -> None:
        hold_provider(session, "x", wait=timedelta(minutes=5), reason="429")
        session.execute(update(ProviderPause).values(until=func.now()))
        assert held_until(session, "x") is None
        assert not held_providers(session)
