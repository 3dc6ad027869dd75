"""What a part that a member sends again must not inherit from the time before."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.db.session import unit_of_work
from shared.posts.models import Post
from shared.providers.base import Released
from shared.providers.errors import ContentRejected, PlatformUnavailable
from shared.publishing import run as run_module
from shared.publishing.claim import Claim, NotNow, claim
from shared.publishing.follow_up import record
from shared.publishing.outcome import Fail, Publish, Retry, Unconfirmed, Wait
from shared.publishing.outcome import Task as TaskOf
from shared.publishing.reconcile import reconcile
from shared.publishing.run import publish_due
from tests.fakes.platform import refuse
from tests.shared.publishing.world import World, a_thread

NOW = timedelta(0)


def send_again(world: World) -> None:
    """Do to the root what `posts/resolve.py` does, and make sure that there was something to do."""
    with world.engine.begin() as connection:
        done = connection.execute(
            text(
                "update posts set state = 'queued', generation = generation + 1, due_at = now(), error_code = null,"
                " enqueued_at = now(), next_check_at = null"
                " where position = 0 and state in ('unconfirmed', 'failed')"
            )
        )
    assert done.rowcount == 1


def disable_channels(world: World, *, disabled: bool) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("update channels set disabled = :disabled"), {"disabled": disabled})


def publish(root: Post) -> None:
    publish_due(root.id, root.revision, deadline=time.monotonic() + 55)


def taken(root: Post) -> Claim:
    with unit_of_work() as session:
        claimed = claim(root.id, root.revision, session=session)
    assert isinstance(claimed, Claim)
    return claimed


def lost(world: World, provider: str = "keyless") -> tuple[Post, Claim]:
    """Claim a new thread's root, lose the lease after the mark, and let the member send it again."""
    root = a_thread(world, provider, due_in=NOW)
    world.messages.clear()
    claimed = taken(root)
    run_module.mark_sending(claimed)
    world.pass_time(80)
    reconcile()
    assert world.states(root.id)[0] == "unconfirmed"
    send_again(world)
    return root, claimed


class TestGenerations:
    def test_the_tries_begin_anew(self, world: World) -> None:
        """Finding 8.12: a part that is sent again does not fail at its first 503."""
        root = a_thread(world, "keyless", due_in=NOW)
        for _ in range(5):
            with world.engine.begin() as connection:
                connection.execute(text("update posts set due_at = now() where position = 0"))
            claimed = taken(root)
            again = claimed.number < 5
            away = PlatformUnavailable("away")
            record(claimed, Retry(NOW, away) if again else Fail(away))
        assert world.states(root.id)[0] == "failed"
        send_again(world)
        claimed = taken(root)
        assert claimed.number == 1

    def test_the_tries_begin_anew_after_an_edit(self, world: World) -> None:
        """What a member has just corrected does not fail at its first 503 either."""
        root = a_thread(world, "keyless", due_in=NOW)
        for _ in range(4):
            record(taken(root), Retry(NOW, PlatformUnavailable("away")))
            with world.engine.begin() as connection:
                connection.execute(text("update posts set due_at = now() where position = 0"))
        with world.engine.begin() as connection:
            connection.execute(text("update posts set revision = revision + 1"))
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision + 1, session=session)
        assert isinstance(claimed, Claim)
        assert claimed.number == 1

    def test_the_idempotency_key_is_another(self, world: World) -> None:
        """Finding 8.12: else the platform would answer with the post of before, and the new text never appear."""
        root = a_thread(world, "keyed", due_in=NOW)
        world.platform.answers.append(refuse(422))
        publish(root)
        send_again(world)
        publish(root)
        keys = [request.headers["idempotency-key"] for request in world.platform.requests]
        assert keys == [f"{root.id}-1", f"{root.id}-2"]

    def test_a_late_release_of_before_is_not_adopted(self, world: World) -> None:
        """Finding 8.12: the member said that it is not there; what is recorded is what was sent again."""
        root, old = lost(world)
        record(old, Publish(Released("of-before", "https://platform.example/of-before")))
        reconcile()
        assert world.states(root.id)[0] == "queued"
        publish(root)
        with world.engine.connect() as connection:
            [release] = connection.execute(
                text("select release_id from posts where position = 0")
            ).scalars()
        assert release == "post-1"

    def test_members_are_notified_of_a_doubt_again(self, world: World) -> None:
        """Whoever has just sent it again waits for the word on that, and the first one says nothing of it."""
        root, _of_before = lost(world)
        run_module.mark_sending(taken(root))
        world.pass_time(80)
        reconcile()
        assert world.states(root.id)[0] == "unconfirmed"
        with world.engine.connect() as connection:
            told = connection.execute(
                text("select count(*) from notifications where title like 'Check whether%'")
            ).scalar_one()
        assert told == 2

    @pytest.mark.parametrize("phase", ["queued", "publishing"])
    def test_a_late_refusal_of_before_changes_nothing(self, world: World, phase: str) -> None:
        """Finding 8.12."""
        root, old = lost(world)
        if phase == "publishing":
            taken(root)
        record(old, Fail(ContentRejected("no")))
        assert world.states(root.id)[0] == phase

    def test_a_late_verdict_of_before_changes_nothing(self, world: World) -> None:
        """Finding 8.12: the same message came twice, and the second found the post sent again by then."""
        root = a_thread(world, "keyless", due_in=NOW)
        world.messages.clear()
        disable_channels(world, disabled=True)
        with unit_of_work() as session:
            found = claim(root.id, root.revision, session=session)
        assert isinstance(found, NotNow)
        run_module.put_off(found)
        assert world.states(root.id) == ["failed", "failed"]
        disable_channels(world, disabled=False)
        send_again(world)
        run_module.put_off(found)
        assert world.states(root.id)[0] == "queued"


