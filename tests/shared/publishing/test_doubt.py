"""A post that may be there already: whatever happens next, it is not sent under a lapsed key, put back, or called failed."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from shared.core import clock
from shared.providers import registry
from shared.providers.base import (
    CanReadServer,
    Found,
    OutgoingPost,
    Processing,
    Released,
    ThreadPosition,
)
from shared.providers.http import Api
from shared.providers.spec import Idempotency
from shared.publishing.outcome import LONGEST_RUN
from shared.publishing.reconcile import reconcile
from shared.publishing.run import publish_due
from tests.fakes.platform import Answer, Keyed, Keyless, Searchable, Slow, no_connection, refuse
from tests.shared.publishing.world import Stopped, World, a_thread

NOW, SOON = timedelta(0), timedelta(seconds=30)
TWO_HOURS = 7200


def stop(_request: httpx.Request) -> httpx.Response:
    raise Stopped("in the middle of a request")


def change(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def slow_and_searchable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the platform that can be asked take its time."""

    def slowly(
        self: Searchable, api: Api, post: OutgoingPost, *, reply_to: str | None
    ) -> Released | Processing:
        created = Keyless._create(self, api, post, reply_to=reply_to)
        assert isinstance(created, Released)
        return Processing({"job": created.id}, timedelta(seconds=5))

    monkeypatch.setattr(Searchable, "_create", slowly)
    monkeypatch.setattr(Searchable, "resume", Slow.resume)


@pytest.mark.usefixtures("slow_and_searchable")
class TestAcceptedThenNeverHeardOf:
    def test_a_look_up_that_is_cut_off_does_not_end_the_doubt(self, world: World) -> None:
        silent = [refuse(503)] * 6
        world.platform.answers += [world.platform.behave, *silent, stop]
        root = a_thread(world, "searchable", due_in=SOON)
        world.run()
        assert world.platform.texts().count("one") == 1
        assert world.states(root.id)[0] in {"published", "unconfirmed"}

    def test_it_is_looked_up_from_the_time_it_was_sent(self, world: World) -> None:
        ages: list[timedelta] = []

        def later(request: httpx.Request) -> httpx.Response:
            ages.append(clock.now() - world.platform.created[0].created_at)
            return world.platform.behave(request)

        world.platform.answers += [world.platform.behave, *[refuse(503)] * 6, later]
        root = a_thread(world, "searchable", due_in=SOON)
        world.run()
        assert world.states(root.id)[0] == "published"
        assert ages[0] > timedelta(minutes=25)


