"""Whether people come in, stay in, are told apart, and are let out."""

import io
import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.channels.models import Customer
from shared.core import clock
from shared.core.config import settings
from shared.core.ids import new_id
from shared.identity.models import Session, User
from shared.identity.pauses import ALL_NETWORKS
from shared.organizations.models import ApiKey, Member, Organization, Role
from tests.builders import PASSWORD, a_customer, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_grant, by_key, put_app_secret, put_peppers
from tests.mails import make_mails_queue, queued_mails, send, sent_mails, verify_sender

ACCOUNT = {
    "provider": "LOCAL",
    "email": "Ada@Example.org",
    "password": "correct horse",
    "company": "Analytical Engines",
}
NEW_PASSWORD = "seven owls at noon"
LOGIN = {"provider": "LOCAL", "email": "ada@example.org", "password": "correct horse"}


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def browser(session: DbSession) -> Gateway:
    return Gateway(app)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session))


def mailed_code(name: str) -> str:
    found = re.search(rf"{name}=([\w-]+)", sent_mails()[-1].body)
    assert found
    return found[1]


def log_in(session: DbSession, browser: Gateway) -> User:
    user = a_user(session)
    a_member(session, an_organization(session), user)
    answer = browser.post("/auth/login", {"email": user.email, "password": PASSWORD})
    assert answer.json == {"login": True}
    return user


