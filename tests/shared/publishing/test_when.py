"""When a post goes out after a hint was lost: on its second, not only some time."""

import contextlib
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import text

from shared.aws import queues, scheduler
from shared.aws.queues import Message, MessagesNotTaken
from shared.publishing.reconcile import reconcile
from tests.fakes.platform import refuse
from tests.shared.publishing.world import PUBLISH, World, a_thread

SOON, LATER = timedelta(seconds=150), timedelta(minutes=30)


def sent_at(world: World) -> list[float]:
    """Return, from now on, at which moments of the world the platform was asked."""
    moments: list[float] = []
    tick = world.platform.around

    def noted(moment: str) -> None:
        if moment == "before the platform":
            moments.append(world.now)
        tick(moment)

    world.platform.around = noted
    return moments


def each_minute(world: World, *, until: float) -> None:
    """Let time pass as in a stage whose sweep comes every minute, on the minute."""
    while world.now < until:
        world.deliver_due()
        if world.now % 60 < 1:
            world._run(reconcile)
            world.deliver_due()
        world.pass_time(1.0)


class TestOnTheSecond:
    def test_though_its_schedule_never_fires(self, world: World) -> None:
        """Finding 8.11: three minutes ahead the sweep sends what was not sent."""
        world.schedules_fire = False
        moments = sent_at(world)
        a_thread(world, "keyless", due_in=timedelta(minutes=16))
        world.pass_time(16 * 60 - 185)
        world.now = 25.0  # so that it is due between two sweeps
        each_minute(world, until=25 + 190)
        assert len(moments) == 1
        assert moments[0] - (25 + 185) <= 2

    def test_though_nothing_armed_it(self, world: World) -> None:
        """Finding 8.11: the sweep arms what the process that stored it did not."""
        moments = sent_at(world)
        a_thread(world, "keyless", due_in=SOON)
        world.messages.clear()
        with world.engine.begin() as connection:
            connection.execute(text("update posts set armed_revision = null, enqueued_at = null"))
        each_minute(world, until=155)
        assert len(moments) == 1
        assert moments[0] - SOON.total_seconds() <= 2

    @pytest.mark.parametrize("how", ["refused", "away"])
    def test_though_the_queue_took_no_message(
        self, world: World, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """Finding 8.11: what the sweep could not send it sends a minute later, not when it is overdue."""
        world.schedules_fire = False
        moments = sent_at(world)
        a_thread(world, "keyless", due_in=timedelta(minutes=16))
        world.pass_time(16 * 60 - 150)
        world.now = 0.0
        send = queues.send

        def fails(queue_url: str, messages: list[Message]) -> None:
            if messages and how == "refused":
                raise MessagesNotTaken([0])
            if messages:
                raise ConnectionError("away")

        with monkeypatch.context() as broken:
            broken.setattr(queues, "send", fails)
            with pytest.raises(ExceptionGroup):
                reconcile()
        assert queues.send is send
        each_minute(world, until=155)
        assert len(moments) == 1
        assert moments[0] - 150 <= 2


class TestQueueAway:
    """For hours, and then it is back: what was due meanwhile goes out within two minutes, and nobody was left unaware."""

    @pytest.mark.parametrize("which", ["all", "some"])
    def test_what_is_overdue_goes_out_soon_after(
        self, world: World, monkeypatch: pytest.MonkeyPatch, which: str
    ) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        world.messages.clear()
        world.schedules.clear()

        def away(_queue_url: str, messages: list[Message]) -> None:
            if messages:
                raise MessagesNotTaken([0]) if which == "some" else ConnectionError("away")

        with monkeypatch.context() as broken:
            broken.setattr(queues, "send", away)
            for _ in range(60):
                world.pass_time(61)
                with contextlib.suppress(ExceptionGroup):
                    reconcile()
        with world.engine.connect() as connection:
            told = text("select count(*) from notifications where dedupe_key like 'late:%'")
            assert connection.execute(told).scalar_one() == 1
        world.run(until=180)  # two sweeps, a minute apart
        assert world.states(root.id)[0] == "published"


class TestPutBack:
    def test_is_armed_again_where_its_message_could_not_be_sent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.11: a part that is put back counts as not armed until it is."""
        world.platform.answers.append(refuse(429, headers={"retry-after": "3600"}))
        a_thread(world, "keyless", due_in=timedelta(0))

        def fails(*_: Any, **__: Any) -> None:
            raise ConnectionError("away")

        with monkeypatch.context() as broken:
            broken.setattr(scheduler, "create_schedule", fails)
            world.deliver_due()
        with world.engine.connect() as connection:
            [armed] = connection.execute(
                text("select armed_revision from posts where position = 0")
            ).scalars()
        assert armed is None
        world.pass_time(61)
        assert reconcile().unarmed == 1
        assert len(world.schedules) == 1

    def test_each_time_under_a_name_of_its_own(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.11: a name that was used already counts as made, so nothing would fire."""
        create, names = scheduler.create_schedule, list[str]()

        def noted(name: str, **options: Any) -> None:
            names.append(name)
            create(name, **options)

        monkeypatch.setattr(scheduler, "create_schedule", noted)
        world.platform.answers += [refuse(429, headers={"retry-after": "3600"}) for _ in range(3)]
        root = a_thread(world, "keyless", due_in=timedelta(0))
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert len(names) == len(set(names)) == 3

    def test_a_continuation_that_comes_early_waits_for_its_time(self, world: World) -> None:
        """Finding 8.14: it is not carried out before, and keeps its second."""
        moments = sent_at(world)
        a_thread(world, "slow", due_in=timedelta(0))
        world.deliver_due()
        [held] = [held for held in world.messages if "attemptId" in held.body]
        held.at = world.now
        world.deliver_due()
        assert len(moments) == 1
        again = [held for held in world.messages if "attemptId" in held.body]
        assert [round(one.at - world.now) for one in again] in ([5], [4])
        world.pass_time(6)
        world.deliver_due()
        assert len(moments) == 2

    def test_half_a_second_early_is_early(self, world: World) -> None:
        """Finding 8.14."""
        root = a_thread(world, "keyless", due_in=timedelta(hours=1))
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set due_at = now() + interval '600 milliseconds' where position = 0"
                )
            )
        world._work_off(mock.Mock(queue=PUBLISH, body={"partId": str(root.id), "revision": 1}))
        assert world.platform.requests == []
        assert len(world.messages) == 1

    def test_many_rate_limits_use_up_no_try(self, world: World) -> None:
        """Finding 8.14: seven waits, and it still goes out."""
        world.platform.answers += [refuse(429, headers={"retry-after": "30"}) for _ in range(7)]
        root = a_thread(world, "keyless", due_in=timedelta(0))
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_limit_of_days_does_not_keep_back_that_it_came_too_late(self, world: World) -> None:
        """It fails as soon as it is a day late: members hear of it then, not when the limit ends."""
        world.platform.answers.append(refuse(429, headers={"retry-after": str(3 * 86_400)}))
        root = a_thread(world, "keyless", due_in=timedelta(0))
        world.run(until=24 * 3600 + 120)
        assert world.states(root.id) == ["failed", "failed"]

    def test_a_paused_platform_is_not_sent_to_by_the_sweep(self, world: World) -> None:
        """Finding 8.14: what is overdue meanwhile goes out when the pause is over, and not before."""
        root = a_thread(world, "keyless", due_in=timedelta(0))
        world.messages.clear()
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into provider_pauses (provider, until, reason)"
                    " values ('keyless', now() + interval '10 minutes', '')"
                )
            )
        moments = sent_at(world)
        for _ in range(9):
            world.pass_time(60)
            reconcile()
            assert world.messages == []
        world.pass_time(90)
        reconcile()
        world.deliver_due()
        assert len(moments) == 1
        assert world.states(root.id)[0] == "published"
