"""How many posts of one organization are on their way at once to servers that its members named."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.core.ids import OrganizationId
from shared.db.session import unit_of_work
from shared.organizations.models import Organization
from shared.posts.models import Post
from shared.providers.base import Processing, Released
from shared.providers.registry import provider
from shared.publishing.claim import Claim, NotNow, attempt_context, claim
from shared.publishing.follow_up import record
from shared.publishing.outcome import Publish, after
from shared.publishing.reconcile import reconcile
from shared.publishing.run import go_on, publish_due
from tests.builders import a_channel, a_post, an_organization
from tests.shared.publishing.world import World

SLOW = "slow.example"
PER_HOST, PER_ORGANIZATION = 4, 8  # the defaults of the settings


def channel_at(world: World, host: str | None, *, of: OrganizationId | None = None) -> Channel:
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        organization = session.get_one(Organization, of) if of else an_organization(session)
        return a_channel(session, organization, provider="keyless", named_host=host)


def due(world: World, channel: Channel, count: int) -> list[Post]:
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        now = datetime.now(UTC)
        return [a_post(session, channel, publish_at=now, armed_revision=1) for _ in range(count)]


def take(post: Post) -> Claim | NotNow | None:
    with unit_of_work() as session:
        return claim(post.id, post.revision, session=session)


def taken(world: World, channel: Channel, count: int) -> list[Claim]:
    found = [take(post) for post in due(world, channel, count)]
    claims = [one for one in found if isinstance(one, Claim)]
    assert len(claims) == count
    return claims


def verdict_of(post: Post) -> str | None:
    found = take(post)
    assert found is not None
    return found.obstacle.verdict if isinstance(found, NotNow) else None


def row(world: World, post: Post) -> Any:
    with world.engine.connect() as connection:
        statement = text(
            "select *, extract(epoch from due_at - now())::float8 as wait from posts where id = :id"
        )
        return connection.execute(statement, {"id": post.id}).one()


def far_ahead() -> float:
    return time.monotonic() + 55


class TestPerHost:
    def test_one_over_the_bound_is_put_back_for_its_turn(self, world: World) -> None:
        """Finding 2.2: it waits one to three seconds, uses up no try, and a member sees why."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        [post] = due(world, channel, 1)
        publish_due(post.id, post.revision, deadline=far_ahead())
        [held] = world.messages
        assert held.body == {"partId": str(post.id), "revision": 1}
        assert 1 <= held.at - world.now <= 3
        found = row(world, post)
        assert (found.state, found.error_code) == ("queued", "crowded")
        assert "waits its turn" in found.error_message
        assert 0 < found.wait <= 3
        with world.engine.connect() as connection:
            tries = text("select count(*) from attempts where post_id = :id")
            assert connection.execute(tries, {"id": post.id}).scalar_one() == 0
        assert world.platform.requests == []

    def test_turns_are_spread(self, world: World) -> None:
        """Finding 2.2: those that wait do not all come back in the same second."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        for post in due(world, channel, 20):
            publish_due(post.id, post.revision, deadline=far_ahead())
        assert {held.at - world.now for held in world.messages} == {1, 2, 3}

    def test_its_turn_comes_when_another_has_ended(self, world: World) -> None:
        """Finding 2.2."""
        channel = channel_at(world, SLOW)
        first, *_ = taken(world, channel, PER_HOST)
        [post] = due(world, channel, 1)
        assert verdict_of(post) == "crowded"
        record(first, Publish(Released("1", "https://platform.example/1")))
        world.pass_time(3)
        found = take(post)
        assert isinstance(found, Claim)
        assert found.number == 1
        assert row(world, post).error_code is None

    def test_one_whose_holder_vanished_takes_no_place(self, world: World) -> None:
        """Finding 2.2: a killed function must not hold an organization's places until a sweep comes."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        [post] = due(world, channel, 1)
        world.pass_time(80)
        assert verdict_of(post) is None

    def test_another_organization_is_not_held_up(self, world: World) -> None:
        """Finding 2.2: the bound is of one organization at one host."""
        taken(world, channel_at(world, SLOW), PER_HOST)
        taken(world, channel_at(world, SLOW), PER_HOST)

    def test_its_other_hosts_are_not_held_up(self, world: World) -> None:
        """Finding 2.2."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        other = channel_at(world, "quick.example", of=channel.organization_id)
        assert verdict_of(due(world, other, 1)[0]) is None

    def test_a_second_channel_at_the_host_gains_nothing(self, world: World) -> None:
        """Finding 2.2."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        other = channel_at(world, SLOW, of=channel.organization_id)
        assert verdict_of(due(world, other, 1)[0]) == "crowded"

    def test_a_reason_that_ends_it_comes_first(self, world: World) -> None:
        """Finding 2.2: a part that can never go out is not kept waiting for its turn."""
        channel = channel_at(world, SLOW)
        taken(world, channel, PER_HOST)
        [post] = due(world, channel, 1)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set disabled = true"))
        assert verdict_of(post) == "channel_disabled"


