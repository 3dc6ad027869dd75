"""Connecting accounts: a state works once, a channel stays the account it is, and refusals keep the platform's words."""

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest
import respx
from botocore.exceptions import ClientError
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session, object_session

from shared.apps.models import OAuthGrant
from shared.audit.entries import Actor
from shared.aws.keys import open_sealed
from shared.channels import connect
from shared.channels.change import change_channel, delete_channel
from shared.channels.connect import Finished, NewConnection, finish, start
from shared.channels.connection import open_new_connection
from shared.channels.connectors import Connector
from shared.channels.errors import (
    AccountNotFree,
    AlreadyConnected,
    ChannelNotFound,
    CustomerNeeded,
    CustomerNotFound,
    NoPages,
    NotStarted,
    OtherAccount,
    PageChosen,
    PlatformLimited,
    PlatformNotSetUp,
    PlatformRefused,
    PlatformSilent,
    ProviderNotFound,
)
from shared.channels.models import Channel, Customer, OAuthState
from shared.channels.token_queries import DISCONNECT
from shared.core.crypto import Purpose
from shared.core.errors import AppError, InvalidInput
from shared.core.ids import ChannelId, CustomerId, new_id
from shared.core.reach import Reach
from shared.organizations.models import ApiKey, Member, Organization, Role
from tests.builders import a_channel, a_customer, a_member, an_actor, an_organization
from tests.conftest import Configure
from tests.gateway import by_grant, by_key
from tests.shared.channels.builders import a_connector, opened
from tests.shared.channels.platforms import (
    ADA_DID,
    BLUESKY_FIELDS,
    HERE,
    LINKEDIN,
    bluesky,
    bluesky_refuses,
    linkedin,
    mastodon,
)

pytestmark = pytest.mark.usefixtures("sealing")


def begin(
    session: Session, organization: Organization, slug: str = "mastodon", **wanted: Any
) -> str:
    """Start connecting and return the state that the platform will send back."""
    connector = a_connector(a_member(session, organization))
    url = start(connector, slug, NewConnection(**({"zone": "UTC"} | wanted)))
    return parse_qs(urlsplit(url).query)["state"][0]


def somebody_of(organization: Organization) -> Connector:
    """Add a member who may connect channels."""
    session = object_session(organization)
    assert session is not None
    return a_connector(a_member(session, organization))


def connected(
    session: Session, organization: Organization, slug: str = "mastodon", **wanted: Any
) -> Finished:
    return finish(slug, begin(session, organization, slug, **wanted), "a-code")


def row(session: Session, channel_id: ChannelId) -> Channel:
    session.expire_all()
    return session.get_one(Channel, channel_id)


