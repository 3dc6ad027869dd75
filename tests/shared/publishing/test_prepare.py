"""The early firing: the message for the second first, then what can be put right in time."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from shared.aws import queues
from shared.aws.queues import Message
from shared.db.session import dispose, unit_of_work
from shared.organizations.models import Organization
from shared.posts.models import Post
from shared.publishing.prepare import prepare
from shared.publishing.warm import is_warming, warm, warm_ahead
from tests.builders import a_media
from tests.fakes.platform import Keyless, no_connection
from tests.shared.publishing.world import PUBLISH, STAGE, World, a_thread

FAR = timedelta(hours=2)


def fire(world: World, *, due_in: timedelta = timedelta(minutes=5)) -> None:
    """Bring a far post near and fire its schedule."""
    [(name, (_at, payload))] = world.schedules.items()
    world.pass_time((FAR - due_in).total_seconds())
    del world.schedules[name]
    with world.engine.connect() as connection:
        root_id, revision, owner = connection.execute(
            text("select id, revision, organization_id from posts where position = 0")
        ).one()
    assert payload == {
        "partId": str(root_id), "revision": revision, "organizationId": str(owner),
    }  # fmt: skip
    prepare(root_id, revision)


def told(world: World) -> list[str]:
    with world.engine.connect() as connection:
        return list(connection.execute(text("select content from notifications")).scalars())


class TestPrepare:
    def test_the_message_for_the_second_is_sent_and_recorded(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR)
        fire(world)
        [held] = [held for held in world.messages if not is_warming(held.body)]
        assert held.queue == PUBLISH
        assert 295 <= held.at - world.now <= 301
        with world.engine.connect() as connection:
            assert connection.execute(
                text("select enqueued_at is not null from posts where position = 0")
            ).scalar_one()

    def test_a_message_that_the_queue_did_not_take_is_not_recorded_as_sent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So the sweep sends it ahead of the second, instead of when the part is overdue."""
        a_thread(world, "keyless", due_in=FAR)

        def away(_queue_url: str, _messages: list[Message]) -> None:
            raise ConnectionError("away")

        monkeypatch.setattr(queues, "send", away)
        with pytest.raises(ConnectionError):
            fire(world)
        with world.engine.connect() as connection:
            sent = text("select enqueued_at from posts where position = 0")
            assert connection.execute(sent).scalar_one() is None

    def test_media_are_handed_to_stage(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR, media=True)
        fire(world)
        held_for = [held.queue for held in world.messages if not is_warming(held.body)]
        assert held_for == [PUBLISH, STAGE]

    def test_media_of_a_reply_alone_are_moved_ahead_too(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        with unit_of_work() as session:
            reply = session.query(Post).where(Post.parent_id == root.id).one()
            owner = session.get_one(Organization, root.organization_id)
            reply.media = [{"id": str(a_media(session, owner).id)}]
        fire(world)
        world.deliver_due()
        world.deliver_due()
        with world.engine.connect() as connection:
            [staged] = connection.execute(text("select post_id, state from stagings")).all()
        assert staged == (reply.id, "ready")
        assert world.platform.texts() == []

    def test_twice_does_no_harm(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        fire(world)
        prepare(root.id, root.revision)
        world.run()
        assert world.platform.texts() == ["one", "two"]

    def test_a_stale_firing_does_nothing(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        world.pass_time(7000)
        prepare(root.id, root.revision + 1)
        assert world.messages == []

    def test_a_firing_far_too_early_leaves_it_to_reconcile(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        prepare(root.id, root.revision)
        assert world.messages == []

    @pytest.mark.parametrize(
        "change",
        [
            "update channels set disabled = true",
            "update channels set disconnected_at = now()",
            "update channels set needs_page = true",
            "update channels set deleted_at = now()",
            "update organizations set plan_ends_at = now()",
        ],
    )
    def test_what_is_wrong_is_told_at_once_and_the_post_stays(
        self, world: World, change: str
    ) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(text(change))
        fire(world)
        [content] = told(world)
        assert "It is due at" in content
        assert world.states(root.id) == ["queued", "queued"]

    def test_what_is_wrong_after_an_edit_is_told_anew(self, world: World) -> None:
        """Whoever was warned and edited the post hears of the next problem, and of each once."""
        root = a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set needs_page = true"))
        fire(world)
        prepare(root.id, root.revision)
        assert len(told(world)) == 1
        edited = root.revision + 1
        with world.engine.begin() as connection:
            connection.execute(text("update channels set needs_page = false, disabled = true"))
            connection.execute(text(f"update posts set revision = {edited}"))
        prepare(root.id, edited)
        prepare(root.id, edited)
        problems = sorted(content.partition(" UTC. ")[2] for content in told(world))
        assert len(problems) == 2
        assert "is disabled" in " ".join(problems)

    def test_a_token_about_to_expire_is_renewed(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update channels set refresh_token = 'old'::bytea,"
                    " token_expires_at = now() + interval '2 hours'"
                )
            )
        answer = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        world.platform.answers.append(lambda _request: answer)
        fire(world)
        assert [request.url.path for request in world.platform.requests] == ["/token"]

    @pytest.mark.parametrize(("ahead", "renewed"), [(3, True), (1, False)])
    def test_a_token_is_renewed_as_long_before_its_end_as_the_platform_s_table_says(
        self, world: World, monkeypatch: pytest.MonkeyPatch, ahead: int, renewed: bool
    ) -> None:
        spec = dataclasses.replace(Keyless.spec, refresh_ahead=timedelta(days=ahead))
        monkeypatch.setattr(Keyless, "spec", spec)
        a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update channels set refresh_token = 'old'::bytea,"
                    " token_expires_at = now() + interval '2 days'"
                )
            )
        answer = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        world.platform.answers.append(lambda _request: answer)
        fire(world)
        assert bool(world.platform.requests) is renewed

    def test_a_platform_that_is_held_is_not_asked_for_a_token(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(
                text("update channels set refresh_token = 'old'::bytea, token_expires_at = now()")
            )
            connection.execute(
                text(
                    "insert into provider_pauses (provider, until, reason)"
                    " values ('keyless', now() + interval '1 day', 'too many')"
                )
            )
        fire(world)
        assert world.platform.requests == []

    def test_a_platform_that_roost_no_longer_knows_is_not_asked_for_one(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(
                text("update channels set provider = 'gone', token_expires_at = now()")
            )
        fire(world)
        assert {held.queue for held in world.messages} == {PUBLISH}

    def test_a_platform_that_is_away_changes_nothing(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        with world.engine.begin() as connection:
            connection.execute(
                text("update channels set refresh_token = 'old'::bytea, token_expires_at = now()")
            )
        world.platform.answers.append(no_connection)
        fire(world)
        assert told(world) == []
        assert world.states(root.id) == ["queued", "queued"]


class TestWarming:
    """Finding 7.13: in a quiet system each post paid the publisher's cold start."""

    def test_a_minute_ahead_the_publisher_is_woken_and_publishes_nothing(
        self, world: World
    ) -> None:
        a_thread(world, "keyless", due_in=FAR)
        fire(world)
        [post] = [held for held in world.messages if not is_warming(held.body)]
        [warming] = [held for held in world.messages if is_warming(held.body)]
        assert warming.queue == PUBLISH  # the function that will publish, by the way that posts go
        assert 59 <= post.at - warming.at <= 61
        world.pass_time(warming.at - world.now)
        world.deliver_due()
        assert world.platform.requests == []
        assert [held.at for held in world.messages] == [post.at]

    def test_posts_that_are_due_together_wake_it_once(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=FAR)
        fire(world)
        prepare(root.id, root.revision)
        assert sum(is_warming(held.body) for held in world.messages) == 1

    def test_less_than_a_minute_ahead_nothing_is_woken(self, world: World) -> None:
        a_thread(world, "keyless", due_in=FAR)
        fire(world, due_in=timedelta(seconds=50))
        assert not [held for held in world.messages if is_warming(held.body)]

    def test_many_minutes_are_remembered_within_a_bound(self) -> None:
        first = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
        for minutes in range(200):
            assert warm_ahead(first + timedelta(minutes=minutes), wait_seconds=300)
        assert not warm_ahead(first + timedelta(minutes=199), wait_seconds=300)

    def test_without_a_database_it_fails_nobody(self, configure: Callable[..., None]) -> None:
        dispose()
        configure(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        warm()
