"""How parts are armed: what is made for one, for several, and when some cannot be made."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.aws import scheduler
from shared.core import clock
from shared.posts import schedule
from shared.posts.lifecycle import PostState
from shared.posts.schedule import Armable, arm
from tests.builders import a_channel, a_post, an_organization


@pytest.fixture
def parts(session: Session) -> Sequence[Armable]:
    """Three posts that are due tomorrow."""
    channel = a_channel(session, an_organization(session))
    due_at = clock.now() + timedelta(days=1)
    posts = [a_post(session, channel, state=PostState.QUEUED, publish_at=due_at) for _ in range(3)]
    session.flush()
    return [
        Armable(post.id, post.organization_id, post.revision, 1, due_at, 86_400.0, False)
        for post in posts
    ]


def _armed(session: Session) -> set[Any]:
    found = session.scalars(text("select id from posts where armed_revision = revision"))
    return set(found)


class TestArm:
    def test_one_schedule_is_made_without_a_thread(
        self, session: Session, parts: Sequence[Armable], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        monkeypatch.setattr(scheduler, "create_schedule", lambda name, **_: made.append(name))
        monkeypatch.setattr(schedule, "ThreadPoolExecutor", None)
        arm(parts[:1])
        assert made == [parts[0].schedule_name]
        assert _armed(session) == {parts[0].part_id}

    def test_one_that_cannot_be_made_is_not_recorded(
        self, session: Session, parts: Sequence[Armable], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_name: str, **_: Any) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(scheduler, "create_schedule", refuse)
        with pytest.raises(RuntimeError):
            arm(parts[:1])
        assert not _armed(session)

    def test_of_several_those_that_were_made_are_recorded(
        self, session: Session, parts: Sequence[Armable], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse_second(name: str, **_: Any) -> None:
            if name == parts[1].schedule_name:
                raise RuntimeError("no")

        monkeypatch.setattr(scheduler, "create_schedule", refuse_second)
        with pytest.raises(RuntimeError):
            arm(parts)
        assert _armed(session) == {parts[0].part_id, parts[2].part_id}
