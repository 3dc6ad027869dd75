"""A platform that asked our whole application to wait is asked nothing until then, whatever is under way; and what waits wakes on its second."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.pauses import hold_provider
from shared.providers.base import OutgoingPost, Processing, Released, Staged
from shared.providers.http import Api
from shared.publishing.reconcile import reconcile
from tests.fakes.platform import Keyless, Slow, refuse
from tests.shared.publishing.world import PUBLISH, World, a_thread

NOW, SOON = timedelta(0), timedelta(seconds=30)
PAUSE = timedelta(minutes=40)


def hold(world: World, slug: str, wait: timedelta = PAUSE) -> None:
    with Session(world.engine) as session, session.begin():
        hold_provider(session, slug, wait=wait, reason="too many")


def asked(world: World) -> list[str]:
    return [f"{request.method} {request.url.path}" for request in world.platform.requests]


def one(world: World, statement: str) -> Any:
    with world.engine.connect() as connection:
        return connection.execute(text(statement)).scalar_one()


class TestContinuations:
    def paused_by_its_answer(
        self, world: World, provider: str, wait: timedelta = PAUSE, *, drop: bool = True
    ) -> None:
        """The first request is carried out, and while it is under way the platform is held."""

        def answer(request: httpx.Request) -> httpx.Response:
            hold(world, provider, wait)
            if drop:
                return world.platform.accept_and_drop(request)
            return world.platform.behave(request)

        world.platform.answers.append(answer)

    @pytest.mark.parametrize(
        ("provider", "drop", "second"),
        [
            ("slow", False, "GET /jobs/post-1"),
            ("keyed", True, "POST /posts"),
            ("searchable", True, "GET /posts"),
        ],
    )
    def test_asks_nothing_until_the_pause_ends(
        self, world: World, provider: str, drop: bool, second: str
    ) -> None:
        self.paused_by_its_answer(world, provider, drop=drop)
        root = a_thread(world, provider, due_in=NOW)
        world.run(until=PAUSE.total_seconds() - 60)
        assert asked(world) == ["POST /posts"]
        assert world.states(root.id)[0] == "publishing"
        world.run(until=90)
        assert asked(world)[1] == second
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]

    def test_uses_up_no_round(self, world: World) -> None:
        self.paused_by_its_answer(world, "searchable")
        a_thread(world, "searchable", due_in=NOW)
        for _ in range(6):
            world.run(until=600)
            hold(world, "searchable")
        assert one(world, "select (progress->>'rounds')::int from attempts") == 0
        assert asked(world) == ["POST /posts"]

    def test_of_a_key_that_lapses_meanwhile_is_no_repetition(self, world: World) -> None:
        self.paused_by_its_answer(world, "keyed", timedelta(hours=2))
        root = a_thread(world, "keyed", due_in=NOW)
        world.run()
        assert world.states(root.id) == ["unconfirmed", "queued"]
        assert asked(world) == ["POST /posts"]

    def test_is_not_left_in_doubt_for_more_than_a_day(self, world: World) -> None:
        self.paused_by_its_answer(world, "searchable", timedelta(days=2))
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=600)
        assert world.states(root.id) == ["unconfirmed", "queued"]


class TestStaging:
    def test_asks_nothing_until_the_pause_ends(self, world: World) -> None:
        hold(world, "keyless")
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run(until=PAUSE.total_seconds() - 60)
        assert asked(world) == []
        world.run()
        assert asked(world) == ["POST /media", "POST /posts", "POST /posts"]
        assert world.states(root.id) == ["published", "published"]

    def test_goes_on_from_where_it_was(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Mapping[str, Any]] = []

        def in_two(
            _self: Keyless, _api: Api, _post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(progress)
            if progress:
                return Staged({"ids": ["m"]})
            hold(world, "keyless")
            return Processing({"done": 1}, SOON)

        monkeypatch.setattr(Keyless, "stage", in_two)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run(until=PAUSE.total_seconds() - 60)
        assert seen == [{}]
        world.run()
        assert seen == [{}, {"done": 1}]
        assert world.states(root.id) == ["published", "published"]


class TestLongWaits:
    """Longer than a queue holds a message: a schedule, which fires early, and a message for the second."""

    WAIT = timedelta(minutes=50)

    def test_a_staging_wakes_on_the_second(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[float] = []

        def slowly(
            _self: Keyless, _api: Api, _post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(world.now)
            return Processing({}, self.WAIT) if len(seen) == 1 else Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", slowly)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run()
        assert seen[1] - seen[0] == pytest.approx(self.WAIT.total_seconds(), abs=3)
        assert world.states(root.id) == ["published", "published"]

    def test_a_reply_s_staging_wakes_on_the_second(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[float] = []

        def slowly(
            _self: Keyless, _api: Api, post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged | Processing:
            if not post.position:
                return Staged({"ids": ["m"]})
            seen.append(world.now)
            return Processing({}, self.WAIT) if len(seen) == 1 else Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", slowly)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set media = (select media from posts where position = 0),"
                    " delay_seconds = 7200 where position = 1"
                )
            )
        world.run()
        assert seen[1] - seen[0] == pytest.approx(self.WAIT.total_seconds(), abs=3)
        assert world.states(root.id) == ["published", "published"]

    @pytest.mark.parametrize("fires", [True, False])
    def test_an_attempt_wakes_on_the_second_or_is_woken(
        self, world: World, monkeypatch: pytest.MonkeyPatch, fires: bool
    ) -> None:
        seen: list[float] = []
        resume = Slow.resume

        def slowly(
            self: Slow, api: Api, post: OutgoingPost, state: Mapping[str, Any]
        ) -> Released | Processing:
            seen.append(world.now)
            if len(seen) == 1:
                return Processing(state, TestLongWaits.WAIT)
            return resume(self, api, post, state)

        monkeypatch.setattr(Slow, "resume", slowly)
        world.schedules_fire = fires
        root = a_thread(world, "slow", due_in=NOW)
        while not seen:
            world.deliver_due()
            world.pass_time(5)
        assert world.messages == []
        assert len(world.schedules) == 1
        assert all(name.startswith("post-") and len(name) <= 64 for name in world.schedules)
        world.run()
        slack = 3 if fires else 200
        assert seen[1] - seen[0] == pytest.approx(self.WAIT.total_seconds(), abs=slack)
        assert world.states(root.id) == ["published", "published"]

    @pytest.mark.parametrize("what", ["attempt", "staging"])
    def test_each_wait_has_a_schedule_of_its_own(
        self, world: World, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        """A name that is taken counts as made: the second wait would be nobody's, and last until a sweep finds it."""
        calls = iter(range(100))
        resume = Slow.resume

        def waiting(
            self: Slow, api: Api, post: OutgoingPost, state: Mapping[str, Any]
        ) -> Released | Processing:
            if next(calls) < 2:
                return Processing(state, timedelta(minutes=20))
            return resume(self, api, post, state)

        def moving(
            _self: Keyless, _api: Api, _post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged | Processing:
            return Processing({}, timedelta(minutes=20)) if next(calls) < 2 else Staged({})

        monkeypatch.setattr(Slow, "resume", waiting)
        if what == "staging":
            monkeypatch.setattr(Keyless, "stage", moving)
        world.schedules_fire = False
        provider = {"attempt": "slow", "staging": "keyless"}[what]
        root = a_thread(world, provider, due_in=NOW, media=what == "staging")
        world.run()
        assert world.states(root.id)[0] == "published"
        assert len(world.schedules) == 2

    def test_a_part_of_a_held_platform_goes_out_when_the_pause_ends(self, world: World) -> None:
        hold(world, "keyless")
        root = a_thread(world, "keyless", due_in=NOW)
        while world.deliver_due():
            pass
        assert [held for held in world.messages if held.queue == PUBLISH] == []
        assert len(world.schedules) == 1
        world.run(until=PAUSE.total_seconds() + 2)
        assert world.states(root.id)[0] == "published"


class TestTellLimited:
    def let_pass(self, world: World, seconds: int) -> None:
        """Let time pass with a reconcile every minute, as it really is."""
        for _ in range(seconds // 60):
            while world.deliver_due():
                pass
            reconcile()
            world.pass_time(60)
        reconcile()

    def notices(self, world: World) -> list[str]:
        with world.engine.connect() as connection:
            return list(
                connection.execute(
                    text("select content from notifications where dedupe_key like 'limited:%'")
                ).scalars()
            )

    def test_once_when_it_is_five_minutes_late(self, world: World) -> None:
        world.platform.answers.append(refuse(429, headers={"retry-after": "7200"}))
        root = a_thread(world, "keyless", due_in=NOW)
        self.let_pass(world, 240)
        assert self.notices(world) == []
        self.let_pass(world, 60)
        [content] = self.notices(world)
        until = one(
            world,
            "select to_char(due_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') from posts order by position limit 1",
        )
        assert f"is waiting for the platform's rate limit until {until} UTC" in content
        self.let_pass(world, 1800)
        assert len(self.notices(world)) == 1
        with world.engine.begin() as connection:
            connection.execute(text("update posts set generation = generation + 1"))
        self.let_pass(world, 120)
        assert len(self.notices(world)) == 2
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_of_a_part_that_its_platform_s_pause_holds(self, world: World) -> None:
        hold(world, "keyless")
        a_thread(world, "keyless", due_in=NOW)
        self.let_pass(world, 420)
        assert len(self.notices(world)) == 1

    def test_of_one_that_may_be_there_and_is_to_be_asked_about(self, world: World) -> None:
        world.platform.answers += [
            world.platform.accept_and_drop,
            refuse(429, headers={"retry-after": "3600"}),
        ]
        root = a_thread(world, "searchable", due_in=NOW)
        self.let_pass(world, 420)
        assert world.states(root.id)[0] == "publishing"
        assert len(self.notices(world)) == 1

    def test_of_a_reply_by_its_own_time(self, world: World) -> None:
        world.platform.answers += [
            world.platform.behave,
            refuse(429, headers={"retry-after": "3600"}),
        ]
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update posts set delay_seconds = 1200 where position = 1"))
        self.let_pass(world, 1440)
        assert world.states(root.id) == ["published", "queued"]
        assert self.notices(world) == []
        self.let_pass(world, 180)
        assert len(self.notices(world)) == 1

    def test_not_of_one_that_is_late_for_another_reason(self, world: World) -> None:
        a_thread(world, "keyless", due_in=-timedelta(minutes=10))
        world.messages.clear()
        self.let_pass(world, 60)
        assert self.notices(world) == []

    @pytest.mark.parametrize(("left", "told"), [(45, 0), (90, 1)])
    @pytest.mark.parametrize("waits", ["for the pause", "for its limit", "to be asked about"])
    def test_not_of_a_wait_that_is_over_before_anybody_has_read_of_it(
        self, world: World, waits: str, left: int, told: int
    ) -> None:
        if waits == "to be asked about":
            world.platform.answers.append(world.platform.accept_and_drop)
        a_thread(world, "searchable", due_in=-timedelta(minutes=10))
        world.deliver_due() if waits == "to be asked about" else world.messages.clear()
        ends = f"now() + interval '{left} seconds'"
        if waits == "for the pause":
            hold(world, "searchable", timedelta(seconds=left))
        table, column = {
            "for the pause": ("posts", "next_check_at = null"),
            "for its limit": ("posts", f"error_code = 'rate_limited', due_at = {ends}"),
            "to be asked about": ("attempts", f"error_code = 'rate_limited', resume_at = {ends}"),
        }[waits]
        first = " where position = 0" if table == "posts" else ""
        with world.engine.begin() as connection:
            connection.execute(text(f"update {table} set {column}{first}"))
        reconcile()
        assert len(self.notices(world)) == told