class TestRegister:
    def test_account_waits_for_the_mailed_link(self, browser: Gateway) -> None:
        answer = browser.post("/auth/register", ACCOUNT)
        assert (answer.status, answer.json) == (200, {"activate": True})
        assert answer.headers["activate"] == "true"
        assert not any(answer.cookies.values())
        assert browser.post("/auth/login", LOGIN).json["code"] == "not_activated"
        assert browser.post("/auth/activate", {"code": mailed_code("code")}).json == {"can": True}
        own = browser.get("/user/self").json
        assert (own["email"], own["role"]) == ("ada@example.org", "SUPERADMIN")
        assert own["orgName"] == "Analytical Engines"

    def test_a_mail_that_cannot_be_queued_is_told_and_counted(
        self, browser: Gateway, configure: Configure, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Finding 7.9: a refused mail was answered 200 and only logged, so nobody knew why no link came."""
        works = settings().mails_queue_url
        configure(MAILS_QUEUE_URL=f"{works}-gone")
        for _ in range(2):  # the second time, the address has an account
            answer = browser.post("/auth/register", ACCOUNT)
            assert (answer.status, answer.json["code"]) == (503, "activation_not_sent")
        assert capsys.readouterr().out.count('"AfterCommitFailures":1}') == 2
        for path in ("/auth/forgot", "/auth/resend-activation"):
            answer = browser.post(path, {"email": ACCOUNT["email"]})
            assert (answer.status, answer.json["code"]) == (503, "mail_not_queued")
        configure(MAILS_QUEUE_URL=works)
        browser.post("/auth/register", ACCOUNT)
        assert browser.post("/auth/activate", {"code": mailed_code("code")}).status == 200

    def test_without_mails_the_browser_is_signed_in_at_once(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        answer = browser.post("/auth/register", ACCOUNT)
        assert answer.json == {"register": True}
        assert answer.headers["onboarding"] == "true"
        assert browser.get("/user/self").status == 200

    def test_every_account_has_an_organization_of_its_own(
        self, browser: Gateway, session: DbSession, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        first, second = Gateway(app), Gateway(app)
        first.post("/auth/register", ACCOUNT)
        second.post("/auth/register", {**ACCOUNT, "email": "b@example.org"})
        assert first.get("/user/self").json["orgId"] != second.get("/user/self").json["orgId"]

    def test_an_address_that_no_mail_can_reach_is_refused(self, browser: Gateway) -> None:
        """It registered, and the mail that activates it never came."""
        answer = browser.post("/auth/register", {**ACCOUNT, "email": "jürgen@example.org"})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "email")
        assert "Use another address" in answer.json["errors"][0]["message"]

    def test_address_can_register_once_whatever_its_case(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        browser.post("/auth/register", ACCOUNT)
        answer = browser.post("/auth/register", {**ACCOUNT, "email": "ADA@example.org"})
        assert (answer.status, answer.json["code"]) == (409, "email_taken")
        [problem] = answer.json["errors"]
        assert (problem["path"], problem["code"]) == ("email", "email_taken")

    def test_request_does_the_same_for_every_address(
        self, browser: Gateway, session: DbSession
    ) -> None:
        """The answer, its headers, its statements and its messages told whether an address has an account."""
        waiting = a_user(session, activated_at=None)
        known = a_user(session)
        done = []
        for email in ("new@example.org", waiting.email, known.email):
            with count_statements() as cost:
                answer = Gateway(app).post("/auth/register", {**ACCOUNT, "email": email})
            (body,) = queued_mails()
            assert body["email"] == email
            trips = [re.sub(r"\d+$", "", trip) for trip in cost.trips]  # the numbers of savepoints
            shown = answer.status, answer.json, answer.cookies, answer.headers.keys()
            done.append((shown, trips, body.keys()))
        assert done[0] == done[1] == done[2]
        assert done[0][0][:2] == (200, {"activate": True})
        assert session.scalars(select(Organization.name)).all() == [ACCOUNT["company"]]
        Gateway(app).post("/auth/register", {**ACCOUNT, "email": known.email})
        (told,) = sent_mails()
        assert (told.to, told.subject) == ((known.email,), "You already have an account")

    def test_message_of_a_registration_lets_nobody_in(self, browser: Gateway) -> None:
        browser.post("/auth/register", ACCOUNT)
        (body,) = queued_mails()
        assert "password" not in json.dumps(body)
        refused = browser.post("/auth/activate", {"code": body["registration"]})
        assert (refused.status, refused.json["errors"][0]["code"]) == (422, "code_refused")
        assert send(body)
        assert browser.post("/auth/activate", {"code": mailed_code("code")}).status == 200

    def test_known_account_is_not_touched(self, browser: Gateway, session: DbSession) -> None:
        user = log_in(session, browser)
        Gateway(app).post("/auth/register", {**ACCOUNT, "email": user.email})
        assert browser.get("/user/self").json["orgName"] == "Roost Ltd"
        body = {"email": user.email, "password": PASSWORD}
        assert Gateway(app).post("/auth/login", body).json == {"login": True}

    def test_closed_server_takes_only_the_first(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(DISABLE_REGISTRATION="true")
        assert browser.get("/auth/can-register").json == {"register": True}
        browser.post("/auth/register", ACCOUNT)
        assert browser.get("/auth/can-register").json == {"register": False}
        answer = browser.post("/auth/register", {**ACCOUNT, "email": "b@example.org"})
        assert (answer.status, answer.json["code"]) == (403, "registration_closed")

    def test_plus_is_refused_where_it_is_not_wanted(
        self, browser: Gateway, configure: Configure
    ) -> None:
        assert browser.post("/auth/register", {**ACCOUNT, "email": "a+c@example.org"}).status == 200
        configure(DISALLOW_PLUS="true")
        answer = browser.post("/auth/register", {**ACCOUNT, "email": "a+b@example.org"})
        assert answer.status == 422
        assert answer.json["errors"][0]["path"] == "email"

    @pytest.mark.parametrize(
        ("change", "path", "code"),
        [
            ({"provider": "APPLE"}, "provider", "literal_error"),
            ({"password": "short"}, "password", "too_short"),
            ({"password": "x" * 257}, "password", "too_long"),
            ({"password": "password"}, "password", "common_password"),
            ({"password": "analytical engines!"}, "password", "personal_password"),
            ({"password": "a password"}, "password", "guessable_password"),
            ({"email": "nobody"}, "email", "invalid"),
            ({"company": "ab"}, "company", "too_short"),
            ({"timezone": "Mars/Olympus"}, "timezone", "unknown_timezone"),
        ],
    )
    def test_refused_field_is_named(
        self, browser: Gateway, change: dict[str, Any], path: str, code: str
    ) -> None:
        answer = browser.post("/auth/register", {**ACCOUNT, **change})
        assert answer.status == 422
        assert [(each["path"], each["code"]) for each in answer.json["errors"]] == [(path, code)]

    def test_costs_five_statements(self, browser: Gateway) -> None:
        with count_statements() as cost:
            browser.post("/auth/register", ACCOUNT)
        assert cost.statements == 5  # rate, user, organization with member, audit log, code


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
LINKS = [("/auth/activate", "code"), ("/auth/forgot-return", "token")]


class TestDamagedLink:
    @pytest.mark.parametrize(("path", "name"), LINKS)
    @pytest.mark.parametrize("value", [None, "", "x" * 201])
    def test_browser_is_told_what_to_do(
        self, browser: Gateway, path: str, name: str, value: str | None
    ) -> None:
        query = {} if value is None else {name: value}
        answer = browser.get(path, query=query, headers={"accept": BROWSER})
        assert (answer.status, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
        assert "This link cannot be used" in answer.text
        assert "Open the complete link" in answer.text
        assert "is required" not in answer.text  # that is for programs
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]

    @pytest.mark.parametrize(("path", "name"), LINKS)
    @pytest.mark.parametrize(
        "accept", ["*/*", "application/json", "application/json, text/html;q=0.5", "text/html;q=x"]
    )
    def test_program_is_told_as_ever(
        self, browser: Gateway, path: str, name: str, accept: str
    ) -> None:
        answer = browser.get(path, headers={"accept": accept})
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
        [problem] = answer.json["errors"]
        assert (problem["path"], problem["code"]) == (name, "missing")
        assert "Open the complete link" in problem["message"]

    def test_who_opens_links_too_often_is_told_on_a_page(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(RATE_LIMITS='{"sign_in": 2}')
        ask = {"query": {"code": "x"}, "headers": {"accept": BROWSER}}
        answers = [browser.get("/auth/activate", **ask) for _ in range(3)]
        assert (answers[-1].status, "Please wait a moment" in answers[-1].text) == (429, True)
        assert int(answers[-1].headers["retry-after"]) > 0

    def test_other_routes_answer_browsers_as_programs(self, browser: Gateway) -> None:
        answer = browser.post("/auth/activate", {}, headers={"accept": BROWSER})
        assert answer.headers["content-type"] == "application/problem+json"


class TestActivate:
    def test_link_answers_a_page_whose_button_works_once(self, browser: Gateway) -> None:
        """Finding 2.1: opening the link activated, so that a scanner of mails or a prefetch did."""
        browser.post("/auth/register", ACCOUNT)
        code = mailed_code("code")
        for _ in range(2):
            shown = browser.get("/auth/activate", query={"code": code})
            assert (shown.status, shown.headers["content-type"]) == (
                200,
                "text/html; charset=utf-8",
            )
            assert f'data-code="{code}"' in shown.text
        assert browser.post("/auth/login", LOGIN).json["code"] == "not_activated"
        assert browser.post("/auth/activate", {"code": code}).json == {"can": True}
        assert Gateway(app).post("/auth/login", LOGIN).json == {"login": True}
        again = Gateway(app).post("/auth/activate", {"code": code})
        assert (again.status, again.json["errors"][0]["code"]) == (422, "code_refused")

    def test_code_ends_after_a_day(self, browser: Gateway, session: DbSession) -> None:
        browser.post("/auth/register", ACCOUNT)
        code = mailed_code("code")
        session.execute(text("update challenges set expires_at = now()"))
        answer = browser.post("/auth/activate", {"code": code})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "code_refused")

    def test_code_for_a_password_does_not_activate(
        self, browser: Gateway, session: DbSession
    ) -> None:
        user = a_user(session)
        browser.post("/auth/forgot", {"email": user.email})
        assert browser.post("/auth/activate", {"code": mailed_code("token")}).status == 422

    def test_each_link_brings_its_own_registration(self, browser: Gateway) -> None:
        """A stranger who registers first gets neither a password nor a name into the account of the address's owner."""
        stranger = {**ACCOUNT, "password": "the stranger's", "company": "Stranger & Co"}
        Gateway(app).post("/auth/register", stranger)
        of_stranger = mailed_code("code")
        browser.post("/auth/register", ACCOUNT)
        assert browser.post("/auth/activate", {"code": mailed_code("code")}).json == {"can": True}
        assert browser.get("/user/self").json["orgName"] == "Analytical Engines"
        assert Gateway(app).post("/auth/login", LOGIN).json == {"login": True}
        theirs = {**LOGIN, "password": stranger["password"]}
        assert Gateway(app).post("/auth/login", theirs).status == 401
        late = Gateway(app).post("/auth/activate", {"code": of_stranger})
        assert late.json["errors"][0]["code"] == "code_refused"
        assert Gateway(app).post("/auth/login", LOGIN).json == {"login": True}

    def test_code_that_was_mailed_before_keeps_the_password(
        self, browser: Gateway, session: DbSession
    ) -> None:
        """The migration copied it without a registration."""
        browser.post("/auth/register", ACCOUNT)
        session.execute(text("update challenges set remember = '{}'"))
        assert browser.post("/auth/activate", {"code": mailed_code("code")}).json == {"can": True}
        assert Gateway(app).post("/auth/login", LOGIN).json == {"login": True}

    def test_no_more_than_five_mails_an_hour(self, browser: Gateway, session: DbSession) -> None:
        for _ in range(6):
            assert browser.post("/auth/register", ACCOUNT).json == {"activate": True}
        assert len(sent_mails()) == 5


class TestResendActivation:
    def test_not_twice_within_a_minute(self, browser: Gateway, session: DbSession) -> None:
        browser.post("/auth/register", ACCOUNT)
        browser.post("/auth/resend-activation", {"email": ACCOUNT["email"]})
        browser.post("/auth/resend-activation", {"email": ACCOUNT["email"]})
        assert len(sent_mails()) == 2  # with that of the registration
        session.execute(
            text("update challenges set created_at = created_at - interval '61 seconds'")
        )
        browser.post("/auth/resend-activation", {"email": ACCOUNT["email"]})
        assert len(sent_mails()) == 3

    def test_link_sets_a_password(self, browser: Gateway) -> None:
        """Another registration may have set the first one, so only what is chosen by whoever opens the link counts."""
        browser.post("/auth/register", ACCOUNT)
        browser.post("/auth/resend-activation", {"email": ACCOUNT["email"]})
        chosen = "chosen by the owner"
        new = {"token": mailed_code("token"), "password": chosen, "repeatPassword": chosen}
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}
        assert browser.post("/auth/login", LOGIN).status == 401
        assert browser.post("/auth/login", {**LOGIN, "password": chosen}).json == {"login": True}

    def test_answer_does_not_say_whether_there_is_an_account(
        self, browser: Gateway, session: DbSession
    ) -> None:
        active = a_user(session)
        for email in (active.email, "nobody@example.org"):
            answer = browser.post("/auth/resend-activation", {"email": email})
            assert (answer.status, answer.json) == (200, {"success": True})
        assert not sent_mails()


