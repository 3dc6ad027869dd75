"""A post's whole way, stopped at every step: before and after each commit, message, schedule and platform call.

After the stop, messages come again, time passes and reconcile runs. A platform with keys has the thread exactly once; one
without has it once, or the member is asked. Never twice, and never forgotten.
"""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.pauses import hold_provider
from shared.posts.models import Post
from shared.providers.errors import RateLimited
from tests.conftest import empty_tables
from tests.fakes.platform import Keyless, no_connection, refuse
from tests.shared.publishing.world import World, a_thread

SOON, LATER = timedelta(seconds=30), timedelta(hours=2)
FINAL = {"published", "failed", "unconfirmed"}


class TestUndisturbed:
    @pytest.mark.parametrize("provider", ["keyless", "keyed", "searchable", "slow"])
    @pytest.mark.parametrize("due_in", [SOON, LATER])
    @pytest.mark.parametrize("media", [False, True])
    def test_a_thread_goes_out_once_and_in_order(
        self, world: World, provider: str, due_in: timedelta, media: bool
    ) -> None:
        root = a_thread(world, provider, due_in=due_in, media=media)
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]
        assert world.platform.created[1].reply_to == world.platform.created[0].id


def count_ticks(world: World, provider: str, due_in: timedelta, media: bool) -> int:
    a_thread(world, provider, due_in=due_in, media=media)
    world.run()
    return len(world.ticks)


class TestStoppedAtEveryStep:
    @pytest.mark.parametrize("provider", ["keyless", "keyed", "searchable", "slow"])
    @pytest.mark.parametrize(("due_in", "media"), [(SOON, False), (SOON, True), (LATER, False)])
    def test_once_or_said_so(
        self, world: World, provider: str, due_in: timedelta, media: bool
    ) -> None:
        steps = count_ticks(world, provider, due_in, media)
        for step in range(steps):
            reset(world)
            world.stop_at = step
            root = a_thread(world, provider, due_in=due_in, media=media)
            world.run()
            check_once(
                world,
                root,
                provider,
                f"stopped at step {step}, {world.ticks[step] if step < len(world.ticks) else 'never'}",
            )


class TestStoppedWhileThePlatformIsHeld:
    """The waits are longer than a queue holds a message, so schedules are among the steps."""

    @pytest.mark.parametrize(("provider", "media"), [("keyed", True), ("slow", False)])
    def test_once_or_said_so(self, world: World, provider: str, media: bool) -> None:
        self.begin(world, provider, media)
        world.run()
        steps = len(world.ticks)
        assert "before a schedule" in world.ticks
        for step in range(steps):
            reset(world)
            world.stop_at = step
            root = self.begin(world, provider, media)
            world.run()
            check_once(world, root, provider, f"stopped at step {step}")

    def begin(self, world: World, provider: str, media: bool) -> Post:
        """Hold the platform while its first request is on its way."""

        def hold_and_answer(request: httpx.Request) -> httpx.Response:
            with Session(world.engine) as session, session.begin():
                hold_provider(session, provider, wait=timedelta(minutes=16), reason="too many")
            return world.platform.behave(request)

        world.platform.answers[:] = [hold_and_answer]
        return a_thread(world, provider, due_in=SOON, media=media)


def reset(world: World) -> None:
    world.messages.clear()
    world.schedules.clear()
    world.ticks.clear()
    world.platform.created.clear()
    world.platform.requests.clear()
    with world.engine.begin() as connection:
        empty_tables(connection)


def check_once(world: World, root: Post, provider: str, when: str) -> None:
    """Hold what must be true in the end, whatever happened in between."""
    states, texts = world.states(root.id), world.platform.texts()
    assert len(texts) == len(set(texts)), f"twice: {texts}, {when}"
    if provider == "keyed":
        assert states == ["published", "published"], f"{states}, {when}"
        assert texts == ["one", "two"], when
        return
    assert states[0] in FINAL - {"failed"}, f"{states}, {when}"
    if states[0] == "published":
        assert states[1] in FINAL - {"failed"}, f"{states}, {when}"
    else:
        assert states[1] == "queued", (
            f"{states}, {when}"
        )  # it waits for the member's word on the first
        assert texts in ([], ["one"]), when
    for state, part in zip(states, ["one", "two"], strict=True):
        assert state != "published" or part in texts, (
            f"said to be published and is not: {part}, {when}"
        )


