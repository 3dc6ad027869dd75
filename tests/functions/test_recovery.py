"""Does somebody who lost their second factor get back in after 72 hours, and nobody else or earlier?"""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from functions.organizations.app import app as organizations
from shared.access.recovery import sweep_recoveries
from shared.core import clock
from shared.identity.models import Factor, FactorKind, RecoveryCode
from shared.identity.recovery_codes import hash_code
from shared.organizations.models import Member, Organization, Role
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, as_member, by_grant, by_key, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

EMAIL = "ada@example.com"
RECOVERY_CODE = "7K3M-Q0ZD-9XPA-2T5H"
RECOVERIES = "/settings/recoveries"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def home(session: DbSession) -> Organization:
    return an_organization(session, name="Home")


@pytest.fixture
def ada(session: DbSession, home: Organization) -> Member:
    """A member with a second factor, who owns an organization alone and is an editor in another one."""
    user = a_user(session, email=EMAIL)
    seat = a_member(session, home, user, role=Role.EDITOR)
    a_member(session, an_organization(session, name="Alone"), user)
    give_factor(session, seat)
    session.add(RecoveryCode(code_hash=hash_code(RECOVERY_CODE), user_id=user.id))
    session.flush()
    return seat


@pytest.fixture
def owner(session: DbSession, home: Organization) -> Member:
    return a_member(session, home, a_user(session, email="owner@example.com"))


def give_factor(session: DbSession, seat: Member, *, age: str = "0 h") -> None:
    factor = Factor(
        user_id=seat.user_id, kind=FactorKind.TOTP, name="Phone", confirmed_at=clock.now()
    )
    session.add(factor)
    session.flush()
    session.execute(
        text("update factors set confirmed_at = now() - cast(:age as interval)"), {"age": age}
    )


def mailed(subject: str, to: str = EMAIL) -> list[str]:
    return [mail.body for mail in sent_mails() if mail.subject == subject and mail.to == (to,)]


def code_in(body: str) -> str:
    found = re.search(r"code=([\w-]+)", body)
    assert found
    return found[1]


def begin(password: str = PASSWORD) -> Answer:
    there = Gateway(app)
    assert there.post("/auth/recovery", {"email": EMAIL}).json == {"success": True}
    body = {"code": code_in(mailed("Recover your account")[-1]), "password": password}
    return there.post("/auth/recover", body)


def stop_code() -> str:
    return code_in(mailed("Your account is being recovered")[-1])


def log_in() -> Gateway:
    there = Gateway(app)
    assert there.post("/auth/login", {"email": EMAIL, "password": PASSWORD}).status == 200
    return there


def pass_time(session: DbSession) -> None:
    session.execute(text("update recoveries set opens_at = now()"))


def finish(session: DbSession) -> None:
    assert begin().status == 200
    pass_time(session)
    assert sweep_recoveries() == 1


def waiting(session: DbSession) -> int:
    found = session.scalar(
        text("select count(*) from recoveries where stopped_at is null and finished_at is null")
    )
    return int(found or 0)


class TestBegin:
    def test_wants_link_and_password(self, session: DbSession, ada: Member) -> None:
        refused = begin("wrong")
        assert (refused.status, refused.json["errors"][0]["code"]) == (422, "wrong_password")
        assert waiting(session) == 0
        code = code_in(mailed("Recover your account")[-1])
        done = Gateway(app).post("/auth/recover", {"code": code, "password": PASSWORD})
        assert done.json["started"] is True
        age = text("select opens_at = now() + interval '72 hours' from recoveries")
        assert session.scalar(age)
        again = Gateway(app).post("/auth/recover", {"code": code, "password": PASSWORD})
        assert (again.status, again.json["errors"][0]["code"]) == (422, "code_refused")

    def test_changes_nothing_yet(self, session: DbSession, ada: Member) -> None:
        browser = as_member(app, session, ada)
        begin()
        assert sweep_recoveries() == 0
        assert browser.get("/user/self").status == 200
        assert log_in().get("/user/self").status == 401

    def test_opening_its_page_changes_nothing(self, session: DbSession, ada: Member) -> None:
        Gateway(app).post("/auth/recovery", {"email": EMAIL})
        code = code_in(mailed("Recover your account")[-1])
        shown = Gateway(app).get("/auth/recover", query={"code": code})
        assert f'data-code="{code}"' in shown.text
        assert waiting(session) == 0

    def test_waits_once(self, session: DbSession, ada: Member) -> None:
        begin()
        session.execute(text("update challenges set created_at = now() - interval '1 h'"))
        again = begin()
        assert (again.status, again.json["code"]) == (409, "nothing_to_recover")

    def test_account_without_a_factor_has_nothing_to_recover(
        self, session: DbSession, ada: Member
    ) -> None:
        session.execute(text("delete from factors"))
        assert begin().json["code"] == "nothing_to_recover"

    def test_unknown_address_is_answered_alike(self, session: DbSession) -> None:
        answer = Gateway(app).post("/auth/recovery", {"email": "nobody@example.com"})
        assert answer.json == {"success": True}
        assert sent_mails() == []

    def test_administrators_are_mailed_and_see_it(
        self, session: DbSession, ada: Member, owner: Member
    ) -> None:
        begin()
        assert mailed("A member recovers their account", "owner@example.com")
        (shown,) = as_member(organizations, session, owner).get(RECOVERIES).json["recoveries"]
        assert (shown["email"], shown["closed"], shown["role"]) == (EMAIL, False, "EDITOR")
        stranger = a_member(session, an_organization(session))
        assert as_member(organizations, session, stranger).get(RECOVERIES).json == {
            "recoveries": []
        }


