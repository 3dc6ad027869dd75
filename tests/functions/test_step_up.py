"""Does what changes how somebody comes in, or what may act for them, want a recent proof of who they are?"""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.identity.models import Factor, FactorKind, User
from shared.identity.passwords import is_password
from shared.identity.sessions import hold_session
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, in_place_of, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

KEYS = "/user/api-key"


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def browser(session: DbSession, member: Member) -> Gateway:
    """A browser that signed in an hour ago."""
    browser = Gateway(app)
    body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
    assert browser.post("/auth/login", body).status == 200
    grow_old(session)
    return browser


def grow_old(session: DbSession, by: str = "1 hour") -> None:
    session.execute(
        text("update sessions set authenticated_at = now() - cast(:by as interval)"), {"by": by}
    )


class TestConfirm:
    def test_opens_what_was_closed_for_ten_minutes(
        self, session: DbSession, browser: Gateway
    ) -> None:
        refused = browser.post(KEYS, {})
        assert (refused.status, refused.json["code"]) == (403, "fresh_login_needed")
        assert refused.json["methods"] == ["password"]
        assert browser.post("/user/confirm", {"password": PASSWORD}).json == {"confirmed": True}
        assert browser.post(KEYS, {}).status == 201
        grow_old(session, "10 minutes")
        assert browser.post(KEYS, {}).json["code"] == "fresh_login_needed"

    def test_the_old_tokens_end(self, browser: Gateway) -> None:
        copy = Gateway(app, cookies=dict(browser.cookies))
        browser.post("/user/confirm", {"password": PASSWORD})
        assert copy.get("/user/self").json["code"] == "session_over"
        assert copy.post("/auth/renew").status == 401
        assert browser.get("/user/self").status == 200
        assert browser.post("/auth/renew").status == 200
        assert len(browser.get("/user/sessions").json["sessions"]) == 1

    def test_it_is_the_same_session_still(self, session: DbSession, browser: Gateway) -> None:
        """Neither its beginning nor its longest life moves."""
        session.execute(
            text(
                "update sessions set created_at = now() - interval '80 days', ends_at = now() + interval '10 days'"
            )
        )
        (before,) = browser.get("/user/sessions").json["sessions"]
        browser.post("/user/confirm", {"password": PASSWORD})
        (after,) = browser.get("/user/sessions").json["sessions"]
        assert after["id"] != before["id"]
        assert (after["createdAt"], after["endsAt"]) == (before["createdAt"], before["endsAt"])
        assert after["expiresAt"] == before["endsAt"]

    def test_wrong_password_is_refused_and_counted(
        self, session: DbSession, browser: Gateway
    ) -> None:
        answer = browser.post("/user/confirm", {"password": "wrong"})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "wrong_password")
        assert (
            session.scalar(text("select count from password_guesses where key like 'session:%'"))
            == 1
        )
        assert browser.post(KEYS, {}).json["code"] == "fresh_login_needed"

    def test_password_does_not_replace_a_second_factor(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        factor = Factor(user_id=member.user_id, kind=FactorKind.TOTP, name="Phone")
        session.add(factor)
        session.flush()
        assert browser.post("/user/confirm", {"password": PASSWORD}).status == 200
        session.execute(text("update factors set confirmed_at = now()"))
        for path, body in ((KEYS, {}), ("/user/confirm", {"password": PASSWORD})):
            answer = browser.post(path, body)
            assert (answer.status, answer.json["code"]) == (403, "fresh_login_needed"), path
            assert answer.json["methods"] == ["totp"]

    def test_account_without_a_password_is_told_its_methods(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        session.execute(text("update users set password_hash = null"))
        session.execute(
            text(
                "insert into logins (id, user_id, provider, issuer, subject)"
                " values (gen_random_uuid(), :user, 'google', 'i', 's'), (gen_random_uuid(), :user, 'github', 'i', 's')"
            ),
            {"user": member.user_id},
        )
        for path, body in ((KEYS, {}), ("/user/confirm", {"password": PASSWORD})):
            answer = browser.post(path, body)
            assert answer.json["methods"] == ["github", "google"], path

    def test_role_is_told_first(self, session: DbSession, browser: Gateway) -> None:
        """Confirming would open nothing."""
        session.execute(text("update members set role = 'viewer'"))
        assert browser.post(KEYS, {}).json["code"] == "role_too_low"

    def test_costs_one_statement_more_only_where_it_is_refused(
        self, session: DbSession, browser: Gateway
    ) -> None:
        with count_statements() as refused:
            browser.post(KEYS, {})
        assert refused.statements == 2
        with count_statements() as confirmed:
            browser.post("/user/confirm", {"password": PASSWORD})
        assert confirmed.statements == 4  # caller, guess, session, what was guessed

    def test_super_admin_does_none_of_it_in_another_place(
        self, session: DbSession, member: Member
    ) -> None:
        browser = in_place_of(app, session, member)
        for method, path in (
            ("POST", KEYS),
            ("POST", "/user/confirm"),
            ("DELETE", "/user/sessions"),
        ):
            sent = {"password": PASSWORD} if path == "/user/confirm" else None
            answer = browser.call(method, path, sent)
            assert (answer.status, answer.json["code"]) == (403, "not_in_their_place"), path


class TestHeldSession:
    def test_session_that_has_just_ended_makes_nothing(
        self, session: DbSession, browser: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the statement that lets a request in and its transaction, somebody may have reset the password."""
        browser.post("/user/confirm", {"password": PASSWORD})

        def after_the_end(*given: Any) -> None:
            session.execute(text("update sessions set revoked_at = now()"))
            hold_session(*given)

        monkeypatch.setattr("shared.web.deps.hold_session", after_the_end)
        answer = browser.post(KEYS, {})
        assert (answer.status, answer.json["code"]) == (401, "session_over")
        assert session.scalar(text("select count(*) from api_keys")) == 0


class TestSessions:
    def test_list_names_device_method_and_place(self, session: DbSession, member: Member) -> None:
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
        browser = Gateway(app, headers={"user-agent": agent}, address="198.51.100.9")
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        browser.post("/auth/login", body)
        (shown,) = browser.get("/user/sessions").json["sessions"]
        assert (shown["device"], shown["methods"]) == ("Firefox on Linux", ["password"])
        assert (shown["ip"], shown["country"]) == ("198.51.100.9", None)

    @pytest.mark.parametrize(
        ("proxies", "header", "country"),
        [("1", "FR", "FR"), ("0", "FR", None), ("1", "fr; drop", None), ("1", "", None)],
    )
    def test_country_is_told_by_a_trusted_proxy_alone(
        self,
        browser: Gateway,
        configure: Configure,
        proxies: str,
        header: str,
        country: str | None,
    ) -> None:
        configure(TRUSTED_PROXIES=proxies)
        browser.post("/auth/renew", headers={"cloudfront-viewer-country": header})
        (shown,) = browser.get("/user/sessions").json["sessions"]
        assert shown["country"] == country

    def test_place_is_that_of_the_last_renewal(self, browser: Gateway) -> None:
        browser.address = "198.51.100.77"
        browser.post("/auth/renew")
        assert browser.get("/user/sessions").json["sessions"][0]["ip"] == "198.51.100.77"

    def test_all_others_end_at_once(self, session: DbSession, member: Member) -> None:
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        browsers = [Gateway(app) for _ in range(3)]
        for one in browsers:
            one.post("/auth/login", body)
        assert browsers[0].delete("/user/sessions").json == {"ended": 2}
        assert [one.get("/user/self").status for one in browsers] == [200, 401, 401]

    def test_renewing_does_not_go_beyond_the_longest_life(
        self, session: DbSession, browser: Gateway
    ) -> None:
        (shown,) = browser.get("/user/sessions").json["sessions"]
        assert shown["createdAt"] < shown["expiresAt"] < shown["endsAt"]
        session.execute(text("update sessions set ends_at = now() + interval '5 minutes'"))
        assert browser.post("/auth/renew").status == 200
        (shown,) = browser.get("/user/sessions").json["sessions"]
        assert shown["expiresAt"] == shown["endsAt"]
        session.execute(text("update sessions set ends_at = now()"))
        assert browser.post("/auth/renew").status == 401

    def test_session_lasts_ninety_days(self, session: DbSession, browser: Gateway) -> None:
        assert session.scalar(
            text(
                "select ends_at = now() + interval '90 days' from sessions where revoked_at is null"
            )
        )

    def test_longest_unused_session_makes_place(
        self, session: DbSession, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.identity.sessions.MOST_SESSIONS", 2)
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        browsers = [Gateway(app) for _ in range(3)]
        for minutes, one in zip((20, 30, 10), browsers, strict=True):
            one.post("/auth/login", body)
            session.execute(
                text(
                    "update sessions set last_used_at = now() - make_interval(mins => :ago) where last_used_at = now()"
                ),
                {"ago": minutes},
            )
        assert [one.get("/user/self").status for one in browsers] == [200, 401, 200]

    def test_password_that_was_changed_meanwhile_opens_nothing(
        self, session: DbSession, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Checking a password takes a tenth of a second, in which somebody may reset it."""

        def change_meanwhile(password: str, password_hash: str | None) -> bool:
            right = is_password(password, password_hash)
            session.execute(text("update users set password_hash = 'another'"))
            return right

        monkeypatch.setattr("shared.identity.sessions.is_password", change_meanwhile)
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        answer = Gateway(app).post("/auth/login", body)
        assert (answer.status, answer.json["code"]) == (401, "login_refused")
        assert session.scalar(text("select count(*) from sessions")) == 0

    def test_login_costs_four_statements(self, session: DbSession, member: Member) -> None:
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        with count_statements() as cost:
            Gateway(app).post("/auth/login", body)
        assert cost.statements == 4  # rate, guess, session, what was guessed


class TestNewDevice:
    def test_sign_in_from_a_device_never_seen_is_mailed(
        self, session: DbSession, member: Member
    ) -> None:
        email = session.get_one(User, member.user_id).email
        body = {"email": email, "password": PASSWORD}
        first = Gateway(app)
        first.post("/auth/login", body)
        first.post("/auth/login", body)
        assert sent_mails() == []
        agent = {"user-agent": "curl/8.5.0"}
        Gateway(app, headers=agent, address="198.51.100.9").post("/auth/login", body)
        (told,) = sent_mails()
        assert (told.to, told.subject) == ((email,), "New sign-in to your account")
        assert "Device: curl" in told.body
        assert "198.51.100.9" in told.body

    def test_account_of_before_devices_were_known_is_told(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        session.execute(text("delete from devices"))
        body = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
        Gateway(app).post("/auth/login", body)
        assert len(sent_mails()) == 1