class TestMisbehaviour:
    def test_everything_twice_out_of_order_and_late(self, world: World) -> None:
        world.deliver_twice = world.newest_first = True
        roots = [
            a_thread(world, provider, due_in=SOON) for provider in ("keyless", "searchable", "slow")
        ]
        world.pass_time(120)
        world.run()
        assert set(world.states(*[root.id for root in roots])) == {"published"}
        assert sorted(world.platform.texts()) == ["one"] * 3 + ["two"] * 3

    def test_a_schedule_that_never_fires(self, world: World) -> None:
        """Section 8: the sweep sends its message ahead, so it goes out on its second all the same."""
        world.schedules_fire = False
        root = a_thread(world, "keyless", due_in=LATER)
        assert world.schedules
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]
        assert world.schedules  # none has fired
        with world.engine.connect() as connection:
            [late] = connection.execute(
                text(
                    "select extract(epoch from published_at - publish_at)::float8 from posts where position = 0"
                )
            ).scalars()
        assert late < 5

    def test_an_edit_between_arm_and_claim_makes_the_old_message_do_nothing(
        self, world: World
    ) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set revision = revision + 1, content = '<p>' || position || '</p>',"
                    " armed_revision = null, due_at = due_at + interval '1 hour', publish_at = publish_at + interval '1 hour'"
                    " where root_id = :id and position = 0"
                ),
                {"id": root.id},
            )
        world.run(until=150)
        assert world.platform.texts() == []
        world.run()
        assert world.platform.texts()[0] == "0"

    def test_a_delete_between_arm_and_claim(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        with world.engine.begin() as connection:
            connection.execute(
                text("update posts set deleted_at = now() where root_id = :id"), {"id": root.id}
            )
        world.run(until=300)
        assert world.platform.created == []

    @pytest.mark.parametrize("provider", ["keyless", "searchable"])
    def test_no_answer_after_the_post_was_taken(self, world: World, provider: str) -> None:
        world.platform.answers.append(world.platform.accept_and_drop)
        root = a_thread(world, provider, due_in=SOON)
        world.run()
        assert world.platform.texts().count("one") == 1
        expected = (
            ["published", "published"] if provider == "searchable" else ["unconfirmed", "queued"]
        )
        assert world.states(root.id) == expected

    def test_no_answer_with_a_key_is_repeated_and_comes_out_once(self, world: World) -> None:
        world.platform.answers.append(world.platform.accept_and_drop)
        root = a_thread(world, "keyed", due_in=SOON)
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]

    def test_a_failing_server_with_a_key_is_asked_again_at_once(self, world: World) -> None:
        world.platform.answers.append(refuse(500))
        a_thread(world, "keyed", due_in=SOON)
        world.pass_time(30)
        while world.deliver_due():
            pass
        assert world.platform.texts() == ["one"]

    def test_a_failing_server_without_a_key_is_not_asked_again(self, world: World) -> None:
        world.platform.answers.append(refuse(500))
        root = a_thread(world, "keyless", due_in=SOON)
        world.run()
        assert world.states(root.id) == ["unconfirmed", "queued"]
        assert world.platform.created == []

    def test_a_rate_limit_is_waited_out(self, world: World) -> None:
        world.platform.answers.append(refuse(429, headers={"retry-after": "1200"}))
        root = a_thread(world, "keyless", due_in=SOON)
        world.run(until=600)
        assert world.states(root.id) == ["queued", "queued"]
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_limit_of_the_whole_app_holds_every_channel_of_the_platform(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wait = timedelta(minutes=20)
        limited = RateLimited("wait", retry_after=wait, whole_app=True)
        classify = lambda _self, response: limited if response.status_code == 429 else None  # noqa: E731
        monkeypatch.setattr(Keyless, "classify", classify)
        world.platform.answers.append(refuse(429))
        first = a_thread(world, "keyless", due_in=SOON)
        world.run(until=60)
        second = a_thread(world, "keyless", due_in=SOON)
        world.run(until=600)
        assert world.states(first.id) == world.states(second.id) == ["queued", "queued"]
        assert len(world.platform.requests) == 1
        world.run()
        assert set(world.states(first.id, second.id)) == {"published"}

    def test_a_limit_of_one_account_holds_no_other(self, world: World) -> None:
        """One member who posts too much would stop everybody else's posts."""
        world.platform.answers.append(refuse(429, headers={"retry-after": "1200"}))
        first = a_thread(world, "keyless", due_in=SOON)
        world.run(until=60)
        second = a_thread(world, "keyless", due_in=SOON)
        world.run(until=300)
        assert world.states(first.id) == ["queued", "queued"]
        assert world.states(second.id) == ["published", "published"]

    def test_a_platform_that_stays_away_fails_the_thread_after_five_tries(
        self, world: World
    ) -> None:
        world.platform.answers.extend([no_connection] * 9)
        root = a_thread(world, "keyless", due_in=SOON)
        world.run()
        assert world.states(root.id) == ["failed", "failed"]
        assert len(world.platform.requests) == 5

    def test_content_the_platform_refuses_fails_with_its_words(self, world: World) -> None:
        world.platform.answers.append(refuse(422, message="Duplicate status"))
        root = a_thread(world, "keyed", due_in=SOON)
        world.run(until=300)
        assert world.states(root.id) == ["failed", "failed"]
        with world.engine.connect() as connection:
            rows = connection.execute(
                text("select error_message from posts order by position")
            ).all()
        assert "Duplicate status" in rows[0].error_message
        assert rows[1].error_message

    def test_a_post_a_day_late_fails_instead_of_appearing_out_of_season(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        world.pass_time(25 * 3600)
        world.run(until=300)
        assert world.states(root.id) == ["failed", "failed"]
        assert world.platform.created == []
