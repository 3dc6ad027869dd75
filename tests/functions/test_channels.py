"""Channels over HTTP: what a member sees and changes, and what a browser is shown when a platform sends it back."""

import base64
import io
import json
import re
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest
import respx
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from functions.channels.app import app
from shared.channels.models import Channel, OAuthState
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization, Role
from shared.posts.lifecycle import PostState
from shared.providers.registry import slugs
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, as_member, by_key
from tests.shared.channels.builders import a_bluesky_channel, opened, set_up_platforms
from tests.shared.channels.platforms import (
    BLUESKY_FIELDS,
    HERE,
    PDS,
    bluesky,
    bluesky_refuses,
    linkedin,
    mastodon,
)

PAGE = "/app/integrations/social"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    set_up_platforms(configure)


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session, name="Engines & Co"))


@pytest.fixture
def browser(session: Session, member: Member) -> Gateway:
    return as_member(app, session, member)


@pytest.fixture
def stranger(session: Session) -> Gateway:
    """A browser without a session and without our cookies."""
    return Gateway(app)


def start(caller: Gateway, slug: str = "mastodon", **query: Any) -> str:
    """Start connecting and return the state."""
    answer = caller.get(f"/integrations/social/{slug}", query=query)
    assert answer.status == 200, answer.text
    url: str = answer.json["url"]
    return parse_qs(urlsplit(url).query)["state"][0]


def a_connected_channel(session: Session, member: Member, **columns: Any) -> Channel:
    organization = session.get_one(type(an_organization(session)), member.organization_id)
    return a_channel(session, organization, **columns)


