"""Does a password change only for who knows it, and what ends with the old one?"""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.identity.models import User
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, by_grant, by_key, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

EMAIL, NEW = "ada@example.com", "quite another one"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def ada(session: DbSession) -> User:
    return a_user(session, email=EMAIL)


@pytest.fixture
def member(session: DbSession, ada: User) -> Member:
    return a_member(session, an_organization(session), ada)


@pytest.fixture
def browser(member: Member) -> Gateway:
    return signed_in()


def log_in(browser: Gateway, password: str) -> int:
    return browser.post("/auth/login", {"email": EMAIL, "password": password}).status


def signed_in() -> Gateway:
    browser = Gateway(app)
    assert log_in(browser, PASSWORD) == 200
    return browser


def change(browser: Gateway, **fields: Any) -> Answer:
    return browser.post("/user/password", {"current": PASSWORD, "password": NEW, **fields})


def test_new_password_counts_and_other_sessions_end(browser: Gateway) -> None:
    other = signed_in()
    answer = change(browser)
    assert answer.json == {"changed": True, "sessions": 1, "keys": [], "consents": []}
    assert [one.get("/user/self").status for one in (browser, other)] == [200, 401]
    assert [log_in(Gateway(app), one) for one in (PASSWORD, NEW)] == [401, 200]
    assert any(mail.to == (EMAIL,) and "password" in mail.subject for mail in sent_mails())


def test_programs_end_only_where_asked(
    session: DbSession, browser: Gateway, member: Member
) -> None:
    programs = [make(app, session, member) for make in (by_key, by_grant)]
    change(browser)
    assert [one.get("/user/self").status for one in programs] == [200, 200]
    answer = change(browser, current=NEW, password="and yet another", endPrograms=True).json
    assert (len(answer["keys"]), len(answer["consents"])) == (1, 1)
    assert answer["keys"][0]["orgId"] == str(member.organization_id)
    assert [one.get("/user/self").status for one in programs] == [401, 401]


@pytest.mark.parametrize("current", ["wrong", ""])
def test_wrong_one_is_refused_and_counted(
    session: DbSession, browser: Gateway, current: str
) -> None:
    body = {"password": NEW, **({"current": current} if current else {})}
    answer = browser.post("/user/password", body)
    (problem,) = answer.json["errors"]
    assert (answer.status, problem["path"], problem["code"]) == (422, "current", "wrong_password")
    assert (
        session.scalar(text("select count(*) from password_guesses where key like 'session:%'"))
        == 1
    )
    assert log_in(Gateway(app), PASSWORD) == 200


def test_weak_one_is_refused(browser: Gateway) -> None:
    answer = change(browser, password="password")
    assert (answer.status, answer.json["errors"][0]["path"]) == (422, "password")
    assert log_in(Gateway(app), PASSWORD) == 200


def test_account_without_one_sets_its_first(session: DbSession, browser: Gateway) -> None:
    session.execute(text("update users set password_hash = null"))
    assert browser.post("/user/password", {"password": NEW}).status == 200
    assert log_in(Gateway(app), NEW) == 200


def test_wants_a_recent_proof(session: DbSession, browser: Gateway) -> None:
    session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
    assert change(browser).json["code"] == "fresh_login_needed"


def test_link_that_was_mailed_before_ends(session: DbSession, browser: Gateway, ada: User) -> None:
    session.execute(
        text(
            "insert into challenges (hash, kind, user_id, expires_at)"
            " values ('h', 'reset_password', :user, now() + interval '1 hour')"
        ),
        {"user": ada.id},
    )
    change(browser)
    assert session.scalar(text("select count(*) from challenges where used_at is null")) == 0
