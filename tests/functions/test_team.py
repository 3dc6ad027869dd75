"""Whether seats are changed and ended by whom they may be, what ends with them, and whether an owner stays."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from functions.identity.app import app as identity
from functions.organizations.app import app
from shared.access import team
from shared.access.context import FRESH, Proof
from shared.apps.models import DeviceCode, OAuthApp, OAuthCode
from shared.core import clock
from shared.core.ids import new_id
from shared.identity.models import Method, User
from shared.identity.models import Session as LoginSession
from shared.organizations import settings as organization_settings
from shared.organizations.models import ApiKey, Member, Organization, Role
from tests.builders import a_customer, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_grant, by_key, in_place_of


@pytest.fixture(autouse=True)
def _aws(aws: None) -> None: ...


@pytest.fixture
def owner(session: Session, organization: Organization) -> Member:
    return a_member(session, organization)


@pytest.fixture
def by_owner(session: Session, owner: Member) -> Gateway:
    return as_member(app, session, owner)


def a_seat(
    session: Session, organization: Organization, role: Role = Role.EDITOR, **columns: Any
) -> Member:
    member = a_member(session, organization, role=role)
    for name, value in columns.items():
        setattr(member, name, value)
    session.flush()
    return member


def path_of(member: Member) -> str:
    return f"/settings/team/{member.user_id}"


def seat(session: Session, member: Member) -> Any:
    """Return what is stored of a member; None if they are gone."""
    found = session.execute(
        text(
            "select role, disabled, needs_approval, may_approve, customers from members "
            "where organization_id = :organization and user_id = :user"
        ),
        {"organization": member.organization_id, "user": member.user_id},
    )
    return found.one_or_none()


class TestList:
    def test_shows_each_seat(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        limited = a_seat(
            session, organization, needs_approval=True, may_approve=True, customers=[customer.id]
        )
        first, second = by_owner.get("/settings/team").json["users"]
        assert (first["user"]["id"], first["role"]) == (str(owner.user_id), "SUPERADMIN")
        assert (first["customers"], first["needsApproval"], first["mayApprove"]) == (
            None,
            False,
            False,
        )
        assert second["user"]["id"] == str(limited.user_id)
        assert second["customers"] == [str(customer.id)]
        assert (second["needsApproval"], second["mayApprove"], second["disabled"]) == (
            True,
            True,
            False,
        )

    def test_a_limited_admin_sees_only_their_own_customers(
        self, session: Session, organization: Organization
    ) -> None:
        ours, theirs = (a_customer(session, organization, name=name) for name in "ab")
        a_seat(session, organization, customers=[ours.id, theirs.id])
        admin = a_seat(session, organization, Role.ADMIN, customers=[ours.id])
        answer = as_member(app, session, admin).get("/settings/team")
        assert [each["customers"] for each in answer.json["users"]] == [[str(ours.id)]] * 2
        assert str(theirs.id) not in answer.text


class TestChange:
    def test_every_part_of_a_seat(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member, customer = a_seat(session, organization), a_customer(session, organization)
        wanted = {
            "role": "ADMIN", "needsApproval": True, "mayApprove": True, "disabled": True,
            "customers": [str(customer.id)],
        }  # fmt: skip
        answer = by_owner.put(path_of(member), wanted)
        assert answer.status == 200, answer.text
        assert {name: answer.json[name] for name in wanted} == wanted
        assert seat(session, member) == ("admin", True, True, True, [customer.id])

    def test_what_is_left_out_stays(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        member = a_seat(session, organization, may_approve=True, customers=[customer.id])
        assert by_owner.put(path_of(member), {"role": "USER"}).json["role"] == "USER"
        assert seat(session, member) == ("member", False, False, True, [customer.id])
        assert by_owner.put(path_of(member), {"customers": None}).json["customers"] is None
        assert seat(session, member) == ("member", False, False, True, None)

    @pytest.mark.parametrize("role", ["viewer", "VIEWER"])
    def test_roles_go_by_both_names(
        self, session: Session, organization: Organization, by_owner: Gateway, role: str
    ) -> None:
        member = a_seat(session, organization)
        assert by_owner.put(path_of(member), {"role": role}).json["role"] == "VIEWER"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "role"),
            ({"keepKeys": []}, "role"),
            ({"role": None}, "role"),
            ({"disabled": None}, "disabled"),
            ({"role": "KING"}, "role"),
            ({"customers": []}, "customers"),
            ({"customers": [str(new_id())]}, "customers.0"),
            ({"role": "VIEWER", "keepKeys": [str(new_id())]}, "keepKeys.0"),
        ],
    )
    def test_refused_field_is_named(
        self, session: Session, organization: Organization, by_owner: Gateway, body: Any, path: str
    ) -> None:
        member = a_seat(session, organization)
        before = seat(session, member)
        answer = by_owner.put(path_of(member), body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, path)
        assert seat(session, member) == before

    def test_customers_are_the_organizations_own(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        ours = a_customer(session, organization)
        theirs = a_customer(session, an_organization(session))
        body = {"customers": [str(ours.id), str(theirs.id)]}
        answer = by_owner.put(path_of(a_seat(session, organization)), body)
        assert [each["path"] for each in answer.json["errors"]] == ["customers.1"]

    @pytest.mark.parametrize("unknown", ["nobody", "elsewhere"])
    def test_only_members_have_a_seat(
        self, session: Session, by_owner: Gateway, unknown: str
    ) -> None:
        elsewhere = a_seat(session, an_organization(session))
        user_id = elsewhere.user_id if unknown == "elsewhere" else new_id()
        for answer in (
            by_owner.put(f"/settings/team/{user_id}", {"role": "VIEWER"}),
            by_owner.delete(f"/settings/team/{user_id}"),
        ):
            assert (answer.status, answer.json["code"]) == (404, "not_found")
        assert seat(session, elsewhere).role == "editor"

    def test_ownership_is_not_given(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization, Role.ADMIN)
        answer = by_owner.put(path_of(member), {"role": "SUPERADMIN"})
        assert (answer.status, answer.json["code"]) == (409, "ownership_is_offered")

    @pytest.mark.parametrize("limits", ["customers", "needsApproval"])
    def test_an_owner_is_not_limited(
        self,
        session: Session,
        organization: Organization,
        owner: Member,
        by_owner: Gateway,
        limits: str,
    ) -> None:
        customer = a_customer(session, organization)
        body = {"customers": [str(customer.id)]} if limits == "customers" else {limits: True}
        answer = by_owner.put(path_of(owner), body)
        assert (answer.status, answer.json["code"]) == (409, "owner_is_unlimited")

    def test_costs_few_statements(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        with count_statements() as cost:
            by_owner.put(path_of(member), {"role": "ADMIN"})
        assert cost.statements == 6  # caller, session, lock, seats, change, audit
        with count_statements() as cost:
            by_owner.delete(path_of(member))
        assert cost.statements == 8  # caller, session, lock, seats, keys, consents, removal, audit

    def test_a_disabled_seat_is_closed_and_opened(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        gateway = as_member(app, session, member)
        by_owner.put(path_of(member), {"disabled": True})
        assert gateway.get("/settings/organization").json["code"] == "organization_gone"
        by_owner.put(path_of(member), {"disabled": False})
        assert gateway.get("/settings/organization").status == 200

    def test_no_more_open_seats_than_can_be_listed(
        self,
        session: Session,
        organization: Organization,
        by_owner: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        member = a_seat(session, organization, disabled=True)
        monkeypatch.setattr(team, "MOST_SEATS", 1)
        answer = by_owner.put(path_of(member), {"disabled": False})
        assert (answer.status, answer.json["code"]) == (409, "too_many_seats")
        monkeypatch.setattr(team, "MOST_SEATS", 2)
        assert by_owner.put(path_of(member), {"disabled": False}).status == 200


class TestLevel:
    """Nobody changes somebody who may do more, or gives more than they have."""

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_an_admin_does_not_touch_an_owner(
        self, session: Session, organization: Organization, owner: Member, method: str
    ) -> None:
        a_member(session, organization)  # so that an owner would stay
        admin = as_member(app, session, a_seat(session, organization, Role.ADMIN))
        body = {"role": "VIEWER"} if method == "PUT" else None
        answer = admin.call(method, path_of(owner), body)
        assert (answer.status, answer.json["code"]) == (403, "seat_above_own")
        assert seat(session, owner).role == "owner"

    def test_an_admin_manages_an_admin(self, session: Session, organization: Organization) -> None:
        admin = as_member(app, session, a_seat(session, organization, Role.ADMIN))
        other = a_seat(session, organization, Role.ADMIN)
        assert admin.put(path_of(other), {"role": "EDITOR"}).status == 200
        assert admin.delete(path_of(other)).status == 200

    def test_a_limited_admin_gives_only_their_own_customers(
        self, session: Session, organization: Organization
    ) -> None:
        ours, theirs = (a_customer(session, organization, name=name) for name in "ab")
        admin = as_member(
            app, session, a_seat(session, organization, Role.ADMIN, customers=[ours.id])
        )
        inside = a_seat(session, organization, customers=[ours.id])
        outside = a_seat(session, organization, customers=[ours.id, theirs.id])
        whole = a_seat(session, organization, Role.VIEWER)
        for member, body, status in (
            (inside, {"customers": [str(theirs.id)]}, 403),
            (inside, {"customers": None}, 403),
            (outside, {"customers": [str(ours.id)]}, 403),
            (whole, {"disabled": True}, 403),
            (inside, {"role": "VIEWER"}, 200),
        ):
            assert admin.put(path_of(member), body).status == status, body
        assert admin.delete(path_of(outside)).status == 403
        assert admin.delete(path_of(inside)).status == 200

    def test_an_admin_who_may_not_approve_gives_no_approval(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        admin = as_member(app, session, a_seat(session, organization, Role.ADMIN))
        member = a_seat(session, organization)
        assert admin.put(path_of(member), {"mayApprove": True}).status == 403
        assert by_owner.put(path_of(member), {"mayApprove": True}).status == 200
        assert admin.put(path_of(member), {"role": "USER"}).json["mayApprove"] is True

    def test_who_needs_approval_cannot_excuse_anybody(
        self, session: Session, organization: Organization
    ) -> None:
        admin = a_seat(session, organization, Role.ADMIN, needs_approval=True)
        gateway = as_member(app, session, admin)
        for member in (admin, a_seat(session, organization, needs_approval=True)):
            answer = gateway.put(path_of(member), {"needsApproval": False})
            assert (answer.status, answer.json["code"]) == (403, "seat_above_own")

    @pytest.mark.parametrize(
        "change",
        [
            "update members set role = 'editor' where user_id = :user",
            "update members set disabled = true where user_id = :user",
            "delete from members where user_id = :user",
        ],
    )
    def test_the_callers_seat_is_read_again_under_the_lock(
        self,
        session: Session,
        organization: Organization,
        monkeypatch: pytest.MonkeyPatch,
        change: str,
    ) -> None:
        """Demoted after the request was let in, and before it took the lock."""
        admin = a_seat(session, organization, Role.ADMIN)
        member, gateway = a_seat(session, organization), as_member(app, session, admin)

        def lock(*_: Any) -> None:
            session.execute(text(change), {"user": admin.user_id})

        monkeypatch.setattr(team, "lock_organization", lock)
        answer = gateway.put(path_of(member), {"role": "ADMIN"})
        assert (answer.status, answer.json["code"]) == (403, "seat_above_own")

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_a_proof_of_identity_is_needed(
        self, session: Session, organization: Organization, by_owner: Gateway, method: str
    ) -> None:
        member = a_seat(session, organization)
        old = clock.now() - timedelta(minutes=11)
        session.execute(update(LoginSession).values(authenticated_at=old))
        body = {"role": "VIEWER"} if method == "PUT" else None
        answer = by_owner.call(method, path_of(member), body)
        assert (answer.status, answer.json["code"]) == (403, "fresh_login_needed")

    def test_an_administrator_in_their_place_does_not(
        self, session: Session, organization: Organization, owner: Member
    ) -> None:
        gateway = in_place_of(app, session, owner)
        member = a_seat(session, organization)
        for answer in (
            gateway.put(path_of(member), {"role": "VIEWER"}),
            gateway.delete(path_of(member)),
            gateway.post("/organizations", {"name": "Mine now"}),
            gateway.post("/organizations/leave"),
        ):
            assert (answer.status, answer.json["code"]) == (403, "not_in_their_place")


class Holdings:
    """What a member holds: two keys, a consent, a device login, and two codes that wait to be exchanged."""

    def __init__(self, session: Session, member: Member) -> None:
        self.keys = [by_key(app, session, member), by_key(app, session, member)]
        rows = session.query(ApiKey).filter(ApiKey.created_by == member.user_id)
        self.key_ids = [str(row.id) for row in rows.order_by(ApiKey.id)]
        self.consent = by_grant(app, session, member)
        program = OAuthApp(
            client_id=f"pca_{new_id()}", name="Waits", redirect_uris=["https://a.test/"]
        )
        session.add(program)
        session.flush()
        later = clock.now() + timedelta(minutes=5)
        ids = {
            "app_id": program.id,
            "organization_id": member.organization_id,
            "user_id": member.user_id,
        }
        self.code = OAuthCode(
            code_hash=new_id().bytes, redirect_uri="https://a.test/", scopes=["mcp:read"], expires_at=later, **ids
        )  # fmt: skip
        self.device = DeviceCode(
            device_code_hash=new_id().bytes, user_code=str(new_id()), approved_at=clock.now(), expires_at=later, **ids
        )  # fmt: skip
        session.add_all([self.code, self.device])
        session.flush()
        self.code_hash, self.device_hash = self.code.code_hash, self.device.device_code_hash

    def is_live(self, caller: Gateway) -> bool:
        return caller.get("/customers").status == 200


class TestWhatEnds:
    LESS: tuple[dict[str, Any], ...] = (
        {"role": "VIEWER"},
        {"disabled": True},
        {"needsApproval": True},
        {"customers": "one"},
    )

    def _body(self, session: Session, organization: Organization, body: Any) -> Any:
        if body.get("customers") == "one":
            return {"customers": [str(a_customer(session, organization).id)]}
        return body

    @pytest.mark.parametrize("less", [*LESS, None])
    def test_keys_and_consents_end_with_what_allowed_them(
        self, session: Session, organization: Organization, by_owner: Gateway, less: Any
    ) -> None:
        member = a_seat(session, organization)
        holds = Holdings(session, member)
        kept, ended = holds.key_ids
        if less is None:
            answer = by_owner.delete(path_of(member), {"keepKeys": [kept]})
        else:
            body = self._body(session, organization, less)
            answer = by_owner.put(path_of(member), {**body, "keepKeys": [kept]})
        assert answer.status == 200, answer.text
        assert [each["id"] for each in answer.json["ended"]["keys"]] == [ended]
        assert [(each["name"], each["isDevice"]) for each in answer.json["ended"]["consents"]] == [
            ("test", False)
        ]
        assert [holds.is_live(key) for key in holds.keys] == [True, False]
        assert not holds.is_live(holds.consent)
        session.expire_all()
        assert session.get_one(OAuthCode, holds.code_hash).used_at is not None
        assert session.get_one(DeviceCode, holds.device_hash).used_at is not None

    @pytest.mark.parametrize("more", [{"role": "ADMIN"}, {"mayApprove": True}])
    def test_nothing_ends_with_a_seat_that_allows_more(
        self, session: Session, organization: Organization, by_owner: Gateway, more: Any
    ) -> None:
        member = a_seat(session, organization)
        holds = Holdings(session, member)
        answer = by_owner.put(path_of(member), more)
        assert answer.json["ended"] == {"keys": [], "consents": []}
        assert all(map(holds.is_live, [*holds.keys, holds.consent]))

    def test_only_what_they_held_here_ends(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        elsewhere = a_member(
            session,
            an_organization(session),
            session.get_one(User, member.user_id),
        )
        others = [Holdings(session, elsewhere), Holdings(session, owner)]
        by_owner.delete(path_of(member))
        for holds in others:
            assert all(map(holds.is_live, [*holds.keys, holds.consent]))

    def test_a_key_of_somebody_else_cannot_be_kept(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        holds, of_owner = Holdings(session, member), Holdings(session, owner)
        answer = by_owner.delete(
            path_of(member), {"keepKeys": [holds.key_ids[0], of_owner.key_ids[0]]}
        )
        assert [each["path"] for each in answer.json["errors"]] == ["keepKeys.1"]
        assert seat(session, member) is not None
        assert all(map(holds.is_live, holds.keys))

    def test_consents_do_not_come_back_with_the_member(
        self, session: Session, organization: Organization, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        holds = Holdings(session, member)
        by_owner.put(path_of(member), {"disabled": True})
        by_owner.put(path_of(member), {"disabled": False})
        assert not holds.is_live(holds.consent)


class TestLeave:
    def test_the_seat_and_all_that_was_held_ends(
        self, session: Session, organization: Organization, owner: Member
    ) -> None:
        member = a_seat(session, organization, Role.ADMIN)
        holds, gateway = Holdings(session, member), as_member(app, session, member)
        answer = gateway.post("/organizations/leave")
        assert answer.status == 200, answer.text
        assert answer.json["id"] == str(member.user_id)
        assert len(answer.json["ended"]["keys"]) == 2
        assert "showorg=" in " ".join(answer.set_cookies)
        assert not any(map(holds.is_live, [*holds.keys, holds.consent]))
        assert seat(session, member) is None
        assert gateway.get("/settings/organization").json["code"] == "organization_gone"

    @pytest.mark.parametrize("other", ["nobody", "disabled", "deleted", "inactive", "admin"])
    def test_the_last_owner_stays(
        self,
        session: Session,
        organization: Organization,
        owner: Member,
        by_owner: Gateway,
        other: str,
    ) -> None:
        if other == "admin":
            a_seat(session, organization, Role.ADMIN)
        elif other != "nobody":
            columns: dict[str, dict[str, Any]] = {
                "deleted": {"deleted_at": clock.now()}, "inactive": {"activated_at": None}
            }  # fmt: skip
            second = a_member(session, organization, a_user(session, **columns.get(other, {})))
            second.disabled = other == "disabled"
            session.flush()
        for answer in (
            by_owner.post("/organizations/leave"),
            by_owner.delete(path_of(owner)),
            by_owner.put(path_of(owner), {"role": "ADMIN"}),
            by_owner.put(path_of(owner), {"disabled": True}),
        ):
            assert (answer.status, answer.json["code"]) == (409, "last_owner")
        assert seat(session, owner) == ("owner", False, False, False, None)

    def test_one_of_two_owners_leaves(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        a_member(session, organization)
        assert by_owner.put(path_of(owner), {"role": "ADMIN"}).json["role"] == "ADMIN"
        assert by_owner.post("/organizations/leave").status == 200

    def test_who_left_keeps_the_account_and_can_begin_anew(
        self, session: Session, organization: Organization, owner: Member
    ) -> None:
        member = a_seat(session, organization)
        gateway = as_member(app, session, member)
        gateway.post("/organizations/leave")
        account = Gateway(identity, {"auth": gateway.headers["auth"]})
        assert account.get("/user/organizations").json == []
        assert account.get("/user/self").json["code"] == "no_organization"
        made = Gateway(app, account.headers).post("/organizations", {"name": "Anew"})
        assert made.status == 201, made.text
        own = account.get("/user/self").json
        assert (own["orgId"], own["role"]) == (made.json["id"], "SUPERADMIN")


class TestCreate:
    def test_the_person_becomes_its_owner(self, session: Session, owner: Member) -> None:
        gateway = as_member(app, session, owner)
        answer = gateway.post("/organizations", {"name": "Second", "timezone": "Europe/Berlin"})
        assert answer.status == 201
        assert (answer.json["name"], answer.json["timezone"]) == ("Second", "Europe/Berlin")
        made = Member(organization_id=UUID(answer.json["id"]), user_id=owner.user_id)
        assert seat(session, made) == ("owner", False, False, False, None)
        gateway.headers["showorg"] = answer.json["id"]
        assert gateway.get("/settings/organization").json == answer.json

    @pytest.mark.parametrize("body", [{}, {"name": "ab"}, {"name": "x" * 129}])
    def test_a_name_is_needed(self, by_owner: Gateway, body: Any) -> None:
        answer = by_owner.post("/organizations", body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "name")

    def test_a_closed_server_takes_none(
        self, session: Session, by_owner: Gateway, configure: Configure
    ) -> None:
        configure(DISABLE_REGISTRATION="true")
        answer = by_owner.post("/organizations", {"name": "Second"})
        assert (answer.status, answer.json["code"]) == (403, "organizations_closed")
        operator = a_member(session, an_organization(session), a_user(session, is_super_admin=True))
        made = as_member(app, session, operator).post("/organizations", {"name": "Second"})
        assert made.status == 201

    def test_a_person_owns_so_many(
        self, by_owner: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(organization_settings, "MOST_OWNED", 2)
        assert by_owner.post("/organizations", {"name": "Second"}).status == 201
        answer = by_owner.post("/organizations", {"name": "Third"})
        assert (answer.status, answer.json["code"]) == (409, "too_many_organizations")

    def test_ten_an_hour(self, by_owner: Gateway) -> None:
        statuses = [by_owner.post("/organizations", {"name": "Again"}).status for _ in range(11)]
        assert statuses == [201] * 10 + [429]


class TestShortLinks:
    def test_the_choice_is_kept(self, by_owner: Gateway) -> None:
        assert by_owner.get("/settings/shortlink").json == {"shortlink": "ASK"}
        assert by_owner.post("/settings/shortlink", {"shortlink": "NO"}).status == 200
        assert by_owner.get("/settings/shortlink").json == {"shortlink": "NO"}

    @pytest.mark.parametrize("body", [{}, {"shortlink": "MAYBE"}])
    def test_there_are_three(self, by_owner: Gateway, body: Any) -> None:
        assert by_owner.post("/settings/shortlink", body).status == 422


def test_a_proof_is_fresh_for_ten_minutes(
    session: Session, organization: Organization, by_owner: Gateway
) -> None:
    member = a_seat(session, organization)
    with time_machine.travel(clock.now() + timedelta(minutes=9), tick=False):
        assert by_owner.put(path_of(member), {"role": "VIEWER"}).status == 200


@pytest.mark.parametrize(("age", "fresh"), [(FRESH, False), (FRESH - timedelta.resolution, True)])
def test_a_proof_ends_after_exactly_ten_minutes(age: timedelta, fresh: bool) -> None:
    with time_machine.travel(clock.now(), tick=False):
        proof = Proof(clock.now() - age, frozenset({Method.PASSWORD}), frozenset())
        assert proof.is_fresh is fresh


class TestAuditLog:
    def test_a_change_is_recorded_with_what_ended(
        self, session: Session, organization: Organization, owner: Member, by_owner: Gateway
    ) -> None:
        member = a_seat(session, organization)
        holds = Holdings(session, member)
        by_owner.put(path_of(member), {"role": "VIEWER"})
        by_owner.delete(path_of(member))
        rows = session.execute(
            text(
                "select action, subject_id, user_id, organization_id, before, after from audit_events order by id"
            )
        ).all()
        assert [row.action for row in rows] == [
            "member.updated",
            "api_key.revoked",
            "api_key.revoked",
            "grant.revoked",
            "member.removed",
        ]
        first = rows[0]
        assert (first.subject_id, first.user_id, first.organization_id) == (
            member.user_id,
            owner.user_id,
            organization.id,
        )
        assert (first.before["role"], first.after["role"]) == ("editor", "viewer")
        assert {str(row.subject_id) for row in rows[1:3]} == set(holds.key_ids)
        assert rows[-1].before["role"] == "viewer"

    def test_who_leaves_and_who_begins(
        self, session: Session, organization: Organization, owner: Member
    ) -> None:
        gateway = as_member(app, session, a_seat(session, organization))
        gateway.post("/organizations/leave")
        made = gateway.post("/organizations", {"name": "Anew"}).json["id"]
        rows = session.execute(
            text("select action, organization_id from audit_events order by id")
        ).all()
        assert [tuple(row) for row in rows] == [
            ("member.left", organization.id),
            ("organization.created", UUID(made)),
        ]
