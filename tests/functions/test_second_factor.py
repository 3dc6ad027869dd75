"""Is a second factor asked for on every way in, and does each of its codes open one session?"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pyotp
import pytest
import time_machine
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.aws import keys
from shared.core import clock
from shared.core.ids import UserId
from shared.identity import sessions
from shared.identity.errors import CodesPaused, SecondFactorOver, WrongCode
from shared.identity.factors import begin_totp, confirm_totp, seal_totp_secret
from shared.identity.login_providers import offered
from shared.identity.models import Method, User
from shared.identity.second_factor import TypedCode, pass_second_factor
from shared.identity.sessions import Browser, Evidence, FactorNeeded
from shared.identity.totp import new_totp_secret
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.fakes.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider
from tests.functions.test_logins import BACK, CALLBACK, FINISH
from tests.functions.test_logins import begin as begin_at_provider
from tests.gateway import Answer, Gateway, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

KEYS = "/user/api-key"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)
    configure(KMS_KEY_ID=boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    keys._sealer.cache_clear()


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(clock.now().replace(second=0), tick=False) as traveller:
        yield traveller


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session), a_user(session, email="ada@example.com"))


@pytest.fixture
def browser(member: Member) -> Gateway:
    """A browser that signed in with the password, before there was a second factor."""
    browser = Gateway(app)
    assert log_in(browser).json == {"login": True}
    return browser


def log_in(browser: Gateway, email: str = "ada@example.com") -> Answer:
    return browser.post("/auth/login", {"email": email, "password": PASSWORD})


def code_of(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


class Phone:
    """An authenticator app of the signed-in person. Each code is of a step of its own."""

    def __init__(self, browser: Gateway, now: time_machine.Traveller) -> None:
        self._now = now
        begun = browser.post("/user/factors", {"name": "Phone"})
        assert begun.status == 201, begun.text
        self.begun = begun.json
        self.id, self.secret = self.begun["id"], self.begun["secret"]
        done = browser.post(f"/user/factors/{self.id}/confirm", {"code": code_of(self.secret)})
        assert done.status == 200, done.text
        self.recovery_codes = done.json["recoveryCodes"]
        self.ended = done.json["ended"]

    def code(self) -> str:
        self._now.shift(30)
        return code_of(self.secret)


@pytest.fixture
def phone(browser: Gateway, now: time_machine.Traveller) -> Phone:
    return Phone(browser, now)


def wrong(phone: Phone) -> str:
    """Return a code that no step near now has."""
    near = {
        pyotp.TOTP(phone.secret).at(clock.now() + timedelta(seconds=30 * step))
        for step in range(-2, 3)
    }
    return next(code for code in map("{:06}".format, range(9)) if code not in near)


def over(session: DbSession) -> None:
    session.execute(text("update password_guesses set paused_until = now()"))


def grow_old(session: DbSession) -> None:
    session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))


def actions(browser: Gateway) -> list[str]:
    return [entry["action"] for entry in browser.get("/user/audit").json["entries"]]


class TestEnrolment:
    def test_shows_secret_address_picture_and_ten_codes_once(
        self, browser: Gateway, phone: Phone
    ) -> None:
        assert phone.begun["address"].startswith("otpauth://totp/Roost:ada%40example.com?secret=")
        assert phone.secret in phone.begun["address"]
        assert phone.begun["picture"].startswith("<svg")
        assert len(set(phone.recovery_codes)) == 10
        shown = browser.get("/user/factors")
        (listed,) = shown.json["factors"]
        assert (listed["id"], listed["kind"], listed["name"]) == (phone.id, "totp", "Phone")
        assert shown.json["recoveryCodes"] == 10
        assert phone.secret not in shown.text

    def test_wrong_code_adds_nothing(self, browser: Gateway) -> None:
        begun = browser.post("/user/factors", {}).json
        code = "000000" if code_of(begun["secret"]) != "000000" else "000001"
        answer = browser.post(f"/user/factors/{begun['id']}/confirm", {"code": code})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "wrong_code")
        assert browser.get("/user/factors").json["factors"] == []
        assert log_in(Gateway(app)).json == {"login": True}

    def test_other_sessions_end_and_the_own_one_has_proven_it(
        self, browser: Gateway, now: time_machine.Traveller
    ) -> None:
        other, copy = Gateway(app), Gateway(app, cookies=dict(browser.cookies))
        log_in(other)
        phone = Phone(browser, now)
        assert phone.ended == 1
        assert [one.get("/user/self").status for one in (browser, other, copy)] == [200, 401, 401]
        (shown,) = browser.get("/user/sessions").json["sessions"]
        assert sorted(shown["methods"]) == ["password", "totp"]
        assert browser.post(KEYS, {}).status == 201

    def test_is_mailed_and_recorded(self, browser: Gateway, phone: Phone) -> None:
        assert sent_mails()[-1].subject == "A second factor was added"
        assert "factor.added" in actions(browser)

    def test_second_factor_brings_no_codes(
        self, browser: Gateway, phone: Phone, now: time_machine.Traveller
    ) -> None:
        assert Phone(browser, now).recovery_codes == []

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/user/factors"),
            ("POST", "/user/factors/{id}/confirm"),
            ("DELETE", "/user/factors/{id}"),
            ("POST", "/user/recovery-codes"),
        ],
    )
    def test_changes_want_the_factor_again(
        self, session: DbSession, browser: Gateway, phone: Phone, method: str, path: str
    ) -> None:
        grow_old(session)
        body = {"code": "123456"} if "confirm" in path else None
        answer = browser.call(method, path.format(id=phone.id), body)
        assert (answer.status, answer.json["code"]) == (403, "fresh_login_needed")
        assert answer.json["methods"] == ["totp"]


class TestRemoval:
    def test_login_asks_no_more(self, browser: Gateway, phone: Phone) -> None:
        answer = browser.delete(f"/user/factors/{phone.id}")
        assert answer.json == {"id": phone.id, "left": 0, "ended": 0}
        assert browser.get("/user/factors").json == {"factors": [], "recoveryCodes": 0}
        assert log_in(Gateway(app)).json == {"login": True}
        assert sent_mails()[-2].subject == "A second factor was removed"
        assert "factor.removed" in actions(browser)

    def test_unknown_one_is_not_there(self, browser: Gateway, phone: Phone) -> None:
        browser.delete(f"/user/factors/{phone.id}")
        answer = browser.delete(f"/user/factors/{phone.id}")
        assert (answer.status, answer.json["code"]) == (404, "no_such_factor")

    def test_recovery_codes_are_replaced(self, browser: Gateway, phone: Phone) -> None:
        new = browser.post("/user/recovery-codes").json["recoveryCodes"]
        assert len(new) == 10
        assert not set(new) & set(phone.recovery_codes)
        there = Gateway(app)
        log_in(there)
        assert there.post("/auth/mfa", {"recoveryCode": phone.recovery_codes[0]}).status == 422
        assert there.post("/auth/mfa", {"recoveryCode": new[0]}).json == {"login": True}
        assert "recovery_codes.replaced" in actions(browser)


class TestLogin:
    def test_password_alone_opens_nothing(self, session: DbSession, phone: Phone) -> None:
        there = Gateway(app)
        answer = log_in(there)
        assert answer.json == {"mfa": True, "methods": ["recovery_code", "totp"]}
        assert set(answer.cookies) == {"mfa"}
        (cookie,) = answer.set_cookies
        assert "HttpOnly" in cookie
        assert "Max-Age=300" in cookie
        assert there.get("/user/self").status == 401

    def test_code_opens_the_session_once(self, phone: Phone) -> None:
        there, elsewhere = Gateway(app), Gateway(app)
        for one in (there, elsewhere):
            log_in(one)
        kept, code = dict(there.cookies), phone.code()
        assert there.post("/auth/mfa", {"code": code}).json == {"login": True}
        assert "mfa" not in there.cookies
        assert there.get("/user/self").status == 200
        (shown,) = [one for one in there.get("/user/sessions").json["sessions"] if one["current"]]
        assert sorted(shown["methods"]) == ["password", "totp"]
        again = Gateway(app, cookies=kept).post("/auth/mfa", {"code": phone.code()})
        assert (again.status, again.json["code"]) == (401, "second_factor_over")
        assert elsewhere.post("/auth/mfa", {"code": code}).status == 422

    def test_recovery_code_is_counted_down_and_mailed(self, browser: Gateway, phone: Phone) -> None:
        there = Gateway(app)
        log_in(there)
        answer = there.post("/auth/mfa", {"recoveryCode": phone.recovery_codes[0].lower()})
        assert answer.json == {"login": True}
        told = [mail for mail in sent_mails() if mail.subject == "A recovery code was used"]
        assert "You have 9 left" in told[0].body
        assert there.get("/user/factors").json["recoveryCodes"] == 9
        log_in(there)
        assert there.post("/auth/mfa", {"recoveryCode": phone.recovery_codes[0]}).status == 422

    def test_another_browser_cannot_finish_it(self, phone: Phone) -> None:
        log_in(Gateway(app))
        for other in (Gateway(app), Gateway(app, cookies={"mfa": "x" * 43})):
            answer = other.post("/auth/mfa", {"code": phone.code()})
            assert (answer.status, answer.json["code"]) == (401, "second_factor_over")

    def test_begins_again_after_five_minutes(self, session: DbSession, phone: Phone) -> None:
        there = Gateway(app)
        log_in(there)
        left = text("select expires_at - now() < interval '301 s' from challenges")
        assert session.scalar(left)
        session.execute(text("update challenges set expires_at = now()"))
        assert there.post("/auth/mfa", {"code": phone.code()}).status == 401

    def test_begins_again_after_five_wrong_codes(self, session: DbSession, phone: Phone) -> None:
        there = Gateway(app)
        log_in(there)
        for _ in range(5):
            assert there.post("/auth/mfa", {"code": wrong(phone)}).status == 422
            over(session)
        answer = there.post("/auth/mfa", {"code": phone.code()})
        assert (answer.status, answer.json["code"]) == (401, "second_factor_over")
        log_in(there)
        assert there.post("/auth/mfa", {"code": phone.code()}).status == 200

    @pytest.mark.parametrize("body", [{}, {"code": "123456", "recoveryCode": "x"}])
    def test_wants_exactly_one_code(self, phone: Phone, body: dict[str, Any]) -> None:
        there = Gateway(app)
        log_in(there)
        answer = there.post("/auth/mfa", body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "code")

    def test_changed_password_makes_it_useless(self, browser: Gateway, phone: Phone) -> None:
        there = Gateway(app)
        log_in(there)
        new = {"current": PASSWORD, "password": "seven owls at noon"}
        assert browser.post("/user/password", new).status == 200
        assert there.post("/auth/mfa", {"code": phone.code()}).status == 401

    def test_reset_by_mail_does_not_get_past_it(self, phone: Phone) -> None:
        there = Gateway(app)
        there.post("/auth/forgot", {"email": "ada@example.com"})
        token = re.search(r"token=([\w-]+)", sent_mails()[-1].body)
        assert token
        new = {"token": token[1], "password": "seven owls at noon"}
        done = there.post("/auth/forgot-return", {**new, "repeatPassword": new["password"]})
        assert done.status == 200
        body = {"email": "ada@example.com", "password": new["password"]}
        assert there.post("/auth/login", body).json["mfa"] is True
        assert there.get("/user/self").status == 401
        assert there.post("/auth/mfa", {"code": phone.code()}).json == {"login": True}

    def test_login_costs_four_statements_and_its_factor_three(self, phone: Phone) -> None:
        there = Gateway(app)
        with count_statements() as first:
            log_in(there)
        assert first.statements == 4
        code = phone.code()
        with count_statements() as second:
            there.post("/auth/mfa", {"code": code})
        assert second.statements == 3  # rate, guess, session


class TestLoginProvider:
    @pytest.fixture
    def peer(
        self, configure: Configure, monkeypatch: pytest.MonkeyPatch, session: DbSession
    ) -> Iterator[OpenIdProvider]:
        configure(GENERIC_OAUTH="true", OAUTH_URL=ISSUER, OAUTH_CLIENT_ID=CLIENT_ID)
        monkeypatch.setattr(offered, "secret", lambda _name: {"OAUTH_CLIENT_SECRET": CLIENT_SECRET})
        with OpenIdProvider(now=lambda: clock.now().timestamp()) as running:
            yield running

    def test_provider_alone_does_not_confirm_and_nothing_begins_there(
        self, session: DbSession, browser: Gateway, phone: Phone, peer: OpenIdProvider
    ) -> None:
        answer = browser.post("/user/confirm", {"provider": "GENERIC"})
        assert (answer.status, answer.json["code"]) == (403, "fresh_login_needed")
        begun = text("select count(*) from challenges where kind = 'login_state'")
        assert session.scalar(begun) == 0

    def test_login_at_a_provider_asks_too(self, phone: Phone, peer: OpenIdProvider) -> None:
        """Also the login that waits for the owner of its address is added after the factor only."""
        there = Gateway(app)
        assert there.post(FINISH, begin_at_provider(there, peer)).json == {"confirm": ["password"]}
        assert log_in(there).json["mfa"] is True
        done = there.post("/auth/mfa", {"code": phone.code()})
        assert done.json == {"login": True, "linked": True}
        again = Gateway(app)
        answer = again.post(FINISH, begin_at_provider(again, peer))
        assert answer.json == {"mfa": True, "methods": ["recovery_code", "totp"]}
        assert again.get("/user/self").status == 401
        assert again.post("/auth/mfa", {"code": phone.code()}).json == {"login": True}
        assert 'id="factor" hidden' in Gateway(app).get("/auth/login").text
        page = Gateway(app)
        shown = page.get(CALLBACK, query=begin_at_provider(page, peer), headers=BACK)
        assert 'autocomplete="one-time-code"' in shown.text
        assert page.post("/auth/mfa", {"code": phone.code()}).json == {"login": True}


class TestRememberedDevice:
    def remember(self, phone: Phone) -> Gateway:
        there = Gateway(app, headers={"user-agent": "curl/8.5.0"})
        log_in(there)
        assert there.post("/auth/mfa", {"code": phone.code(), "remember": True}).status == 200
        return there

    def test_asks_no_more_for_thirty_days(self, session: DbSession, phone: Phone) -> None:
        there = self.remember(phone)
        assert log_in(there).json == {"login": True}
        assert log_in(Gateway(app)).json["mfa"] is True
        (device,) = there.get("/user/devices").json["devices"]
        assert (device["device"], device["current"]) == ("curl", True)
        age = text(
            "select remembered_until = now() + interval '30 days' from devices where remembered_until > now()"
        )
        assert session.scalar(age)
        session.execute(text("update devices set remembered_until = now()"))
        assert log_in(there).json["mfa"] is True

    def test_known_device_is_remembered_where_asked(self, browser: Gateway, phone: Phone) -> None:
        log_in(browser)
        browser.post("/auth/mfa", {"code": phone.code()})
        assert browser.get("/user/devices").json == {"devices": []}
        assert log_in(browser).json["mfa"] is True
        browser.post("/auth/mfa", {"code": phone.code(), "remember": True})
        assert log_in(browser).json == {"login": True}

    def test_device_of_another_person_is_not(self, session: DbSession, phone: Phone) -> None:
        there = self.remember(phone)
        session.execute(text("update devices set user_id = :id"), {"id": a_user(session).id})
        assert log_in(there).json["mfa"] is True

    def test_can_be_forgotten(self, browser: Gateway, phone: Phone) -> None:
        there = self.remember(phone)
        (device,) = browser.get("/user/devices").json["devices"]
        assert device["current"] is False
        assert browser.delete(f"/user/devices/{device['id']}").json == {"id": device["id"]}
        assert log_in(there).json["mfa"] is True
        assert browser.delete(f"/user/devices/{device['id']}").status == 404
        assert "device.forgotten" in actions(browser)

    def test_is_forgotten_with_a_changed_password(
        self, session: DbSession, browser: Gateway, phone: Phone
    ) -> None:
        there = self.remember(phone)
        new = {"current": PASSWORD, "password": "seven owls at noon"}
        assert browser.post("/user/password", new).status == 200
        body = {"email": "ada@example.com", "password": new["password"]}
        assert there.post("/auth/login", body).json["mfa"] is True

    def test_has_a_count_of_its_own(self, session: DbSession, phone: Phone) -> None:
        there = self.remember(phone)
        guess_codes(session, phone, 6)
        session.execute(text("update password_guesses set paused_until = now() + interval '1 h'"))
        log_in(there)
        assert there.post("/user/confirm", {"code": phone.code()}).json == {"confirmed": True}

    def test_does_not_replace_the_factor_where_a_proof_is_wanted(
        self, session: DbSession, phone: Phone
    ) -> None:
        there = self.remember(phone)
        log_in(there)
        assert there.post(KEYS, {}).json["code"] == "fresh_login_needed"


def guess_codes(session: DbSession, phone: Phone, times: int, *, waits: bool = True) -> None:
    """Enter wrong codes, each in a browser and a network of its own; every pause is over unless the last one `waits`."""
    for number in range(times):
        there = Gateway(app, address=f"198.51.100.{number}")
        log_in(there)
        assert there.post("/auth/mfa", {"code": wrong(phone)}).status == 422
        if waits or number < times - 1:
            over(session)


class TestPauses:
    def test_count_all_sign_ins_networks_and_confirmations(
        self, session: DbSession, browser: Gateway, phone: Phone
    ) -> None:
        guess_codes(session, phone, 4)
        answer = browser.post("/user/confirm", {"code": wrong(phone)})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "wrong_code")
        there = Gateway(app)
        log_in(there)
        for _ in range(2):  # what is refused lengthens nothing
            paused = there.post("/auth/mfa", {"code": phone.code()})
            assert (paused.status, paused.json["code"]) == (429, "codes_paused")
            assert paused.headers["retry-after"] == "1"
        assert browser.post("/user/confirm", {"code": phone.code()}).status == 429
        over(session)
        assert there.post("/auth/mfa", {"code": phone.code()}).json == {"login": True}

    def test_grow_to_an_hour(self, session: DbSession, phone: Phone) -> None:
        guess_codes(session, phone, 1)
        for count, seconds in ((5, "2"), (6, "4"), (100, "3600")):
            session.execute(
                text(
                    "update password_guesses set count = :n, last_at = now() where key like 'codes:%'"
                ),
                {"n": count},
            )
            guess_codes(session, phone, 1, waits=False)
            there = Gateway(app)
            log_in(there)
            assert there.post("/auth/mfa", {"code": wrong(phone)}).headers["retry-after"] == seconds
            over(session)

    def test_right_code_takes_back_its_own_guess_only(
        self, session: DbSession, phone: Phone
    ) -> None:
        guess_codes(session, phone, 4)
        there = Gateway(app)
        log_in(there)
        assert there.post("/auth/mfa", {"code": phone.code()}).status == 200
        counted = text("select count from password_guesses where key like 'codes:%'")
        assert session.scalar(counted) == 4
        assert there.post("/user/confirm", {"code": phone.code()}).status == 200
        assert session.scalar(counted) == 4

    def test_person_is_mailed_after_ten(self, session: DbSession, phone: Phone) -> None:
        def warnings() -> int:
            return sum(mail.subject == "Wrong codes for your account" for mail in sent_mails())

        guess_codes(session, phone, 9)
        assert warnings() == 0
        guess_codes(session, phone, 2)
        assert warnings() == 1


class TestConfirm:
    def test_code_opens_what_was_closed(
        self, session: DbSession, browser: Gateway, phone: Phone
    ) -> None:
        grow_old(session)
        assert browser.post(KEYS, {}).json["methods"] == ["totp"]
        assert browser.post("/user/confirm", {"password": PASSWORD}).status == 403
        assert browser.post("/user/confirm", {"code": phone.code()}).json == {"confirmed": True}
        assert browser.post(KEYS, {}).status == 201

    def test_recovery_code_removes_a_lost_phone(
        self, session: DbSession, browser: Gateway, phone: Phone
    ) -> None:
        grow_old(session)
        code = phone.recovery_codes[0]
        assert browser.post("/user/confirm", {"recoveryCode": code}).json == {"confirmed": True}
        assert any(mail.subject == "A recovery code was used" for mail in sent_mails())
        assert browser.delete(f"/user/factors/{phone.id}").status == 200

    def test_code_works_once(self, session: DbSession, browser: Gateway, phone: Phone) -> None:
        code = phone.code()
        assert browser.post("/user/confirm", {"code": code}).status == 200
        assert browser.post("/user/confirm", {"code": code}).status == 422

    def test_person_without_a_factor_is_named_their_methods(self, browser: Gateway) -> None:
        answer = browser.post("/user/confirm", {"code": "123456"})
        assert (answer.status, answer.json["methods"]) == (403, ["password"])


class TestAtOnce:
    """Several requests with the same code, each on a connection and with a challenge of its own."""

    @pytest.mark.parametrize("kind", [Method.TOTP, Method.RECOVERY_CODE])
    def test_one_of_two_signs_in(
        self, committed: Engine, kind: Method, now: time_machine.Traveller
    ) -> None:
        with DbSession(committed) as session:
            user_id = UserId(a_user(session).id)
            secret = new_totp_secret()
            sealed = seal_totp_secret(user_id, secret)
            new = begin_totp(
                session, user_id, email="a@example.com", name="Phone", sealed=sealed, secret=secret
            )
            codes = confirm_totp(session, user_id, new.id, secret=secret, code=code_of(secret))
            evidence = Evidence({Method.PASSWORD})
            asked = [sessions.open_session(session, user_id, evidence, Browser()) for _ in range(4)]
            session.commit()
        now.shift(30)
        typed = TypedCode(kind, code_of(secret) if kind is Method.TOTP else codes[0])

        def attempt(needed: object) -> bool:
            assert isinstance(needed, FactorNeeded)
            with DbSession(committed) as session:
                try:
                    pass_second_factor(session, needed.secret, typed, Browser(), remember=False)
                except (WrongCode, CodesPaused, SecondFactorOver):
                    return False
                finally:
                    session.commit()
                return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, asked)) == 1
        with DbSession(committed) as session:
            assert session.scalar(text("select count(*) from sessions")) == 1

    def test_one_challenge_opens_one_session(
        self, committed: Engine, now: time_machine.Traveller
    ) -> None:
        with DbSession(committed) as session:
            user: User = a_user(session)
            user_id, secret = UserId(user.id), new_totp_secret()
            sealed = seal_totp_secret(user_id, secret)
            new = begin_totp(
                session, user_id, email="a@example.com", name="Phone", sealed=sealed, secret=secret
            )
            codes = confirm_totp(session, user_id, new.id, secret=secret, code=code_of(secret))
            needed = sessions.open_session(session, user_id, Evidence({Method.PASSWORD}), Browser())
            session.commit()
        assert isinstance(needed, FactorNeeded)

        def attempt(code: str) -> bool:
            typed = TypedCode(Method.RECOVERY_CODE, code)
            with DbSession(committed) as session:
                try:
                    pass_second_factor(session, needed.secret, typed, Browser(), remember=False)
                except (WrongCode, CodesPaused, SecondFactorOver):
                    return False
                finally:
                    session.commit()
                return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, codes[:4])) == 1