class TestTwoHolders:
    """The newer holder's word counts, whatever the older one brings."""

    ANSWERS = (
        Publish(Released("of-before", "https://platform.example/of-before")),
        Fail(ContentRejected("no")),
        Retry(NOW, PlatformUnavailable("away")),
        Unconfirmed(PlatformUnavailable("away")),
        Wait(TaskOf.LOOK_UP, timedelta(seconds=10), unknown=True),
    )

    @pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
    @pytest.mark.parametrize("how", ["another step", "lease is over"])
    def test_the_older_one_writes_nothing_over_it(
        self, world: World, answer: object, how: str
    ) -> None:
        """Finding 8.13: step and lease both count, each alone."""
        root = a_thread(world, "keyless", due_in=NOW)
        world.messages.clear()
        old = taken(root)
        run_module.mark_sending(old)
        change = "step = step + 1" if how == "another step" else "lease_until = now()"
        with world.engine.begin() as connection:
            connection.execute(text(f"update attempts set {change}"))
        record(old, answer)  # type: ignore[arg-type]  # a union, as the table of cases has it
        with world.engine.connect() as connection:
            attempt = connection.execute(text("select state, finished_at from attempts")).one()
        assert attempt == ("sending", None)
        assert world.states(root.id)[0] == "publishing"
        assert world.messages == []

    def test_the_older_one_sends_nothing(self, world: World) -> None:
        """Finding 8.13: the mark is refused to who has lost the step, though the lease lives."""
        root = a_thread(world, "keyless", due_in=NOW)
        old = taken(root)
        with world.engine.begin() as connection:
            connection.execute(text("update attempts set step = step + 1"))
        with pytest.raises(run_module.LeaseLost):
            run_module.mark_sending(old)

    def test_a_second_late_release_does_not_replace_the_first(self, world: World) -> None:
        """Finding 8.13."""
        root, old = lost(world)
        del root
        record(old, Publish(Released("first", "https://platform.example/first")))
        record(old, Publish(Released("second", "https://platform.example/second")))
        with world.engine.connect() as connection:
            kept = connection.execute(
                text("select release_id from attempts where release_id is not null")
            ).scalar_one()
        assert kept == "first"