class TestPerOrganization:
    def test_many_hosts_share_one_bound(self, world: World) -> None:
        """Finding 2.2: an organization with many slow hosts holds no more functions than one with two."""
        first = channel_at(world, "a.example")
        for host in ("b", "c", "d", "e", "f", "g", "h"):
            taken(world, channel_at(world, f"{host}.example", of=first.organization_id), 1)
        taken(world, first, 1)
        ninth = channel_at(world, "i.example", of=first.organization_id)
        assert verdict_of(due(world, ninth, 1)[0]) == "crowded"

    def test_the_platforms_own_hosts_have_no_bound(self, world: World) -> None:
        """Finding 2.2: a burst on one platform is bounded by its rate limits alone."""
        own = channel_at(world, None)
        taken(world, own, 3 * PER_ORGANIZATION)
        taken(world, channel_at(world, SLOW, of=own.organization_id), PER_HOST)
        taken(world, own, 1)


class TestAtOnce:
    @pytest.mark.parametrize("hosts", [1, 6])
    def test_claims_at_the_same_instant_do_not_share_the_last_place(
        self, world: World, hosts: int
    ) -> None:
        """Finding 2.2: the bound is exact, however many environments claim at once."""
        first = channel_at(world, "0.example")
        channels = [first] + [
            channel_at(world, f"{number}.example", of=first.organization_id)
            for number in range(1, hosts)
        ]
        posts = [post for channel in channels for post in due(world, channel, 24 // hosts)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(take, posts))
        most = PER_HOST if hosts == 1 else PER_ORGANIZATION
        assert sum(isinstance(one, Claim) for one in found) == most
        assert sum(isinstance(one, NotNow) for one in found) == 24 - most


class TestContinuations:
    def waiting(self, world: World, channel: Channel) -> Claim:
        [claimed] = taken(world, channel, 1)
        record(
            claimed,
            after(Processing({"job": "1"}, timedelta(0)), attempt_context(claimed, sent=True, refreshed=False)),
        )  # fmt: skip
        world.messages.clear()
        return claimed

    def test_one_over_the_bound_waits_at_its_step(self, world: World) -> None:
        """Finding 2.2: what a server makes wait does not come back all at once."""
        channel = channel_at(world, SLOW)
        claimed = self.waiting(world, channel)
        taken(world, channel, PER_HOST)
        go_on(claimed.attempt_id, claimed.step, deadline=far_ahead())
        [held] = world.messages
        assert held.body == {"attemptId": str(claimed.attempt_id), "step": claimed.step}
        assert 1 <= held.at - world.now <= 3
        with world.engine.connect() as connection:
            attempt = connection.execute(
                text("select state, step from attempts where id = :id"), {"id": claimed.attempt_id}
            ).one()
        assert attempt == ("waiting", claimed.step)

    def test_one_within_the_bound_goes_on(self, world: World) -> None:
        channel = channel_at(world, SLOW)
        claimed = self.waiting(world, channel)
        taken(world, channel, PER_HOST - 1)
        go_on(claimed.attempt_id, claimed.step, deadline=far_ahead())
        with world.engine.connect() as connection:
            step = text("select step from attempts where id = :id")
            assert connection.execute(step, {"id": claimed.attempt_id}).scalar_one() > claimed.step

    def test_one_that_waits_takes_no_place(self, world: World) -> None:
        """Finding 2.2."""
        channel = channel_at(world, SLOW)
        for _ in range(PER_HOST):
            self.waiting(world, channel)
        taken(world, channel, PER_HOST)


class TestVisible:
    def test_a_long_wait_is_told_once_and_counted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 2.2: whoever waits for minutes learns why, and so does whoever runs this."""
        channel = channel_at(world, SLOW)
        posts = due(world, channel, 2)
        world.pass_time(299)
        counted: list[int] = []
        monkeypatch.setattr("shared.core.metrics.gauge_crowded_posts", counted.append)
        taken(world, channel, PER_HOST)
        for post in posts:
            publish_due(post.id, post.revision, deadline=far_ahead())
        reconcile()
        assert self.told(world) == []
        assert counted == [2]
        world.pass_time(4)
        reconcile()
        reconcile()
        contents = self.told(world)
        assert len(contents) == 2
        assert all(SLOW in content for content in contents)
        for post in posts:  # which are put back once more, and told of no more
            publish_due(post.id, post.revision, deadline=far_ahead())
        world.pass_time(3_700)
        reconcile()
        assert len(self.told(world)) == 2

    def told(self, world: World) -> list[str]:
        with world.engine.connect() as connection:
            statement = text("select content from notifications where dedupe_key like 'late:%'")
            return list(connection.execute(statement).scalars())


class TestNaming:
    @pytest.mark.parametrize(
        ("slug", "base", "host"),
        [
            ("mastodon-custom", "https://Social.Example:8443", "social.example"),
            ("mastodon", "https://mastodon.social", None),
            ("bluesky", "https://bsky.social", None),
            ("bluesky", "https://morel.us-east.host.bsky.network", None),
            ("bluesky", "https://pds.example", "pds.example"),
            ("bluesky", "https://evilbsky.social", "evilbsky.social"),
            ("bluesky", "https://host.bsky.network.example", "host.bsky.network.example"),
            ("x", "https://anything.example", None),
        ],
    )
    def test_only_a_server_that_a_member_named_is_bounded(
        self, slug: str, base: str, host: str | None
    ) -> None:
        """Finding 2.2."""
        assert provider(slug).spec.named_host({"base": base}) == host