class TestLogin:
    def test_cookies_are_out_of_reach_of_scripts(
        self, browser: Gateway, session: DbSession, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        user = a_user(session)
        answer = browser.post("/auth/login", {"email": user.email, "password": PASSWORD})
        assert answer.headers["reload"] == "true"
        names = {"__Host-auth", "__Host-renew", "__Host-device", "renew"}
        assert set(answer.cookies) == names
        assert all("HttpOnly; " in line and "SameSite=lax" in line for line in answer.set_cookies)
        assert all("Secure" in line for line in answer.set_cookies)
        (plain,) = [line for line in answer.set_cookies if line.startswith("renew")]
        assert "Max-Age=0; Path=/auth;" in plain  # it only removes one of before the prefixes
        prefixed = [line for line in answer.set_cookies if line.startswith("__Host-")]
        assert all("Path=/;" in line and "Domain" not in line for line in prefixed)

    def test_success_and_failure_are_logged_without_the_address(
        self, browser: Gateway, session: DbSession, log_lines: io.StringIO
    ) -> None:
        user = a_user(session)
        for password in ("wrong one", PASSWORD):
            browser.post("/auth/login", {"email": user.email, "password": password})
        lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
        (refused,) = [line for line in lines if line["message"] == "login.refused"]
        (started,) = [line for line in lines if line["message"] == "session.started"]
        assert refused["user_id"] == started["user_id"] == str(user.id)
        assert started["methods"] == ["password"]
        assert user.email not in log_lines.getvalue()

    def test_cookies_are_not_secure_on_a_laptop(self, browser: Gateway, session: DbSession) -> None:
        user = a_user(session)
        answer = browser.post("/auth/login", {"email": user.email, "password": PASSWORD})
        assert not any("Secure" in line for line in answer.set_cookies)

    def test_unknown_address_and_wrong_password_look_the_same(
        self, browser: Gateway, session: DbSession
    ) -> None:
        user = a_user(session)
        wrong = browser.post("/auth/login", {"email": user.email, "password": "wrong"})
        unknown = browser.post("/auth/login", {"email": "x@example.org", "password": "wrong"})
        assert (wrong.status, wrong.json) == (unknown.status, unknown.json)
        assert wrong.status == 401

    def test_costs_at_most_four_statements(self, browser: Gateway, session: DbSession) -> None:
        user = a_user(session)
        with count_statements() as cost:
            answer = browser.post("/auth/login", {"email": user.email, "password": PASSWORD})
        assert answer.json == {"login": True}
        assert cost.statements == 4  # rate, guess with account, guess taken back, session

    def test_old_hash_is_replaced_by_the_right_password_alone(
        self, browser: Gateway, session: DbSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.identity.passwords._ROUNDS", 4)
        put_peppers({"1": "p" * 43})
        user = a_user(session)
        for password, peppers in (("wrong", 0), (PASSWORD, 1), (PASSWORD, 1)):
            with count_statements() as cost:
                browser.post("/auth/login", {"email": user.email, "password": password})
            assert cost.statements <= 4
            session.expire_all()
            assert (user.password_hash or "").count("1:$2b$") == peppers
        put_peppers({"1": "p" * 43, "2": "q" * 43})
        right = {"email": user.email, "password": PASSWORD}
        assert browser.post("/auth/login", right).json == {"login": True}
        session.expire_all()
        assert (user.password_hash or "").startswith("2:$2b$")

    def test_an_office_can_sign_in_from_one_address(self, browser: Gateway) -> None:
        answers = [browser.post("/auth/login", LOGIN) for _ in range(2)]
        assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["299", "298"]


class TestRenew:
    def test_gives_new_tokens(self, browser: Gateway, session: DbSession) -> None:
        log_in(session, browser)
        before = dict(browser.cookies)
        assert browser.post("/auth/renew").json == {"renewed": True}
        assert browser.cookies["renew"] != before["renew"]
        assert browser.get("/user/self").status == 200

    def test_parallel_request_within_the_grace_gets_an_access_token_only(
        self, browser: Gateway, session: DbSession
    ) -> None:
        log_in(session, browser)
        other_tab = Gateway(app, cookies=dict(browser.cookies))
        browser.post("/auth/renew")
        answer = other_tab.post("/auth/renew")
        assert set(answer.cookies) == {"auth"}
        assert browser.post("/auth/renew").status == 200

    def test_use_after_the_grace_ends_the_session_for_both(
        self, browser: Gateway, session: DbSession
    ) -> None:
        log_in(session, browser)
        thief = Gateway(app, cookies=dict(browser.cookies))
        browser.post("/auth/renew")
        session.execute(update(Session).values(previous_good_until=text("now()")))
        assert thief.post("/auth/renew").json["code"] == "session_over"
        assert browser.get("/user/self").status == 401
        assert browser.post("/auth/renew").status == 401

    @pytest.mark.parametrize(("days", "status"), [(29, 200), (30, 401)])
    def test_session_that_nobody_renews_ends_after_thirty_days(
        self, browser: Gateway, session: DbSession, days: int, status: int
    ) -> None:
        log_in(session, browser)
        older = text("update sessions set expires_at = expires_at - make_interval(days => :days)")
        session.execute(older, {"days": days})
        assert browser.post("/auth/renew").status == status

    def test_token_from_before_the_last_one_counts_as_stolen_too(
        self, browser: Gateway, session: DbSession
    ) -> None:
        log_in(session, browser)
        thief = Gateway(app, cookies=dict(browser.cookies))
        browser.post("/auth/renew")
        browser.post("/auth/renew")
        assert thief.post("/auth/renew").status == 401
        assert browser.get("/user/self").status == 401

    def test_access_token_renews_nothing(self, browser: Gateway, session: DbSession) -> None:
        log_in(session, browser)
        forged = Gateway(app, cookies={"renew": browser.cookies["auth"]})
        assert forged.post("/auth/renew").status == 401
        assert browser.get("/user/self").status == 200

    def test_without_a_token_it_is_refused(self, browser: Gateway) -> None:
        assert browser.post("/auth/renew").json["code"] == "session_over"

    def test_costs_two_statements(self, browser: Gateway, session: DbSession) -> None:
        log_in(session, browser)
        with count_statements() as cost:
            browser.post("/auth/renew")
        assert cost.statements == 2  # rate, rotation


class TestForgottenPassword:
    @pytest.mark.parametrize("path", ["/auth/forgot", "/auth/resend-activation"])
    def test_request_does_the_same_for_every_address(
        self, browser: Gateway, session: DbSession, path: str
    ) -> None:
        """It looked for the account and mailed before it answered, so it answered later where there is one."""
        sent = []
        for email in (a_user(session).email, "nobody@example.org"):
            with count_statements() as cost:
                answer = browser.post(path, {"email": email})
            (body,) = queued_mails()
            assert body.pop("email") == email
            sent.append((answer.status, answer.json, cost.statements, body))
        assert sent[0][:3] == sent[1][:3]
        assert sent[0][2] == 1  # rate
        assert sent[0][3].keys() == sent[1][3].keys()

    def test_new_password_ends_every_session(self, browser: Gateway, session: DbSession) -> None:
        user = log_in(session, browser)
        stranger = Gateway(app)
        assert stranger.post("/auth/forgot", {"email": user.email}).json == {"forgot": True}
        token = mailed_code("token")
        form = stranger.get("/auth/forgot-return", query={"token": token})
        assert token in form.text
        new = {"token": token, "password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert stranger.post("/auth/forgot-return", new).json == {"reset": True}
        assert browser.get("/user/self").status == 401
        login = {"email": user.email, "password": NEW_PASSWORD}
        assert stranger.post("/auth/login", login).json == {"login": True}
        assert stranger.post("/auth/forgot-return", new).status == 422

    def test_owner_is_told(self, browser: Gateway, session: DbSession) -> None:
        user = a_user(session)
        browser.post("/auth/forgot", {"email": user.email})
        token = mailed_code("token")
        new = {"token": token, "password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}
        told = sent_mails()[-1]
        assert (told.to, told.subject) == ((user.email,), "Your password was changed")
        assert NEW_PASSWORD not in told.body

    def test_activation_by_a_chosen_password_is_no_change(
        self, browser: Gateway, session: DbSession
    ) -> None:
        user = a_user(session, activated_at=None)
        browser.post("/auth/resend-activation", {"email": user.email})
        token = mailed_code("token")
        new = {"token": token, "password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}
        assert len(sent_mails()) == 1

    @pytest.mark.parametrize(
        ("password", "code"),
        [
            ("password", "common_password"),
            ("Lovelace at the sea", "personal_password"),
            ("analytical-engines 7", "personal_password"),
            ("a password", "guessable_password"),
            ("x" * 257, "too_long"),
        ],
    )
    def test_weak_password_is_refused_and_the_link_still_works(
        self, browser: Gateway, session: DbSession, password: str, code: str
    ) -> None:
        user = a_user(session, name="Augusta", last_name="Lovelace")
        a_member(session, an_organization(session, name="Analytical Engines"), user)
        browser.post("/auth/forgot", {"email": user.email})
        new = {"token": mailed_code("token"), "password": password, "repeatPassword": password}
        answer = browser.post("/auth/forgot-return", new)
        problems = [(each["path"], each["code"]) for each in answer.json["errors"]]
        assert (answer.status, problems[0]) == (422, ("password", code))
        new |= {"password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}

    def test_keys_consents_and_device_logins_end(
        self, browser: Gateway, session: DbSession, member: Member
    ) -> None:
        """They outlived the password that somebody may have stolen."""
        programs = [make(app, session, member) for make in (by_key, by_grant)]
        assert [program.get("/user/self").status for program in programs] == [200, 200]
        browser.post("/auth/forgot", {"email": session.get_one(User, member.user_id).email})
        new = {
            "token": mailed_code("token"),
            "password": NEW_PASSWORD,
            "repeatPassword": NEW_PASSWORD,
        }
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}
        assert [program.get("/user/self").status for program in programs] == [401, 401]

    def test_new_password_ends_the_pauses_of_the_old_one(
        self, browser: Gateway, session: DbSession
    ) -> None:
        """Otherwise a user who tried many passwords and then set a new one would still have to wait."""
        user = a_user(session)
        for _ in range(ALL_NETWORKS.free):
            browser.post("/auth/login", {"email": user.email, "password": "wrong"})
        session.execute(text("update password_guesses set paused_until = now() + interval '1 h'"))
        right = {"email": user.email, "password": PASSWORD}
        assert browser.post("/auth/login", right).json["code"] == "guesses_paused"
        browser.post("/auth/forgot", {"email": user.email})
        code = mailed_code("token")
        new = {"token": code, "password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert browser.post("/auth/forgot-return", new).json == {"reset": True}
        login = {"email": user.email, "password": NEW_PASSWORD}
        assert browser.post("/auth/login", login).json == {"login": True}

    def test_passwords_must_be_the_same(self, browser: Gateway) -> None:
        body = {"token": "x", "password": NEW_PASSWORD, "repeatPassword": "another one"}
        answer = browser.post("/auth/forgot-return", body)
        assert answer.json["errors"][0]["path"] == "repeatPassword"

    def test_nobody_is_told_that_there_is_no_account(self, browser: Gateway) -> None:
        assert browser.post("/auth/forgot", {"email": "x@example.org"}).json == {"forgot": True}
        assert not sent_mails()

    def test_form_does_not_carry_html_in(self, browser: Gateway) -> None:
        form = browser.get("/auth/forgot-return", query={"token": '"><script>'})
        assert "<script>" not in form.text.split("</main>")[0]


class TestSelf:
    def test_says_who_where_and_in_which_role(self, session: DbSession, member: Member) -> None:
        own = as_member(app, session, member).get("/user/self").json
        assert own["orgId"] == str(member.organization_id)
        assert not own["admin"]
        assert not own["impersonate"]

    @pytest.mark.parametrize(
        ("billing", "plan", "limits", "expected"),
        [
            ("off", "free", {}, (False, "ULTIMATE", 10_000, False)),
            ("on", "free", {}, (True, "FREE", 0, False)),
            ("on", "team", {"channels": 2}, (True, "TEAM", 12, False)),
            ("on", "free", {"lifetime": "pro"}, (True, "PRO", 30, True)),
        ],
    )
    def test_says_what_the_plan_is_if_plans_bind(
        self,
        session: DbSession,
        member: Member,
        configure: Configure,
        billing: str,
        plan: str,
        limits: dict[str, Any],
        expected: tuple[bool, str, int, bool],
    ) -> None:
        configure(BILLING=billing)
        organization = session.get_one(Organization, member.organization_id)
        organization.plan, organization.limits = plan, limits
        session.flush()
        own = as_member(app, session, member).get("/user/self").json
        names = ("billing", "tier", "totalChannels", "isLifetime")
        assert tuple(own[name] for name in names) == expected

    def test_costs_one_statement(self, session: DbSession, member: Member) -> None:
        gateway = as_member(app, session, member)
        with count_statements() as cost:
            gateway.get("/user/self")
        assert (cost.statements, cost.round_trips) == (1, 1)

    def test_key_says_for_whom_it_acts(self, session: DbSession, member: Member) -> None:
        own = by_key(app, session, member).get("/user/self").json
        assert (own["id"], own["role"]) == (str(member.user_id), "ADMIN")


class TestPersonal:
    def test_is_changed_and_shown(self, session: DbSession, member: Member) -> None:
        gateway = as_member(app, session, member)
        body = {
            "fullname": "Ada Lovelace",
            "bio": "Engines",
            "picture": {"path": "https://roost.example/ada.png"},
            "timezone": "Europe/London",
        }
        assert gateway.post("/user/personal", body).status == 200
        shown = gateway.get("/user/personal").json
        assert shown["name"] == "Ada Lovelace"
        assert shown["picture"] == body["picture"]
        assert shown["timezone"] == "Europe/London"

    def test_time_zone_left_out_stays(self, session: DbSession) -> None:
        user = a_user(session, timezone="Asia/Tokyo")
        gateway = as_member(app, session, a_member(session, an_organization(session), user))
        answer = gateway.post("/user/personal", {"fullname": "Ada L"})
        assert (answer.json["timezone"], answer.json["picture"]) == ("Asia/Tokyo", None)


class TestMailPreferences:
    def test_are_kept(self, session: DbSession, member: Member) -> None:
        gateway = as_member(app, session, member)
        wanted = {"sendSuccessEmails": False, "sendFailureEmails": True}
        gateway.post("/user/email-notifications", wanted)
        assert gateway.get("/user/email-notifications").json == wanted


class TestOrganizations:
    def test_chosen_organization_is_meant_from_then_on(
        self, browser: Gateway, session: DbSession
    ) -> None:
        user = log_in(session, browser)
        second = an_organization(session, name="Second")
        a_member(session, second, user, role=Role.VIEWER)
        listed = browser.get("/user/organizations").json
        assert [each["users"][0]["role"] for each in listed] == ["SUPERADMIN", "VIEWER"]
        browser.post("/user/change-org", {"id": str(second.id)})
        own = browser.get("/user/self").json
        assert (own["orgName"], own["role"]) == ("Second", "VIEWER")

    def test_organization_of_others_cannot_be_chosen(
        self, session: DbSession, member: Member
    ) -> None:
        other = an_organization(session)
        answer = as_member(app, session, member).post("/user/change-org", {"id": str(other.id)})
        assert answer.status == 404


class TestSessions:
    def test_device_can_be_signed_out_from_another(
        self, browser: Gateway, session: DbSession
    ) -> None:
        user = log_in(session, browser)
        phone = Gateway(app, headers={"user-agent": "phone"}, address="198.51.100.9")
        phone.post("/auth/login", {"email": user.email, "password": PASSWORD})
        listed = browser.get("/user/sessions").json["sessions"]
        other = next(each for each in listed if not each["current"])
        assert (other["userAgent"], other["ip"]) == ("phone", "198.51.100.9")
        assert browser.delete(f"/user/sessions/{other['id']}").status == 200
        assert phone.get("/user/self").json["code"] == "session_over"
        assert browser.get("/user/self").status == 200

    def test_session_of_another_user_is_not_found(
        self, browser: Gateway, session: DbSession, member: Member
    ) -> None:
        log_in(session, browser)
        (own,) = browser.get("/user/sessions").json["sessions"]
        answer = as_member(app, session, member).delete(f"/user/sessions/{own['id']}")
        assert answer.status == 404


class TestLogout:
    def test_ends_the_session_even_for_who_kept_the_token(
        self, browser: Gateway, session: DbSession
    ) -> None:
        log_in(session, browser)
        copy = Gateway(app, cookies=dict(browser.cookies))
        answer = browser.post("/user/logout")
        assert (answer.json, answer.headers["logout"]) == ({"logout": True}, "true")
        assert set(browser.cookies) == {"device"}
        assert answer.headers["clear-site-data"] == '"cache", "storage"'
        assert copy.get("/user/self").status == 401
        assert copy.post("/auth/renew").status == 401

    def test_ends_the_session_by_a_token_that_has_expired(
        self, browser: Gateway, session: DbSession
    ) -> None:
        """Who comes back after an hour and leaves is gone too: a copy of what renews is good for nothing."""
        log_in(session, browser)
        copy = Gateway(app, cookies=dict(browser.cookies))
        with time_machine.travel(clock.now() + timedelta(days=1), tick=False):
            assert browser.post("/user/logout").status == 200
        assert copy.post("/auth/renew").status == 401

    def test_without_a_session_it_clears_the_cookies_all_the_same(self, browser: Gateway) -> None:
        assert browser.post("/user/logout").status == 200


class TestApiKeys:
    def test_key_is_shown_once_and_works_until_revoked(
        self, session: DbSession, member: Member
    ) -> None:
        gateway = as_member(app, session, member)
        made = gateway.post("/user/api-key", {"name": "Zapier"})
        assert made.status == 201
        program = Gateway(app, headers={"authorization": f"Bearer {made.json['key']}"})
        assert program.get("/user/self").status == 200
        (listed,) = gateway.get("/user/api-key").json["keys"]
        assert "key" not in listed
        assert listed["hint"] == made.json["key"][-4:]
        assert listed["lastUsedAt"]
        assert gateway.delete(f"/user/api-key/{listed['id']}").status == 200
        assert program.get("/user/self").json["code"] == "unknown_api_key"
        assert gateway.delete(f"/user/api-key/{listed['id']}").status == 404

    def test_rotated_key_takes_the_place_of_the_old_one(
        self, session: DbSession, member: Member
    ) -> None:
        gateway = as_member(app, session, member)
        old = gateway.post("/user/api-key", {"name": "Zapier", "scopes": ["read"]}).json
        new = gateway.post(f"/user/api-key/{old['id']}/rotate")
        assert new.status == 201
        assert new.json == old | {"key": new.json["key"], "hint": new.json["key"][-4:]}
        assert new.json["key"] != old["key"]
        refused = Gateway(app, headers={"authorization": old["key"]}).get("/user/self")
        assert refused.json["code"] == "unknown_api_key"
        answer = Gateway(app, headers={"authorization": new.json["key"]}).get("/user/self")
        assert answer.status == 200

    def test_old_key_may_do_for_some_hours_more(self, session: DbSession, member: Member) -> None:
        gateway = as_member(app, session, member)
        old = gateway.post("/user/api-key", {}).json
        path = f"/user/api-key/{old['id']}"
        new = gateway.post(f"{path}/rotate", {"keepOldForHours": 24}).json
        ends_at = datetime.fromisoformat(new["previousEndsAt"])
        assert timedelta(hours=23) < ends_at - clock.now() <= timedelta(hours=24)
        programs = [Gateway(app, headers={"authorization": one["key"]}) for one in (old, new)]
        assert [program.get("/user/self").status for program in programs] == [200, 200]
        assert gateway.delete(path).status == 200
        assert [program.get("/user/self").status for program in programs] == [401, 401]
        refused = gateway.post(f"{path}/rotate", {"keepOldForHours": 1000})
        assert [problem["path"] for problem in refused.json["errors"]] == ["keepOldForHours"]
        assert gateway.post(f"{path}/rotate").status == 404

    def test_key_is_renamed_and_narrowed(self, session: DbSession, member: Member) -> None:
        gateway = as_member(app, session, member)
        made = gateway.post("/user/api-key", {"name": "Zapier"}).json
        path = f"/user/api-key/{made['id']}"
        changed = gateway.put(path, {"name": "n8n", "scopes": ["read"]}).json
        assert (changed["name"], changed["scopes"]) == ("n8n", ["read"])
        assert gateway.put(path, {}).json == changed
        end = "2040-01-01T00:00:00.000Z"
        assert gateway.put(path, {"expiresAt": end}).json == changed | {"expiresAt": end}
        assert gateway.put(path, {"expiresAt": None}).json == changed
        assert gateway.put(path, {"expiresAt": "2020-01-01T00:00:00Z"}).status == 422
        assert gateway.put(f"/user/api-key/{new_id()}", {"name": "n8n"}).status == 404
        program = Gateway(app, headers={"authorization": made["key"]})
        assert program.post("/user/api-key", {}).status == 403

    def test_is_stored_as_a_hash_only(self, session: DbSession, member: Member) -> None:
        made = as_member(app, session, member).post("/user/api-key", {})
        row = session.query(ApiKey).one()
        assert made.json["key"] not in str(vars(row))
        assert len(row.key_hash) == 32

    def test_a_key_that_has_expired_is_not_made(self, session: DbSession, member: Member) -> None:
        past = (clock.now() - timedelta(minutes=1)).isoformat()
        answer = as_member(app, session, member).post("/user/api-key", {"expiresAt": past})
        assert answer.status == 422
        assert [problem["path"] for problem in answer.json["errors"]] == ["expiresAt"]

    def test_program_cannot_make_keys(self, session: DbSession, member: Member) -> None:
        answer = by_key(app, session, member).post("/user/api-key", {})
        assert (answer.status, answer.json["code"]) == (403, "person_needed")

    def test_editor_cannot_make_keys(self, session: DbSession) -> None:
        editor = a_member(session, an_organization(session), role=Role.EDITOR)
        answer = as_member(app, session, editor).post("/user/api-key", {})
        assert (answer.status, answer.json["code"]) == (403, "role_too_low")

    def test_key_of_another_organization_is_not_found(
        self, session: DbSession, member: Member
    ) -> None:
        made = as_member(app, session, member).post("/user/api-key", {}).json
        stranger = as_member(app, session, a_member(session, an_organization(session)))
        assert stranger.delete(f"/user/api-key/{made['id']}").status == 404
        assert stranger.get("/user/api-key").json == {"keys": []}


class TestApiKeysOfCustomers:
    """A member who is limited to customers makes no key that sees more than they do, and uses none."""

    @pytest.fixture
    def limited(self, session: DbSession, organization: Organization) -> Gateway:
        customer = a_customer(session, organization, name="Own")
        a_customer(session, organization, name="Theirs")
        admin = a_member(session, organization, role=Role.ADMIN, customers=[customer.id])
        return as_member(app, session, admin)

    @pytest.fixture
    def admin(self, session: DbSession, organization: Organization) -> Gateway:
        return as_member(app, session, a_member(session, organization))

    def ids(self, session: DbSession) -> tuple[str, str]:
        names = {one.name: str(one.id) for one in session.query(Customer)}
        return names["Own"], names["Theirs"]

    def test_key_sees_what_its_creator_sees(self, session: DbSession, limited: Gateway) -> None:
        own, _ = self.ids(session)
        for body in ({}, {"customers": None}, {"customers": [own, own]}):
            assert limited.post("/user/api-key", body).json["customers"] == [own]
        assert limited.post("/user/api-key", {"customers": []}).json["customers"] == []

    def test_another_customer_is_not_there(self, session: DbSession, limited: Gateway) -> None:
        own, theirs = self.ids(session)
        made = limited.post("/user/api-key", {"customers": [own, theirs]})
        assert (made.status, made.json["errors"][0]["path"]) == (422, "customers.1")
        key = limited.post("/user/api-key", {}).json
        for customers in ([theirs], [str(new_id())]):
            changed = limited.put(f"/user/api-key/{key['id']}", {"customers": customers})
            assert changed.status == 422
        changed = limited.put(f"/user/api-key/{key['id']}", {"customers": None})
        assert changed.json["customers"] == [own]

    def test_wider_keys_are_not_there(
        self, session: DbSession, limited: Gateway, admin: Gateway
    ) -> None:
        own, theirs = self.ids(session)
        made = [
            admin.post("/user/api-key", body).json
            for body in ({}, {"customers": [theirs]}, {"customers": [own, theirs]})
        ]
        narrow = admin.post("/user/api-key", {"customers": [own]}).json
        assert [one["id"] for one in limited.get("/user/api-key").json["keys"]] == [narrow["id"]]
        for key in made:
            path = f"/user/api-key/{key['id']}"
            assert limited.put(path, {"name": "Mine"}).status == 404
            assert limited.post(f"{path}/rotate").status == 404
            assert limited.delete(path).status == 404
        assert limited.post(f"/user/api-key/{narrow['id']}/rotate").status == 201

    def test_whoever_sees_all_sets_and_removes_the_limit(
        self, session: DbSession, limited: Gateway, admin: Gateway
    ) -> None:
        own, _ = self.ids(session)
        key = admin.post("/user/api-key", {"name": "Zapier"}).json
        assert key["customers"] is None
        path = f"/user/api-key/{key['id']}"
        assert admin.put(path, {"customers": [own]}).json["customers"] == [own]
        assert admin.put(path, {"name": "n8n"}).json["customers"] == [own]
        assert admin.put(path, {"customers": None}).json["customers"] is None
