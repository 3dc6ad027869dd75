"""Super admins act as members: with a reason, for an hour at most, in the members' log, and not for everything."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from functions.organizations.app import app as organizations
from shared.core import clock
from shared.core.ids import new_id
from shared.identity.models import User
from shared.organizations.models import Impersonation, Member, Role
from shared.organizations.sweep import delete_old_impersonations
from tests.builders import a_member, a_user, an_operator, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, as_member, as_operator, in_place_of
from tests.mails import make_mails_queue, queued_mails

PATH = "/user/impersonate"
REASON = "Support request 4711"


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    make_mails_queue(configure)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session), role=Role.ADMIN)


@pytest.fixture
def operator(session: DbSession) -> Gateway:
    gateway = as_operator(app, session)
    del gateway.headers["showorg"]
    return gateway


def begin(operator: Gateway, member: Member, **body: Any) -> Any:
    answer = operator.post(PATH, {"id": str(member.id), "reason": REASON, **body})
    assert answer.status == 200, answer.text
    return answer.json


class TestBeginning:
    def test_super_admin_acts_as_a_member(
        self, session: DbSession, member: Member, operator: Gateway
    ) -> None:
        email = session.get_one(User, member.user_id).email
        (found,) = operator.get(PATH, query={"name": email}).json["members"]
        assert found["id"] == str(member.id)
        begun = begin(operator, member)
        own = operator.get("/user/self").json
        made = session.scalars(select(Impersonation)).one()
        assert (own["email"], own["impersonate"]) == (email, True)
        assert own["orgId"] == str(member.organization_id)
        assert own["impersonation"] == {
            "by": str(made.operator_id), "reason": REASON, "endsAt": begun["endsAt"],
        }  # fmt: skip
        assert made.ends_at - made.started_at == timedelta(hours=1)

    def test_own_self_has_no_banner(self, session: DbSession, member: Member) -> None:
        own = as_member(app, session, member).get("/user/self").json
        assert (own["impersonate"], own["impersonation"]) == (False, None)

    @pytest.mark.parametrize("reason", [None, "", "  ", "no"])
    def test_a_reason_is_needed(
        self, session: DbSession, member: Member, operator: Gateway, reason: str | None
    ) -> None:
        answer = operator.post(PATH, {"id": str(member.id), "reason": reason})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "reason")
        assert session.scalars(select(Impersonation)).all() == []

    @pytest.mark.parametrize("gone", ["unknown", "disabled", "deleted", "organization deleted"])
    def test_member_must_be_there(
        self, session: DbSession, member: Member, operator: Gateway, gone: str
    ) -> None:
        changes = {
            "disabled": "update members set disabled = true where user_id = :user",
            "deleted": "update users set deleted_at = now() where id = :user",
            "organization deleted": "update organizations set deleted_at = now() where id = :own",
        }
        values = {"user": member.user_id, "own": member.organization_id}
        if change := changes.get(gone):
            session.execute(text(change), {k: v for k, v in values.items() if f":{k}" in change})
        chosen = new_id() if gone == "unknown" else member.id
        answer = operator.post(PATH, {"id": str(chosen), "reason": REASON})
        assert answer.status == 404, answer.text
        assert session.scalars(select(Impersonation)).all() == []

    def test_another_one_ends_the_first(
        self, session: DbSession, member: Member, operator: Gateway
    ) -> None:
        other = a_member(session, an_organization(session))
        begin(operator, member)
        begin(operator, other)
        assert operator.get("/user/self").json["orgId"] == str(other.organization_id)
        refused = operator.get("/user/self", headers={"impersonate": str(member.id)})
        assert (refused.status, refused.json["code"]) == (401, "impersonation_over")

    def test_nobody_else_does(self, session: DbSession, member: Member) -> None:
        stranger = as_member(app, session, a_member(session, an_organization(session)))
        refused = stranger.get("/user/self", headers={"impersonate": str(member.id)})
        assert (refused.status, refused.json["code"]) == (403, "impersonation_refused")
        assert stranger.get(PATH, query={"name": "a"}).status == 403
        assert stranger.post(PATH, {"id": str(member.id), "reason": REASON}).status == 403

    def test_password_alone_is_refused(self, session: DbSession, member: Member) -> None:
        weak = as_member(app, session, an_operator(session))
        refused = weak.post(PATH, {"id": str(member.id), "reason": REASON})
        assert (refused.status, refused.json["code"]) == (403, "mfa_needed")


class TestEnding:
    def test_super_admin_ends_it(
        self, session: DbSession, member: Member, operator: Gateway
    ) -> None:
        begin(operator, member)
        ended = operator.post(PATH, {"id": None})
        assert ended.json == {"id": None, "endsAt": None}
        assert not operator.get("/user/self").json["impersonate"]
        refused = operator.get("/user/self", headers={"impersonate": str(member.id)})
        assert (refused.status, refused.json["code"]) == (401, "impersonation_over")

    def test_it_ends_by_itself(self, session: DbSession, member: Member, operator: Gateway) -> None:
        begin(operator, member)
        session.execute(text("update impersonations set ends_at = now()"))
        refused = operator.get("/user/self")
        assert (refused.status, refused.json["code"]) == (401, "impersonation_over")
        assert "impersonate" in refused.cookies
        assert operator.get("/user/self").json["orgId"] != str(member.organization_id)

    def test_rows_are_kept_for_400_days(self, session: DbSession, member: Member) -> None:
        in_place_of(None, session, member, ends_at=clock.now() - timedelta(days=399))
        assert delete_old_impersonations() == 0
        in_place_of(None, session, member, ends_at=clock.now() - timedelta(days=401))
        assert delete_old_impersonations() == 1


class TestLog:
    def test_organization_and_member_see_beginning_and_end(
        self, session: DbSession, member: Member, operator: Gateway
    ) -> None:
        begin(operator, member)
        operator.post(PATH, {"id": None})
        made = session.scalars(select(Impersonation)).one()
        own = as_member(app, session, member)
        for entries in (
            Gateway(organizations, own.headers).get("/settings/audit").json["entries"],
            own.get("/user/audit").json["entries"],
        ):
            assert [entry["action"] for entry in entries] == [
                "impersonation.ended", "impersonation.started",
            ]  # fmt: skip
            for entry in entries:
                assert entry["subjectId"] == str(made.id)
                assert entry["userId"] == str(member.user_id)
                assert entry["impersonatedBy"] == str(made.operator_id)
                assert entry["sessionId"] == str(made.session_id)
            assert entries[1]["after"]["expiresAt"][:16] == f"{made.ends_at:%Y-%m-%dT%H:%M}"

    def test_every_request_made_so_is_logged(
        self, session: DbSession, member: Member, caplog: pytest.LogCaptureFixture
    ) -> None:
        operator = an_operator(session)
        in_place_of(app, session, member, operator).get("/user/self")
        (record,) = [each for each in caplog.records if each.message == "session.impersonated"]
        assert record.__dict__["by"] == str(operator.user_id)
        assert record.__dict__["user_id"] == str(member.user_id)


class TestMail:
    def test_owners_get_the_reason(
        self, session: DbSession, member: Member, operator: Gateway
    ) -> None:
        organization_id = member.organization_id
        owner = a_user(session, email="owner@example.org")
        session.add(
            Member(id=new_id(), organization_id=organization_id, user_id=owner.id, role=Role.OWNER)
        )
        session.flush()
        begin(operator, member)
        (sent,) = queued_mails()
        assert sent["mail"]["to"] == "owner@example.org"
        assert REASON in sent["mail"]["text"]
        assert session.get_one(User, member.user_id).name in sent["mail"]["text"]

    def test_the_organization_switches_it_off(self, session: DbSession, operator: Gateway) -> None:
        owner = a_member(session, an_organization(session))
        settings = as_member(organizations, session, owner)
        assert settings.get("/settings/organization").json["mailsImpersonations"] is True
        changed = settings.put("/settings/organization", {"mailsImpersonations": False})
        assert changed.json["mailsImpersonations"] is False
        (entry,) = settings.get("/settings/audit").json["entries"]
        assert entry["after"] == {"mailsImpersonations": False}
        begin(operator, owner)
        assert queued_mails() == []


class TestInTheirPlace:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/settings/organization"),
            ("DELETE", "/customers/00000000-0000-0000-0000-000000000000"),
            ("GET", "/settings/audit?format=csv"),
        ],
    )
    def test_what_only_members_do_is_refused(
        self, session: DbSession, member: Member, method: str, path: str
    ) -> None:
        gateway = in_place_of(organizations, session, member)
        path, _, query = path.partition("?")
        body = {"mailsImpersonations": False} if method == "PUT" else None
        refused = gateway.call(method, path, body, query=query)
        assert (refused.status, refused.json["code"]) == (403, "not_in_their_place")

    def test_the_log_itself_may_be_read(self, session: DbSession, member: Member) -> None:
        gateway = in_place_of(organizations, session, member)
        assert gateway.get("/settings/audit").status == 200

    def test_access_token_alone_ends_too(self, session: DbSession, member: Member) -> None:
        gateway = in_place_of(app, session, member)
        with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
            assert gateway.get("/user/self").status == 401