class TestStart:
    def test_the_url_leads_to_the_platform_and_back_to_us(
        self, session: Session, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        organization = an_organization(session)
        connector = a_connector(a_member(session, organization))
        url = start(connector, "mastodon", NewConnection(zone="UTC"))
        query = parse_qs(urlsplit(url).query)
        assert url.startswith(f"{HERE}/oauth/authorize?")
        assert query["client_id"] == ["our-id"]
        assert query["redirect_uri"] == ["https://roost.example/app/integrations/social/mastodon"]
        assert len(query["state"][0]) >= 32

    def test_what_is_remembered_is_sealed_and_lives_an_hour(self, session: Session) -> None:
        organization = an_organization(session)
        state = begin(session, organization, return_url="https://customer.example/done")
        kept = session.get_one(OAuthState, state)
        now = session.scalar(select(func.now()))
        assert kept.organization_id == organization.id
        assert kept.return_url == "https://customer.example/done"
        assert now is not None
        assert (kept.expires_at - now).total_seconds() == 3_600
        assert (
            json.loads(open_sealed(kept.remember, Purpose.CONNECTING, organization.id))["zone"]
            == "UTC"
        )

    def test_a_form_is_filled_in_on_our_own_page(self, session: Session) -> None:
        organization = an_organization(session)
        connector = a_connector(a_member(session, organization))
        url = start(connector, "bluesky", NewConnection(zone="UTC"))
        assert url.startswith("http://127.0.0.1:3000/app/integrations/social/bluesky?state=")

    @pytest.mark.parametrize("slug", ["myspace", "x"])
    def test_an_unknown_or_hidden_platform(
        self, session: Session, configure: Configure, slug: str
    ) -> None:
        configure(HIDDEN_PROVIDERS="x")
        with pytest.raises(ProviderNotFound, match="GET /integrations/providers"):
            begin(session, an_organization(session), slug)

    @pytest.mark.parametrize(
        ("slug", "meant"), [("linkedin", "linkedin-page"), ("Mastodon", "mastodon"), ("xx", None)]
    )
    def test_similar_name_is_suggested_unless_it_is_hidden(
        self, session: Session, configure: Configure, slug: str, meant: str | None
    ) -> None:
        configure(HIDDEN_PROVIDERS="x")
        with pytest.raises(ProviderNotFound) as refused:
            begin(session, an_organization(session), slug)
        assert (f"Did you mean {meant!r}?" if meant else "here. See `GET") in refused.value.message

    def test_a_platform_without_credentials_names_the_missing_keys(self, session: Session) -> None:
        with pytest.raises(PlatformNotSetUp, match="X_API_KEY"):
            begin(session, an_organization(session), "x")

    def test_another_organizations_channel_cannot_be_connected_again(
        self, session: Session
    ) -> None:
        theirs = a_channel(session, an_organization(session))
        with pytest.raises(ChannelNotFound):
            begin(session, an_organization(session), reconnects=str(theirs.id))

    def test_a_channel_is_connected_again_at_its_own_server(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        base = "https://other.example"
        respx_mock.post(f"{base}/api/v1/apps").mock(
            return_value=httpx.Response(200, json={"client_id": "i", "client_secret": "s"})
        )
        mastodon(respx_mock, base=base)
        organization = an_organization(session)
        first = connected(session, organization, "mastodon-custom", instance="other.example")
        again = connected(
            session, organization, "mastodon-custom", reconnects=first.channel.remote_id
        )
        assert again.channel.id == first.channel.id


class TestFinish:
    def test_it_counts_towards_the_bounds_of_the_host_that_the_member_named(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.2: a channel whose host is unknown is bounded by nothing."""
        base = "https://other.example"
        made = httpx.Response(200, json={"client_id": "i", "client_secret": "s"})
        respx_mock.post(f"{base}/api/v1/apps").mock(return_value=made)
        mastodon(respx_mock, base=base)
        organization = an_organization(session)
        named = connected(session, organization, "mastodon-custom", instance="other.example")
        assert row(session, named.channel.id).named_host == "other.example"
        mastodon(respx_mock)
        ours = connected(session, organization)
        assert row(session, ours.channel.id).named_host is None

    def test_the_platform_is_asked_no_longer_than_a_member_waits(
        self, session: Session, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The gateway gives up after 30 seconds, and the code is used up by then."""
        mastodon(respx_mock)
        state = begin(session, an_organization(session))
        deadlines: list[float | None] = []

        def noted(slug: str, *, deadline: float | None = None) -> Any:
            deadlines.append(deadline)
            return open_new_connection(slug, deadline=deadline)

        monkeypatch.setattr(connect, "open_new_connection", noted)
        finish("mastodon", state, "a-code")
        [deadline] = deadlines
        assert deadline is not None
        assert 0 < deadline - time.monotonic() < 29

    def test_a_key_service_that_is_away_keeps_the_platform_from_being_asked(
        self, session: Session, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.4, sibling: a code works once, so its answer must not be one that cannot be sealed."""
        mastodon(respx_mock)
        state = begin(session, an_organization(session))

        def away(_plain: str, _purpose: Purpose, _owner: UUID) -> bytes:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GenerateDataKey")

        monkeypatch.setattr(connect, "seal", away)
        with pytest.raises(ClientError):
            finish("mastodon", state, "a-code")
        assert not respx_mock.calls

    def test_a_channel_is_made(self, session: Session, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        channel = connected(session, organization, zone="Europe/Berlin").channel
        stored = row(session, channel.id)
        assert stored.organization_id == organization.id
        assert (stored.remote_id, stored.name) == ("17@social.example", "Ada L.")
        assert stored.username == "ada@social.example"
        assert stored.account_settings["maxCharacters"] == 1_000
        assert stored.posting_times == [{"time": 560}, {"time": 850}, {"time": 1140}]
        assert stored.timezone == "Europe/Berlin"
        assert opened(stored, "access_token") == "granted-token"
        assert stored.refresh_token is None
        assert (stored.token_version, stored.needs_page) == (1, False)

    def test_the_zone_given_at_the_end_goes_before_the_one_at_the_start(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        state = begin(session, an_organization(session), zone="Europe/Berlin")
        channel = finish("mastodon", state, "a-code", zone=120).channel
        assert [time["time"] for time in channel.posting_times] == [440, 730, 1020]
        assert channel.timezone == "UTC"

    def test_a_state_works_once(self, session: Session, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        state = begin(session, an_organization(session))
        finish("mastodon", state, "a-code")
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")

    def test_a_state_is_used_up_by_a_refusal_too(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(
            return_value=httpx.Response(400, json={"error": "invalid_grant"})
        )
        state = begin(session, an_organization(session))
        with pytest.raises(PlatformRefused):
            finish("mastodon", state, "a-code")
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")

    @pytest.mark.parametrize("wrong", ["unknown", "expired", "other platform", "deleted tenant"])
    def test_a_state_that_does_not_hold(self, session: Session, wrong: str) -> None:
        organization = an_organization(session)
        state, slug = begin(session, organization), "mastodon"
        if wrong == "unknown":
            state = "made-up"
        elif wrong == "expired":
            session.execute(update(OAuthState).values(expires_at=func.now()))
        elif wrong == "other platform":
            slug = "linkedin-page"
        else:
            session.execute(update(Organization).values(deleted_at=func.now()))
        with pytest.raises(NotStarted):
            finish(slug, state, "a-code")

    def test_another_organizations_state_is_refused_and_stays_good(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        state = begin(session, organization)
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code", caller=somebody_of(an_organization(session)))
        finished = finish("mastodon", state, "a-code", caller=somebody_of(organization))
        assert finished.channel.organization_id == organization.id

    def test_two_browsers_with_one_state_make_one_request(
        self, committed: Engine, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        with Session(committed) as session, session.begin():
            connector = a_connector(a_member(session, an_organization(session)))
        url = start(connector, "mastodon", NewConnection(zone="UTC"))
        state = parse_qs(urlsplit(url).query)["state"][0]
        both = threading.Barrier(2)

        def one() -> object:
            both.wait(10)
            try:
                return finish("mastodon", state, "a-code")
            except NotStarted as error:
                return error

        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(one) for _ in range(2)]
            outcomes = [future.result(20) for future in running]
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Finished", "NotStarted"]
        assert sum(call.request.url.path == "/oauth/token" for call in respx_mock.calls) == 1

    @pytest.mark.parametrize(
        ("answer", "expected", "words"),
        [
            pytest.param(
                httpx.Response(
                    400, json={"error": "invalid_grant", "error_description": "Code was used."}
                ),
                PlatformRefused,
                "Code was used.",
                id="code-used",
            ),
            pytest.param(
                httpx.Response(401, json={"error": "invalid_client"}),
                PlatformNotSetUp,
                "invalid_client",
                id="our-application",
            ),
            pytest.param(httpx.Response(502), PlatformSilent, "502", id="down"),
            pytest.param(
                httpx.Response(429, headers={"retry-after": "42"}),
                PlatformLimited,
                "rate limit",
                id="limited",
            ),
            pytest.param(
                httpx.Response(200, json={"access_token": "t", "scope": "read"}),
                PlatformRefused,
                "write:statuses",
                id="scope-missing",
            ),
            pytest.param(
                httpx.Response(200, json={"access_token": ""}),
                PlatformSilent,
                "cannot be read",
                id="empty-token",
            ),
        ],
    )
    def test_refusals_are_told_in_the_platforms_words(
        self,
        session: Session,
        respx_mock: respx.MockRouter,
        answer: httpx.Response,
        expected: type[AppError],
        words: str,
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(return_value=answer)
        with pytest.raises(expected, match=words):
            connected(session, an_organization(session))
        assert session.scalar(select(func.count()).select_from(Channel)) == 0

    def test_a_refusal_keeps_the_platforms_code(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(
            return_value=httpx.Response(400, json={"error": "invalid_grant"})
        )
        with pytest.raises(PlatformRefused) as refused:
            connected(session, an_organization(session))
        assert [problem.code for problem in refused.value.problems] == ["invalid_grant"]

    def test_an_account_without_an_id_is_not_kept(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock, account="")
        with pytest.raises(PlatformSilent):
            connected(session, an_organization(session))


class TestConnectingAgain:
    def test_the_same_account_gets_the_new_token_and_keeps_its_times(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization).channel
        ids = organization.id, first.id
        DISCONNECT.run(session, *ids, sent_version=1, reason="Revoked.")
        change_channel(
            session,
            Reach(organization.id),
            an_actor(organization.id),
            first.id,
            {"posting_times": [{"time": 1}], "name": "Mine"},
        )
        mastodon(respx_mock, access_token="second-token")

        second = connected(
            session, organization, zone="Asia/Tokyo", reconnects=str(first.id)
        ).channel

        stored = row(session, first.id)
        assert second.id == first.id
        assert opened(stored, "access_token") == "second-token"
        assert stored.token_version == 2
        assert (stored.disconnected_at, stored.disconnected_reason) == (None, None)
        assert (stored.posting_times, stored.timezone) == ([{"time": 1}], "UTC")
        assert stored.name == "Ada L."

    def test_a_deleted_channel_comes_back_enabled(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization).channel
        change_channel(
            session, Reach(organization.id), an_actor(organization.id), first.id, {"disabled": True}
        )
        delete_channel(session, Reach(organization.id), an_actor(organization.id), first.id)
        gone = row(session, first.id)
        assert (gone.access_token, gone.refresh_token, gone.details) == (b"", None, None)

        second = connected(session, organization).channel

        assert second.id == first.id
        stored = row(session, first.id)
        assert (stored.deleted_at, stored.disabled) == (None, False)

    def test_a_disabled_channel_stays_disabled(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization).channel
        change_channel(
            session, Reach(organization.id), an_actor(organization.id), first.id, {"disabled": True}
        )
        again = connected(session, organization, reconnects=str(first.id)).channel
        assert again.disabled is True

    def test_another_account_is_refused_by_name(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock, account="18")
        organization = an_organization(session)
        channel = a_channel(
            session, organization, remote_id="17@social.example", username="eve@social.example"
        )
        with pytest.raises(OtherAccount, match=r"eve@social\.example.*ada@social\.example"):
            connected(session, organization, reconnects=str(channel.id))
        assert session.scalar(select(func.count()).select_from(Channel)) == 1

    def test_the_same_account_in_two_organizations_is_two_channels(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        first = connected(session, an_organization(session)).channel
        second = connected(session, an_organization(session)).channel
        assert first.id != second.id

    def test_a_missing_refresh_token_keeps_the_old_one(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        organization = an_organization(session)
        linkedin(respx_mock)
        first = connected(session, organization, "linkedin-page").channel
        linkedin(respx_mock, refresh_token="", access_token="second")
        connected(session, organization, "linkedin-page", reconnects=str(first.id))
        stored = row(session, first.id)
        assert opened(stored, "access_token") == "second"
        assert opened(stored, "refresh_token") == "linkedin-refresh"


class TestPages:
    def test_a_page_is_chosen_after_connecting(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        finished = connected(session, organization, "linkedin-page")
        assert finished.channel.needs_page is True
        assert [page.name for page in finished.pages] == ["Engines", "Looms"]

        chosen = connect.choose_page(somebody_of(organization), finished.channel.id, "22")

        stored = row(session, chosen.id)
        assert chosen.id == finished.channel.id
        assert (stored.remote_id, stored.root_remote_id) == ("22", "me-1")
        assert (stored.name, stored.needs_page) == ("Looms", False)
        assert opened(stored, "access_token") == "linkedin-token"
        assert opened(stored, "refresh_token") == "linkedin-refresh"

    def test_the_state_after_connecting_chooses_once(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        finished = connected(session, an_organization(session), "linkedin-page")
        state = finished.page_state or ""
        connect.choose_page_by_state("linkedin-page", state, "11", visitor=Actor())
        with pytest.raises(NotStarted):
            connect.choose_page_by_state("linkedin-page", state, "22", visitor=Actor())

    def test_a_connecting_state_chooses_nothing(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        finished = connected(session, organization, "linkedin-page")
        state = begin(session, organization, "linkedin-page", reconnects=str(finished.channel.id))
        with pytest.raises(NotStarted):
            connect.choose_page_by_state("linkedin-page", state, "11", visitor=Actor())

    def test_a_choosing_state_connects_nothing(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        finished = connected(session, an_organization(session), "linkedin-page")
        with pytest.raises(NotStarted):
            finish("linkedin-page", finished.page_state or "", "a-code")

    def test_a_page_that_is_a_channel_already_is_refused(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: choosing a page is no request to connect its channel again."""
        linkedin(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization, "linkedin-page").channel
        connect.choose_page(somebody_of(organization), first.id, "11")
        linkedin(respx_mock, access_token="second")
        pending = connected(session, organization, "linkedin-page").channel
        assert pending.id != first.id

        with pytest.raises(AlreadyConnected, match=f"Engines .*refresh={first.id}"):
            connect.choose_page(somebody_of(organization), pending.id, "11")

        assert opened(row(session, first.id), "access_token") == "linkedin-token"
        assert row(session, pending.id).needs_page is True
        assert connect.choose_page(somebody_of(organization), pending.id, "22").name == "Looms"

    def test_a_deleted_page_comes_back(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization, "linkedin-page").channel
        connect.choose_page(somebody_of(organization), first.id, "11")
        delete_channel(session, Reach(organization.id), an_actor(organization.id), first.id)
        pending = connected(session, organization, "linkedin-page").channel

        assert connect.choose_page(somebody_of(organization), pending.id, "11").id == first.id
        assert row(session, pending.id).deleted_at is not None

    def test_a_page_is_connected_again_through_its_account(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization, "linkedin-page").channel
        connect.choose_page(somebody_of(organization), first.id, "11")
        linkedin(respx_mock, access_token="second", refresh_token="")

        again = connected(session, organization, "linkedin-page", reconnects="11").channel

        stored = row(session, first.id)
        assert (again.id, again.needs_page, again.remote_id) == (first.id, False, "11")
        assert stored.root_remote_id == "me-1"
        assert opened(stored, "access_token") == "second"
        assert opened(stored, "refresh_token") == "linkedin-refresh"

    def test_a_page_of_another_person_is_another_account(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        first = connected(session, organization, "linkedin-page").channel
        connect.choose_page(somebody_of(organization), first.id, "11")
        linkedin(respx_mock, person="me-2")
        with pytest.raises(OtherAccount):
            connected(session, organization, "linkedin-page", reconnects="11")

    def test_a_page_the_account_may_not_post_to(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        pending = connected(session, organization, "linkedin-page").channel
        with pytest.raises(PlatformRefused, match="cannot post"):
            connect.choose_page(somebody_of(organization), pending.id, "99")
        assert row(session, pending.id).needs_page is True

    def test_a_channel_that_is_a_page_already(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        organization = an_organization(session)
        channel = connected(session, organization, "linkedin-page").channel
        connect.choose_page(somebody_of(organization), channel.id, "11")
        with pytest.raises(PageChosen):
            connect.choose_page(somebody_of(organization), channel.id, "22")

    def test_a_platform_without_pages(self, session: Session, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        organization = an_organization(session)
        channel = connected(session, organization).channel
        with pytest.raises(NoPages):
            connect.list_pages(Reach(organization.id), channel.id)

    def test_connecting_survives_that_pages_cannot_be_listed(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        respx_mock.get(url__startswith=f"{LINKEDIN}/rest/organizationAcls").mock(
            return_value=httpx.Response(500)
        )
        finished = connected(session, an_organization(session), "linkedin-page")
        assert finished.pages == ()
        assert finished.channel.needs_page is True


class TestForms:
    def connect(self, session: Session, fields: Mapping[str, str], **options: Any) -> Finished:
        return connect.connect_by_form(
            somebody_of(an_organization(session)),
            "bluesky",
            json.dumps(fields),
            zone="UTC",
            **options,
        )

    def test_without_a_start(self, session: Session, respx_mock: respx.MockRouter) -> None:
        bluesky(respx_mock)
        stored = row(session, self.connect(session, BLUESKY_FIELDS).channel.id)
        assert (stored.remote_id, stored.name) == (ADA_DID, "Ada")
        assert opened(stored, "refresh_token") == "r-jwt"
        assert "app-password-1" not in opened(stored, "details")

    def test_a_missing_field_is_named(self, session: Session) -> None:
        with pytest.raises(InvalidInput) as refused:
            self.connect(session, {"identifier": "ada.example"})
        assert [problem.path for problem in refused.value.problems] == ["password"]

    def test_a_state_survives_a_mistyped_password(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        route = bluesky(respx_mock)
        right = route.return_value
        bluesky_refuses(route)
        state = begin(session, an_organization(session), "bluesky")
        with pytest.raises(PlatformRefused):
            finish("bluesky", state, json.dumps(BLUESKY_FIELDS))
        route.mock(return_value=right)
        assert finish("bluesky", state, json.dumps(BLUESKY_FIELDS)).channel.name == "Ada"
        with pytest.raises(NotStarted):
            finish("bluesky", state, json.dumps(BLUESKY_FIELDS))

    def test_a_platform_with_a_page_of_its_own_needs_a_start(self, session: Session) -> None:
        connector = somebody_of(an_organization(session))
        with pytest.raises(InvalidInput, match="start again"):
            connect.connect_by_form(connector, "mastodon", "{}", zone="UTC")


class TestStartedBy:
    def test_the_browser_that_started_is_known(self, session: Session) -> None:
        organization = an_organization(session)
        ours = begin(session, organization, browser="a-secret")
        programs = begin(session, organization, browser=None)
        pending = connect.find_pending("mastodon", ours)
        assert connect.was_started_by(pending, "a-secret") is True
        assert connect.was_started_by(pending, "another") is False
        assert connect.was_started_by(pending, None) is False
        assert connect.was_started_by(connect.find_pending("mastodon", programs), "a") is False
        assert connect.was_started_by(connect.find_pending("mastodon", programs), None) is False


class Agency:
    """An organization with two customers, and members who see one of them, both or all."""

    def __init__(self, session: Session) -> None:
        self.organization = an_organization(session)
        self.engines = a_customer(session, self.organization, name="Engines")
        self.looms = a_customer(session, self.organization, name="Looms")
        self.session = session
        self.admin = Reach(self.organization.id), an_actor(self.organization.id)

    def member(self, *customers: Customer) -> Connector:
        """Add an editor who sees only these customers."""
        limited = [one.id for one in customers]
        member = a_member(self.session, self.organization, role=Role.EDITOR, customers=limited)
        return a_connector(member)

    def limit(self, who: Connector, *customers: Customer) -> None:
        """Change what a member sees."""
        member = self.session.query(Member).filter_by(user_id=who.user_id).one()
        member.customers = [one.id for one in customers]
        self.session.flush()


@pytest.fixture
def agency(session: Session) -> Agency:
    return Agency(session)


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


def start_as(who: Connector, **wanted: Any) -> str:
    """Start connecting as a member and return the state."""
    return state_of(start(who, "mastodon", NewConnection(zone="UTC", **wanted)))


class TestLimitedToCustomers:
    """A member who sees some customers connects accounts for those, and learns nothing of the others."""

    def test_the_only_customer_is_taken(self, agency: Agency, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        state = start_as(agency.member(agency.engines))
        assert finish("mastodon", state, "a-code").channel.customer_id == agency.engines.id

    def test_one_of_several_is_named(self, agency: Agency, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        who = agency.member(agency.engines, agency.looms)
        with pytest.raises(CustomerNeeded):
            start_as(who)
        state = start_as(who, customer_id=agency.looms.id)
        assert finish("mastodon", state, "a-code").channel.customer_id == agency.looms.id

    def test_another_customer_is_not_there(self, agency: Agency) -> None:
        with pytest.raises(CustomerNotFound):
            start_as(agency.member(agency.engines), customer_id=agency.looms.id)
        with pytest.raises(CustomerNeeded):
            start_as(agency.member())

    def test_whoever_sees_all_names_one_or_none(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        found = connected(agency.session, agency.organization, customer_id=agency.looms.id)
        assert found.channel.customer_id == agency.looms.id
        with pytest.raises(CustomerNotFound):
            begin(agency.session, agency.organization, customer_id=CustomerId(new_id()))

    def test_a_form_is_finished_for_the_customer(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        bluesky(respx_mock)
        who = agency.member(agency.engines, agency.looms)
        fields = json.dumps(BLUESKY_FIELDS)
        with pytest.raises(CustomerNeeded):
            connect.connect_by_form(who, "bluesky", fields, zone="UTC")
        found = connect.connect_by_form(
            who, "bluesky", fields, zone="UTC", customer_id=agency.looms.id
        )
        assert found.channel.customer_id == agency.looms.id

    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    def test_a_customer_that_the_member_no_longer_sees(
        self, agency: Agency, respx_mock: respx.MockRouter, slug: str
    ) -> None:
        {"mastodon": mastodon, "bluesky": bluesky}[slug](respx_mock)
        who = agency.member(agency.engines)
        state = state_of(start(who, slug, NewConnection(zone="UTC")))
        agency.limit(who, agency.looms)
        with pytest.raises(CustomerNotFound):
            finish(slug, state, json.dumps(BLUESKY_FIELDS) if slug == "bluesky" else "a-code")

    def test_a_member_who_is_limited_meanwhile_connects_nothing_for_all(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        who = a_connector(a_member(agency.session, agency.organization, role=Role.EDITOR))
        state = start_as(who)
        agency.limit(who, agency.engines)
        with pytest.raises(CustomerNotFound):
            finish("mastodon", state, "a-code")

    def test_another_customers_channel_cannot_be_reconnected(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        theirs = connected(agency.session, agency.organization, customer_id=agency.looms.id).channel
        who = agency.member(agency.engines)
        for name in (str(theirs.id), theirs.remote_id):
            with pytest.raises(ChannelNotFound):
                start_as(who, reconnects=name)
        both = agency.member(agency.engines, agency.looms)
        state = start_as(both, reconnects=str(theirs.id))
        agency.limit(both, agency.engines)
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")
        assert row(agency.session, theirs.id).token_version == 1

    def test_reconnecting_keeps_the_customer(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        own = connected(agency.session, agency.organization, customer_id=agency.looms.id).channel
        state = start_as(agency.member(agency.looms), reconnects=str(own.id))
        again = finish("mastodon", state, "a-code").channel
        assert (again.id, again.customer_id) == (own.id, agency.looms.id)

    def test_another_customers_account_is_refused_without_its_name(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        theirs = connected(agency.session, agency.organization, customer_id=agency.looms.id).channel
        change_channel(agency.session, *agency.admin, theirs.id, {"name": "Secret"})
        with pytest.raises(AccountNotFree) as refused:
            finish("mastodon", start_as(agency.member(agency.engines)), "a-code")
        assert "Secret" not in refused.value.message
        assert str(theirs.id) not in refused.value.message

    def test_another_customers_deleted_channel_stays_deleted(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        theirs = connected(agency.session, agency.organization, customer_id=agency.looms.id).channel
        delete_channel(agency.session, *agency.admin, theirs.id)
        found = finish("mastodon", start_as(agency.member(agency.engines)), "a-code").channel
        assert (found.id != theirs.id, found.customer_id) == (True, agency.engines.id)
        assert row(agency.session, theirs.id).deleted_at is not None

    def test_a_caller_cannot_finish_what_they_would_not_see(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        state = start_as(agency.member(agency.looms))
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code", caller=agency.member(agency.engines))
        assert agency.session.scalars(select(Channel)).all() == []

    def test_pages_of_another_customers_channel_are_not_there(
        self, agency: Agency, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        pending = connected(
            agency.session, agency.organization, "linkedin-page", customer_id=agency.looms.id
        ).channel
        who = agency.member(agency.engines)
        with pytest.raises(ChannelNotFound):
            connect.choose_page(who, pending.id, "11")
        with pytest.raises(ChannelNotFound):
            connect.list_pages(who.reach, pending.id)
        assert row(agency.session, pending.id).needs_page is True

    @pytest.mark.parametrize("limit", ["key", "grant", "member of grant"])
    def test_a_program_connects_for_its_own_customers(
        self, agency: Agency, respx_mock: respx.MockRouter, limit: str
    ) -> None:
        """What a key or consent sees counts at the end, too, and a consent never sees more than its member."""
        mastodon(respx_mock)
        session, ids = agency.session, [agency.engines.id]
        of_member = ids if limit == "member of grant" else None
        member = a_member(session, agency.organization, role=Role.OWNER, customers=of_member)
        own: dict[str, Any] = {"customers": ids} if limit != "member of grant" else {}
        (by_key if limit == "key" else by_grant)(None, session, member, **own)
        key = session.scalars(select(ApiKey.id)).first()
        grant = session.scalars(select(OAuthGrant.id)).first()
        reach = Reach(agency.organization.id, ids)
        who = Connector(reach, member.user_id, api_key_id=key, grant_id=grant)
        state = start_as(who)
        assert finish("mastodon", state, "a-code").channel.customer_id == agency.engines.id
