"""Parts that are queued although nothing would send them: found, reported, and sent or failed."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.channels.models import Channel
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.notifications.models import Notification
from shared.organizations.models import Role
from shared.posts.delete import delete_post
from shared.posts.errors import PostIsPublished
from shared.posts.models import Post
from shared.posts.parts import Author
from shared.posts.resolve import resend
from shared.publishing.stuck import free_stuck
from tests.builders import a_post
from tests.shared.publishing.world import World, a_thread

NOW = timedelta(0)


def a_thread_of_three(world: World) -> Post:
    root = a_thread(world, "keyless", due_in=NOW)
    with unit_of_work() as session:
        channel = session.get_one(Channel, root.channel_id)
        second = session.query(Post).where(Post.parent_id == root.id).one()
        a_post(session, channel, parent=second, content="<p>three</p>")
    return root


def a_thread_out_in_part(world: World) -> list[Post]:
    """A thread whose first part is out, and whose second lost the time that the record of the first gave it."""
    root = a_thread_of_three(world)
    world.deliver_due()
    assert world.states(root.id) == ["published", "queued", "queued"]
    world.messages.clear()
    world.schedules.clear()
    _change(world, "update posts set due_at = null where position > 0")
    world.pass_time(120)
    with unit_of_work() as session:
        return list(session.query(Post).where(Post.root_id == root.id).order_by(Post.position))


def _change(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement))


def _titles(world: World) -> list[str]:
    with unit_of_work() as session:
        return [one.title for one in session.query(Notification).order_by(Notification.created_at)]


def _author(post: Post) -> Author:
    return Author(Reach(post.organization_id), None, Role.OWNER)


class TestStuck:
    def test_a_part_without_a_time_goes_on_and_is_reported(self, world: World) -> None:
        """Finding 1.12: parts after a published one were queued forever, without a notice and without a sweep."""
        root, *_ = a_thread_out_in_part(world)
        world.run()
        assert world.states(root.id) == ["published"] * 3
        assert _titles(world).count("A part of a thread was delayed") == 1

    def test_a_reply_keeps_its_delay(self, world: World) -> None:
        """Finding 8.11: the sweep that gave a reply its time back sent it at once, an hour too soon."""
        root, *_ = a_thread_out_in_part(world)
        _change(world, "update posts set delay_seconds = 3600 where position = 1")
        world.run(until=1_800)
        assert world.states(root.id)[:2] == ["published", "queued"]
        world.run(until=3_600)
        assert world.states(root.id)[:2] == ["published", "published"]

    def test_a_part_whose_predecessor_is_gone_fails_with_the_rest(self, world: World) -> None:
        """Finding 1.12: a gap in the positions."""
        root, *_ = a_thread_out_in_part(world)
        _change(world, "update posts set deleted_at = now() where position = 1")
        world.run()
        assert world.states(root.id) == ["published", "queued", "failed"]
        assert "A part of a thread cannot go out" in _titles(world)
        with unit_of_work() as session:
            last = session.query(Post).where(Post.position == 2).one()
            assert last.error_code == "predecessor_missing"

    def test_what_waits_for_its_predecessor_is_left_alone(self, world: World) -> None:
        a_thread_of_three(world)
        world.messages.clear()
        world.pass_time(120)
        assert free_stuck(500) == 0

    def test_a_member_need_not_wait_for_the_sweep(self, world: World) -> None:
        """Finding 1.12: resend answered 409 for good."""
        root, second, _ = a_thread_out_in_part(world)
        with unit_of_work() as session:
            resend(session, _author(root), second.id)
        world.run()
        assert world.states(root.id) == ["published"] * 3

    def test_the_rest_can_be_deleted_by_its_first_part(self, world: World) -> None:
        """Finding 1.12: DELETE answered 409 for good."""
        root, second, _ = a_thread_out_in_part(world)
        with unit_of_work() as session, pytest.raises(PostIsPublished):
            delete_post(session, _author(root), root.id)
        with unit_of_work() as session:
            delete_post(session, _author(root), second.id)
        world.run()
        with unit_of_work() as session:
            living = session.query(Post).where(Post.deleted_at.is_(None)).all()
            assert [part.id for part in living] == [root.id]
        assert len(world.platform.created) == 1
