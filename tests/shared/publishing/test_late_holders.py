"""A holder that is slow, not dead: it comes back after its lease has run out, while somebody else has gone on in its place."""

import time
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from shared.publishing.reconcile import reconcile
from shared.publishing.run import publish_due
from tests.fakes.platform import refuse
from tests.shared.publishing.world import World, a_thread

NOW = timedelta(0)
Answer = Callable[[httpx.Request], httpx.Response]


def slowly(world: World, answer: Answer, *, others: int) -> Answer:
    """Carry a request out, and return its answer when the lease has run out and others have gone on `others` times."""

    def handle(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        for _ in range(others):
            world.pass_time(100)
            reconcile()
            world.deliver_due()
        return response

    return handle


class TestLateHolder:
    @pytest.mark.parametrize("provider", ["keyless", "keyed", "searchable", "slow"])
    @pytest.mark.parametrize("others", [1, 2, 4])
    @pytest.mark.parametrize("late_request", [1, 2, 3])
    def test_its_answer_makes_nothing_twice(
        self, world: World, provider: str, others: int, late_request: int
    ) -> None:
        plain = [world.platform.behave] * (late_request - 1)
        late = slowly(world, world.platform.behave, others=others)
        world.platform.answers += [*plain, late]
        root = a_thread(world, provider, due_in=NOW)
        world.run()
        states, texts = world.states(root.id), world.platform.texts()
        assert len(texts) == len(set(texts)), texts
        assert "publishing" not in states
        assert "failed" not in states
        for state, part in zip(states, ["one", "two"], strict=True):
            assert state != "published" or part in texts

    @pytest.mark.parametrize("provider", ["keyless", "keyed", "searchable", "slow"])
    @pytest.mark.parametrize("status", [401, 403, 429, 422, 500, 503])
    def test_its_refusal_undoes_nothing(self, world: World, provider: str, status: int) -> None:
        world.platform.answers.append(slowly(world, refuse(status), others=2))
        root = a_thread(world, provider, due_in=NOW)
        publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
        before = world.states(root.id)
        world.run()
        states, texts = world.states(root.id), world.platform.texts()
        assert len(texts) == len(set(texts)), texts
        assert "publishing" not in states
        assert before[0] != "published" or states[0] == "published"
        for state, part in zip(states, ["one", "two"], strict=True):
            assert state != "published" or part in texts


class TestAdoption:
    @pytest.mark.parametrize("state", ["queued", "failed", "unconfirmed"])
    def test_a_late_release_publishes_what_it_belongs_to(self, world: World, state: str) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(hours=1))
        with world.engine.begin() as connection:
            before = ["publishing", state] if state != "queued" else []
            for each in before:
                connection.execute(
                    text("update posts set state = :state where position = 0"), {"state": each}
                )
            connection.exec_driver_sql(
                "insert into attempts (id, organization_id, post_id, root_id, channel_id, revision, generation, number,"
                " state, step, lease_until, counts, finished_at, release_id, release_url) select gen_random_uuid(),"
                " organization_id, id, id, channel_id, 1, 1, 1, 'unknown', 1, now(), true, now(), 'r', 'https://r.example'"
                " from posts where position = 0"
            )
        reconcile()
        assert world.states(root.id)[0] == "published"


class TestMembers:
    def test_a_release_of_before_is_not_adopted_once_it_is_sent_again(self, world: World) -> None:
        """Section 8: the member said it is not there; what comes then is the new generation's, and only that is recorded."""
        again = text(
            "update posts set state = 'queued', generation = generation + 1, due_at = now()"
            " where position = 0 and state = 'unconfirmed'"
        )
        changed: list[int] = []

        def sent_again(request: httpx.Request) -> httpx.Response:
            response = slowly(world, world.platform.behave, others=1)(request)
            with world.engine.begin() as connection:
                changed.append(connection.execute(again).rowcount)
            return response

        world.platform.answers.append(sent_again)
        root = a_thread(world, "keyless", due_in=NOW)
        world.run()
        assert changed == [1]  # it was unconfirmed, so the member could send it again
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "one", "two"]
        with world.engine.connect() as connection:
            [release] = connection.execute(
                text("select release_id from posts where position = 0")
            ).scalars()
            [late] = connection.execute(
                text("select release_id from attempts where generation = 1 and state <> 'released'")
            ).scalars()
        assert (late, release) == ("post-1", "post-2")