class TestStop:
    def test_by_the_mailed_link(self, session: DbSession, ada: Member) -> None:
        begin()
        code = stop_code()
        assert Gateway(app).get("/auth/stop-recovery", query={"code": code}).status == 200
        assert waiting(session) == 1
        done = Gateway(app).post("/auth/stop-recovery", {"code": code})
        assert done.json == {"stopped": True}
        pass_time(session)
        assert sweep_recoveries() == 0
        assert Gateway(app).post("/auth/stop-recovery", {"code": code}).status == 422

    def test_link_survives_a_changed_password(self, session: DbSession, ada: Member) -> None:
        """Somebody who knows the password and reads the email could have made it useless."""
        begin()
        code = stop_code()
        Gateway(app).post("/auth/forgot", {"email": EMAIL})
        token = re.search(r"token=([\w-]+)", mailed("Set a new password")[-1])
        assert token
        new = {"password": "seven owls at noon", "repeatPassword": "seven owls at noon"}
        assert Gateway(app).post("/auth/forgot-return", {"token": token[1], **new}).status == 200
        assert Gateway(app).post("/auth/stop-recovery", {"code": code}).status == 200

    def test_by_a_sign_in_with_the_factor(self, session: DbSession, ada: Member) -> None:
        begin()
        there = log_in()
        assert waiting(session) == 1
        assert there.post("/auth/mfa", {"recoveryCode": RECOVERY_CODE}).status == 200
        assert waiting(session) == 0

    def test_by_a_confirmation_with_the_factor(self, session: DbSession, ada: Member) -> None:
        browser = as_member(app, session, ada)
        begin()
        assert browser.post("/user/confirm", {"recoveryCode": RECOVERY_CODE}).status == 200
        assert waiting(session) == 0

    @pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
    def test_by_each_administrator(
        self, session: DbSession, ada: Member, home: Organization, role: Role
    ) -> None:
        begin()
        admin = as_member(organizations, session, a_member(session, home, role=role))
        (shown,) = admin.get(RECOVERIES).json["recoveries"]
        stopped = admin.post(f"{RECOVERIES}/{shown['id']}/stop")
        assert stopped.json == {"id": shown["id"], "stopped": True, "objected": False}
        assert waiting(session) == 0
        assert mailed("The recovery of your account was stopped")
        recorded = text("select count(*) from audit_events where action = 'recovery.stopped'")
        assert session.scalar(recorded) == 1

    def test_not_by_others(self, session: DbSession, ada: Member, home: Organization) -> None:
        begin()
        recovery_id = session.scalar(text("select id from recoveries"))
        path = f"{RECOVERIES}/{recovery_id}/stop"
        editor = a_member(session, home, role=Role.EDITOR)
        assert as_member(organizations, session, editor).post(path).json["code"] == "role_too_low"
        stranger = a_member(session, an_organization(session))
        assert as_member(organizations, session, stranger).post(path).status == 404
        assert waiting(session) == 1


class TestDailyMails:
    def test_come_once_a_day(self, session: DbSession, ada: Member) -> None:
        begin()
        for mails in (1, 1):
            sweep_recoveries()
            assert len(mailed("Your account is being recovered")) == mails
        session.execute(text("update recoveries set mailed_at = now() - interval '1 day'"))
        sweep_recoveries()
        sweep_recoveries()
        assert len(mailed("Your account is being recovered")) == 2
        assert Gateway(app).post("/auth/stop-recovery", {"code": stop_code()}).status == 200


