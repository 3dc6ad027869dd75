"""Does an address change only when it is proven, and can the old one take it back?"""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, by_grant, by_key, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

OLD, NEW = "ada@example.com", "ada@example.org"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session), a_user(session, email=OLD))


@pytest.fixture
def browser(session: DbSession, member: Member) -> Gateway:
    return signed_in()


def signed_in(email: str = OLD) -> Gateway:
    browser = Gateway(app)
    assert browser.post("/auth/login", {"email": email, "password": PASSWORD}).status == 200
    return browser


def mailed(to: str) -> str:
    """Return the code of the last email to an address."""
    mail = [one for one in sent_mails() if one.to == (to,)][-1]
    found = re.search(r"(?:code|token)=([\w-]+)", mail.body)
    assert found, mail.subject
    return found[1]


def change(browser: Gateway) -> str:
    """Change the address, and return the code that undoes it."""
    assert browser.post("/user/email", {"email": NEW}).json["success"]
    answer = Gateway(app).post("/auth/confirm-email", {"code": mailed(NEW)})
    assert answer.json == {"changed": True}
    return mailed(OLD)


def emails(session: DbSession) -> list[str]:
    return list(session.scalars(text("select email from users where deleted_at is null")))


class TestChange:
    def test_new_address_is_proven_first(self, session: DbSession, browser: Gateway) -> None:
        answer = browser.post("/user/email", {"email": "Ada@example.org"})
        assert answer.json == {"success": True, "changed": False}
        assert emails(session) == [OLD]
        code = mailed(NEW)
        shown = browser.get("/auth/confirm-email", query={"code": code})
        assert f'data-code="{code}"' in shown.text
        assert emails(session) == [OLD]
        assert browser.post("/auth/confirm-email", {"code": code}).json == {"changed": True}
        assert emails(session) == [NEW]
        assert Gateway(app).post("/auth/confirm-email", {"code": code}).status == 422
        assert signed_in(NEW).get("/user/self").json["email"] == NEW

    @pytest.mark.parametrize(("refuses", "status"), [("true", 422), ("false", 200)])
    def test_plus_is_refused_only_where_it_is_not_wanted(
        self, browser: Gateway, configure: Configure, refuses: str, status: int
    ) -> None:
        configure(DISALLOW_PLUS=refuses)
        assert browser.post("/user/email", {"email": "ada+b@example.org"}).status == status

    def test_other_sessions_end(self, session: DbSession, browser: Gateway) -> None:
        other = signed_in()
        change(browser)
        assert [one.get("/user/self").status for one in (browser, other)] == [200, 401]

    def test_link_to_the_old_address_for_a_password_ends(
        self, session: DbSession, browser: Gateway
    ) -> None:
        Gateway(app).post("/auth/forgot", {"email": OLD})
        code = mailed(OLD)
        change(browser)
        new = {"token": code, "password": "new password", "repeatPassword": "new password"}
        assert Gateway(app).post("/auth/forgot-return", new).status == 422

    def test_known_address_answers_as_an_unknown_one(
        self, session: DbSession, browser: Gateway
    ) -> None:
        a_user(session, email=NEW)
        answer = browser.post("/user/email", {"email": NEW})
        assert answer.json == {"success": True, "changed": False}
        (told,) = [mail for mail in sent_mails() if mail.to == (NEW,)]
        assert told.subject == "Your address already has an account"
        assert "code=" not in told.body

    def test_address_that_was_taken_meanwhile_is_refused(
        self, session: DbSession, browser: Gateway
    ) -> None:
        browser.post("/user/email", {"email": NEW})
        a_user(session, email=NEW)
        assert browser.post("/auth/confirm-email", {"code": mailed(NEW)}).status == 422
        assert sorted(emails(session)) == [OLD, NEW]

    def test_account_never_activated_gives_its_address_up(
        self, session: DbSession, browser: Gateway
    ) -> None:
        a_user(session, email=NEW, activated_at=None)
        change(browser)
        assert emails(session) == [NEW]

    def test_own_address_is_refused(self, browser: Gateway) -> None:
        answer = browser.post("/user/email", {"email": OLD})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "same_address")

    def test_wants_a_recent_proof(self, session: DbSession, browser: Gateway) -> None:
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        answer = browser.post("/user/email", {"email": NEW})
        assert answer.json["code"] == "fresh_login_needed"

    def test_without_mails_it_changes_at_once(
        self, session: DbSession, browser: Gateway, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        taken = a_user(session)
        assert browser.post("/user/email", {"email": taken.email}).json["code"] == "email_taken"
        assert browser.post("/user/email", {"email": NEW}).json["changed"]
        assert NEW in emails(session)


class TestUndo:
    def test_old_address_takes_everything_back(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        """Somebody who changed the address of an account has its password too, and may have made keys."""
        undo = change(browser)
        programs = [make(app, session, member) for make in (by_key, by_grant)]
        values = {"user": member.user_id}
        for table, columns, row in (
            ("logins", "id, user_id, provider, issuer, subject, created_at", "gen_random_uuid(), :user, 'google', 'i', 's', clock_timestamp()"),
            ("factors", "id, user_id, kind, name, created_at", "gen_random_uuid(), :user, 'totp', 'n', clock_timestamp()"),
            ("recovery_codes", "code_hash, user_id, created_at", "'c', :user, clock_timestamp()"),
        ):  # fmt: skip
            session.execute(text(f"insert into {table} ({columns}) values ({row})"), values)
        shown = Gateway(app).get("/auth/undo-email", query={"code": undo})
        assert f'data-code="{undo}"' in shown.text
        assert emails(session) == [NEW]
        answer = Gateway(app).post("/auth/undo-email", {"code": undo})
        assert answer.json == {"restored": True, "sessions": 1, "keys": 1, "consents": 1}
        assert emails(session) == [OLD]
        assert [one.get("/user/self").status for one in (browser, *programs)] == [401, 401, 401]
        for table in ("logins", "factors", "recovery_codes"):
            assert session.scalar(text(f"select count(*) from {table}")) == 0, table
        for email in (OLD, NEW):
            body = {"email": email, "password": PASSWORD}
            assert Gateway(app).post("/auth/login", body).status == 401
        new = {
            "token": mailed(OLD),
            "password": "quite another one",
            "repeatPassword": "quite another one",
        }
        assert Gateway(app).post("/auth/forgot-return", new).json == {"reset": True}
        body = {"email": OLD, "password": "quite another one"}
        assert Gateway(app).post("/auth/login", body).json == {"login": True}

    def test_what_was_there_before_stays(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        session.execute(
            text(
                "insert into logins (id, user_id, provider, issuer, subject, created_at)"
                " values (gen_random_uuid(), :user, 'google', 'i', 's', now() - interval '1 day')"
            ),
            {"user": member.user_id},
        )
        Gateway(app).post("/auth/undo-email", {"code": change(browser)})
        assert session.scalar(text("select count(*) from logins")) == 1

    def test_first_address_undoes_a_second_change(
        self, session: DbSession, browser: Gateway
    ) -> None:
        undo = change(browser)
        session.execute(text("update challenges set created_at = created_at - interval '2 hours'"))
        browser.post("/user/email", {"email": "third@example.org"})
        Gateway(app).post("/auth/confirm-email", {"code": mailed("third@example.org")})
        second = mailed(NEW)
        assert Gateway(app).post("/auth/undo-email", {"code": undo}).status == 200
        assert emails(session) == [OLD]
        assert Gateway(app).post("/auth/undo-email", {"code": second}).status == 422

    def test_works_once_and_for_72_hours(self, session: DbSession, browser: Gateway) -> None:
        undo = change(browser)
        life = text(
            "select expires_at - created_at = interval '72 hours' from challenges where kind = 'undo_email'"
        )
        assert session.scalar(life)
        session.execute(text("update challenges set expires_at = now()"))
        assert Gateway(app).post("/auth/undo-email", {"code": undo}).status == 422
        assert emails(session) == [NEW]

    def test_registration_of_the_old_address_does_not_block_it(
        self, session: DbSession, browser: Gateway
    ) -> None:
        undo = change(browser)
        body = {"email": OLD, "password": "granite teapot lantern", "company": "Stranger"}
        assert Gateway(app).post("/auth/register", body).json == {"activate": True}
        assert Gateway(app).post("/auth/undo-email", {"code": undo}).status == 200
        assert emails(session) == [OLD]

    def test_address_of_another_active_account_is_not_taken(
        self, session: DbSession, browser: Gateway
    ) -> None:
        undo = change(browser)
        a_user(session, email=OLD)
        answer = Gateway(app).post("/auth/undo-email", {"code": undo})
        assert (answer.status, answer.json["code"]) == (409, "address_in_use")
