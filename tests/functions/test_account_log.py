"""What a person finds in the log of their account: each sign-in, refusal and change, by which session and from where."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from functions.organizations.app import app as organizations
from shared.access.endings import Event, end_access
from shared.access.register_login import register_with_login
from shared.access.sign_in import take_over
from shared.audit.entries import Actor
from shared.identity.challenges import add_challenge
from shared.identity.login_providers.base import Proven
from shared.identity.logins import add_login, as_json
from shared.identity.models import ChallengeKind, LoginProvider, User
from shared.identity.schemas import Registration
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, a_session, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, as_member, by_grant, by_key, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

EMAIL, NEW_EMAIL = "ada@example.com", "ada@example.org"
NEW_PASSWORD = "seven owls at noon"
REGISTRATION = {
    "provider": "LOCAL", "email": EMAIL, "password": "correct horse", "company": "Analytical Engines",
}  # fmt: skip
GITHUB = Proven(LoginProvider.GITHUB, "https://github.com", "1", EMAIL, True, "Ada")


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session), a_user(session, email=EMAIL))


@pytest.fixture
def browser(session: DbSession, member: Member) -> Gateway:
    """A browser that has just signed in. What was recorded of that is not looked at."""
    made = Gateway(app)
    assert log_in(made).status == 200
    return made


def log_in(browser: Gateway, password: str = PASSWORD) -> Any:
    return browser.post("/auth/login", {"email": EMAIL, "password": password})


def entries(session: DbSession) -> list[dict[str, Any]]:
    """Return the account's entries, oldest first."""
    user_id = session.execute(text("select id from users where deleted_at is null order by id")).scalars().first()  # fmt: skip
    rows = session.execute(
        text(
            "select e.*, a.address from audit_events e left join audit_addresses a on a.audit_event_id = e.id"
            " where e.organization_id is null and (e.user_id = :id or e.subject_id = :id) order by e.at, e.id"
        ),
        {"id": user_id},
    )
    return [dict(row._mapping) for row in rows]


def actions(session: DbSession) -> list[str]:
    return [entry["action"] for entry in entries(session)]


def mailed(name: str) -> str:
    found = [re.search(rf"{name}=([\w-]+)", mail.body) for mail in sent_mails()]
    return [one[1] for one in found if one][-1]


class TestSessions:
    def test_sign_in_names_session_methods_and_place(
        self, session: DbSession, member: Member
    ) -> None:
        browser = Gateway(app)
        answer = browser.post(
            "/auth/login",
            {"email": EMAIL, "password": PASSWORD},
            headers={"x-request-id": "my-request-1"},
        )
        assert answer.status == 200
        (entry,) = entries(session)
        assert entry["action"] == "session.started"
        assert entry["user_id"] == member.user_id
        assert entry["session_id"] == entry["subject_id"]
        assert entry["after"] == {"methods": ["password"]}
        assert (entry["address"], entry["request_id"]) == (browser.address, "my-request-1")
        listed = browser.get("/user/audit").json["entries"]
        assert [one["action"] for one in listed] == ["session.started"]

    def test_wrong_password_of_a_known_account(self, session: DbSession, member: Member) -> None:
        assert log_in(Gateway(app), "wrong").status == 401
        (entry,) = entries(session)
        assert entry["action"] == "account.login_refused"
        assert (entry["subject_id"], entry["user_id"]) == (member.user_id, None)

    def test_unknown_address_leaves_nothing(self, session: DbSession) -> None:
        Gateway(app).post("/auth/login", {"email": "nobody@example.org", "password": "wrong"})
        assert session.execute(text("select count(*) from audit_events")).scalar_one() == 0

    def test_wrong_password_of_somebody_signed_in(
        self, session: DbSession, browser: Gateway
    ) -> None:
        assert browser.post("/user/confirm", {"password": "wrong"}).status == 422
        assert actions(session) == ["session.started", "account.login_refused"]

    def test_confirmed_identity(self, session: DbSession, browser: Gateway) -> None:
        assert browser.post("/user/confirm", {"password": PASSWORD}).status == 200
        *_, entry = entries(session)
        assert (entry["action"], entry["after"]) == ("session.confirmed", {"methods": ["password"]})

    def test_sign_out_once(self, session: DbSession, browser: Gateway) -> None:
        copy = dict(browser.cookies)
        browser.post("/user/logout")
        Gateway(app, cookies=copy).post("/user/logout")
        *_, entry = entries(session)
        assert actions(session) == ["session.started", "session.ended"]
        assert entry["subject_id"] == entry["session_id"]
        assert entry["address"] == browser.address

    def test_stolen_renew_token(self, session: DbSession, browser: Gateway) -> None:
        stolen = Gateway(app, cookies=dict(browser.cookies))
        browser.post("/auth/renew")
        session.execute(text("update sessions set previous_good_until = now() - interval '1 s'"))
        assert stolen.post("/auth/renew").status == 401
        *_, entry = entries(session)
        assert (entry["action"], entry["after"]) == ("session.ended", {"reason": "renew_token_reused"})  # fmt: skip

    def test_one_other_session(self, session: DbSession, browser: Gateway, member: Member) -> None:
        other = a_session(session, member.user_id)
        assert browser.delete(f"/user/sessions/{other}").status == 200
        *_, entry = entries(session)
        assert (entry["action"], entry["subject_id"]) == ("session.ended", other)
        assert entry["session_id"] != other

    def test_all_other_sessions(self, session: DbSession, browser: Gateway, member: Member) -> None:
        assert browser.delete("/user/sessions").json == {"ended": 0}
        assert actions(session) == ["session.started"]
        a_session(session, member.user_id)
        assert browser.delete("/user/sessions").json == {"ended": 1}
        assert actions(session) == ["session.started", "account.sessions_ended"]