def inputs(page: Answer) -> dict[str, str]:
    """Read the hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {name: unescape(value) for name, value in found}


def send(caller: Gateway, slug: str, fields: dict[str, str]) -> Answer:
    return caller.post(f"{PAGE}/{slug}", text=urlencode(fields), headers=FORM)


class TestList:
    def test_channels_oldest_first_in_two_statements(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        first = a_connected_channel(session, member, name="First")
        a_connected_channel(session, member, name="Second", disabled=True)
        a_connected_channel(session, member, deleted_at=func.now())
        a_channel(session, an_organization(session))
        with count_statements() as cost:
            answer = browser.get("/integrations")
        listed = answer.json["integrations"]
        assert cost.statements == 2
        assert [channel["name"] for channel in listed] == ["First", "Second"]
        assert listed[0] | {"createdAt": "", "text": {}, "media": {}} == {
            "id": str(first.id),
            "internalId": first.remote_id,
            "name": "First",
            "identifier": "mastodon",
            "picture": None,
            "display": "ada",
            "type": "social",
            "editor": "plain",
            "stripLinks": False,
            "disabled": False,
            "inBetweenSteps": False,
            "refreshNeeded": False,
            "disconnectedAt": None,
            "disconnectedReason": None,
            "tokenExpiresAt": None,
            "isCustomFields": False,
            "customFields": None,
            "time": [{"time": time, "weekdays": None} for time in (560, 850, 1140)],
            "timezone": "UTC",
            "text": {},
            "media": {},
            "changeProfilePicture": False,
            "changeNickName": False,
            "customer": None,
            "additionalSettings": "[]",
            "createdAt": "",
        }
        assert browser.get("/integrations/list").json == answer.json

    def test_a_disconnected_channel_says_why(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        a_connected_channel(
            session, member, disconnected_at=func.now(), disconnected_reason="Revoked."
        )
        [channel] = browser.get("/integrations").json["integrations"]
        assert channel["refreshNeeded"] is True
        assert channel["disconnectedReason"] == "Revoked."

    def test_the_rules_for_files_are_those_of_the_accounts_server(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        """Finding 4.2d: a server's smaller limits were not known before a post was due."""
        said = {"media": {"types": ["image/png"], "imageBytes": 1_000, "maxCount": 2}}
        a_connected_channel(session, member, account_settings=said)
        [channel] = browser.get("/integrations").json["integrations"]
        assert channel["media"]["images"]["types"] == ["image/png"]
        assert channel["media"]["images"]["maxBytes"] == 1_000
        assert channel["media"]["videos"]["maxCount"] == 0

    def test_the_texts_limit_is_the_accounts_own(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        a_connected_channel(session, member, account_settings={"maxCharacters": 1_234})
        [channel] = browser.get("/integrations").json["integrations"]
        assert channel["text"]["maxLength"] == 1_234


class TestProviders:
    def test_every_platform_with_its_table(self, browser: Gateway) -> None:
        tables = browser.get("/integrations/providers").json
        by_slug = {table["identifier"]: table for table in tables["social"] + tables["article"]}
        assert list(by_slug) == list(slugs())
        x, sky = by_slug["x"], by_slug["bluesky"]
        assert x["text"] == {
            "unit": "weighted",
            "maxLength": 280,
            "linkLength": x["text"]["linkLength"],
            "maxBytes": None,
            "shortMentions": False,
        }
        assert sky["auth"]["kind"] == "fields"
        assert [(field["key"], field["type"]) for field in sky["customFields"]] == [
            ("service", "text"),
            ("identifier", "text"),
            ("password", "password"),
        ]
        assert by_slug["mastodon"]["settings"]["properties"]
        assert by_slug["mastodon-custom"]["isExternal"] is True
        assert by_slug["linkedin-page"]["choosePage"] is True

    def test_hidden_ones_are_left_out(self, browser: Gateway, configure: Configure) -> None:
        configure(HIDDEN_PROVIDERS="x,bluesky")
        tables = browser.get("/integrations/providers").json["social"]
        assert not {"x", "bluesky"} & {table["identifier"] for table in tables}


class TestConnect:
    def test_from_the_start_to_a_channel(
        self, session: Session, member: Member, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        state = start(browser)
        body = {"state": state, "code": "a-code", "timezone": "-60"}
        answer = browser.post("/integrations/social/mastodon/connect", body)
        assert answer.status == 201
        assert answer.json["name"] == "Ada L."
        assert [time["time"] for time in answer.json["time"]] == [620, 910, 1200]
        channel = session.scalars(select(Channel)).one()
        assert channel.organization_id == member.organization_id
        assert "granted-token" not in answer.text

    def test_the_alias(self, browser: Gateway, respx_mock: respx.MockRouter) -> None:
        mastodon(respx_mock)
        body = {"state": start(browser), "code": "a-code", "timezone": "Europe/Berlin"}
        answer = browser.post("/integrations/social-connect/mastodon", body)
        assert (answer.status, answer.json["timezone"]) == (201, "Europe/Berlin")

    @pytest.mark.parametrize("as_code", [False, True])
    def test_a_form_without_a_start(
        self, browser: Gateway, respx_mock: respx.MockRouter, as_code: bool
    ) -> None:
        bluesky(respx_mock)
        body: dict[str, Any] = {"fields": BLUESKY_FIELDS}
        if as_code:  # as clients of other schedulers send it
            body = {"code": base64.b64encode(json.dumps(BLUESKY_FIELDS).encode()).decode()}
        answer = browser.post("/integrations/social/bluesky/connect", body)
        assert (answer.status, answer.json["name"]) == (201, "Ada")
        assert answer.json["timezone"] == "UTC"

    def test_a_page_is_listed_and_chosen(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        body = {"state": start(browser, "linkedin-page"), "code": "a-code"}
        pending = browser.post("/integrations/social/linkedin-page/connect", body).json
        assert pending["inBetweenSteps"] is True
        pages = browser.get(f"/integrations/{pending['id']}/pages").json
        assert pages == pending["pages"]
        assert [page["id"] for page in pages] == ["11", "22"]
        chosen = browser.post(f"/integrations/provider/{pending['id']}/connect", {"pageId": "22"})
        assert chosen.status == 200
        assert (chosen.json["name"], chosen.json["inBetweenSteps"]) == ("Looms", False)

    @pytest.mark.parametrize(
        ("slug", "body", "missing"),
        [
            ("mastodon", {}, ["state", "code"]),
            ("mastodon", {"code": "a-code"}, ["state"]),
            ("mastodon", {"fields": {}}, ["state"]),
            ("mastodon", {"state": "a-state"}, ["code"]),
            ("bluesky", {}, ["fields"]),
            ("bluesky", {"state": "a-state"}, ["fields"]),
        ],
    )
    def test_what_is_missing_is_named(
        self, browser: Gateway, slug: str, body: dict[str, Any], missing: list[str]
    ) -> None:
        answer = browser.post(f"/integrations/social/{slug}/connect", body)
        assert answer.status == 422
        assert [(one["path"], one["code"]) for one in answer.json["errors"]] == [
            (path, "missing") for path in missing
        ]

    def test_a_forgotten_code_leaves_the_state_good(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        body = {"state": start(browser)}
        assert browser.post("/integrations/social/mastodon/connect", body).status == 422
        body["code"] = "a-code"
        assert browser.post("/integrations/social/mastodon/connect", body).status == 201

    def test_a_refusal_is_a_problem_with_the_platforms_code(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(
            return_value=httpx.Response(
                400, json={"error": "invalid_grant", "error_description": "Used already."}
            )
        )
        body = {"state": start(browser), "code": "a-code"}
        answer = browser.post("/integrations/social/mastodon/connect", body)
        assert (answer.status, answer.json["code"]) == (409, "platform_refused")
        assert "Used already." in answer.json["detail"]
        assert answer.json["errors"][0]["code"] == "invalid_grant"

    def test_another_organizations_state(
        self, session: Session, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        other = as_member(app, session, a_member(session, an_organization(session)))
        body = {"state": start(browser), "code": "a-code"}
        answer = other.post("/integrations/social/mastodon/connect", body)
        assert (answer.status, answer.json["code"]) == (409, "connection_not_started")
        assert not respx_mock.calls

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"redirectUrl": "javascript:alert(1)"}, "redirectUrl"),
            ({"timezone": "Mars/Olympus"}, "timezone"),
        ],
    )
    def test_what_cannot_be_started_with(
        self, browser: Gateway, query: dict[str, str], path: str
    ) -> None:
        answer = browser.get("/integrations/social/mastodon", query=query)
        assert answer.status == 422
        assert answer.json["errors"][0]["path"].startswith(path)

    @pytest.mark.parametrize("slug", ["myspace", "..%2F..%2Fetc"])
    def test_an_unknown_platform(self, browser: Gateway, slug: str) -> None:
        assert browser.get(f"/integrations/social/{slug}").status == 404

    def test_a_member_may_not_connect(self, session: Session, member: Member) -> None:
        organization = an_organization(session)
        caller = as_member(app, session, a_member(session, organization, role=Role.MEMBER))
        assert caller.get("/integrations/social/mastodon").status == 403


class TestChange:
    @pytest.fixture
    def channel(self, session: Session, member: Member) -> Channel:
        return a_connected_channel(session, member)

    def test_disable_and_enable(self, browser: Gateway, channel: Channel) -> None:
        body = {"id": str(channel.id)}
        assert browser.post("/integrations/disable", body).json["disabled"] is True
        assert browser.post("/integrations/enable", body).json["disabled"] is False

    def test_posting_times(self, browser: Gateway, channel: Channel) -> None:
        times = [{"time": 0, "weekdays": None}, {"time": 1439, "weekdays": [0, 6]}]
        body = {"time": times, "timezone": "Asia/Tokyo"}
        answer = browser.post(f"/integrations/{channel.id}/time", body)
        assert answer.status == 201
        shown = browser.get(f"/integrations/{channel.id}").json
        assert (shown["time"], shown["timezone"]) == (times, "Asia/Tokyo")

    def test_posting_times_keep_their_clock(self, browser: Gateway, channel: Channel) -> None:
        path = f"/integrations/{channel.id}/time"
        browser.post(path, {"time": [], "timezone": "Asia/Tokyo"})
        assert browser.post(path, {"time": [{"time": 5}]}).json["timezone"] == "Asia/Tokyo"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"time": [{"time": 1440}]}, "time.0.time"),
            ({"time": [{"time": -1}]}, "time.0.time"),
            ({"time": [{"time": 1, "weekdays": [7]}]}, "time.0.weekdays.0"),
            ({"time": [{"time": 1, "weekdays": []}]}, "time.0.weekdays"),
            ({"time": [], "timezone": "Mars/Olympus"}, "timezone"),
            ({"time": [{"time": 1}] * 101}, "time"),
            ({}, "time"),
        ],
    )
    def test_posting_times_that_are_none(
        self, browser: Gateway, channel: Channel, body: Any, path: str
    ) -> None:
        answer = browser.post(f"/integrations/{channel.id}/time", body)
        assert answer.status == 422
        assert answer.json["errors"][0]["path"] == path

    @pytest.mark.parametrize("as_text", [False, True])
    def test_settings(self, browser: Gateway, channel: Channel, as_text: bool) -> None:
        settings: Any = [{"title": "Verified", "type": "checkbox", "value": True}]
        sent = json.dumps(settings) if as_text else settings
        answer = browser.post(f"/integrations/{channel.id}/settings", {"additionalSettings": sent})
        assert answer.status == 200
        [kept] = json.loads(answer.json["additionalSettings"])
        assert (kept["title"], kept["value"]) == ("Verified", True)

    @pytest.mark.parametrize(
        "sent",
        [
            "[{",
            "{}",
            "[" * 5_000,
            '[{"title": "a", "value": NaN}]',
            '[{"title": "a\\u0000"}]',
            '[{"title": "a\\ud800"}]',
            "a\ud800",
        ],
    )
    def test_settings_that_cannot_be_kept(
        self, browser: Gateway, channel: Channel, sent: str
    ) -> None:
        answer = browser.post(f"/integrations/{channel.id}/settings", {"additionalSettings": sent})
        assert answer.status == 422

    def test_nickname(self, browser: Gateway, channel: Channel) -> None:
        body = {"name": "Ours", "picture": "https://media.example/p.png"}
        answer = browser.post(f"/integrations/{channel.id}/nickname", body)
        assert (answer.json["name"], answer.json["picture"]) == ("Ours", body["picture"])
        kept = browser.post(f"/integrations/{channel.id}/nickname", {"name": "Mine"}).json
        assert kept["picture"] == body["picture"]

    @pytest.mark.parametrize("named", ["path", "body"])
    def test_delete_forgets_the_tokens(
        self, session: Session, browser: Gateway, channel: Channel, named: str
    ) -> None:
        if named == "path":
            answer = browser.delete(f"/integrations/{channel.id}")
        else:
            answer = browser.delete("/integrations", {"id": str(channel.id)})
        assert (answer.status, answer.json) == (200, {"id": str(channel.id)})
        session.refresh(channel)
        assert channel.deleted_at is not None
        assert channel.access_token == b""
        assert browser.get(f"/integrations/{channel.id}").status == 404
        assert browser.get("/integrations").json == {"integrations": []}

    def test_delete_takes_the_posts_along_that_were_not_published(
        self, session: Session, browser: Gateway, channel: Channel
    ) -> None:
        queued = a_post(session, channel)
        reply = a_post(session, channel, parent=queued)
        draft = a_post(session, channel, state=PostState.DRAFT)
        published = a_post(session, channel, state=PostState.PUBLISHED)
        publishing = a_post(session, channel, state=PostState.PUBLISHING)
        browser.delete(f"/integrations/{channel.id}")
        session.expire_all()
        assert [post.deleted_at is not None for post in (queued, reply, draft)] == [True] * 3
        assert [post.deleted_at for post in (published, publishing)] == [None, None]

    def test_another_organizations_channel_is_not_there(
        self, session: Session, browser: Gateway
    ) -> None:
        theirs = a_channel(session, an_organization(session), needs_page=True)
        path, body = f"/integrations/{theirs.id}", {"id": str(theirs.id)}
        answers = [
            browser.get(path),
            browser.delete(path),
            browser.get(f"{path}/pages"),
            browser.post(f"{path}/settings", {"additionalSettings": []}),
            browser.post(f"{path}/time", {"time": []}),
            browser.post(f"{path}/nickname", {"name": "Mine"}),
            browser.post("/integrations/disable", body),
            browser.post("/integrations/enable", body),
            browser.delete("/integrations", body),
            browser.post("/integrations/mentions", {**body, "data": {"query": "a"}}),
            browser.post(f"/integrations/provider/{theirs.id}/connect", {"pageId": "1"}),
            browser.get("/integrations/social/mastodon", query={"refresh": str(theirs.id)}),
            browser.get("/integrations/social/mastodon", query={"refresh": theirs.remote_id}),
        ]
        assert [answer.status for answer in answers] == [404] * len(answers)
        session.refresh(theirs)
        assert (theirs.deleted_at, theirs.disabled, theirs.name) == (None, False, "Ada")


