"""Holding a platform for the whole application: the longer hold stays."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.channels.models import ProviderPause
from shared.channels.pauses import hold_provider


def minutes_left(session: Session, slug: str) -> float | None:
    left = ProviderPause.until - func.now()
    seconds = session.scalar(
        select(func.extract("epoch", left)).where(ProviderPause.provider == slug)
    )
    return None if seconds is None else float(seconds) / 60


class TestHoldProvider:
    def test_a_hold_is_by_the_databases_clock(self, session: Session) -> None:
        ends = hold_provider(session, "x", wait=timedelta(minutes=5), reason="429")
        assert session.get_one(ProviderPause, "x").until == ends
        assert minutes_left(session, "x") == 5
        assert minutes_left(session, "mastodon") is None

    def test_a_shorter_hold_changes_nothing_and_a_longer_one_does(self, session: Session) -> None:
        hold_provider(session, "x", wait=timedelta(minutes=5), reason="first")
        hold_provider(session, "x", wait=timedelta(minutes=1), reason="shorter")
        pause = session.get_one(ProviderPause, "x")
        assert (minutes_left(session, "x"), pause.reason) == (5, "first")
        hold_provider(session, "x", wait=timedelta(minutes=9), reason="longer")
        session.refresh(pause)
        assert (minutes_left(session, "x"), pause.reason) == (9, "longer")