class TestFinish:
    def test_removes_the_factors_and_ends_everything(self, session: DbSession, ada: Member) -> None:
        browser = as_member(app, session, ada)
        by_key(None, session, ada)
        by_grant(None, session, ada)
        finish(session)
        assert browser.get("/user/self").status == 401
        for table in ("factors", "recovery_codes"):
            assert session.scalar(text(f"select count(*) from {table}")) == 0
        for table in ("api_keys", "oauth_grants"):
            live = text(f"select count(*) from {table} where revoked_at is null")
            assert session.scalar(live) == 0
        assert log_in().get("/user/factors").status == 200
        assert mailed("Your second factors were removed")
        assert sweep_recoveries() == 0

    def test_organization_of_the_person_alone_opens_at_once(
        self, session: DbSession, ada: Member, owner: Member
    ) -> None:
        finish(session)
        assert log_in().get("/user/self").json["orgName"] == "Alone"

    def test_seat_is_closed_until_another_owner_agrees(
        self, session: DbSession, ada: Member, owner: Member, home: Organization
    ) -> None:
        finish(session)
        there = log_in()
        chosen = {"showorg": str(home.id)}
        assert there.get("/user/self", headers=chosen).json["code"] == "organization_gone"
        assert there.post("/user/change-org", {"id": str(home.id)}).status == 404
        (closed,) = there.get("/user/recovery").json["closed"]
        assert (closed["name"], closed["objected"]) == ("Home", False)
        admin = as_member(organizations, session, a_member(session, home, role=Role.ADMIN))
        (shown,) = admin.get(RECOVERIES).json["recoveries"]
        assert (shown["closed"], shown["otherOwners"]) == (True, 1)
        path = f"{RECOVERIES}/{shown['id']}/agree"
        assert admin.post(path).json["code"] == "other_owner_needed"
        agreed = as_member(organizations, session, owner).post(path)
        assert agreed.json == {"id": shown["id"], "open": True}
        assert there.get("/user/self", headers=chosen).json["orgName"] == "Home"
        assert there.get("/user/recovery").json == {"closed": []}

    def test_nobody_agrees_before_it_is_over(
        self, session: DbSession, ada: Member, owner: Member
    ) -> None:
        begin()
        recovery_id = session.scalar(text("select id from recoveries"))
        answer = as_member(organizations, session, owner).post(f"{RECOVERIES}/{recovery_id}/agree")
        assert (answer.status, answer.json["code"]) == (404, "no_such_recovery")

    def test_nobody_agrees_to_their_own(
        self, session: DbSession, ada: Member, owner: Member
    ) -> None:
        """The person's other session, in the organization of another seat, reaches nothing either."""
        finish(session)
        session.execute(text("update members set role = 'owner'"))
        recovery_id = session.scalar(text("select id from recoveries"))
        there = log_in()
        mine = Gateway(organizations, cookies=dict(there.cookies))
        assert mine.post(f"{RECOVERIES}/{recovery_id}/agree").status == 404

    def test_new_seat_is_open(self, session: DbSession, ada: Member, owner: Member) -> None:
        finish(session)
        user = session.get_one(Member, ada.id).user_id
        later = an_organization(session, name="Later")
        session.add(Member(organization_id=later.id, user_id=user, role=Role.MEMBER))
        session.flush()
        answer = log_in().get("/user/self", headers={"showorg": str(later.id)})
        assert answer.json["orgName"] == "Later"


class TestOnlyOwner:
    @pytest.fixture
    def sole(self, session: DbSession, ada: Member) -> Member:
        """Ada is the only owner of `Home`, where there is an admin."""
        session.execute(text("update members set role = 'owner'"))
        return ada

    @pytest.fixture
    def admin(self, session: DbSession, home: Organization, sole: Member) -> Gateway:
        seat = a_member(session, home, role=Role.ADMIN)
        return as_member(organizations, session, seat)

    def test_seat_opens_72_hours_after_a_new_factor(
        self, session: DbSession, sole: Member, admin: Gateway, home: Organization
    ) -> None:
        finish(session)
        sweep_recoveries()
        closed = text("select count(*) from members where recovery_id is not null")
        assert session.scalar(closed) == 1
        give_factor(session, sole, age="71 h")
        sweep_recoveries()
        assert session.scalar(closed) == 1
        session.execute(text("update factors set confirmed_at = now() - interval '72 h'"))
        sweep_recoveries()
        assert session.scalar(closed) == 0

    def test_admin_objects_and_withdraws_it(
        self, session: DbSession, sole: Member, admin: Gateway, home: Organization
    ) -> None:
        finish(session)
        (shown,) = admin.get(RECOVERIES).json["recoveries"]
        objected = admin.post(f"{RECOVERIES}/{shown['id']}/stop")
        assert objected.json == {"id": shown["id"], "stopped": False, "objected": True}
        give_factor(session, sole, age="100 h")
        sweep_recoveries()
        closed = text("select count(*) from members where recovery_id is not null")
        assert session.scalar(closed) == 1
        agreed = admin.post(f"{RECOVERIES}/{shown['id']}/agree")
        assert agreed.json == {"id": shown["id"], "open": False}
        sweep_recoveries()
        assert session.scalar(closed) == 0

    def test_another_owner_ends_that(
        self, session: DbSession, sole: Member, admin: Gateway, home: Organization
    ) -> None:
        finish(session)
        a_member(session, home)
        give_factor(session, sole, age="100 h")
        sweep_recoveries()
        assert (
            session.scalar(text("select count(*) from members where recovery_id is not null")) == 1
        )
