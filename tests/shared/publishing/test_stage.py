"""Media moved ahead: by one holder, from where the last one stopped, and never in the way of a post that needs none."""

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.aws import queues, storage
from shared.aws.queues import MessagesNotTaken
from shared.db import session as db_session
from shared.db.session import CommitUnknown
from shared.providers.base import OutgoingPost, Processing, Staged
from shared.providers.errors import ChannelDisconnected, MediaRejected, PlatformUnavailable
from shared.providers.http import LONGEST_SILENCE, READ_TIMEOUT, Api
from shared.publishing.reconcile import reconcile
from shared.publishing.stage import LEASE, LEASE_FOR_THE_ANSWER, MAX_TRIES, stage_due
from tests.fakes.platform import Answer, Keyless, no_connection, refuse
from tests.shared.publishing.world import STAGE, Stopped, World, a_thread

NOW, SOON = timedelta(0), timedelta(seconds=30)


def staging(world: World) -> Any:
    with world.engine.connect() as connection:
        return connection.execute(text("select * from stagings")).one()


def stage(world: World, root: Any) -> None:
    stage_due(root.id, root.revision, deadline=time.monotonic() + 800)


class TestStage:
    def test_ready_media_are_not_moved_again(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        stage(world, root)
        stage(world, root)
        assert [request.url.path for request in world.platform.requests] == ["/media"]
        assert staging(world).state == "ready"

    def test_ready_media_are_moved_again_once_the_platform_has_dropped_them(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved: list[str] = []

        def for_an_hour(
            _self: Keyless, api: Api, post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged:
            moved.append(post.part_id)
            return Staged({"ids": ["m"]}, expires_at=api.now() + timedelta(hours=1))

        monkeypatch.setattr(Keyless, "stage", for_an_hour)
        root = a_thread(world, "keyless", due_in=timedelta(hours=3), media=True)
        stage(world, root)
        world.pass_time(3_540)
        stage(world, root)
        assert len(moved) == 1
        world.pass_time(61)
        stage(world, root)
        assert len(moved) == 2

    def test_a_second_holder_waits_for_the_first_ones_lease(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Section 8: a second message while the first is worked off moves nothing; once the lease is over it does."""
        stage_well, calls = Keyless.stage, 0
        seen: list[
            int
        ] = []  # asserted outside: what fails in here is taken for a failure of the platform's

        def with_a_second_message(
            self: Keyless, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            nonlocal calls
            calls += 1
            if calls == 1:
                stage(world, root)
                seen.append(calls)
                world.pass_time(LEASE.total_seconds() + 1)
                stage(world, root)
                seen.append(calls)
            return stage_well(self, api, post, progress)

        monkeypatch.setattr(Keyless, "stage", with_a_second_message)
        root = a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
        stage(world, root)
        assert seen[0] == 1
        assert seen[1] > 1

    def test_it_goes_on_from_where_it_stopped(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Mapping[str, Any]] = []

        def in_three(
            _self: Keyless, _api: Api, _post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(progress)
            done = progress.get("done", 0) + 1
            return Staged({"ids": ["m"]}) if done == 3 else Processing({"done": done}, SOON)

        monkeypatch.setattr(Keyless, "stage", in_three)
        root = a_thread(world, "keyless", due_in=NOW, media=True)
        world.run()
        assert seen == [{}, {"done": 1}, {"done": 2}]
        assert world.states(root.id) == ["published", "published"]

    def test_a_mover_that_is_killed_leaves_how_far_it_came(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A video of which half is there is not moved from its first byte again."""
        seen: list[Mapping[str, Any]] = []

        def killed_at_the_third(
            _self: Keyless, _api: Api, _post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(progress)
            if len(seen) == 3:
                raise Stopped
            done = progress.get("done", 0) + 1
            return Staged({"ids": ["m"]}) if done == 3 else Processing({"done": done}, NOW)

        monkeypatch.setattr(Keyless, "stage", killed_at_the_third)
        root = a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
        with contextlib.suppress(Stopped):
            stage(world, root)
        world.pass_time(LEASE.total_seconds() + 1)
        stage(world, root)
        assert seen == [{}, {"done": 1}, {"done": 2}, {"done": 2}]
        assert staging(world).state == "ready"

    def test_a_post_waits_for_its_media_and_is_not_lost(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        minutes = iter([True] * 20)

        def slowly(
            _self: Keyless, _api: Api, _post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged | Processing:
            return Processing({}, SOON) if next(minutes, False) else Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", slowly)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run(until=300)
        assert world.states(root.id) == ["queued", "queued"]
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_due_post_fails_as_soon_as_its_media_are_refused(self, world: World) -> None:
        """Members read it at once, and not when a sweep, which may be hourly, finds the post overdue."""
        root = a_thread(world, "keyless", due_in=NOW, media=True)
        world.platform.answers.append(refuse(415, message="too many pixels"))
        while world.deliver_due():
            pass
        assert staging(world).state == "failed"
        assert world.states(root.id) == ["failed", "failed"]

    def test_a_platform_that_is_away_is_asked_again(self, world: World) -> None:
        world.platform.answers += [no_connection, no_connection]
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_platform_that_stays_away_fails_the_post_within_the_hour(self, world: World) -> None:
        asked: list[str] = []

        def away(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            return no_connection(request)

        world.platform.behave = away  # type: ignore[method-assign]
        root = a_thread(world, "keyless", due_in=NOW, media=True)
        world.run(until=3_600)
        assert world.states(root.id) == ["failed", "failed"]
        assert asked == ["/media"] * MAX_TRIES

    def test_media_the_platform_refuses_are_told_and_fail_the_post_at_its_time(
        self, world: World
    ) -> None:
        world.platform.answers.append(refuse(415, message="too many pixels"))
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        stage(world, root)
        assert world.states(root.id) == ["queued", "queued"]
        with world.engine.connect() as connection:
            [content] = connection.execute(text("select content from notifications")).scalars()
        assert "too many pixels" in content
        world.run()
        assert world.states(root.id) == ["failed", "failed"]
        with world.engine.connect() as connection:
            message = connection.execute(
                text("select error_message from posts where position = 0")
            ).scalar_one()
        assert "too many pixels" in message

    @pytest.mark.parametrize("in_time", [True, False])
    def test_channel_that_is_lost_meanwhile_may_be_connected_again_in_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch, in_time: bool
    ) -> None:
        stage_well, calls = Keyless.stage, iter([True])

        def lose_it_once(
            self: Keyless, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            if next(calls, False):
                raise ChannelDisconnected("The account was suspended.")
            return stage_well(self, api, post, progress)

        monkeypatch.setattr(Keyless, "stage", lose_it_once)
        root = a_thread(world, "keyless", due_in=timedelta(minutes=10), media=True)
        world.run(until=240)
        with world.engine.begin() as connection:
            [reason] = connection.execute(
                text("select disconnected_reason from channels")
            ).scalars()
            [told] = connection.execute(text("select content from notifications")).scalars()
            if in_time:
                again = "update channels set disconnected_at = null, disconnected_reason = null"
                connection.execute(text(again))
        assert "suspended" in reason
        assert "suspended" in told
        assert world.states(root.id) == ["queued", "queued"]
        world.run()
        state = "published" if in_time else "failed"
        assert world.states(root.id) == [state, state]

    def test_staged_media_that_lapsed_are_moved_again(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        stage(world, root)
        with world.engine.begin() as connection:
            connection.execute(text("update stagings set expires_at = now()"))
        world.messages[:] = [held for held in world.messages if held.queue != STAGE]
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert [request.url.path for request in world.platform.requests].count("/media") == 2

    def test_our_own_mistake_is_tried_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage_well, calls = Keyless.stage, iter([True])

        def fail_once(
            self: Keyless, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            if next(calls, False):
                raise KeyError("a mistake")
            return stage_well(self, api, post, progress)

        monkeypatch.setattr(Keyless, "stage", fail_once)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run()
        assert world.states(root.id) == ["published", "published"]


class TestLease:
    """How long a part's media are held by whom, and what an old holder may still do."""

    @pytest.fixture
    def root(self, world: World) -> Any:
        return a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)

    def hold(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *moments: Callable[[Api, OutgoingPost], object],
    ) -> None:
        """Have the platform take one range after the other, with something happening at each."""

        def in_ranges(
            _self: Keyless, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            done = progress.get("done", 0)
            if done == len(moments):
                return Staged({"ids": ["m"]})
            moments[done](api, post)
            return Processing({"done": done + 1}, NOW)

        monkeypatch.setattr(Keyless, "stage", in_ranges)
        monkeypatch.setattr(storage, "read_range", lambda _key, _start, length: b"x" * length)

    def left(self, world: World) -> float:
        with world.engine.connect() as connection:
            left: float = connection.execute(
                text("select extract(epoch from lease_until - now())::float8 from stagings")
            ).scalar_one()
        return left

    def test_a_holder_that_is_killed_costs_minutes(
        self, world: World, root: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.13: the post is not late by the quarter of an hour that the function may take."""

        def killed(_api: Api, _post: OutgoingPost) -> None:
            raise Stopped

        self.hold(monkeypatch, killed)
        with pytest.raises(Stopped):
            stage(world, root)
        world.messages.clear()
        world.pass_time(185)
        reconcile()
        assert [held.queue for held in world.messages] == [STAGE]

    def test_each_range_renews_it(
        self, world: World, root: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.13: a file that takes long keeps its holder, and none begins beside it."""
        seen: list[float] = []

        def after_two_minutes(api: Api, post: OutgoingPost) -> None:
            world.pass_time(120)
            api.read_media(post.media[0].key, 0, 10)
            seen.append(self.left(world))

        self.hold(monkeypatch, *[after_two_minutes] * 5)
        stage(world, root)
        assert all(abs(left - LEASE.total_seconds()) < 5 for left in seen)
        assert staging(world).state == "ready"

    def test_the_last_range_leaves_time_for_the_answer(
        self, world: World, root: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.13: after it nothing is read any more, so nothing renews the lease."""
        seen: list[float] = []

        def last(api: Api, post: OutgoingPost) -> None:
            api.read_media(post.media[0].key, post.media[0].size_bytes - 10, 10)
            seen.append(self.left(world))

        self.hold(monkeypatch, last)
        stage(world, root)
        assert abs(seen[0] - LEASE_FOR_THE_ANSWER.total_seconds()) < 5

    def test_it_outlasts_the_longest_silence(self) -> None:
        """Finding 1.13: no request waits longer for a byte than the lease that it begins under lasts."""
        assert LONGEST_SILENCE < LEASE_FOR_THE_ANSWER
        assert READ_TIMEOUT < LEASE

    def test_who_has_lost_it_reads_no_further(
        self, world: World, root: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.13: of two holders only the newer one goes on."""
        ranges: list[int] = []

        def taken_over(api: Api, post: OutgoingPost) -> None:
            with world.engine.begin() as connection:
                connection.execute(text("update stagings set step = step + 1"))
            api.read_media(post.media[0].key, 0, 10)
            ranges.append(1)

        self.hold(monkeypatch, taken_over)
        stage(world, root)
        assert ranges == []
        assert (staging(world).state, staging(world).progress) == ("running", {})

    @pytest.mark.parametrize("ends", ["ready", "failed", "running"])
    def test_who_has_lost_it_writes_nothing(
        self, world: World, root: Any, monkeypatch: pytest.MonkeyPatch, ends: str
    ) -> None:
        """Finding 8.13: neither what it has moved, nor its failure, nor its position overrides the newer holder's."""

        def taken_over(_api: Api, _post: OutgoingPost) -> None:
            with world.engine.begin() as connection:
                connection.execute(
                    text("""update stagings set step = step + 1, progress = '{"newer": 1}'""")
                )
            if ends == "failed":
                raise MediaRejected("no")

        self.hold(monkeypatch, taken_over)
        if ends == "ready":

            def at_once(_self: Keyless, api: Api, post: OutgoingPost, _progress: object) -> Staged:
                taken_over(api, post)
                return Staged({"ids": ["older"]})

            monkeypatch.setattr(Keyless, "stage", at_once)
        stage(world, root)
        assert (staging(world).state, staging(world).progress) == ("running", {"newer": 1})
        with world.engine.connect() as connection:
            told = text("select count(*) from notifications")
            assert connection.execute(told).scalar_one() == 0


class TestPlaces:
    """How many parts' media one organization moves at once, of those that the function does at all."""

    def begin(self, world: World, count: int) -> list[Any]:
        first = a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
        roots = [first] + [
            a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
            for _ in range(count - 1)
        ]
        with world.engine.begin() as connection:
            for table in ("posts", "channels", "media"):
                connection.execute(
                    text(f"update {table} set organization_id = :id"),
                    {"id": first.organization_id},
                )
        return roots

    def taken(self, world: World) -> int:
        with world.engine.connect() as connection:
            statement = text("select count(*) from stagings where state = 'running'")
            count: int = connection.execute(statement).scalar_one()
        return count

    def test_of_many_at_once_some_wait_for_their_turn(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 2.2: an organization with many long videos leaves the stage function to others."""
        roots = self.begin(world, 8)
        world.messages.clear()

        def killed(*_args: object) -> Staged:
            raise Stopped

        def begin(root: Any) -> None:
            with contextlib.suppress(Stopped):
                stage(world, root)

        with monkeypatch.context() as broken, ThreadPoolExecutor(8) as pool:
            broken.setattr(Keyless, "stage", killed)
            list(pool.map(begin, roots))
        assert self.taken(world) == 5
        assert len(world.messages) == 3
        assert all(held.queue == STAGE for held in world.messages)
        assert all(5 <= held.at - world.now <= 15 for held in world.messages)
        world.pass_time(200)  # the leases are over
        for root in roots:
            stage(world, root)
        assert self.taken(world) == 0


class TestTokens:
    """A token that is refused in the midst of a staging, and how its renewal goes."""

    def begin(self, world: World, *renewal: Any) -> Any:
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set refresh_token = 'old'::bytea"))
        world.platform.answers += [refuse(401), *renewal]
        stage(world, root)
        return root

    def paths(self, world: World) -> list[str]:
        return [request.url.path for request in world.platform.requests]

    @pytest.mark.parametrize(
        "renewal",
        [
            no_connection,
            refuse(503),
            refuse(429, headers={"retry-after": "5"}),
            lambda request: httpx.Response(200, json={"unheard": "of"}, request=request),
        ],
    )
    def test_a_renewal_that_fails_for_now_is_tried_again(
        self, world: World, renewal: Answer
    ) -> None:
        root = self.begin(world, renewal)
        assert staging(world).state == "waiting"
        token = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        world.platform.answers += [refuse(401), lambda _request: token]
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_renewal_that_is_refused_for_good_fails_it(self, world: World) -> None:
        root = self.begin(world, refuse(403))
        assert staging(world).state == "failed"
        world.run()
        assert world.states(root.id) == ["failed", "failed"]

    def test_renewed_it_goes_on_from_where_it_was(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Mapping[str, Any]] = []

        def refused_midway(
            _self: Keyless, api: Api, _post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(progress)
            if not progress:
                return Processing({"done": 1}, NOW)
            api.request("POST", "/media", json={})
            return Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", refused_midway)
        token = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        self.begin(world, lambda _request: token)
        assert seen == [{}, {"done": 1}, {"done": 1}]
        assert staging(world).state == "ready"

    def test_what_was_moved_before_a_failure_is_not_moved_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Mapping[str, Any]] = []

        def failing_midway(
            _self: Keyless, _api: Api, _post: OutgoingPost, progress: Mapping[str, Any]
        ) -> Staged | Processing:
            seen.append(progress)
            if not progress:
                return Processing({"done": 1}, NOW)
            if len(seen) == 2:
                raise PlatformUnavailable("away")
            return Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", failing_midway)
        root = a_thread(world, "keyless", due_in=SOON, media=True)
        world.run()
        assert seen == [{}, {"done": 1}, {"done": 1}]
        assert world.states(root.id) == ["published", "published"]


class TestFaults:
    """A staging that nobody moves must not stay held: its post would be late by the whole lease."""

    def test_a_commit_that_broke_is_not_the_end_of_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit, commits = db_session._commit, 0

        def breaks(session: Session) -> None:
            nonlocal commits
            commits += 1
            if commits == 2:  # the first is the claim
                raise CommitUnknown
            commit(session)

        monkeypatch.setattr(Keyless, "stage", lambda *_args: Staged({"ids": ["m"]}))
        root = a_thread(world, "keyless", due_in=timedelta(minutes=5), media=True)
        monkeypatch.setattr(db_session, "_commit", breaks)
        stage(world, root)
        assert staging(world).state == "ready"

    def test_a_queue_that_does_not_take_the_replies_holds_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(minutes=5), media=True)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set media = (select media from posts where position = 0) where position = 1"
                )
            )

        def refused(_queue_url: str, _messages: object) -> None:
            raise MessagesNotTaken([0])

        with monkeypatch.context() as broken:
            broken.setattr(queues, "send", refused)
            with pytest.raises(MessagesNotTaken):
                stage(world, root)
        stage(world, root)
        assert staging(world).state == "ready"
