"""How parts are armed: what is made for one, for several, and when some cannot be made."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.aws import scheduler
from shared.core import clock
from shared.posts import hints
from shared.posts.hints import Queued, arm
from shared.posts.lifecycle import PostState
from tests.builders import a_channel, a_post, an_organization


@pytest.fixture
def parts(session: Session) -> Sequence[Queued]:
    """Three posts that are due tomorrow."""
    channel = a_channel(session, an_organization(session))
    due_at = clock.now() + timedelta(days=1)
    posts = [a_post(session, channel, state=PostState.QUEUED, publish_at=due_at) for _ in range(3)]
    session.flush()
    return [
        Queued(post.id, post.organization_id, post.revision, 1, due_at, 86_400.0, False)
        for post in posts
    ]


def _armed(session: Session) -> set[Any]:
    found = session.scalars(text("select id from posts where armed_revision = revision"))
    return set(found)


class TestArm:
    def test_one_schedule_is_made_without_a_thread(
        self, session: Session, parts: Sequence[Queued], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        monkeypatch.setattr(scheduler, "create_schedule", lambda name, **_: made.append(name))
        monkeypatch.setattr(hints, "ThreadPoolExecutor", None)
        arm(parts[:1])
        assert made == [f"post-{parts[0].id}-1-1"]
        assert _armed(session) == {parts[0].id}

    def test_one_that_cannot_be_made_is_not_recorded(
        self, session: Session, parts: Sequence[Queued], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_name: str, **_: Any) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(scheduler, "create_schedule", refuse)
        with pytest.raises(RuntimeError):
            arm(parts[:1])
        assert not _armed(session)

    def test_of_several_those_that_were_made_are_recorded(
        self, session: Session, parts: Sequence[Queued], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse_second(name: str, **_: Any) -> None:
            if name == f"post-{parts[1].id}-1-1":
                raise RuntimeError("no")

        monkeypatch.setattr(scheduler, "create_schedule", refuse_second)
        with pytest.raises(RuntimeError):
            arm(parts)
        assert _armed(session) == {parts[0].id, parts[2].id}
