"""The public API's routes around channels, field by field and refusal by refusal, as existing clients know them."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
import respx
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.aws.keys import seal
from shared.channels.models import Channel, ChannelReport, OAuthState
from shared.core import clock
from shared.core.crypto import Purpose
from shared.core.ids import new_id
from shared.identity.models import User
from shared.notifications.models import Notification, NotificationKind
from shared.organizations.models import ApiKey, Member, Organization, Role
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from shared.providers.registry import provider
from shared.providers.spec import NoSettings
from tests.builders import a_channel, a_customer, a_member, a_post, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, as_member, by_grant, by_key
from tests.shared.channels.builders import set_up_platforms
from tests.shared.channels.platforms import LINKEDIN, LINKEDIN_TOKEN

V1 = "/public/v1"


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    set_up_platforms(configure)


@pytest.fixture
def api(session: Session, member: Member) -> Gateway:
    return by_key(app, session, member)


@pytest.fixture
def page(session: Session, organization: Organization) -> Channel:
    """A LinkedIn page whose token can be renewed."""
    return a_channel(
        session,
        organization,
        provider="linkedin-page",
        remote_id="22",
        sealed_token=seal("old-token", Purpose.CHANNEL, organization.id),
        refresh_token=seal("refresh-token", Purpose.CHANNEL, organization.id),
    )


def refused(answer: Answer, status: int, words: str) -> None:
    """Check that a refusal says the contract's words under both names."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert (body["msg"], body["message"], body["statusCode"]) == (words, words, status)


def no_such_channel(session: Session) -> list[str]:
    """Ids that name no channel of the caller's."""
    return [str(a_channel(session, an_organization(session)).id), str(uuid4()), "cm4ean69r0003w8"]


class TestIsConnected:
    def test_says_so(self, api: Gateway) -> None:
        answer = api.get(f"{V1}/is-connected")
        assert (answer.status, answer.json) == (200, {"connected": True})

    def test_not_to_everybody(self) -> None:
        refused(Gateway(app).get(f"{V1}/is-connected"), 401, "No API Key found")
        unknown = Gateway(app, {"authorization": "nobody's"})
        refused(unknown.get(f"{V1}/is-connected"), 401, "Invalid API key")


