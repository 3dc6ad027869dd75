"""Invitations: who gives which seat, who may use the link, and how often; offers of ownership."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from functions.identity.app import app as identity
from functions.organizations.app import app
from shared.access import invitations, ownership, team
from shared.access.context import ActingMember, Via
from shared.access.errors import InvitationOver
from shared.audit.entries import Actor
from shared.core.crypto import hash_secret
from shared.core.errors import AppError
from shared.core.ids import InvitationId, OfferId, UserId, new_id
from shared.db.session import unit_of_work
from shared.organizations.errors import NoSuchOffer
from shared.organizations.member_queries import count_seats
from shared.organizations.models import Invitation, Member, Organization, OwnershipOffer, Role
from shared.organizations.sweep import delete_expired_offers, delete_old_invitations
from tests.builders import a_customer, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, in_place_of
from tests.mails import make_mails_queue, sent_mails, verify_sender

BROWSER = {"accept": "text/html"}


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    verify_sender()
    make_mails_queue(configure)


@pytest.fixture
def owner(session: Session, organization: Organization) -> Member:
    return a_member(session, organization)


@pytest.fixture
def by_owner(session: Session, owner: Member) -> Gateway:
    return as_member(app, session, owner)


def a_guest(session: Session, email: str = "guest@example.org", **columns: Any) -> Gateway:
    """Return somebody who is signed in and belongs to no organization."""
    user = a_user(session, email=email, **columns)
    member = Member(organization_id=new_id(), user_id=user.id, role=Role.OWNER)
    gateway = as_member(identity, session, member)
    del gateway.headers["showorg"]
    return gateway


def a_giver(
    session: Session, organization: Organization, role: Role = Role.ADMIN, **columns: Any
) -> Member:
    member = a_member(session, organization, role=role)
    for name, value in columns.items():
        setattr(member, name, value)
    session.flush()
    return member


def invite(giver: Gateway, **body: Any) -> str:
    """Make an invitation and return its token."""
    answer = giver.post("/settings/team", {"email": "guest@example.org", "role": "EDITOR"} | body)
    assert answer.status == 201, answer.text
    return token_of(answer.json["url"])


def token_of(url: str) -> str:
    assert "/app/?org=" in url
    return url.partition("org=")[2]


def seats(session: Session, organization: Organization) -> list[Any]:
    return list(
        session.execute(
            text(
                "select user_id, role, needs_approval, may_approve, customers from members"
                " where organization_id = :id order by created_at, id"
            ),
            {"id": organization.id},
        )
    )


class TestInvite:
    def test_the_link_is_returned_and_emailed(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        answer = by_owner.post("/settings/team", {"email": "Guest@Example.org", "role": "USER"})
        assert (answer.status, answer.json["emailed"]) == (201, True)
        (mail,) = sent_mails()
        assert mail.to == ("guest@example.org",)
        assert answer.json["url"] in mail.body
        assert organization.name in mail.body
        (row,) = session.query(Invitation)
        token = token_of(answer.json["url"])
        assert row.token_hash == hash_secret(token)
        assert (row.email, row.role, row.invited_by) == (
            "guest@example.org",
            Role.MEMBER,
            owner.user_id,
        )

    def test_without_an_email_it_is_only_returned(self, by_owner: Gateway) -> None:
        body = {"email": "guest@example.org", "role": "USER", "sendEmail": False}
        assert by_owner.post("/settings/team", body).json["emailed"] is False
        assert sent_mails() == []

    def test_pending_ones_are_listed_without_their_tokens(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        token = invite(by_owner, customers=[str(customer.id)], needsApproval=True)
        answer = by_owner.get("/settings/team")
        (listed,) = answer.json["invitations"]
        assert (listed["email"], listed["role"], listed["expired"]) == (
            "guest@example.org",
            "EDITOR",
            False,
        )
        assert (listed["customers"], listed["needsApproval"]) == ([str(customer.id)], True)
        assert token not in answer.text

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"role": "USER"}, 422, "invalid_input"),
            ({"email": "guest@example.org"}, 422, "invalid_input"),
            ({"email": "nobody", "role": "USER"}, 422, "invalid_input"),
            ({"email": "guest@example.org", "role": "SUPERADMIN"}, 409, "ownership_is_offered"),
            (
                {"email": "a@example.org", "role": "USER", "customers": [str(new_id())]},
                422,
                "invalid_input",
            ),
        ],
    )
    def test_refused(self, by_owner: Gateway, body: Any, status: int, code: str) -> None:
        answer = by_owner.post("/settings/team", body)
        assert (answer.status, answer.json["code"]) == (status, code)

    def test_a_member_is_not_invited(
        self, session: Session, owner: Member, by_owner: Gateway
    ) -> None:
        email = session.execute(text("select email from users")).scalar_one()
        answer = by_owner.post("/settings/team", {"email": email, "role": "USER"})
        assert (answer.status, answer.json["code"]) == (409, "already_member")

    def test_a_second_one_replaces_the_first(
        self, session: Session, by_owner: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = invite(by_owner)
        monkeypatch.setattr(team, "MOST_SEATS", 2)
        second = invite(by_owner, role="VIEWER")
        assert len(by_owner.get("/settings/team").json["invitations"]) == 1
        guest = a_guest(session)
        assert guest.post("/user/join-org", {"org": first}).status == 422
        assert guest.post("/user/join-org", {"org": second}).status == 200
        answer = by_owner.post("/settings/team", {"email": "other@example.org", "role": "USER"})
        assert answer.json["code"] == "too_many_seats"

    def test_costs_few_statements(self, by_owner: Gateway) -> None:
        with count_statements() as cost:
            invite(by_owner)
        # caller, session, lock, own seat, addressee, seats, invitation, audit
        assert cost.statements == 8


SEATS: dict[str, dict[str, Any]] = {
    "admin": {"role": "ADMIN"},
    "editor": {"role": "EDITOR"},
    "limited": {"role": "EDITOR", "customers": "ours"},
    "limited to another": {"role": "VIEWER", "customers": "theirs"},
    "approver": {"role": "USER", "mayApprove": True},
    "waiting": {"role": "USER", "needsApproval": True},
}
GIVERS: dict[str, dict[str, Any]] = {
    "owner": {"role": Role.OWNER},
    "admin": {"role": Role.ADMIN},
    "limited admin": {"role": Role.ADMIN, "customers": "ours"},
    "waiting admin": {"role": Role.ADMIN, "needs_approval": True},
    "approving admin": {"role": Role.ADMIN, "may_approve": True},
}
MAY = {
    "owner": set(SEATS),
    "admin": set(SEATS) - {"approver"},
    "limited admin": {"limited"},
    "waiting admin": {"waiting"},
    "approving admin": set(SEATS),
}


@pytest.mark.parametrize("giver", GIVERS)
def test_who_gives_which_seat(session: Session, organization: Organization, giver: str) -> None:
    names = {name: a_customer(session, organization, name=name).id for name in ("ours", "theirs")}
    columns = dict(GIVERS[giver])
    if "customers" in columns:
        columns["customers"] = [names[columns["customers"]]]
    gateway = as_member(app, session, a_giver(session, organization, **columns))
    for name, seat in SEATS.items():
        body = {"email": f"{new_id()}@example.org"} | seat
        if "customers" in seat:
            body["customers"] = [str(names[seat["customers"]])]
        answer = gateway.post("/settings/team", body)
        assert (answer.status == 201) is (name in MAY[giver]), (name, answer.text)


@pytest.mark.parametrize("role", [Role.EDITOR, Role.MEMBER, Role.VIEWER])
def test_below_an_admin_nobody_invites(
    session: Session, organization: Organization, role: Role
) -> None:
    gateway = as_member(app, session, a_giver(session, organization, role))
    body = {"email": "guest@example.org", "role": "VIEWER"}
    assert gateway.post("/settings/team", body).json["code"] == "role_too_low"


class TestJoin:
    def test_the_person_gets_the_seat(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        token = invite(by_owner, customers=[str(customer.id)], mayApprove=True)
        guest = a_guest(session)
        with count_statements() as cost:
            answer = guest.post("/user/join-org", {"org": token})
        assert (answer.status, answer.json) == (200, {"id": str(organization.id)})
        assert cost.statements == 7  # caller, session, token, lock, invitation, use, audit
        assert seats(session, organization)[1][1:] == ("editor", False, True, [customer.id])
        own = guest.get("/user/self").json
        assert (own["orgId"], own["role"]) == (str(organization.id), "EDITOR")
        assert by_owner.get("/settings/team").json["invitations"] == []

    def test_once(self, session: Session, organization: Organization, by_owner: Gateway) -> None:
        token = invite(by_owner, link=True, email=None)
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200
        answer = a_guest(session, "second@example.org").post("/user/join-org", {"org": token})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "invitation_over")
        assert len(seats(session, organization)) == 2

    def test_bound_to_the_proven_address(self, session: Session, by_owner: Gateway) -> None:
        token = invite(by_owner)
        other = a_guest(session, "other@example.org")
        answer = other.post("/user/join-org", {"org": token})
        assert (answer.status, answer.json["code"]) == (403, "invitation_for_another_address")
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200

    def test_an_open_link_that_was_emailed_is_for_anybody(
        self, session: Session, by_owner: Gateway
    ) -> None:
        token = invite(by_owner, link=True)
        other = a_guest(session, "other@example.org")
        assert other.post("/user/join-org", {"org": token}).status == 200

    @pytest.mark.parametrize(
        "change",
        [
            "update invitations set expires_at = now()",
            "update invitations set revoked_at = now()",
            "update invitations set used_at = now()",
            "update organizations set deleted_at = now()",
            "update members set disabled = true",
            "update members set role = 'editor'",
            "delete from members",
            "update users set deleted_at = now() where email <> 'guest@example.org'",
        ],
    )
    def test_over(self, session: Session, by_owner: Gateway, change: str) -> None:
        """Expired, withdrawn, used; or the member who invited is demoted or gone."""
        token, guest = invite(by_owner), a_guest(session)
        session.execute(text(change))
        answer = guest.post("/user/join-org", {"org": token})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "invitation_over")
        page = Gateway(identity).get("/app", query={"org": token}, headers=BROWSER)
        assert page.status == 422

    @pytest.mark.parametrize("token", ["x", "\u00e9", "0" * 43])
    def test_unknown(self, session: Session, token: str) -> None:
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 422

    def test_who_is_a_member_already_uses_nothing(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        token = invite(by_owner, link=True, email=None)
        answer = as_member(identity, session, owner).post("/user/join-org", {"org": token})
        assert (answer.status, answer.json["code"]) == (409, "already_member")
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200

    def test_no_more_than_the_giver_may_give_now(
        self, session: Session, organization: Organization
    ) -> None:
        ours, theirs = (a_customer(session, organization, name=name) for name in "ab")
        giver = a_giver(session, organization, may_approve=True)
        gateway = as_member(app, session, giver)
        token = invite(gateway, mayApprove=True, role="ADMIN")
        giver.customers, giver.may_approve, giver.needs_approval = [ours.id], False, True
        session.flush()
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200
        assert seats(session, organization)[-1][1:] == ("admin", True, False, [ours.id])
        giver.customers = [ours.id, theirs.id]
        session.flush()
        late = invite(gateway, email="b@example.org", customers=[str(ours.id)], needsApproval=True)
        giver.customers = [theirs.id]
        session.flush()
        assert a_guest(session, "b@example.org").post("/user/join-org", {"org": late}).status == 422

    def test_in_another_place_nobody_joins(self, session: Session, by_owner: Gateway) -> None:
        token = invite(by_owner, link=True, email=None)
        target = a_member(session, an_organization(session))
        gateway = in_place_of(identity, session, target)
        answer = gateway.post("/user/join-org", {"org": token})
        assert answer.json["code"] == "not_in_their_place"


class TestManage:
    def the_id(self, gateway: Gateway) -> str:
        (listed,) = gateway.get("/settings/team").json["invitations"]
        return str(listed["id"])

    def test_a_new_link_ends_the_old_one(self, session: Session, by_owner: Gateway) -> None:
        old = invite(by_owner)
        session.execute(text("update invitations set expires_at = now()"))
        answer = by_owner.post(f"/settings/team/invitations/{self.the_id(by_owner)}/resend")
        assert (answer.status, answer.json["emailed"]) == (200, True)
        assert len(sent_mails()) == 2
        guest = a_guest(session)
        assert guest.post("/user/join-org", {"org": old}).status == 422
        token = token_of(answer.json["url"])
        assert guest.post("/user/join-org", {"org": token}).status == 200

    def test_an_expired_one_needs_a_free_seat(
        self, session: Session, by_owner: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invite(by_owner)
        path = f"/settings/team/invitations/{self.the_id(by_owner)}/resend"
        monkeypatch.setattr(team, "MOST_SEATS", 1)
        assert by_owner.post(path).status == 200
        session.execute(text("update invitations set expires_at = now()"))
        assert by_owner.post(path).json["code"] == "too_many_seats"

    def test_a_revoked_one_is_over(self, session: Session, by_owner: Gateway) -> None:
        token, path = invite(by_owner), f"/settings/team/invitations/{self.the_id(by_owner)}"
        assert by_owner.delete(path).status == 200
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 422
        assert by_owner.delete(path).status == 404
        assert by_owner.post(f"{path}/resend").status == 404

    def test_a_limited_admin_leaves_others_alone(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        ours = a_customer(session, organization)
        token, path = invite(by_owner), f"/settings/team/invitations/{self.the_id(by_owner)}"
        admin = as_member(app, session, a_giver(session, organization, customers=[ours.id]))
        body = {"email": "guest@example.org", "role": "VIEWER", "customers": [str(ours.id)]}
        for answer in (
            admin.delete(path),
            admin.post(f"{path}/resend"),
            admin.post("/settings/team", body),
        ):
            assert (answer.status, answer.json["code"]) == (403, "seat_above_own")
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200

    def test_pending_ones_count_as_seats(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        invite(by_owner)
        invite(by_owner, email="b@example.org")
        assert count_seats(session, organization.id) == (1, 2)
        session.execute(
            text("update invitations set expires_at = now() where email = 'b@example.org'")
        )
        assert count_seats(session, organization.id) == (1, 1)

    @pytest.mark.parametrize(("age", "left"), [("29 days", 1), ("31 days", 0)])
    def test_old_ones_are_deleted(
        self, session: Session, by_owner: Gateway, age: str, left: int
    ) -> None:
        invite(by_owner)
        session.execute(
            text("update invitations set expires_at = now() - cast(:age as interval)"), {"age": age}
        )
        assert delete_old_invitations() == 1 - left


REGISTERS = {"email": "guest@example.org", "password": "correct horse battery 9"}


class TestRegister:
    @pytest.fixture(autouse=True)
    def _closed(self, configure: Configure) -> None:
        configure(DISABLE_REGISTRATION="true")

    def test_joins_when_the_address_is_proven(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        token, browser = invite(by_owner), Gateway(identity)
        answer = browser.post("/auth/register", {**REGISTERS, "org": token})
        assert (answer.status, answer.json) == (200, {"activate": True})
        assert len(seats(session, organization)) == 1
        code = re.search(r"code=([\w-]+)", sent_mails()[-1].body)
        assert code
        assert browser.post("/auth/activate", {"code": code[1]}).status == 200
        assert [row.role for row in seats(session, organization)] == ["owner", "editor"]
        assert len(browser.get("/user/organizations").json) == 1

    def test_without_mails_at_once(
        self, session: Session, organization: Organization, by_owner: Gateway, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        token, browser = invite(by_owner), Gateway(identity)
        answer = browser.post("/auth/register", {**REGISTERS, "org": token})
        assert answer.json == {"register": True}
        (own,) = browser.get("/user/organizations").json
        assert own["id"] == str(organization.id)

    def test_an_invitation_that_ends_meanwhile_leaves_an_account(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        token, browser = invite(by_owner), Gateway(identity)
        browser.post("/auth/register", {**REGISTERS, "org": token})
        code = re.search(r"code=([\w-]+)", sent_mails()[-1].body)
        session.execute(text("update invitations set revoked_at = now()"))
        assert code
        assert browser.post("/auth/activate", {"code": code[1]}).status == 200
        assert browser.get("/user/organizations").json == []
        assert len(seats(session, organization)) == 1

    def test_only_with_its_own_address(self, by_owner: Gateway) -> None:
        token = invite(by_owner)
        body = {**REGISTERS, "email": "other@example.org", "org": token}
        answer = Gateway(identity).post("/auth/register", body)
        assert (answer.status, answer.json["code"]) == (403, "invitation_for_another_address")

    def test_only_with_one_that_can_be_used(self, session: Session, by_owner: Gateway) -> None:
        token = invite(by_owner)
        session.execute(text("update invitations set expires_at = now()"))
        answer = Gateway(identity).post("/auth/register", {**REGISTERS, "org": token})
        assert answer.status == 422
        closed = Gateway(identity).post("/auth/register", {**REGISTERS, "company": "Mine"})
        assert closed.json["code"] == "registration_closed"

    def test_without_one_a_name_is_needed(self, by_owner: Gateway) -> None:
        answer = Gateway(identity).post("/auth/register", REGISTERS)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "company")

    def test_replaces_the_organization_of_an_earlier_registration(
        self, session: Session, organization: Organization, by_owner: Gateway, configure: Configure
    ) -> None:
        configure(DISABLE_REGISTRATION="false")
        browser = Gateway(identity)
        browser.post("/auth/register", {**REGISTERS, "company": "Mine"})
        sent_mails()
        browser.post("/auth/register", {**REGISTERS, "org": invite(by_owner)})
        code = re.search(r"auth/activate\?code=([\w-]+)", sent_mails()[-1].body)
        assert code
        assert browser.post("/auth/activate", {"code": code[1]}).status == 200
        (own,) = browser.get("/user/organizations").json
        assert own["id"] == str(organization.id)

    def test_another_registration_of_the_address_has_an_organization(
        self, session: Session, organization: Organization, by_owner: Gateway, configure: Configure
    ) -> None:
        configure(DISABLE_REGISTRATION="false")
        browser = Gateway(identity)
        browser.post("/auth/register", {**REGISTERS, "org": invite(by_owner)})
        sent_mails()
        browser.post("/auth/register", {**REGISTERS, "company": "Mine"})
        code = re.search(r"auth/activate\?code=([\w-]+)", sent_mails()[-1].body)
        assert code
        browser.post("/auth/activate", {"code": code[1]})
        (own,) = browser.get("/user/organizations").json
        assert (own["name"], own["users"][0]["role"]) == ("Mine", "SUPERADMIN")


class TestPlan:
    @pytest.fixture(autouse=True)
    def _three_seats(
        self, session: Session, organization: Organization, configure: Configure
    ) -> None:
        """The plan STANDARD includes one member; the organization was given two more."""
        configure(BILLING="on")
        organization.plan, organization.limits = "standard", {"team_members": 2}
        session.flush()

    def test_pending_invitations_take_seats(self, session: Session, by_owner: Gateway) -> None:
        token = invite(by_owner)
        invite(by_owner, email="b@example.org")
        answer = by_owner.post("/settings/team", {"email": "c@example.org", "role": "USER"})
        assert answer.status == 402
        assert {name: answer.json[name] for name in ("section", "action", "limit", "used")} == {
            "section": "team_members",
            "action": "create",
            "limit": 3,
            "used": 3,
        }
        assert (answer.json["plan"], answer.json["neededPlan"]) == ("STANDARD", "TEAM")
        assert answer.json["url"].endswith("/billing")
        # To use one, or to send one that is pending again, takes no more.
        assert a_guest(session).post("/user/join-org", {"org": token}).status == 200
        (pending,) = by_owner.get("/settings/team").json["invitations"]
        path = f"/settings/team/invitations/{pending['id']}/resend"
        assert by_owner.post(path).status == 200

    def test_an_expired_one_takes_its_seat_again(self, session: Session, by_owner: Gateway) -> None:
        invite(by_owner)
        (pending,) = by_owner.get("/settings/team").json["invitations"]
        session.execute(text("update invitations set expires_at = now()"))
        invite(by_owner, email="b@example.org")
        invite(by_owner, email="c@example.org")
        answer = by_owner.post(f"/settings/team/invitations/{pending['id']}/resend")
        assert (answer.status, answer.json["section"]) == (402, "team_members")

    def test_enabling_a_member_takes_a_seat(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member = a_giver(session, organization, Role.EDITOR, disabled=True)
        a_giver(session, organization, Role.EDITOR)
        invite(by_owner)
        path = f"/settings/team/{member.user_id}"
        answer = by_owner.put(path, {"disabled": False})
        assert (answer.status, answer.json["section"]) == (402, "team_members")
        session.execute(text("update invitations set revoked_at = now()"))
        assert by_owner.put(path, {"disabled": False}).status == 200

    def test_a_smaller_plan_keeps_out_who_was_invited_before(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        token = invite(by_owner)
        organization.limits = {}
        session.flush()
        guest = a_guest(session)
        answer = guest.post("/user/join-org", {"org": token})
        assert (answer.status, answer.json["used"]) == (402, 1)
        organization.plan = "team"
        session.flush()
        assert guest.post("/user/join-org", {"org": token}).status == 200

    def test_who_registers_for_a_smaller_plan_has_an_account_without_a_seat(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        browser = Gateway(identity)
        browser.post("/auth/register", {**REGISTERS, "org": invite(by_owner)})
        organization.limits = {}
        session.flush()
        code = re.search(r"code=([\w-]+)", sent_mails()[-1].body)
        assert code
        assert browser.post("/auth/activate", {"code": code[1]}).status == 200
        assert browser.get("/user/organizations").json == []


class TestPage:
    def test_the_link_leads_to_it(self, session: Session, by_owner: Gateway) -> None:
        url = by_owner.post("/settings/team", {"email": "guest@example.org", "role": "USER"}).json[
            "url"
        ]
        parts = urlsplit(url)
        answer = a_guest(session).get(parts.path, query=parts.query, headers=BROWSER)
        assert answer.status == 200
        assert "<button>Join</button>" in answer.text

    def test_opening_it_changes_nothing(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        """A mail scanner opens each link, signed in or not, by GET and HEAD."""
        token = invite(by_owner)
        before = session.execute(text("select * from invitations")).all()
        for caller in (Gateway(identity), a_guest(session)):
            for method in ("GET", "HEAD"):
                for query in ({"org": token}, {"org": token, "new": "true"}):
                    assert caller.call(method, "/app", query=query, headers=BROWSER).status == 200
        assert session.execute(text("select * from invitations")).all() == before
        assert len(seats(session, organization)) == 1

    def test_asks_to_sign_in_or_register(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        token = invite(by_owner)
        page = Gateway(identity).get("/app", query={"org": token}, headers=BROWSER).text
        assert organization.name in page
        assert "as an editor" in page
        assert f"/app?org={token}&amp;new=true" in page
        assert "guest@example.org" not in page
        new = {"org": token, "new": "true"}
        assert (
            "Create the account" in Gateway(identity).get("/app", query=new, headers=BROWSER).text
        )

    def test_others_are_asked_to_sign_out(self, session: Session, by_owner: Gateway) -> None:
        page = a_guest(session, "other@example.org").get("/app", query={"org": invite(by_owner)})
        assert "is for another address" in page.text
        assert "guest@example.org" not in page.text

    def test_a_member_has_nothing_to_do(
        self, session: Session, owner: Member, by_owner: Gateway
    ) -> None:
        token = invite(by_owner, link=True, email=None)
        page = as_member(identity, session, owner).get("/app", query={"org": token})
        assert "You are a member" in page.text

    def test_names_are_escaped(self, session: Session, organization: Organization) -> None:
        organization.name = "<script>alert(1)</script>"
        giver = a_giver(session, organization)
        token = invite(as_member(app, session, giver))
        for caller in (Gateway(identity), a_guest(session)):
            page = caller.get("/app", query={"org": token}, headers=BROWSER)
            assert "<script>alert(1)" not in page.text

    def test_without_a_token_it_is_the_start_page(self, session: Session) -> None:
        assert "Roost is running" in Gateway(identity).get("/app", headers=BROWSER).text


def offer(gateway: Gateway, receiver: Member, **body: Any) -> str:
    answer = gateway.post("/organizations/ownership", {"userId": str(receiver.user_id)} | body)
    assert answer.status == 201, answer.text
    return str(answer.json["id"])


class TestOwnership:
    @pytest.fixture
    def receiver(self, session: Session, organization: Organization) -> Member:
        customer = a_customer(session, organization)
        return a_giver(
            session, organization, Role.EDITOR, customers=[customer.id], needs_approval=True
        )

    @pytest.fixture
    def by_receiver(self, session: Session, receiver: Member) -> Gateway:
        return as_member(app, session, receiver)

    def role_of(self, session: Session, member: Member) -> str:
        found = session.execute(
            text("select role from members where user_id = :id"), {"id": member.user_id}
        )
        return str(found.scalar_one())

    @pytest.mark.parametrize("steps_down", [True, False])
    def test_moves_when_the_receiver_accepts(
        self,
        session: Session,
        owner: Member,
        by_owner: Gateway,
        receiver: Member,
        by_receiver: Gateway,
        steps_down: bool,
    ) -> None:
        offer_id = offer(by_owner, receiver, stepsDown=steps_down)
        assert f"/app/ownership/{offer_id}" in sent_mails()[-1].body
        assert self.role_of(session, receiver) == "editor"
        answer = by_receiver.post(f"/organizations/ownership/{offer_id}/accept")
        former = "ADMIN" if steps_down else "SUPERADMIN"
        assert answer.json == {"role": "SUPERADMIN", "formerOwnerRole": former}
        assert self.role_of(session, owner) == ("admin" if steps_down else "owner")
        row = session.execute(
            text("select role, customers, needs_approval from members where user_id = :id"),
            {"id": receiver.user_id},
        ).one()
        assert row == ("owner", None, False)
        again = by_receiver.post(f"/organizations/ownership/{offer_id}/accept")
        assert again.status == 404

    def test_only_the_receiver_accepts(
        self, session: Session, organization: Organization, by_owner: Gateway, receiver: Member
    ) -> None:
        offer_id = offer(by_owner, receiver)
        admin = as_member(app, session, a_giver(session, organization))
        for gateway in (admin, by_owner):
            assert gateway.post(f"/organizations/ownership/{offer_id}/accept").status == 404
        assert admin.get("/organizations/ownership").json == {"offers": []}
        assert admin.delete(f"/organizations/ownership/{offer_id}").status == 404

    @pytest.mark.parametrize(
        "change",
        [
            "update ownership_offers set expires_at = now()",
            "update members set role = 'admin' where role = 'owner'",
            "update members set disabled = true where role = 'owner'",
            "update members set disabled = true where role = 'editor'",
        ],
    )
    def test_over(
        self,
        session: Session,
        by_owner: Gateway,
        receiver: Member,
        by_receiver: Gateway,
        change: str,
    ) -> None:
        offer_id = offer(by_owner, receiver)
        session.execute(text(change))
        answer = by_receiver.post(f"/organizations/ownership/{offer_id}/accept")
        assert answer.status in {403, 404}
        assert self.role_of(session, receiver) == "editor"

    @pytest.mark.parametrize("by", ["owner", "receiver"])
    def test_is_withdrawn_or_declined(
        self, by_owner: Gateway, receiver: Member, by_receiver: Gateway, by: str
    ) -> None:
        offer_id = offer(by_owner, receiver)
        gateway = by_owner if by == "owner" else by_receiver
        (listed,) = gateway.get("/organizations/ownership").json["offers"]
        assert (listed["id"], listed["to"]["id"]) == (offer_id, str(receiver.user_id))
        assert gateway.delete(f"/organizations/ownership/{offer_id}").status == 200
        assert by_receiver.post(f"/organizations/ownership/{offer_id}/accept").status == 404

    def test_a_change_of_the_seat_withdraws_it(
        self, by_owner: Gateway, receiver: Member, by_receiver: Gateway
    ) -> None:
        offer_id = offer(by_owner, receiver)
        by_owner.put(f"/settings/team/{receiver.user_id}", {"role": "VIEWER"})
        assert by_receiver.post(f"/organizations/ownership/{offer_id}/accept").status == 404

    def test_a_new_one_replaces_the_earlier(
        self,
        session: Session,
        organization: Organization,
        by_owner: Gateway,
        receiver: Member,
        by_receiver: Gateway,
    ) -> None:
        first = offer(by_owner, receiver)
        offer(by_owner, a_giver(session, organization))
        assert by_receiver.post(f"/organizations/ownership/{first}/accept").status == 404

    @pytest.mark.parametrize("kind", ["stranger", "disabled", "owner"])
    def test_a_receiver_is_a_member_who_is_no_owner(
        self, session: Session, organization: Organization, by_owner: Gateway, kind: str
    ) -> None:
        where = an_organization(session) if kind == "stranger" else organization
        role = Role.OWNER if kind == "owner" else Role.ADMIN
        member = a_giver(session, where, role, disabled=kind == "disabled")
        answer = by_owner.post("/organizations/ownership", {"userId": str(member.user_id)})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "userId")

    def test_the_page_asks_for_a_recent_proof(
        self, session: Session, by_owner: Gateway, receiver: Member, by_receiver: Gateway
    ) -> None:
        path = f"/app/ownership/{offer(by_owner, receiver)}"
        before = session.execute(text("select * from ownership_offers")).all()
        assert "<button>Accept</button>" in by_receiver.get(path, headers=BROWSER).text
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        assert "Sign in again" in by_receiver.get(path, headers=BROWSER).text
        assert "Sign in again" in Gateway(app).get(path, headers=BROWSER).text
        assert session.execute(text("select * from ownership_offers")).all() == before

    @pytest.mark.parametrize(("ends_in", "left"), [("1 minute", 1), ("-1 second", 0)])
    def test_expired_ones_are_deleted(
        self, session: Session, by_owner: Gateway, receiver: Member, ends_in: str, left: int
    ) -> None:
        offer(by_owner, receiver)
        session.execute(
            text("update ownership_offers set expires_at = now() + cast(:ends_in as interval)"),
            {"ends_in": ends_in},
        )
        assert delete_expired_offers() == 1 - left


def acting(member: Member, role: Role) -> ActingMember:
    return ActingMember(
        organization_id=member.organization_id,
        user_id=member.user_id,
        role=role,
        timezone="UTC",
        via=Via.SESSION,
    )


def at_once(work: list[Callable[[], object]], expected: type[AppError]) -> int:
    """Run all on their own connections; return how many were refused, each with `expected`."""

    def run(one: Callable[[], object]) -> int:
        try:
            one()
        except expected:
            return 1
        return 0

    with ThreadPoolExecutor(len(work)) as pool:
        return sum(pool.map(run, work))


@pytest.fixture
def connections(committed: Engine, configure: Configure) -> Engine:
    configure(DATABASE_POOL_SIZE=8)
    return committed


def test_an_open_link_lets_one_of_many_in(connections: Engine) -> None:
    token = "t" * 43
    with Session(connections, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        giver = a_member(session, organization)
        guests = [a_user(session).id for _ in range(6)]
        session.add(
            Invitation(
                id=InvitationId(new_id()), organization_id=organization.id, invited_by=giver.user_id,
                is_open=True, role=Role.EDITOR, token_hash=hash_secret(token),
                expires_at=giver.created_at + timedelta(days=7),
            )
        )  # fmt: skip

    def join(guest: UserId) -> None:
        with unit_of_work() as session:
            invitations.join(session, guest, token, actor=Actor(user_id=guest))

    refused = at_once([partial(join, guest) for guest in guests], InvitationOver)
    with connections.connect() as connection:
        members = connection.scalar(text("select count(*) from members"))
    assert (refused, members) == (5, 2)


def test_an_offer_is_accepted_once(connections: Engine) -> None:
    with Session(connections, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        giver = a_member(session, organization)
        receiver = a_member(session, organization, role=Role.EDITOR)
        offered = OwnershipOffer(
            id=OfferId(new_id()), organization_id=organization.id, offered_by=giver.user_id,
            offered_to=receiver.user_id, expires_at=giver.created_at + timedelta(days=7),
        )  # fmt: skip
        session.add(offered)

    def accept() -> None:
        with unit_of_work() as session:
            ownership.accept_ownership(session, acting(receiver, Role.EDITOR), offered.id)

    assert at_once([accept] * 4, NoSuchOffer) == 3
    with connections.connect() as connection:
        owners = connection.scalar(text("select count(*) from members where role = 'owner'"))
    assert owners == 1
