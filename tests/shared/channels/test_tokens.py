"""Renewing tokens: once under concurrency, judged by the token that was sent, and never disconnected by accident."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

import httpx
import pytest
import respx
from botocore.exceptions import ClientError
from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import InterfaceError
from sqlalchemy.orm import Session

from shared.aws import keys
from shared.aws.keys import seal
from shared.channels import queries, tokens
from shared.channels.change import delete_channel
from shared.channels.errors import ChannelNotFound
from shared.channels.models import Channel
from shared.channels.token_queries import CLAIM_REFRESH
from shared.channels.tokens import (
    Disconnected,
    Refreshed,
    RefreshingElsewhere,
    disconnect,
    refresh_ahead,
    refresh_tokens,
)
from shared.core import clock, crypto
from shared.core.crypto import Purpose
from shared.core.ids import ChannelId, OrganizationId, new_id
from shared.core.reach import Reach
from shared.db.insist import insist
from shared.notifications.models import Notification
from shared.providers.errors import PlatformUnavailable
from shared.providers.registry import provider
from tests.builders import a_channel, an_actor, an_organization
from tests.shared.channels.builders import (
    BLUESKY,
    a_bluesky_channel,
    new_session,
    opened,
    refused,
)

REFRESH = f"{BLUESKY}/xrpc/com.atproto.server.refreshSession"

pytestmark = pytest.mark.usefixtures("sealing")


def notices(session: Session) -> list[Notification]:
    return list(session.scalars(select(Notification)))


class TestRefreshTokens:
    def test_new_tokens_are_stored_sealed_with_a_new_version(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(REFRESH).mock(return_value=new_session())
        channel = a_bluesky_channel(session, an_organization(session))

        outcome = refresh_tokens(channel.organization_id, channel.id, sent_version=1)

        session.refresh(channel)
        assert outcome == Refreshed(2)
        assert channel.token_version == 2
        assert opened(channel, "access_token") == "new-access-token"
        assert opened(channel, "refresh_token") == "new-refresh-token"
        assert b"new-access-token" not in channel.access_token
        assert channel.refresh_lease_until is None
        sent = respx_mock.calls.last.request
        assert sent.headers["authorization"] == "Bearer old-refresh-token"

    def test_the_host_of_a_channel_of_before_is_noted(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        """Until it is known, no bound of posts on their way to one host counts this channel's."""
        channel = a_bluesky_channel(session, an_organization(session))
        assert channel.named_host is None
        respx_mock.post(REFRESH).mock(return_value=new_session())
        refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        session.refresh(channel)
        assert channel.named_host == "pds.example"

    @pytest.mark.parametrize("said", [{"expires_in": 3_600}, {}])
    def test_a_token_ends_when_its_platform_says_or_usually_does(
        self, session: Session, respx_mock: respx.MockRouter, said: dict[str, int]
    ) -> None:
        """A token whose end is unknown would be renewed by nobody, and the next post would find it dead."""
        organization = an_organization(session)
        values = {
            "sealed_token": seal("a", Purpose.CHANNEL, organization.id),
            "refresh_token": seal("r", Purpose.CHANNEL, organization.id),
        }
        channel = a_channel(session, organization, provider="linkedin-page", **values)
        respx_mock.post("https://www.linkedin.com/oauth/v2/accessToken").mock(
            return_value=httpx.Response(200, json={"access_token": "new"} | said)
        )
        refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        session.refresh(channel)
        lifetime = timedelta(hours=1) if said else provider("linkedin-page").spec.token_lifetime
        assert lifetime is not None
        assert channel.token_expires_at is not None
        assert abs(channel.token_expires_at - clock.now() - lifetime) < timedelta(minutes=1)

    def test_a_stale_version_was_refreshed_by_somebody_else(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        channel = a_bluesky_channel(session, an_organization(session), token_version=5)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=4) == Refreshed(5)
        assert not respx_mock.calls

    def test_a_held_lease_sends_the_caller_away(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        assert CLAIM_REFRESH.find(session, channel.organization_id, channel.id, 1, lease_seconds=60)
        outcome = refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        assert outcome == RefreshingElsewhere()
        assert outcome.retry_after.total_seconds() == 3
        assert not respx_mock.calls

    def test_a_lease_that_ran_out_is_taken_over(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(REFRESH).mock(return_value=new_session())
        channel = a_bluesky_channel(session, an_organization(session))
        session.execute(update(Channel).values(refresh_lease_until=func.now()))
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)

    def test_an_empty_refresh_token_never_replaces_a_good_one(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        answer = {"access_token": "new-access", "expires_in": 3600}
        respx_mock.post("https://www.linkedin.com/oauth/v2/accessToken").mock(
            return_value=httpx.Response(200, json=answer)
        )
        organization = an_organization(session)
        channel = a_bluesky_channel(session, organization, provider="linkedin-page", details=None)
        refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        session.refresh(channel)
        assert opened(channel, "access_token") == "new-access"
        assert opened(channel, "refresh_token") == "old-refresh-token"

    def test_the_platforms_final_no_disconnects_and_tells_once(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(REFRESH).mock(
            return_value=refused(400, "ExpiredToken", "Token has been revoked")
        )
        channel = a_bluesky_channel(session, an_organization(session))

        first = refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        second = refresh_tokens(channel.organization_id, channel.id, sent_version=1)

        session.refresh(channel)
        assert isinstance(first, Disconnected)
        assert "revoked" in first.reason
        assert second == first
        assert channel.disconnected_at is not None
        assert channel.disconnected_reason == first.reason
        assert len(respx_mock.calls) == 1
        [notice] = notices(session)
        assert channel.name in notice.title
        assert notice.dedupe_key == f"channel-disconnected:{channel.id}:1"

    def test_a_final_no_to_an_old_token_disconnects_nothing(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        channel = a_bluesky_channel(session, an_organization(session))

        def reconnected_meanwhile(_request: httpx.Request) -> httpx.Response:
            session.execute(update(Channel).values(token_version=2))
            return refused(400, "ExpiredToken")

        respx_mock.post(REFRESH).mock(side_effect=reconnected_meanwhile)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        session.refresh(channel)
        assert channel.disconnected_at is None
        assert not notices(session)

    def test_tokens_that_come_after_somebody_elses_are_not_stored(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        channel = a_bluesky_channel(session, an_organization(session))

        def reconnected_meanwhile(_request: httpx.Request) -> httpx.Response:
            session.execute(update(Channel).values(token_version=2))
            return new_session()

        respx_mock.post(REFRESH).mock(side_effect=reconnected_meanwhile)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        session.refresh(channel)
        assert opened(channel, "access_token") == "old-access-token"

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(httpx.ConnectError("no route"), id="unreachable"),
            pytest.param(httpx.ReadTimeout("silence"), id="silent"),
            pytest.param(httpx.Response(503), id="down"),
            pytest.param(httpx.Response(429, headers={"retry-after": "9"}), id="limited"),
            pytest.param(httpx.Response(200, text="<html>"), id="garbled"),
            pytest.param(httpx.Response(401, text="proxy says no"), id="odd-refusal"),
        ],
    )
    def test_nothing_else_disconnects_and_the_lease_is_given_back(
        self, session: Session, respx_mock: respx.MockRouter, answer: Any
    ) -> None:
        route = respx_mock.post(REFRESH)
        if isinstance(answer, Exception):
            route.mock(side_effect=answer)
        else:
            route.mock(return_value=answer)
        channel = a_bluesky_channel(session, an_organization(session))
        with pytest.raises(Exception) as raised:
            refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        session.refresh(channel)
        assert raised.type.__module__ == "shared.providers.errors"
        assert channel.disconnected_at is None
        assert channel.refresh_lease_until is None
        assert not notices(session)
        route.mock(return_value=new_session(), side_effect=None)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)

    def test_an_empty_access_token_is_refused(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(REFRESH).mock(return_value=new_session(access=""))
        channel = a_bluesky_channel(session, an_organization(session))
        with pytest.raises(PlatformUnavailable):
            refresh_tokens(channel.organization_id, channel.id, sent_version=1)

    def test_what_cannot_be_renewed_is_disconnected_once_it_was_refused(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        organization = an_organization(session)
        channel = a_bluesky_channel(session, organization, provider="mastodon")
        outcome = refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        assert isinstance(outcome, Disconnected)
        assert not respx_mock.calls

    @pytest.mark.parametrize("gone", ["deleted", "foreign", "unknown"])
    def test_a_channel_that_is_not_there(self, session: Session, gone: str) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        organization_id, channel_id = channel.organization_id, channel.id
        if gone == "deleted":
            actor = an_actor(organization_id)
            delete_channel(session, Reach(organization_id), actor, channel_id)
        elif gone == "foreign":
            organization_id = an_organization(session).id
        else:
            channel_id = ChannelId(new_id())
        with pytest.raises(ChannelNotFound):
            refresh_tokens(organization_id, channel_id, sent_version=1)


class TestRefreshAhead:
    def test_what_cannot_be_renewed_is_left_alone(self, session: Session) -> None:
        organization = an_organization(session)
        channel = a_bluesky_channel(session, organization, provider="mastodon")
        opened_channel = queries.get_channel_to_open(session, Reach(organization.id), channel.id)
        assert refresh_ahead(opened_channel) is None
        session.refresh(channel)
        assert channel.disconnected_at is None


class TestDisconnect:
    def test_a_verdict_on_the_current_token_counts_once(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session))
        ids = channel.organization_id, channel.id
        assert disconnect(session, *ids, sent_version=1, reason="Suspended.") is True
        assert disconnect(session, *ids, sent_version=1, reason="Suspended.") is False
        assert len(notices(session)) == 1

    def test_a_verdict_on_an_old_token_does_not(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session), token_version=2)
        ids = channel.organization_id, channel.id
        assert disconnect(session, *ids, sent_version=1, reason="Suspended.") is False
        session.refresh(channel)
        assert channel.disconnected_at is None


class TestKeyService:
    """A platform takes a refresh token once: what it answers must not depend on a key service that may be away."""

    @pytest.fixture(autouse=True)
    def _no_keys_yet(self) -> Iterator[None]:
        keys._sealer.cache_clear()
        yield
        keys._sealer.cache_clear()

    def throttled(self, *_: object) -> NoReturn:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GenerateDataKey")

    def test_that_is_away_keeps_the_platform_from_being_asked(
        self, session: Session, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.4: the token is not used up, the channel stays connected, and the next call renews it."""
        respx_mock.post(REFRESH).mock(return_value=new_session())
        channel = a_bluesky_channel(session, an_organization(session))
        keys._sealer.cache_clear()
        with monkeypatch.context() as away:
            away.setattr(keys.KmsKeys, "new_key", self.throttled)
            with pytest.raises(ClientError):
                refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        assert not respx_mock.calls
        session.refresh(channel)
        assert channel.disconnected_at is None
        assert channel.refresh_lease_until is None
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)

    def test_that_goes_away_meanwhile_loses_no_answer(
        self, session: Session, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.4: the key that was fetched before seals the answer, even if it has just grown old."""

        def answer(_request: httpx.Request) -> httpx.Response:
            monkeypatch.setattr(keys.KmsKeys, "new_key", self.throttled)
            monkeypatch.setattr(crypto, "_KEPT_SECONDS", 0.0)
            return new_session()

        respx_mock.post(REFRESH).mock(side_effect=answer)
        channel = a_bluesky_channel(session, an_organization(session))
        keys._sealer.cache_clear()
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        session.refresh(channel)
        assert channel.token_version == 2

    def test_a_key_is_not_kept_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.4: a key service that stays away is an error in the end."""
        keys.seal("one", Purpose.CHANNEL, OrganizationId(new_id()))
        organization_id = OrganizationId(new_id())
        keys.seal("one", Purpose.CHANNEL, organization_id)
        monkeypatch.setattr(keys.KmsKeys, "new_key", self.throttled)
        monkeypatch.setattr(crypto, "_KEPT_SECONDS", 0.0)
        keys.seal("two", Purpose.CHANNEL, organization_id)
        monkeypatch.setattr(crypto, "_KEPT_IN_NEED_SECONDS", 0.0)
        with pytest.raises(ClientError):
            keys.seal("three", Purpose.CHANNEL, organization_id)


class TestTwoHolders:
    """Who asked first and comes back last: after the lease, while somebody else is asking."""

    def test_the_older_ones_failure_leaves_the_newer_ones_lease(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 8.13: else a third would send the refresh token that is being used up right now."""
        channel = a_bluesky_channel(session, an_organization(session))

        def taken_over(_request: httpx.Request) -> httpx.Response:
            session.execute(
                update(Channel).values(refresh_lease_until=func.now() + timedelta(seconds=59))
            )
            return refused(503, "Unavailable", "later")

        respx_mock.post(REFRESH).mock(side_effect=taken_over)
        with pytest.raises(PlatformUnavailable):
            refresh_tokens(channel.organization_id, channel.id, sent_version=1)
        session.refresh(channel)
        assert channel.refresh_lease_until is not None

    def test_the_older_ones_token_does_not_replace_the_newer_ones(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 8.13."""
        channel = a_bluesky_channel(session, an_organization(session))
        newer = b"newer"

        def overtaken(_request: httpx.Request) -> httpx.Response:
            session.execute(update(Channel).values(token_version=2, access_token=newer))
            return new_session()

        respx_mock.post(REFRESH).mock(side_effect=overtaken)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        session.refresh(channel)
        assert (channel.token_version, channel.access_token) == (2, newer)


class TestStoring:
    """The database is away just when the platform has answered."""

    @pytest.fixture
    def channel(self, session: Session, respx_mock: respx.MockRouter) -> Channel:
        respx_mock.post(REFRESH).mock(return_value=new_session())
        return a_bluesky_channel(session, an_organization(session))

    def away(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        store, left = tokens._store_tokens, iter(range(times))

        def failing(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is not None:
                raise InterfaceError("update", {}, Exception("network error"))
            return store(*arguments, **options)

        monkeypatch.setattr(tokens, "_store_tokens", failing)

    def test_the_answer_is_stored_when_it_is_back(
        self,
        session: Session,
        respx_mock: respx.MockRouter,
        channel: Channel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Finding 8.4."""
        pauses: list[float] = []
        monkeypatch.setattr(tokens, "insist", partial(insist, pause=pauses.append))
        self.away(monkeypatch, 4)
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        assert len(pauses) == 4
        assert len(respx_mock.calls) == 1

    def test_what_could_not_be_stored_is_stored_by_the_next_call(
        self,
        session: Session,
        respx_mock: respx.MockRouter,
        channel: Channel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Finding 8.4: the token that is used up is not sent again."""
        self.away(monkeypatch, 2)
        with pytest.raises(InterfaceError):
            refresh_tokens(channel.organization_id, channel.id, sent_version=1, deadline=0.0)
        session.execute(update(Channel).values(refresh_lease_until=func.now()))
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=1) == Refreshed(2)
        assert len(respx_mock.calls) == 1
        session.refresh(channel)
        assert opened(channel, "refresh_token") == "new-refresh-token"

    def test_what_could_not_be_stored_is_of_no_use_once_the_channel_was_connected_again(
        self,
        session: Session,
        respx_mock: respx.MockRouter,
        channel: Channel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Tokens of the old connection in place of the new one's would end in "Connect the channel again"."""
        self.away(monkeypatch, 2)
        with pytest.raises(InterfaceError):
            refresh_tokens(channel.organization_id, channel.id, sent_version=1, deadline=0.0)
        again = seal("connected-again", Purpose.CHANNEL, channel.organization_id)
        connected = update(Channel).where(Channel.id == channel.id)
        session.execute(
            connected.values(refresh_token=again, token_version=2, refresh_lease_until=None)
        )
        respx_mock.post(REFRESH).mock(return_value=new_session("newest", "newest-refresh"))
        assert refresh_tokens(channel.organization_id, channel.id, sent_version=2) == Refreshed(3)
        session.refresh(channel)
        assert opened(channel, "refresh_token") == "newest-refresh"


class TestTwoAtOnce:
    """Real threads on real connections: the platform's answer is held back until both have tried to claim."""

    def run_two(
        self, engine: Engine, work: Callable[[OrganizationId, ChannelId], Any]
    ) -> list[Any]:
        with Session(engine) as session, session.begin():
            channel = a_bluesky_channel(session, an_organization(session))
            ids = channel.organization_id, channel.id
        start = threading.Barrier(2)

        def one() -> Any:
            start.wait(10)
            return work(*ids)

        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(one) for _ in range(2)]
            return [future.result(20) for future in running]

    def test_one_asks_the_platform(self, committed: Engine, respx_mock: respx.MockRouter) -> None:
        turned_away = threading.Event()

        def slow(_request: httpx.Request) -> httpx.Response:
            assert turned_away.wait(10)
            return new_session()

        respx_mock.post(REFRESH).mock(side_effect=slow)

        def work(organization_id: OrganizationId, channel_id: ChannelId) -> Any:
            outcome = refresh_tokens(organization_id, channel_id, sent_version=1)
            turned_away.set()
            return outcome

        outcomes = self.run_two(committed, work)
        assert sorted(outcomes, key=repr) == [Refreshed(2), RefreshingElsewhere()]
        assert len(respx_mock.calls) == 1

    def test_both_end_with_the_new_token(
        self, committed: Engine, respx_mock: respx.MockRouter
    ) -> None:
        """The loser does what a publisher does: comes back later, and finds the token renewed."""

        def slow(_request: httpx.Request) -> httpx.Response:
            time.sleep(0.2)
            return new_session()

        respx_mock.post(REFRESH).mock(side_effect=slow)

        def work(organization_id: OrganizationId, channel_id: ChannelId) -> Any:
            for _ in range(100):
                outcome = refresh_tokens(organization_id, channel_id, sent_version=1)
                if not isinstance(outcome, RefreshingElsewhere):
                    return outcome
                time.sleep(0.05)
            raise AssertionError("nobody got the lease")

        assert self.run_two(committed, work) == [Refreshed(2), Refreshed(2)]
        assert len(respx_mock.calls) == 1
