"""Do people come in with an account at another provider, and nobody with somebody else's?"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.core import clock
from shared.identity.login_providers import offered
from shared.identity.login_providers.base import Answer
from shared.identity.models import User
from shared.web.paths import own_path
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.fakes.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider
from tests.gateway import Answer as Response
from tests.gateway import Gateway, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

EMAIL = "ada@example.com"
BACK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FINISH = "/auth/oauth/GENERIC/exists"
CALLBACK = "/auth/oauth/GENERIC/callback"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)
    configure(
        GENERIC_OAUTH="true",
        OAUTH_URL=ISSUER,
        OAUTH_CLIENT_ID=CLIENT_ID,
        OAUTH_DISPLAY_NAME="Example ID",
    )
    monkeypatch.setattr(offered, "secret", lambda _name: {"OAUTH_CLIENT_SECRET": CLIENT_SECRET})


@pytest.fixture
def peer() -> Iterator[OpenIdProvider]:
    with OpenIdProvider(now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture
def browser(session: DbSession) -> Gateway:
    return Gateway(app)


@pytest.fixture
def ada(session: DbSession) -> User:
    user = a_user(session, email=EMAIL)
    a_member(session, an_organization(session), user)
    return user


def begin(browser: Gateway, peer: OpenIdProvider, **query: str) -> dict[str, Any]:
    """Begin in the browser, agree at the provider, and return what comes back."""
    answer = browser.get("/auth/oauth/GENERIC", query=query)
    assert answer.status == 200, answer.text
    return agree(peer, answer.text)


def agree(peer: OpenIdProvider, url: str) -> dict[str, Any]:
    answer: Answer = peer.consent(url)
    return {"code": answer.code, "state": parse_qs(urlsplit(url).query)["state"][0]}


def sign_in(browser: Gateway, peer: OpenIdProvider) -> Response:
    return browser.post(FINISH, begin(browser, peer))


def register(browser: Gateway, peer: OpenIdProvider, **fields: str) -> Response:
    token = sign_in(browser, peer).json["token"]
    body = {"provider": "GENERIC", "providerToken": token, "company": "Engines", **fields}
    return browser.post("/auth/register", body)


def log_in(browser: Gateway) -> Response:
    return browser.post("/auth/login", {"email": EMAIL, "password": PASSWORD})


def owners(session: DbSession) -> list[Any]:
    return list(session.scalars(text("select user_id from logins")))


class TestRegister:
    def test_address_that_the_provider_vouches_for_is_proven(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        found = sign_in(browser, peer).json
        assert set(found) == {"token", "email", "name"}
        assert (found["email"], found["name"]) == (EMAIL, "Ada Lovelace")
        body = {"provider": "GENERIC", "providerToken": found["token"], "company": "Engines"}
        answer = browser.post("/auth/register", body)
        assert (answer.status, answer.json) == (200, {"register": True})
        assert "oauth_state" not in browser.cookies
        own = browser.get("/user/self").json
        assert (own["email"], own["name"], own["orgName"]) == (EMAIL, "Ada Lovelace", "Engines")
        again = Gateway(app)
        assert sign_in(again, peer).json == {"login": True}
        assert again.get("/user/self").json["id"] == own["id"]
        assert browser.get("/user/sessions").json["sessions"][0]["methods"] == ["generic"]

    def test_other_address_is_proven_by_a_mail_which_adds_the_login(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        peer.claims["email_verified"] = False
        assert "email" not in sign_in(browser, peer).json
        assert register(browser, peer).json == {"activate": True}
        assert owners(session) == []
        assert "token" in sign_in(Gateway(app), peer).json
        code = re.search(r"code=([\w-]+)", sent_mails()[-1].body)
        assert code
        assert browser.post("/auth/activate", {"code": code[1]}).json == {"can": True}
        assert sign_in(Gateway(app), peer).json == {"login": True}
        assert log_in(Gateway(app)).status == 401

    def test_provider_without_an_address_needs_one(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        peer.claims |= {"email": None, "email_verified": None}
        answer = register(browser, peer)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "email")
        answer = register(browser, peer, email="bob@example.com")
        assert answer.json == {"activate": True}
        assert sent_mails()[-1].to == ("bob@example.com",)

    @pytest.mark.parametrize(("refuses", "status"), [("true", 422), ("false", 200)])
    def test_plus_is_refused_only_where_it_is_not_wanted(
        self,
        browser: Gateway,
        peer: OpenIdProvider,
        configure: Configure,
        refuses: str,
        status: int,
    ) -> None:
        configure(DISALLOW_PLUS=refuses)
        assert register(browser, peer, email="bob+a@example.com").status == status

    def test_address_other_than_the_vouched_one_is_not_proven(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        assert register(browser, peer, email="bob@example.com").json == {"activate": True}
        assert (
            session.scalar(text("select count(*) from users where activated_at is not null")) == 0
        )

    def test_unproven_known_address_answers_as_an_unknown_one(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        peer.claims |= {"email": None, "email_verified": None}
        assert register(browser, peer, email=EMAIL).json == {"activate": True}
        assert sent_mails()[-1].subject == "You already have an account"
        assert owners(session) == []

    def test_token_works_once_and_in_its_own_browser(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        token = sign_in(browser, peer).json["token"]
        body = {"provider": "GENERIC", "providerToken": token, "company": "Engines"}
        for other in (Gateway(app), Gateway(app, cookies={"oauth_state": "x"})):
            answer = other.post("/auth/register", body)
            assert answer.json["errors"][0]["path"] == "providerToken"
        assert browser.post("/auth/register", {**body, "provider": "GITHUB"}).status == 422
        kept = dict(browser.cookies)
        assert browser.post("/auth/register", body).status == 200
        assert Gateway(app, cookies=kept).post("/auth/register", body).status == 422
        assert session.scalar(text("select count(*) from users")) == 1

    def test_operators_own_provider_registers_where_it_is_closed(
        self, browser: Gateway, peer: OpenIdProvider, ada: User, configure: Configure
    ) -> None:
        configure(DISABLE_REGISTRATION="true")
        peer.claims["email"] = "bob@example.com"
        assert register(browser, peer).json == {"register": True}

    @pytest.mark.parametrize("missing", ["email", "password"])
    def test_password_registration_needs_both(self, browser: Gateway, missing: str) -> None:
        body = {"email": EMAIL, "password": "correct horse", "company": "Engines"}
        del body[missing]
        answer = browser.post("/auth/register", body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, missing)


class TestKnownAddress:
    def test_owner_confirms_by_signing_in_in_the_same_browser(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        assert sign_in(browser, peer).json == {"confirm": ["password"]}
        assert set(browser.cookies) == {"linking"}
        assert browser.get("/user/self").status == 401
        assert owners(session) == []
        assert log_in(browser).json == {"login": True, "linked": True}
        assert "linking" not in browser.cookies
        assert owners(session) == [ada.id]
        assert sent_mails()[-1].subject == "A way to sign in was added"
        assert sign_in(Gateway(app), peer).json == {"login": True}

    def test_another_browser_links_nothing(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        sign_in(browser, peer)
        assert log_in(Gateway(app)).json == {"login": True}
        assert owners(session) == []

    def test_another_person_links_nothing(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        sign_in(browser, peer)
        other = a_user(session)
        answer = browser.post("/auth/login", {"email": other.email, "password": PASSWORD})
        assert answer.json == {"login": True}
        assert owners(session) == []

    def test_it_waits_for_ten_minutes(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        sign_in(browser, peer)
        session.execute(text("update challenges set expires_at = now() where kind = 'link'"))
        assert log_in(browser).json == {"login": True}
        assert owners(session) == []

    def test_address_that_nobody_vouches_for_reaches_no_account(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        peer.claims["email_verified"] = False
        assert set(sign_in(browser, peer).json) == {"token", "name"}

    def test_account_never_activated_goes_to_who_proves_its_address(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        stranger = {"email": EMAIL, "password": "granite teapot lantern", "company": "Stranger"}
        Gateway(app).post("/auth/register", stranger)
        code = re.search(r"code=([\w-]+)", sent_mails()[-1].body)
        assert sign_in(browser, peer).json == {"login": True}
        assert browser.get("/user/self").json["email"] == EMAIL
        body = {"email": EMAIL, "password": stranger["password"]}
        assert Gateway(app).post("/auth/login", body).status == 401
        assert code
        assert Gateway(app).post("/auth/activate", {"code": code[1]}).status == 422


class TestState:
    def test_is_bound_to_the_browser(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        """Otherwise somebody is signed in to another's account by a link."""
        back = begin(browser, peer)
        for other in (Gateway(app), Gateway(app, cookies={"oauth_state": "GENERIC.other"})):
            for answer in (
                other.post(FINISH, back),
                other.get(CALLBACK, query=back, headers=BACK),
            ):
                assert answer.status == 403
        assert browser.post(FINISH, back).json == {"confirm": ["password"]}

    def test_other_than_the_browsers_own_is_refused(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        """Otherwise a link with somebody else's code signs the browser in to their account."""
        back = begin(browser, peer)
        for state in (f"{back['state']}x", "GENERIC.other"):
            assert browser.post(FINISH, {**back, "state": state}).status == 403
            assert browser.get(CALLBACK, query={**back, "state": state}, headers=BACK).status == 403
        assert "token" in browser.post(FINISH, back).json

    def test_works_once(self, browser: Gateway, peer: OpenIdProvider) -> None:
        back = begin(browser, peer)
        kept = dict(browser.cookies)
        assert "token" in browser.post(FINISH, back).json
        answer = Gateway(app, cookies=kept).post(FINISH, back)
        assert (answer.status, answer.json["code"]) == (403, "login_not_started")

    def test_ends_after_ten_minutes(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        back = begin(browser, peer)
        session.execute(text("update challenges set expires_at = now()"))
        assert browser.post(FINISH, back).json["code"] == "login_not_started"

    def test_counts_the_time_since_it_began(self, browser: Gateway, peer: OpenIdProvider) -> None:
        back = begin(browser, peer)
        with time_machine.travel(clock.now() + timedelta(minutes=11), tick=False):
            assert browser.post(FINISH, back).json["code"] == "login_too_old"

    def test_is_of_one_provider(self, browser: Gateway, peer: OpenIdProvider) -> None:
        back = begin(browser, peer)
        assert back["state"].startswith("GENERIC.")
        answer = browser.post("/auth/oauth/WALLET/exists", back)
        assert answer.json["code"] == "login_not_started"

    def test_is_that_of_the_cookie_where_none_is_sent(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        back = begin(browser, peer)
        assert "token" in browser.post(FINISH, {"code": back["code"]}).json

    def test_foreign_redirect_address_is_refused(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        back = begin(browser, peer)
        evil = browser.post(FINISH, {**back, "redirect_uri": "x", "redirectUri": "x"})
        assert evil.status in {403, 422}
        ours = f"http://127.0.0.1:3000{CALLBACK}"
        assert "token" in browser.post(FINISH, {**back, "redirectUri": ours}).json

    def test_answer_that_proves_nobody_is_refused(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        peer.sign_with_a_strangers_key()
        answer = sign_in(browser, peer)
        assert (answer.status, answer.json["code"]) == (401, "login_not_proven")

    def test_unknown_provider_is_not_offered(self, browser: Gateway) -> None:
        for name in ("APPLE", "LOCAL", "nobody"):
            answer = browser.get(f"/auth/oauth/{name}")
            assert (answer.status, answer.json["code"]) == (404, "login_not_offered"), name

    def test_another_site_begins_nothing(self, browser: Gateway) -> None:
        answer = browser.get("/auth/oauth/GENERIC", headers={"sec-fetch-site": "cross-site"})
        assert (answer.status, answer.json["code"]) == (403, "origin_refused")


class TestCallback:
    def test_signs_in_without_a_console(
        self, session: DbSession, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        register(browser, peer)
        again = Gateway(app)
        back = begin(again, peer, returnTo="/device?code=A")
        shown = again.get(CALLBACK, query=back, headers=BACK)
        assert shown.status == 200
        assert "You are signed in" in shown.text
        assert 'href="/device?code=A"' in shown.text
        assert again.get("/user/self").status == 200

    def test_who_says_no_reads_so_with_a_way_back(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        state = begin(browser, peer)["state"]
        query = {"error": "access_denied", "state": state}
        shown = browser.get(CALLBACK, query=query, headers=BACK)
        assert shown.status == 403
        assert "You did not allow Roost to sign you in with Example ID" in shown.text
        assert 'href="/auth/login"' in shown.text

    def test_registration_is_finished_on_its_page(
        self, browser: Gateway, peer: OpenIdProvider
    ) -> None:
        peer.claims["name"] = "<script>alert(1)</script>"
        shown = browser.get(CALLBACK, query=begin(browser, peer), headers=BACK)
        assert "<script>alert" not in shown.text
        assert 'name="email"' not in shown.text
        token = re.search(r'data-token="([\w-]+)"', shown.text)
        assert token
        body = {"provider": "GENERIC", "providerToken": token[1], "company": "Engines"}
        assert browser.post("/auth/register", body).json == {"register": True}

    def test_owner_of_the_address_is_asked_to_sign_in(
        self, browser: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        shown = browser.get(CALLBACK, query=begin(browser, peer), headers=BACK)
        assert "You already have an account" in shown.text
        assert 'type="password"' in shown.text
        assert log_in(browser).json == {"login": True, "linked": True}

    def test_prefetch_does_nothing(self, browser: Gateway, peer: OpenIdProvider) -> None:
        back = begin(browser, peer)
        refused = browser.get(CALLBACK, query=back, headers={**BACK, "sec-purpose": "prefetch"})
        assert refused.status == 403
        framed = {**BACK, "sec-fetch-dest": "iframe"}
        assert browser.get(CALLBACK, query=back, headers=framed).status == 403
        assert browser.get(CALLBACK, query=back, headers=BACK).status == 200

    def test_sign_in_page_offers_what_there_is(self, browser: Gateway) -> None:
        shown = browser.get("/auth/login", query={"returnTo": '/device"><script>'})
        assert 'data-provider="GENERIC">Sign in with Example ID' in shown.text
        assert "<script>" not in shown.text.split("</main>")[0]
        names = [one["provider"] for one in browser.get("/auth/oauth").json]
        assert names[0] == "GENERIC"

    @pytest.mark.parametrize(
        "foreign",
        ["//evil.example", "/\\evil.example", "https://evil.example", "", "javascript:x", "/a\nb"],
    )
    def test_nobody_is_sent_elsewhere(self, foreign: str) -> None:
        assert own_path(foreign) == "/"


class TestOwnLogins:
    @pytest.fixture
    def home(self, browser: Gateway, ada: User) -> Gateway:
        log_in(browser)
        return browser

    def link(self, home: Gateway, peer: OpenIdProvider) -> Response:
        started = home.post("/user/logins", {"provider": "GENERIC"})
        assert started.status == 200, started.text
        return home.post(FINISH, agree(peer, started.json["url"]))

    def test_is_added_listed_used_and_removed(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        assert home.get("/user/logins").json == {"password": True, "logins": []}
        peer.claims["email"] = "other@example.com"
        assert self.link(home, peer).json == {"linked": True}
        (login,) = home.get("/user/logins").json["logins"]
        assert (login["provider"], login["email"]) == ("GENERIC", "other@example.com")
        there = Gateway(app)
        assert sign_in(there, peer).json == {"login": True}
        assert there.get("/user/self").json["id"] == str(ada.id)
        removed = home.delete(f"/user/logins/{login['id']}")
        assert removed.json == {"id": login["id"], "ended": 1}
        assert there.get("/user/self").status == 401
        assert "token" in sign_in(there, peer).json
        subjects = [mail.subject for mail in sent_mails()]
        assert {"A way to sign in was added", "A way to sign in was removed"} <= set(subjects)

    def test_last_way_in_stays(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider
    ) -> None:
        self.link(home, peer)
        session.execute(text("update users set password_hash = null"))
        (login,) = home.get("/user/logins").json["logins"]
        answer = home.delete(f"/user/logins/{login['id']}")
        assert (answer.status, answer.json["code"]) == (409, "last_way_in")
        assert len(home.get("/user/logins").json["logins"]) == 1

    def test_login_of_another_account_is_refused(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider, ada: User
    ) -> None:
        peer.claims["email"] = "bob@example.com"
        register(Gateway(app), peer)
        answer = self.link(home, peer)
        assert (answer.status, answer.json["code"]) == (409, "login_taken")
        assert owners(session) != [ada.id]

    def test_session_that_has_ended_links_nothing(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider
    ) -> None:
        url = home.post("/user/logins", {"provider": "GENERIC"}).json["url"]
        session.execute(text("update sessions set revoked_at = now()"))
        answer = home.post(FINISH, agree(peer, url))
        assert (answer.status, answer.json["code"]) == (401, "session_over")
        assert owners(session) == []

    def test_wants_a_recent_proof(self, session: DbSession, home: Gateway) -> None:
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        answer = home.post("/user/logins", {"provider": "GENERIC"})
        assert answer.json["code"] == "fresh_login_needed"

    def test_identity_is_confirmed_by_a_login_of_the_account(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider
    ) -> None:
        self.link(home, peer)
        session.execute(text("update users set password_hash = null"))
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        refused = home.post("/user/api-key", {})
        assert refused.json["methods"] == ["generic"]
        started = home.post("/user/confirm", {"provider": "GENERIC"}).json
        assert set(started) == {"url"}
        assert home.post(FINISH, agree(peer, started["url"])).json == {"confirmed": True}
        assert home.post("/user/api-key", {}).status == 201

    def test_login_of_somebody_else_confirms_nothing(
        self, session: DbSession, home: Gateway, peer: OpenIdProvider
    ) -> None:
        self.link(home, peer)
        url = home.post("/user/confirm", {"provider": "GENERIC"}).json["url"]
        peer.claims["sub"] = "somebody else"
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        peer.claims["sub"] = "somebody-else"
        answer = home.post(FINISH, agree(peer, url))
        assert (answer.status, answer.json["code"]) == (403, "login_of_another")
        assert home.post("/user/api-key", {}).json["code"] == "fresh_login_needed"