class TestLookedUp:
    def test_with_what_the_part_answers(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[ThreadPosition | None] = []
        look_up = Searchable.look_up

        def noted(
            self: Searchable,
            api: Api,
            post: OutgoingPost,
            *,
            to: ThreadPosition | None,
            since: datetime,
        ) -> Sequence[Found]:
            asked.append(to)
            return look_up(self, api, post, to=to, since=since)

        monkeypatch.setattr(Searchable, "look_up", noted)
        drop = world.platform.accept_and_drop
        world.platform.answers += [drop, world.platform.behave, drop]
        root = a_thread(world, "searchable", due_in=NOW)
        world.run()
        first = Released("post-1", "https://platform.example/post-1")
        assert asked == [None, ThreadPosition(root=first, parent=first)]
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]

    @pytest.mark.parametrize("minutes", [-30, 30])
    def test_whatever_this_machine_s_clock_says(
        self, world: World, monkeypatch: pytest.MonkeyPatch, minutes: int
    ) -> None:
        """What is found was made ten minutes before the request: it is somebody else's, and ours never came."""

        def drop(request: httpx.Request) -> httpx.Response:
            if minutes < 0:
                world.platform.behave(request)
                world.platform.created[0].created_at -= timedelta(minutes=10)
                raise httpx.ReadTimeout("no answer", request=request)
            return world.platform.accept_and_drop(request)

        skewed = timedelta(minutes=minutes)
        monkeypatch.setattr(Api, "now", lambda _api: clock.now() + skewed)
        world.platform.answers.append(drop)
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=600)
        assert world.states(root.id)[0] == ("unconfirmed" if minutes < 0 else "published")

    def test_by_a_platform_whose_clock_is_behind(self, world: World) -> None:
        """It says that our post was made a minute and a half before we sent it."""

        def behind(request: httpx.Request) -> httpx.Response:
            world.platform.behave(request)
            world.platform.created[-1].created_at -= timedelta(seconds=90)
            raise httpx.ReadTimeout("no answer", request=request)

        world.platform.answers.append(behind)
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=600)
        assert world.states(root.id)[0] == "published"

    def test_not_by_what_another_organization_s_part_on_that_account_has(
        self, world: World
    ) -> None:
        """Both connected one account and said the same; only the first one's request got through."""
        first = a_thread(world, "searchable", due_in=NOW)
        world.run()
        second = a_thread(world, "searchable", due_in=NOW)
        change(
            world,
            "update channels set remote_id = (select min(remote_id) from channels)",
        )

        def lost(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("no answer", request=request)

        for post in world.platform.created:
            post.created_at = clock.now()
        world.platform.answers.append(lost)
        world.run()
        assert world.states(first.id) == ["published", "published"]
        assert world.states(second.id) == ["unconfirmed", "queued"]

    def test_not_by_what_was_published_through_the_account_s_deleted_channel(
        self, world: World
    ) -> None:
        """It was connected anew, and the same words were sent; the request of the second time got lost."""
        first = a_thread(world, "searchable", due_in=NOW)
        world.run()
        change(world, "update channels set deleted_at = now()")
        second = a_thread(world, "searchable", due_in=NOW)
        change(world, "update channels set remote_id = (select min(remote_id) from channels)")

        def lost(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("no answer", request=request)

        for post in world.platform.created:
            post.created_at = clock.now()
        world.platform.answers.append(lost)
        world.run()
        assert world.states(first.id) == ["published", "published"]
        assert world.states(second.id) == ["unconfirmed", "queued"]

    def test_whatever_another_account_s_post_is_called(self, world: World) -> None:
        """Finding 8.14: two servers number their posts alike, and ours was taken for the other account's."""
        other = a_thread(world, "searchable", due_in=NOW)
        world.run()
        world.platform.created.clear()
        change(world, "update posts set release_id = 'post-3' where position = 0")
        world.platform.answers.append(world.platform.accept_and_drop)
        root = a_thread(world, "searchable", due_in=NOW)
        world.run()
        assert world.states(other.id, root.id) == ["published"] * 4


class TestAccepted:
    @pytest.mark.parametrize(
        "happening",
        [
            "update channels set access_token = '', disconnected_at = now(), deleted_at = now()",
            "update media set deleted_at = now()",
        ],
    )
    def test_what_happens_here_meanwhile_is_not_the_platforms_refusal(
        self, world: World, happening: str
    ) -> None:
        root = a_thread(world, "slow", due_in=SOON, media=True)
        while not world.platform.created:
            world.pass_time(5)
            world.deliver_due()
        change(world, happening)
        world.run()
        assert world.states(root.id)[0] in {"published", "unconfirmed"}

    def test_a_refused_token_that_cannot_be_renewed_is_not_either(self, world: World) -> None:
        world.platform.answers += [world.platform.behave, refuse(401)]
        root = a_thread(world, "slow", due_in=SOON)
        world.run()
        assert world.states(root.id)[0] == "unconfirmed"

    def test_a_status_check_that_stops_the_publisher_every_time_ends(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stopped(
            _self: Slow, _api: Api, _post: OutgoingPost, _state: Mapping[str, Any]
        ) -> Released:
            raise Stopped

        monkeypatch.setattr(Slow, "resume", stopped)
        root = a_thread(world, "slow", due_in=SOON)
        world.run(until=2 * TWO_HOURS)
        assert world.states(root.id)[0] == "unconfirmed"


class TestServerJustRead:
    """What a server promises may be known only once it was asked, right before the post is sent."""

    def test_its_keys_count_at_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        class Federated(Keyed, CanReadServer):
            def knows_server(self, account: Mapping[str, Any], *, at: datetime) -> bool:
                return "keys" in account

            def read_server(self, api: Api) -> Mapping[str, Any]:
                return {"keys": True}

            def promise(self, account: Mapping[str, Any], *, at: datetime) -> Idempotency:
                return self.spec.idempotency if account.get("keys") else Idempotency()

        monkeypatch.setattr(registry.provider("keyed"), "__class__", Federated)
        world.platform.answers.append(world.platform.accept_and_drop)
        root = a_thread(world, "keyed", due_in=NOW)
        world.run()
        assert world.states(root.id)[0] == "published"
        assert world.platform.texts().count("one") == 1


class TestVanished:
    def test_the_doubt_is_as_old_as_the_mark(self, world: World) -> None:
        """A publisher that was lost a while ago asks no more than the rest of the time in which its request may run."""
        world.platform.answers.append(stop)
        root = a_thread(world, "keyed", due_in=NOW)
        with pytest.raises(Stopped):
            publish_due(root.id, root.revision, deadline=time.monotonic() + 20)
        gone = timedelta(minutes=8)
        world.pass_time(gone.total_seconds())
        reconcile()
        with world.engine.connect() as connection:
            left = connection.execute(
                text("select extract(epoch from resume_at - now())::float8 from attempts")
            ).scalar_one()
        assert left <= (LONGEST_RUN - gone).total_seconds()


class TestRepeated:
    """The platform keeps keys for an hour; here it has forgotten them whenever it is asked later than that."""

    def test_never_after_a_pause_that_outlasts_the_key(self, world: World) -> None:
        world.platform.keeps_keys = False
        limited = refuse(429, headers={"retry-after": str(TWO_HOURS)})
        world.platform.answers += [world.platform.accept_and_drop, limited]
        root = a_thread(world, "keyed", due_in=SOON)
        world.run()
        assert world.platform.texts() == ["one"]
        assert world.states(root.id)[0] == "unconfirmed"

    def test_never_by_a_message_that_comes_too_late(self, world: World) -> None:
        world.platform.keeps_keys = False
        world.platform.answers.append(world.platform.accept_and_drop)
        root = a_thread(world, "keyed", due_in=NOW)
        publish_due(root.id, root.revision, deadline=time.monotonic() + 20)
        world.pass_time(TWO_HOURS)
        world.run()
        assert world.platform.texts() == ["one"]
        assert world.states(root.id)[0] == "unconfirmed"

    def test_once_another_has_renewed_the_token(self, world: World) -> None:
        world.platform.answers += [world.platform.accept_and_drop, refuse(401)]
        root = a_thread(world, "keyed", due_in=SOON)
        ends = (SOON + LONGEST_RUN + timedelta(seconds=2)).total_seconds()
        change(
            world,
            "update channels set refresh_token = 'old'::bytea,"
            f" refresh_lease_until = now() + interval '{ends} seconds'",
        )
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]

    def test_once_however_often_it_is_looked_up_in_vain(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Searchable, "promise", lambda *_args, **_at: Keyed.spec.idempotency)
        monkeypatch.setattr(Searchable, "headers", Keyed.headers)
        behave, keys = world.platform.behave, list[str]()

        def silent(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                keys.append(request.headers["idempotency-key"])
                raise httpx.ReadTimeout("no answer", request=request)
            return behave(request)

        world.platform.behave = silent  # type: ignore[method-assign]
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=3600)
        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert world.states(root.id)[0] == "unconfirmed"

    def test_and_unanswered_again_what_the_first_request_made_is_still_found(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The platform lists a post only minutes later; the doubt is as old as its first request."""
        monkeypatch.setattr(Searchable, "promise", lambda *_args, **_at: Keyed.spec.idempotency)
        monkeypatch.setattr(Searchable, "headers", Keyed.headers)
        behave, sent = world.platform.behave, 0

        def late_and_silent(request: httpx.Request) -> httpx.Response:
            nonlocal sent
            if request.method == "POST":
                sent += 1
                if sent != 2:
                    behave(request)
                raise httpx.ReadTimeout("no answer", request=request)
            return behave(request) if sent > 1 else httpx.Response(200, json=[])

        world.platform.behave = late_and_silent  # type: ignore[method-assign]
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=1800)
        assert world.states(root.id)[0] == "published"
        assert world.platform.texts().count("one") == 1


class TestTwoRequestsThatCannotBeTakenBack:
    @pytest.mark.parametrize("second", [refuse(422), refuse(401), refuse(429), no_connection])
    def test_a_refusal_of_the_second_does_not_undo_the_first(
        self, world: World, monkeypatch: pytest.MonkeyPatch, second: Answer
    ) -> None:
        def in_two(
            self: Keyless, api: Api, post: OutgoingPost, *, reply_to: str | None
        ) -> Released | Processing:
            Keyless._create(self, api, post, reply_to=reply_to)
            return Keyless._create(self, api, post, reply_to=reply_to)

        monkeypatch.setattr(Searchable, "_create", in_two)
        world.platform.answers += [world.platform.behave, second]
        root = a_thread(world, "searchable", due_in=NOW)
        world.run(until=600)
        assert world.platform.texts()[:1] == ["one"]
        assert world.platform.texts().count("one") == 1
        assert world.states(root.id)[0] == "published"  # found by looking