class TestIntegrations:
    def test_every_channel_in_two_statements(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        customer = a_customer(session, organization, name="My Company")
        first = a_channel(
            session, organization, picture_url="https://a.example/a.png", customer_id=customer.id
        )
        second = a_channel(session, organization, provider="x", username=None, disabled=True)
        a_channel(session, organization, deleted_at=func.now())
        a_channel(session, an_organization(session))
        with count_statements() as cost:
            answer = api.get(f"{V1}/integrations")
        assert cost.statements == 2
        assert answer.status == 200
        assert answer.json == [
            {
                "id": str(first.id),
                "name": "Ada",
                "identifier": "mastodon",
                "picture": "https://a.example/a.png",
                "disabled": False,
                "profile": "ada",
                "customer": {"id": str(customer.id), "name": "My Company"},
            },
            {
                "id": str(second.id),
                "name": "Ada",
                "identifier": "x",
                "picture": None,
                "disabled": True,
                "profile": None,
            },
        ]

    def test_of_one_customer(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        theirs = a_channel(session, organization, customer_id=customer.id)
        a_channel(session, organization)

        def ids(group: str) -> list[str]:
            answer = api.get(f"{V1}/integrations", query={"group": group})
            return [channel["id"] for channel in answer.json]

        assert ids(str(customer.id)) == [str(theirs.id)]
        assert len(ids("")) == 2
        assert ids(str(uuid4())) == []
        assert ids("cm4ean69r0003w8") == []

    def test_none_of_another_organizations_customer(self, session: Session, api: Gateway) -> None:
        other = an_organization(session)
        customer = a_customer(session, other)
        a_channel(session, other, customer_id=customer.id)
        assert api.get(f"{V1}/integrations", query={"group": str(customer.id)}).json == []


class TestGroups:
    def test_are_the_customers(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        customer = a_customer(session, organization, name="My Company")
        a_customer(session, an_organization(session))
        with count_statements() as cost:
            answer = api.get(f"{V1}/groups")
        assert (answer.status, cost.statements) == (200, 2)
        assert answer.json == [{"id": str(customer.id), "name": "My Company"}]


class TestSocial:
    def test_answers_where_to_go(self, session: Session, member: Member, api: Gateway) -> None:
        answer = api.get(f"{V1}/social/mastodon")
        assert answer.status == 200
        assert list(answer.json) == ["url"]
        url = urlsplit(answer.json["url"])
        assert url.netloc == "social.example"
        state = session.scalars(select(OAuthState)).one()
        assert parse_qs(url.query)["state"] == [state.state]
        assert (state.organization_id, state.user_id) == (member.organization_id, member.user_id)
        assert not answer.set_cookies

    def test_of_a_channel_that_is_connected_again(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        channel = a_channel(session, organization)
        answer = api.get(f"{V1}/social/mastodon", query={"refresh": channel.remote_id})
        assert answer.status == 200
        assert session.scalars(select(OAuthState.reconnects)).one() == channel.id

    def test_an_unknown_channel_is_not_connected_again(
        self, session: Session, api: Gateway
    ) -> None:
        theirs = a_channel(session, an_organization(session))
        answer = api.get(f"{V1}/social/mastodon", query={"refresh": theirs.remote_id})
        refused(answer, 404, "Integration not found")

    def test_an_empty_refresh_is_none(self, api: Gateway) -> None:
        assert api.get(f"{V1}/social/mastodon", query={"refresh": ""}).status == 200

    def test_an_unknown_platform(self, api: Gateway, configure: Configure) -> None:
        refused(api.get(f"{V1}/social/myspace"), 400, "Integration not allowed")
        configure(HIDDEN_PROVIDERS="mastodon")
        refused(api.get(f"{V1}/social/mastodon"), 400, "Integration not allowed")

    @pytest.mark.parametrize("slug", ["mastodon-custom", "bluesky"])
    def test_a_platform_that_asks_for_more(self, api: Gateway, slug: str) -> None:
        words = "This integration requires an external URL and is not supported via the public API"
        refused(api.get(f"{V1}/social/{slug}"), 400, words)

    def test_a_platform_that_refuses(self, api: Gateway) -> None:
        answer = api.get(f"{V1}/social/x")  # this server has no application there
        refused(answer, 500, "Failed to generate auth URL")
        assert answer.json["errors"][0]["code"] == "app_misconfigured"

    def test_nobody_made_the_key(self, session: Session, api: Gateway) -> None:
        session.execute(update(ApiKey).values(created_by=None))
        assert api.get(f"{V1}/social/mastodon").status == 403


class TestDelete:
    def test_the_channel_and_what_it_had_to_publish(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        channel = a_channel(session, organization)
        queued = a_post(session, channel)
        out = a_post(session, channel, state=PostState.PUBLISHED)
        answer = api.delete(f"{V1}/integrations/{channel.id}")
        assert (answer.status, answer.json) == (200, {"id": str(channel.id)})
        session.expire_all()
        assert session.get_one(Channel, channel.id).deleted_at
        assert session.get_one(Post, queued.id).deleted_at
        assert session.get_one(Post, out.id).deleted_at is None
        refused(api.delete(f"{V1}/integrations/{channel.id}"), 404, "Integration not found")

    def test_only_ones_own(self, session: Session, api: Gateway) -> None:
        for channel_id in no_such_channel(session):
            refused(api.delete(f"{V1}/integrations/{channel_id}"), 404, "Integration not found")

    def test_not_by_a_key_that_only_reads(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        channel = a_channel(session, organization)
        reader = by_key(app, session, member, scopes=["read"])
        assert reader.delete(f"{V1}/integrations/{channel.id}").status == 403


class TestSettings:
    def test_all_that_a_writer_must_know(
        self, session: Session, page: Channel, api: Gateway
    ) -> None:
        with count_statements() as cost:
            answer = api.get(f"{V1}/integration-settings/{page.id}")
        assert (answer.status, cost.statements) == (200, 2)
        assert list(answer.json) == ["output"]
        output = answer.json["output"]
        assert set(output) == {"rules", "maxLength", "settings", "tools"}
        assert "up to 25 parts" in output["rules"]
        assert output["maxLength"] == 3_000
        assert "post_as_images_carousel" in output["settings"]["properties"]
        [tool] = output["tools"]
        assert tool["methodName"] == "company"
        assert isinstance(tool["description"], str)
        [field] = tool["dataSchema"]
        assert (field["key"], field["type"]) == ("url", "string")
        assert isinstance(field["description"], str)

    @pytest.mark.parametrize(("account", "longest"), [({}, 280), ({"verified": True}, 4_000)])
    def test_the_length_is_the_accounts_own(
        self,
        session: Session,
        organization: Organization,
        api: Gateway,
        account: dict[str, Any],
        longest: int,
    ) -> None:
        channel = a_channel(session, organization, provider="x", account_settings=account)
        output = api.get(f"{V1}/integration-settings/{channel.id}").json["output"]
        assert (output["maxLength"], output["tools"]) == (longest, [])
        assert f"at most {longest:,} characters" in output["rules"]

    def test_no_settings_are_said_in_words(
        self,
        session: Session,
        organization: Organization,
        api: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        bluesky = provider("bluesky")
        without = dataclasses.replace(bluesky.spec, settings=NoSettings)
        monkeypatch.setattr(bluesky, "spec", without)
        channel = a_channel(session, organization, provider="bluesky")
        output = api.get(f"{V1}/integration-settings/{channel.id}").json["output"]
        assert output["settings"] == "No additional settings required"

    def test_of_a_platform_that_is_gone_there_is_nothing_to_say(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        channel = a_channel(session, organization, provider="myspace")
        answer = api.get(f"{V1}/integration-settings/{channel.id}")
        assert answer.json == {"output": {"rules": "", "maxLength": 0, "settings": {}, "tools": []}}

    def test_only_ones_own(self, session: Session, api: Gateway) -> None:
        for channel_id in no_such_channel(session):
            answer = api.get(f"{V1}/integration-settings/{channel_id}")
            refused(answer, 404, "Integration not found")


COMPANY = {"methodName": "company", "data": {"url": "https://www.linkedin.com/company/acme"}}
FOUND = httpx.Response(200, json={"elements": [{"id": 12, "localizedName": "Acme"}]})
EXPIRED = httpx.Response(401, json={"message": "The token has expired."})


class TestTrigger:
    def test_runs_a_tool(self, page: Channel, api: Gateway, respx_mock: respx.MockRouter) -> None:
        asked = respx_mock.get(f"{LINKEDIN}/v2/organizations").mock(return_value=FOUND)
        answer = api.post(f"{V1}/integration-trigger/{page.id}", COMPANY)
        assert answer.status == 201
        assert answer.json == {
            "output": [{"label": "Acme", "value": "@[Acme](urn:li:organization:12)"}]
        }
        assert asked.calls.last.request.headers["authorization"] == "Bearer old-token"

    @pytest.mark.parametrize("data", [{}, {"data": None}, {"data": {"url": 5}}])
    def test_what_it_takes_may_be_left_out(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter, data: dict[str, Any]
    ) -> None:
        respx_mock.get(f"{LINKEDIN}/v2/organizations").mock(
            return_value=httpx.Response(200, json={"elements": []})
        )
        answer = api.post(f"{V1}/integration-trigger/{page.id}", {"methodName": "company", **data})
        assert (answer.status, answer.json) == (201, {"output": []})

    def test_with_a_renewed_token(
        self, session: Session, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        asked = respx_mock.get(f"{LINKEDIN}/v2/organizations").mock(side_effect=[EXPIRED, FOUND])
        respx_mock.post(LINKEDIN_TOKEN).mock(
            return_value=httpx.Response(200, json={"access_token": "new-token", "expires_in": 60})
        )
        answer = api.post(f"{V1}/integration-trigger/{page.id}", COMPANY)
        assert answer.status == 201
        assert asked.calls.last.request.headers["authorization"] == "Bearer new-token"

    def test_a_token_that_cannot_be_renewed_disconnects(
        self, session: Session, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.get(f"{LINKEDIN}/v2/organizations").mock(return_value=EXPIRED)
        respx_mock.post(LINKEDIN_TOKEN).mock(
            return_value=httpx.Response(400, json={"error": "invalid_grant"})
        )
        answer = api.post(f"{V1}/integration-trigger/{page.id}", COMPANY)
        refused(answer, 401, "Channel disconnected due to expired token")
        session.expire_all()
        assert session.get_one(Channel, page.id).disconnected_at

    @pytest.mark.parametrize(
        "failed",
        [
            httpx.Response(500),
            httpx.Response(400, json={"message": "No."}),
            httpx.Response(429, json={"message": "Slow down."}),
            httpx.ConnectError("no way"),
        ],
    )
    def test_any_other_failure(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter, failed: Any
    ) -> None:
        respx_mock.get(f"{LINKEDIN}/v2/organizations").mock(side_effect=[failed])
        answer = api.post(f"{V1}/integration-trigger/{page.id}", COMPANY)
        refused(answer, 500, "Unexpected error")

    def test_an_unknown_tool(
        self, session: Session, organization: Organization, page: Channel, api: Gateway
    ) -> None:
        answer = api.post(f"{V1}/integration-trigger/{page.id}", {"methodName": "publish"})
        refused(answer, 404, "Tool not found")
        plain = a_channel(session, organization)
        refused(api.post(f"{V1}/integration-trigger/{plain.id}", COMPANY), 404, "Tool not found")

    def test_an_unknown_platform(
        self, session: Session, organization: Organization, api: Gateway
    ) -> None:
        channel = a_channel(session, organization, provider="myspace")
        answer = api.post(f"{V1}/integration-trigger/{channel.id}", COMPANY)
        refused(answer, 404, "Integration provider not found")

    def test_only_ones_own(self, session: Session, api: Gateway) -> None:
        for channel_id in no_such_channel(session):
            answer = api.post(f"{V1}/integration-trigger/{channel_id}", COMPANY)
            refused(answer, 404, "Integration not found")

    def test_a_missing_name_is_listed(self, page: Channel, api: Gateway) -> None:
        answer = api.post(f"{V1}/integration-trigger/{page.id}", {})
        assert (answer.status, answer.json["error"]) == (400, "Bad Request")
        assert answer.json["message"] == ["methodName should not be null or undefined"]


def linkedin_numbers(router: respx.MockRouter) -> None:
    """Answer two days of a page's statistics."""

    def days(**numbers: tuple[float, float]) -> httpx.Response:
        starts = (1_767_225_600_000, 1_767_312_000_000)  # the first two days of 2026
        elements = [
            {"timeRange": {"start": start}, "totalShareStatistics": {
                name: both[day] for name, both in numbers.items()}}
            for day, start in enumerate(starts)
        ]  # fmt: skip
        return httpx.Response(200, json={"elements": elements})

    nothing = httpx.Response(200, json={"elements": []})
    rest = f"{LINKEDIN}/rest"
    router.get(url__startswith=f"{rest}/organizationPageStatistics").mock(return_value=nothing)
    router.get(url__startswith=f"{rest}/organizationalEntityFollowerStatistics").mock(
        return_value=nothing
    )
    router.get(url__startswith=f"{rest}/organizationalEntityShareStatistics").mock(
        return_value=days(clickCount=(1_000, 1_250), engagement=(0.5, 0.25), shareCount=(0, 3))
    )


class TestAnalytics:
    def test_numbers_as_texts_by_day(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        linkedin_numbers(respx_mock)
        answer = api.get(f"{V1}/analytics/{page.id}", query={"date": "30"})
        assert answer.status == 200
        by_label = {series["label"]: series for series in answer.json}
        assert by_label["Clicks"] == {
            "label": "Clicks",
            "data": [
                {"total": "1000", "date": "2026-01-01"},
                {"total": "1250", "date": "2026-01-02"},
            ],
            "percentageChange": 25.0,
        }
        assert by_label["Engagement"] == {
            "label": "Engagement",
            "data": [
                {"total": "0.5", "date": "2026-01-01"},
                {"total": "0.25", "date": "2026-01-02"},
            ],
            "percentageChange": -50.0,
            "average": True,
        }
        assert by_label["Shares"]["percentageChange"] == 0
        assert by_label["Page Views"] == {"label": "Page Views", "data": [], "percentageChange": 0}

    def test_seven_days_unless_said(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        linkedin_numbers(respx_mock)
        assert api.get(f"{V1}/analytics/{page.id}").status == 200
        asked = str(respx_mock.calls.last.request.url)
        assert f"start:{_days_ago(7)}" in asked
        assert f"end:{_days_ago(0)}" in asked

    def test_the_platform_is_asked_once_an_hour(
        self, session: Session, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        linkedin_numbers(respx_mock)
        path = f"{V1}/analytics/{page.id}"
        first = api.get(path, query={"date": "7"})
        asked = respx_mock.calls.call_count
        with count_statements() as cost:
            again = api.get(path, query={"date": "7"})
        assert (again.text, cost.statements) == (first.text, 3)
        assert respx_mock.calls.call_count == asked
        api.get(path, query={"date": "30"})
        assert respx_mock.calls.call_count == 2 * asked
        session.execute(update(ChannelReport).values(expires_at=func.now()))
        assert api.get(path, query={"date": "7"}).text == first.text
        assert respx_mock.calls.call_count == 3 * asked

    def test_a_failure_is_not_kept(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.get(url__startswith=LINKEDIN).mock(return_value=httpx.Response(500))
        assert api.get(f"{V1}/analytics/{page.id}").json == []
        respx_mock.clear()
        linkedin_numbers(respx_mock)
        assert api.get(f"{V1}/analytics/{page.id}").json

    @pytest.mark.parametrize("date", ["week", "7.5"])
    def test_days_that_are_none(self, page: Channel, api: Gateway, date: str) -> None:
        answer = api.get(f"{V1}/analytics/{page.id}", query={"date": date})
        assert (answer.status, answer.json["error"]) == (400, "Bad Request")
        [message] = answer.json["message"]
        assert message.startswith("date")

    @pytest.mark.parametrize("slug", ["mastodon", "bluesky", "myspace"])
    def test_nothing_of_a_platform_that_tells_none(
        self, session: Session, organization: Organization, api: Gateway, slug: str
    ) -> None:
        channel = a_channel(session, organization, provider=slug)
        answer = api.get(f"{V1}/analytics/{channel.id}")
        assert (answer.status, answer.json) == (200, [])

    @pytest.mark.parametrize("failed", [httpx.Response(500), EXPIRED, httpx.ConnectError("no way")])
    def test_nothing_when_the_platform_fails(
        self, page: Channel, api: Gateway, respx_mock: respx.MockRouter, failed: Any
    ) -> None:
        respx_mock.get(url__startswith=LINKEDIN).mock(side_effect=[failed])
        respx_mock.post(LINKEDIN_TOKEN).mock(return_value=httpx.Response(503))
        answer = api.get(f"{V1}/analytics/{page.id}")
        assert (answer.status, answer.json) == (200, [])

    def test_only_ones_own(self, session: Session, api: Gateway) -> None:
        for channel_id in no_such_channel(session):
            refused(api.get(f"{V1}/analytics/{channel_id}"), 404, "Integration not found")


class TestPostAnalytics:
    def test_a_posts_numbers_as_of_now(
        self, session: Session, page: Channel, api: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        post = self.out(session, page, "urn:li:share:7")
        counted = {"totalShareStatistics": {"likeCount": 12, "engagement": 0.03125}}
        respx_mock.get(url__startswith=LINKEDIN).mock(
            return_value=httpx.Response(200, json={"elements": [counted]})
        )
        answer = api.get(f"{V1}/analytics/post/{post.id}", query={"date": "7"})
        today = clock.now().date().isoformat()
        assert answer.status == 200
        assert answer.json == [
            {
                "label": "Likes",
                "data": [{"total": "12", "date": today}],
                "percentageChange": 0,
            },
            {
                "label": "Engagement",
                "data": [{"total": "0.03125", "date": today}],
                "percentageChange": 0,
                "average": True,
            },
        ]

    def test_which_post_it_is_is_missing(
        self, session: Session, page: Channel, api: Gateway
    ) -> None:
        post = self.out(session, page, "missing")
        answer = api.get(f"{V1}/analytics/post/{post.id}")
        assert (answer.status, answer.json) == (200, {"missing": True})

    def test_nothing_of_what_is_not_out(
        self, session: Session, organization: Organization, page: Channel, api: Gateway
    ) -> None:
        toot = self.out(session, a_channel(session, organization), "17")
        theirs = self.out(session, a_channel(session, an_organization(session)), "missing")
        unknown = [a_post(session, page).id, toot.id, theirs.id, uuid4(), "cm4ean69r0003w8"]
        for post_id in unknown:
            answer = api.get(f"{V1}/analytics/post/{post_id}")
            assert (answer.status, answer.json) == (200, [])

    @staticmethod
    def out(session: Session, channel: Channel, release_id: str) -> Post:
        return a_post(
            session,
            channel,
            state=PostState.PUBLISHED,
            release_id=release_id,
            release_url="https://www.linkedin.com/feed/update/1",
        )


class TestNotifications:
    def test_a_page_of_what_was_told(
        self, session: Session, member: Member, api: Gateway, tell: Callable[..., Notification]
    ) -> None:
        tell(title="Older", content="It went.", ago=2)
        newer = tell(title="Newer", content="It came.", ago=1, link="https://roost.example/1")
        tell(title="Deleted", ago=0, deleted_at=func.now())
        with count_statements() as cost:
            answer = api.get(f"{V1}/notifications")
        assert (answer.status, cost.statements) == (200, 2)
        body = answer.json
        assert [told["content"] for told in body["notifications"]] == [
            "Newer. It came.",
            "Older. It went.",
        ]
        assert body["notifications"][0] == {
            "id": str(newer.id),
            "content": "Newer. It came.",
            "link": "https://roost.example/1",
            "createdAt": clock.to_wire(newer.created_at),
        }
        assert body["notifications"][1]["link"] is None
        del body["notifications"]
        assert body == {"total": 2, "page": 0, "limit": 100, "hasMore": False}

    def test_a_hundred_to_a_page(self, api: Gateway, tell: Callable[..., Notification]) -> None:
        for number in range(101):
            tell(title=str(number), ago=number)
        first = api.get(f"{V1}/notifications", query={"page": "0"}).json
        assert (len(first["notifications"]), first["total"], first["hasMore"]) == (100, 101, True)
        second = api.get(f"{V1}/notifications", query={"page": "1"}).json
        assert [told["content"] for told in second["notifications"]] == ["100. It is out."]
        assert (second["page"], second["total"], second["hasMore"]) == (1, 101, False)
        third = api.get(f"{V1}/notifications", query={"page": "2"}).json
        assert third == {
            "notifications": [], "total": 101, "page": 2, "limit": 100, "hasMore": False,
        }  # fmt: skip

    def test_nothing_yet(self, api: Gateway) -> None:
        assert api.get(f"{V1}/notifications").json == {
            "notifications": [], "total": 0, "page": 0, "limit": 100, "hasMore": False,
        }  # fmt: skip

    @pytest.mark.parametrize("page", ["-1", "one", "1.5"])
    def test_a_page_that_is_none(self, api: Gateway, page: str) -> None:
        answer = api.get(f"{V1}/notifications", query={"page": page})
        assert (answer.status, answer.json["error"]) == (400, "Bad Request")
        [message] = answer.json["message"]
        assert message.startswith("page")

    @pytest.fixture
    def tell(self, session: Session, member: Member) -> Callable[..., Notification]:
        """Tell the organization something, so many hours ago."""
        begin = clock.now()

        def tell(*, title: str, content: str = "It is out.", ago: int, **columns: Any) -> Any:
            row = Notification(
                id=new_id(),
                organization_id=member.organization_id,
                kind=NotificationKind.INFO,
                title=title,
                content=content,
                created_at=begin - timedelta(hours=ago),
                **columns,
            )
            session.add(row)
            session.flush()
            return row

        return tell


class TestUsers:
    def test_finds_members_of_any_organization(self, session: Session, api: Gateway) -> None:
        self.make_operator(session)
        theirs = an_organization(session, name="Looms", plan="team")
        user = a_user(session, name="Grace", email="grace@looms.example")
        found = a_member(session, theirs, user, role=Role.ADMIN)
        for words in ("grac", "looms.example", str(user.id)):
            answer = api.get(f"{V1}/users", query={"name": words})
            assert answer.status == 200
            assert answer.json == [
                {
                    "id": str(found.id),
                    "role": "ADMIN",
                    "organization": {
                        "id": str(theirs.id),
                        "name": "Looms",
                        "subscription": {"subscriptionTier": "TEAM"},
                    },
                    "user": {
                        "id": str(user.id),
                        "name": "Grace",
                        "email": "grace@looms.example",
                    },
                }
            ]
        assert api.get(f"{V1}/users", query={"name": "nobody"}).json == []

    def test_not_for_everybody(self, session: Session, api: Gateway) -> None:
        a_member(session, an_organization(session), a_user(session, is_super_admin=True))
        refused(api.get(f"{V1}/users", query={"name": "a"}), 403, "Unauthorized")

    def test_not_by_the_key_of_an_operators_colleague(
        self, session: Session, api: Gateway, organization: Organization
    ) -> None:
        a_member(session, organization, a_user(session, is_super_admin=True))
        refused(api.get(f"{V1}/users", query={"name": "a"}), 403, "Unauthorized")

    def test_not_by_what_an_operator_allowed_a_program(
        self, session: Session, organization: Organization
    ) -> None:
        operator = a_member(session, organization, a_user(session, is_super_admin=True))
        program = by_grant(app, session, operator)
        refused(program.get(f"{V1}/users", query={"name": "a"}), 403, "Unauthorized")

    def test_not_for_an_operator_who_was_shut_out(self, session: Session, api: Gateway) -> None:
        self.make_operator(session)
        session.execute(update(Member).values(disabled=True))
        refused(api.get(f"{V1}/users", query={"name": "a"}), 403, "Unauthorized")

    def test_not_by_a_key_that_an_operator_left_behind_in_another_organization(
        self, session: Session, api: Gateway, member: Member
    ) -> None:
        self.make_operator(session)
        session.execute(update(Member).values(disabled=True))
        a_member(session, an_organization(session), session.get_one(User, member.user_id))
        refused(api.get(f"{V1}/users", query={"name": "a"}), 403, "Unauthorized")

    def test_a_name_is_needed(self, session: Session, api: Gateway) -> None:
        answer = api.get(f"{V1}/users")
        assert answer.status == 400
        assert answer.json["message"] == ["name should not be null or undefined"]

    @staticmethod
    def make_operator(session: Session) -> None:
        session.execute(update(User).values(is_super_admin=True))


VIDEO = {"type": "image-text-slides", "output": "vertical", "customParams": {"prompt": "a"}}


class TestVideos:
    @pytest.mark.parametrize("kind", ["image-text-slides", "veo3"])
    def test_no_generator_is_configured(self, api: Gateway, kind: str) -> None:
        answer = api.post(f"{V1}/generate-video", {**VIDEO, "type": kind})
        assert (answer.status, answer.json["error"]) == (400, "Bad Request")
        [message] = answer.json["message"]
        assert message.startswith("type")

    @pytest.mark.parametrize("wrong", [{"output": "square"}, {"type": None}, {"customParams": 5}])
    def test_what_is_wrong_is_listed(self, api: Gateway, wrong: dict[str, Any]) -> None:
        answer = api.post(f"{V1}/generate-video", VIDEO | wrong)
        assert answer.status == 400
        [message] = answer.json["message"]
        assert message.startswith(next(iter(wrong)))

    def test_no_function_is_exposed(self, api: Gateway) -> None:
        call = {"identifier": "image-text-slides", "functionName": "loadVoices"}
        words = "image-text-slides exposes no function loadVoices here"
        for body in (call, {**call, "params": {"a": 1}}, {**call, "beside": 1}):
            refused(api.post(f"{V1}/video/function", body), 400, words)
        answer = api.post(f"{V1}/video/function", {"identifier": "veo3"})
        assert answer.json["message"] == ["functionName should not be null or undefined"]


class TestWhoMay:
    def test_a_session_does_not_do(self, session: Session, member: Member) -> None:
        browser = as_member(app, session, member)
        refused(browser.get(f"{V1}/integrations"), 401, "No API Key found")


def _days_ago(days: int) -> int:
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return int((midnight - timedelta(days=days)).timestamp() * 1000)