class TestRegistration:
    def test_registration_and_activation(self, session: DbSession) -> None:
        Gateway(app).post("/auth/register", REGISTRATION)
        assert actions(session) == ["account.registered"]
        Gateway(app).post("/auth/activate", {"code": mailed("code")})
        assert actions(session) == ["account.registered", "account.activated", "session.started"]
        *_, entry = entries(session)
        assert entry["after"] == {"methods": ["mail"]}

    def test_registering_a_known_address_leaves_nothing(
        self, session: DbSession, member: Member
    ) -> None:
        Gateway(app).post("/auth/register", REGISTRATION)
        assert actions(session) == []

    def test_registration_with_a_login(self, session: DbSession) -> None:
        token = add_challenge(
            session, ChallengeKind.REGISTRATION, life=timedelta(hours=1), remember=as_json(GITHUB)
        )
        wanted = Registration.model_validate(
            {"provider": "GITHUB", "providerToken": token, "company": "Analytical Engines"}
        )
        register_with_login(session, wanted, kept_token=token, actor=Actor())
        assert actions(session) == ["account.registered", "login.added"]

    def test_taking_over_an_account_that_was_never_activated(self, session: DbSession) -> None:
        user = a_user(session, email=EMAIL, activated_at=None)
        take_over(session, user.id, GITHUB)
        assert actions(session) == ["account.activated", "login.added"]


class TestChanges:
    def test_password(self, session: DbSession, browser: Gateway, member: Member) -> None:
        a_session(session, member.user_id)
        by_key(None, session, member)
        body = {"current": PASSWORD, "password": NEW_PASSWORD, "endPrograms": True}
        assert browser.post("/user/password", body).status == 200
        assert actions(session)[1:] == ["account.password_changed", "account.sessions_ended"]
        *_, entry = entries(session)
        assert entry["after"] == {"reason": "credential_changed"}
        log = as_member(organizations, session, member).get("/settings/audit").json["entries"]
        assert [one["action"] for one in log] == ["api_key.revoked"]

    def test_password_by_mail(self, session: DbSession, member: Member) -> None:
        a_session(session, member.user_id)
        Gateway(app).post("/auth/forgot", {"email": EMAIL})
        browser = Gateway(app)
        body = {"token": mailed("token"), "password": NEW_PASSWORD, "repeatPassword": NEW_PASSWORD}
        assert browser.post("/auth/forgot-return", body).status == 200
        assert actions(session) == ["account.password_changed", "account.sessions_ended"]
        assert {entry["address"] for entry in entries(session)} == {browser.address}

    def test_address_and_its_return(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        browser.post("/user/email", {"email": NEW_EMAIL})
        Gateway(app).post("/auth/confirm-email", {"code": mailed("code")})
        assert actions(session)[1:] == ["account.email_changed"]
        assert Gateway(app).post("/auth/undo-email", {"code": mailed("code")}).status == 200
        assert actions(session)[2:] == ["account.email_restored", "account.sessions_ended"]

    def test_logins(self, session: DbSession, browser: Gateway, member: Member) -> None:
        add_login(session, member.user_id, GITHUB)
        (login,) = browser.get("/user/logins").json["logins"]
        assert browser.delete(f"/user/logins/{login['id']}").status == 200
        added, removed = entries(session)[1:]
        assert (added["action"], removed["action"]) == ("login.added", "login.removed")
        assert added["after"] == removed["after"] == {"provider": "github"}
        assert str(added["subject_id"]) == str(removed["subject_id"]) == login["id"]

    def test_login_that_waited(self, session: DbSession, member: Member) -> None:
        browser = Gateway(app)
        browser.cookies["linking"] = add_challenge(
            session, ChallengeKind.LINK, life=timedelta(minutes=10), user_id=member.user_id,
            remember=as_json(GITHUB),
        )  # fmt: skip
        assert log_in(browser).json == {"login": True, "linked": True}
        assert actions(session) == ["session.started", "login.added"]

    def test_profile_and_mails(self, session: DbSession, browser: Gateway) -> None:
        browser.post("/user/personal", {"fullname": "Ada Lovelace"})
        body = {"sendSuccessEmails": False, "sendFailureEmails": True}
        browser.post("/user/email-notifications", body)
        assert actions(session)[1:] == ["account.updated", "account.mails_changed"]


class TestEndings:
    def test_each_organization_records_its_keys_and_consents(self, session: DbSession) -> None:
        user: User = a_user(session, email=EMAIL)
        seats = [a_member(session, an_organization(session), user) for _ in range(2)]
        for seat in seats:
            by_key(None, session, seat)
            by_grant(None, session, seat)
        end_access(session, Event.RESET_BY_MAIL, user.id)
        for seat in seats:
            found = session.execute(
                text(
                    "select action, user_id from audit_events where organization_id = :id order by id"
                ),
                {"id": seat.organization_id},
            ).all()
            assert [tuple(row) for row in found] == [
                ("api_key.revoked", user.id), ("grant.revoked", user.id),
            ]  # fmt: skip
        assert actions(session) == []  # there was no session