class TestMentions:
    def test_people_on_the_channels_platform(
        self, session: Session, member: Member, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        organization = session.get_one(type(an_organization(session)), member.organization_id)
        channel = a_bluesky_channel(session, organization)
        respx_mock.get(url__startswith=f"{PDS}/xrpc/app.bsky.actor.searchActorsTypeahead").mock(
            return_value=httpx.Response(
                200, json={"actors": [{"handle": "eve.example", "displayName": "Eve"}]}
            )
        )
        body = {"id": str(channel.id), "name": "mention", "data": {"query": "ev"}}
        answer = browser.post("/integrations/mentions", body)
        assert answer.json == [{"id": "eve.example", "label": "Eve", "image": None}]

    def test_an_ended_token_is_renewed_on_the_way(
        self, session: Session, member: Member, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        organization = session.get_one(type(an_organization(session)), member.organization_id)
        channel = a_bluesky_channel(session, organization)
        search = respx_mock.get(url__startswith=f"{PDS}/xrpc/app.bsky.actor.searchActorsTypeahead")
        search.mock(
            side_effect=[
                httpx.Response(400, json={"error": "ExpiredToken", "message": "Expired"}),
                httpx.Response(200, json={"actors": [{"handle": "eve.example"}]}),
            ]
        )
        respx_mock.post(f"{PDS}/xrpc/com.atproto.server.refreshSession").mock(
            return_value=httpx.Response(
                200,
                json={"accessJwt": "second", "refreshJwt": "r", "did": "d", "handle": "h"},
            )
        )
        body = {"id": str(channel.id), "data": {"query": "ev"}}
        assert browser.post("/integrations/mentions", body).status == 200
        assert search.calls.last.request.headers["authorization"] == "Bearer second"
        session.refresh(channel)
        assert opened(channel, "access_token") == "second"


class TestPage:
    """The page that platforms send browsers back to."""

    def test_the_browser_that_started_is_connected_at_once(
        self, session: Session, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        state = start(browser, redirectUrl="https://customer.example/done?a=1&b=2")
        came_back = Gateway(app, cookies=browser.cookies)  # no session needed: it may have ended
        answer = came_back.get(f"{PAGE}/mastodon", query={"state": state, "code": "a-code"})
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "Ada L. (@ada@social.example) is connected" in answer.text
        assert 'href="https://customer.example/done?a=1&amp;b=2"' in answer.text
        assert session.scalar(select(func.count()).select_from(Channel)) == 1
        assert "granted-token" not in answer.text

    @pytest.mark.parametrize("sign", ["invalid_scope", "verify"])
    def test_a_server_that_wants_wider_scopes_is_asked_once_more(
        self, session: Session, browser: Gateway, respx_mock: respx.MockRouter, sign: str
    ) -> None:
        """Findings 4.2 and 4.2b: the member was told to connect again, to no avail."""
        owls, slug = "https://owls.example", "mastodon-custom"
        registered = {"client_id": "a", "client_secret": "b"}
        respx_mock.post(f"{owls}/api/v1/apps").respond(json=registered)
        mastodon(respx_mock, base=owls, scope="read write follow push")
        whose = respx_mock.get(f"{owls}/api/v1/accounts/verify_credentials")
        me = {"id": "17", "username": "ada", "display_name": "Ada L."}
        state = start(browser, slug, externalUrl="owls.example")
        if sign == "verify":
            whose.respond(403, json={"error": "out_of_scope_for_token"})
            came = browser.get(f"{PAGE}/{slug}", query={"state": state, "code": "a-code"})
        else:
            came = browser.get(f"{PAGE}/{slug}", query={"state": state, "error": "invalid_scope"})
        assert came.status == 303
        asked = parse_qs(urlsplit(came.headers["location"]).query)
        assert asked["scope"] == ["read write"]
        whose.respond(json=me)
        query = {"state": asked["state"][0], "code": "another-code"}
        assert "is connected" in browser.get(f"{PAGE}/{slug}", query=query).text
        assert session.scalars(select(Channel.username)).all() == ["ada@owls.example"]

    def test_nobody_else_makes_a_server_be_asked_once_more(
        self, browser: Gateway, stranger: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        query = {"state": start(browser), "error": "invalid_scope"}
        assert "refused access" in stranger.get(f"{PAGE}/mastodon", query=query).text
        assert "refused access" in browser.get(f"{PAGE}/mastodon", query=query).text
        assert not respx_mock.calls

    def test_the_cookie_is_out_of_reach_of_scripts(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        [cookie] = browser.get("/integrations/social/mastodon").set_cookies
        assert re.match(r"__Host-connecting=[\w-]{43};", cookie)
        for word in ("HttpOnly", "Secure", "SameSite=lax", "Max-Age=3600"):
            assert word.lower() in cookie.lower()

    def test_a_cookie_that_we_did_not_make_is_replaced(self, browser: Gateway) -> None:
        browser.cookies["connecting"] = "chosen-by-somebody"
        start(browser)
        assert browser.cookies["connecting"] != "chosen-by-somebody"

    def test_two_connections_of_one_browser_both_come_back(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        first, second = start(browser), start(browser)
        for state, account in ((first, "17"), (second, "18")):
            mastodon(respx_mock, account=account)
            answer = browser.get(f"{PAGE}/mastodon", query={"state": state, "code": "a-code"})
            assert "is connected" in answer.text

    def test_another_browser_is_asked_first(
        self,
        session: Session,
        browser: Gateway,
        stranger: Gateway,
        respx_mock: respx.MockRouter,
    ) -> None:
        mastodon(respx_mock)
        query = {"state": start(browser), "code": "a-code"}
        asked = stranger.get(f"{PAGE}/mastodon", query=query)
        assert asked.status == 200
        assert "Connect your Mastodon account to Engines &amp; Co?" in asked.text
        assert not respx_mock.calls
        assert session.scalar(select(func.count()).select_from(Channel)) == 0

        agreed = send(stranger, "mastodon", inputs(asked))
        assert "is connected" in agreed.text
        assert session.scalar(select(func.count()).select_from(Channel)) == 1

    def test_a_program_starts_for_somebody_elses_browser(
        self, session: Session, member: Member, stranger: Gateway
    ) -> None:
        program = by_key(app, session, member)
        state = start(program)
        assert "connecting" not in program.cookies
        asked = stranger.get(f"{PAGE}/mastodon", query={"state": state, "code": "c"})
        assert "started elsewhere" in asked.text

    def test_a_form_is_shown_until_it_is_right(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        route = bluesky(respx_mock)
        right = route.return_value
        state = start(browser, "bluesky")
        page = browser.get(f"{PAGE}/bluesky", query={"state": state})
        assert "Connect Bluesky to Engines &amp; Co" in page.text
        assert 'name="field.password" type="password"' in page.text
        assert "started elsewhere" not in page.text
        fields = {f"field.{name}": value for name, value in BLUESKY_FIELDS.items()}

        bluesky_refuses(route)
        refused = send(browser, "bluesky", {**inputs(page), **fields})
        assert refused.status == 409
        assert "Invalid identifier or password" in refused.text
        assert "app-password-1" not in refused.text

        route.mock(return_value=right)
        connected = send(browser, "bluesky", {**inputs(refused), **fields})
        assert "Ada (@ada.example) is connected" in connected.text

    def test_a_form_is_only_for_the_browser_that_started(
        self, session: Session, browser: Gateway, stranger: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: whoever holds the state alone cannot fill in the form."""
        bluesky(respx_mock)
        query = {"state": start(browser, "bluesky")}
        fields = {f"field.{name}": value for name, value in BLUESKY_FIELDS.items()}
        stranger.cookies["connecting"] = "x" * 43
        for answer in (
            stranger.get(f"{PAGE}/bluesky", query=query),
            send(stranger, "bluesky", {**query, **fields}),
        ):
            assert answer.status == 403
            assert "started in another browser" in answer.text
        assert not respx_mock.calls
        assert session.scalar(select(func.count()).select_from(Channel)) == 0

    def test_a_form_that_a_program_started_is_for_any_browser(
        self, session: Session, member: Member, stranger: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        bluesky(respx_mock)
        state = start(by_key(app, session, member), "bluesky")
        page = stranger.get(f"{PAGE}/bluesky", query={"state": state})
        fields = {f"field.{name}": value for name, value in BLUESKY_FIELDS.items()}
        assert "is connected" in send(stranger, "bluesky", {**inputs(page), **fields}).text

    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    def test_another_browser_is_told_who_would_publish(
        self,
        session: Session,
        member: Member,
        stranger: Gateway,
        respx_mock: respx.MockRouter,
        slug: str,
    ) -> None:
        """The form asked strangers for their password under a name that the attacker had chosen."""
        route = bluesky(respx_mock)
        bluesky_refuses(route)
        since = datetime(2026, 3, 1, tzinfo=UTC)
        session.execute(update(Organization).values(created_at=since))
        state = start(by_key(app, session, member), slug)
        shown = [stranger.get(f"{PAGE}/{slug}", query={"state": state, "code": "a-code"})]
        if slug == "bluesky":
            fields = {f"field.{name}": value for name, value in BLUESKY_FIELDS.items()}
            shown.append(send(stranger, slug, {**inputs(shown[0]), **fields}))
        for page in shown:
            assert "This connection was started elsewhere" in page.text
            assert "<strong>Engines &amp; Co</strong>, here since 1 March 2026" in page.text
            assert "If you do not know them, close this page" in page.text

    @pytest.mark.parametrize(
        "echo",
        [
            {"error": "Bad", "message": "no account for app-password-1"},
            {"error": "app-password-1", "message": "Invalid"},
            {"given": "app-password-1"},
        ],
    )
    def test_an_app_password_that_the_server_echoes_is_kept_nowhere(
        self,
        browser: Gateway,
        respx_mock: respx.MockRouter,
        log_lines: io.StringIO,
        echo: dict[str, str],
    ) -> None:
        """A server of the attacker's choice wrote the app password into the log and the answer."""
        bluesky(respx_mock).mock(return_value=httpx.Response(400, json=echo))
        body = {"fields": BLUESKY_FIELDS}
        answer = browser.post("/integrations/social/bluesky/connect", body)
        assert answer.status >= 400
        assert "channel.connect_failed" in log_lines.getvalue()
        assert "app-password-1" not in answer.text + log_lines.getvalue()

    def test_a_page_is_chosen(self, browser: Gateway, respx_mock: respx.MockRouter) -> None:
        linkedin(respx_mock)
        query = {"state": start(browser, "linkedin-page"), "code": "a-code"}
        asked = browser.get(f"{PAGE}/linkedin-page", query=query)
        assert "LinkedIn Page: which page is it?" in asked.text
        assert "Engines" in asked.text
        assert 'value="22"' in asked.text
        chosen = send(browser, "linkedin-page", {**inputs(asked), "pageId": "22"})
        assert "Looms is connected" in chosen.text
        again = send(browser, "linkedin-page", {**inputs(asked), "pageId": "11"})
        assert "Looms is connected" in again.text
        assert "already finished" in again.text

    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    def test_a_finished_one_loaded_again_says_that_all_is_well(
        self, session: Session, browser: Gateway, respx_mock: respx.MockRouter, slug: str
    ) -> None:
        mastodon(respx_mock)
        bluesky(respx_mock)
        query = {"state": start(browser, slug), "code": "a-code"}
        page = browser.get(f"{PAGE}/{slug}", query=query)
        if slug == "bluesky":
            fields = {f"field.{name}": value for name, value in BLUESKY_FIELDS.items()}
            page = send(browser, slug, {**inputs(page), **fields})
            again = [send(browser, slug, {**query, **fields})]
        else:
            again = [Gateway(app).get(f"{PAGE}/{slug}", query=query), send(browser, slug, query)]
        assert "is connected" in page.text
        asked = len(respx_mock.calls)
        for answer in (*again, browser.get(f"{PAGE}/{slug}", query=query)):
            assert answer.status == 200
            assert "is connected" in answer.text
            assert "This connection was already finished" in answer.text
            assert "can be scheduled" in answer.text
        assert len(respx_mock.calls) == asked
        body = {"state": query["state"], "code": "a-code"}
        if slug == "mastodon":
            refused = browser.post(f"/integrations/social/{slug}/connect", body)
            assert refused.json["code"] == "connection_not_started"
        session.execute(update(Channel).values(disconnected_at=func.now()))
        assert browser.get(f"{PAGE}/{slug}", query=query).status == 409

    def test_one_that_failed_loaded_again_is_not_called_finished(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(
            return_value=httpx.Response(400, json={"error": "invalid_grant"})
        )
        query = {"state": start(browser), "code": "a-code"}
        for _ in range(2):
            answer = browser.get(f"{PAGE}/mastodon", query=query)
            assert answer.status == 409
            assert "Mastodon was not connected" in answer.text

    def test_loaded_again_before_the_page_is_chosen(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        linkedin(respx_mock)
        query = {"state": start(browser, "linkedin-page"), "code": "a-code"}
        browser.get(f"{PAGE}/linkedin-page", query=query)
        again = browser.get(f"{PAGE}/linkedin-page", query=query)
        assert again.status == 200
        assert "not chosen yet" in again.text

    def test_a_state_that_comes_back_without_a_code(self, browser: Gateway) -> None:
        state = start(browser)
        for answer in (
            browser.get(f"{PAGE}/mastodon", query={"state": state}),
            send(browser, "mastodon", {"state": state}),
        ):
            assert answer.status == 422
            assert "`code` is required. Send the code that the platform returned." in answer.text

    @pytest.mark.parametrize(
        ("slug", "query", "words"),
        [
            (
                "mastodon",
                {"error": "access_denied", "error_description": "You <b>said</b> no."},
                "You &lt;b&gt;said&lt;/b&gt; no.",
            ),
            ("linkedin-page", {"error": "user_cancelled_login"}, "user_cancelled_login"),
            ("x", {"denied": "a-request-token"}, "You did not allow Roost to use the account"),
            ("mastodon", {"error": "access_denied"}, "You did not allow Roost to use the account"),
        ],
    )
    def test_what_the_platform_says_is_shown(
        self, stranger: Gateway, slug: str, query: dict[str, str], words: str
    ) -> None:
        answer = stranger.get(f"{PAGE}/{slug}", query=query)
        assert answer.status == 409
        assert words in answer.text
        assert "<b>" not in answer.text

    def test_a_refused_code_shows_the_platforms_words(
        self, browser: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(f"{HERE}/oauth/token").mock(
            return_value=httpx.Response(
                400, json={"error": "invalid_grant", "error_description": "<i>Too late.</i>"}
            )
        )
        query = {"state": start(browser), "code": "a-code"}
        answer = browser.get(f"{PAGE}/mastodon", query=query)
        assert answer.status == 409
        assert "&lt;i&gt;Too late.&lt;/i&gt;" in answer.text
        assert "<code>invalid_grant</code>" in answer.text

    @pytest.mark.parametrize("query", [{}, {"state": "made-up", "code": "c"}, {"code": "c"}])
    def test_a_state_that_does_not_hold(self, stranger: Gateway, query: dict[str, str]) -> None:
        answer = stranger.get(f"{PAGE}/mastodon", query=query)
        assert answer.status == 409
        assert "Start again" in answer.text

    def test_an_unknown_platform(self, stranger: Gateway) -> None:
        answer = stranger.get(f"{PAGE}/{quote('<script>')}")
        assert answer.status == 404
        assert "<script>" not in answer.text.replace("'<script>'", "")
        page = stranger.get(f"{PAGE}/myspace", headers={"accept": "text/html"})
        assert (page.status, "The platform" in page.text) == (404, True)
        assert page.text.startswith("<!doctype html>")

    def test_nothing_on_the_page_can_run(self, stranger: Gateway) -> None:
        answer = stranger.get(f"{PAGE}/mastodon")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "script-src" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"

    def test_states_of_unknown_length_do_not_break_it(
        self, session: Session, stranger: Gateway
    ) -> None:
        query = {"state": str(new_id()) * 50, "code": "c" * 5_000}
        assert stranger.get(f"{PAGE}/mastodon", query=query).status == 409
        assert send(stranger, "mastodon", {}).status == 409
        assert send(stranger, "mastodon", {"state": "a\0b"}).status == 409
        assert session.scalar(select(func.count()).select_from(OAuthState)) == 0
