"""Is an organization that requires a second factor closed to members without one, and only that organization?"""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app as identity
from functions.organizations.app import app as organizations
from functions.posts.app import app as posts
from shared.core import clock
from shared.core.ids import UserId
from shared.identity.models import Factor, FactorKind
from shared.organizations.models import Member, Organization, Role
from tests.builders import a_member, a_user, an_organization
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_grant, by_key

SECURITY = "/settings/security"


@pytest.fixture
def owner(session: DbSession, aws: None) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def member(session: DbSession, owner: Member) -> Member:
    """Somebody without a second factor, who belongs to another organization too."""
    user = a_user(session)
    seat = a_member(session, session.get_one(Organization, owner.organization_id), user)
    a_member(session, an_organization(session), user)
    return seat


def require(session: DbSession, owner: Member, **body: object) -> dict[str, object]:
    answer = as_member(organizations, session, owner).put(SECURITY, {"requireMfa": True, **body})
    assert answer.status == 200, answer.text
    changed: dict[str, object] = answer.json
    return changed


def give_factor(session: DbSession, user_id: UserId, *, confirmed: bool = True) -> None:
    at = clock.now() if confirmed else None
    session.add(Factor(user_id=user_id, kind=FactorKind.TOTP, name="Phone", confirmed_at=at))
    session.flush()


class TestRequirement:
    def test_closes_each_route_of_the_organization(
        self, session: DbSession, owner: Member, member: Member
    ) -> None:
        require(session, owner)
        for app, path in (
            (identity, "/user/self"),
            (organizations, SECURITY),
            (posts, "/posts/list"),
        ):
            answer = as_member(app, session, member).get(path)
            assert (answer.status, answer.json["code"]) == (403, "mfa_needed"), path
            assert answer.json["url"] == "/user/factors"

    def test_enrolment_and_other_organizations_stay_open(
        self, session: DbSession, owner: Member, member: Member
    ) -> None:
        require(session, owner)
        browser = as_member(identity, session, member)
        begun = browser.get("/user/factors")
        assert begun.status == 200
        theirs = {one["id"] for one in browser.get("/user/organizations").json}
        (other,) = theirs - {str(member.organization_id)}
        assert browser.post("/user/change-org", {"id": other}).status == 200
        there = Gateway(identity, {**browser.headers, "showorg": other})
        assert there.get("/user/self").json["mfaNeededFrom"] is None

    def test_factor_opens_it(self, session: DbSession, owner: Member, member: Member) -> None:
        require(session, owner)
        give_factor(session, member.user_id, confirmed=False)
        browser = as_member(identity, session, member)
        assert browser.get("/user/self").status == 403
        session.execute(text("update factors set confirmed_at = now()"))
        assert browser.get("/user/self").json["mfa"] is True

    def test_costs_no_statement(self, session: DbSession, owner: Member, member: Member) -> None:
        require(session, owner)
        browser = as_member(identity, session, member)
        with count_statements() as cost:
            browser.get("/user/self")
        assert cost.statements == 1

    def test_consents_of_members_without_one_are_refused_and_keys_are_not(
        self, session: DbSession, owner: Member, member: Member
    ) -> None:
        require(session, owner)
        grant = by_grant(posts, session, member)
        assert grant.get("/posts/list").json["code"] == "mfa_needed"
        assert by_key(posts, session, member).get("/posts/list").status == 200
        give_factor(session, member.user_id)
        assert grant.get("/posts/list").status == 200


class TestGrace:
    def test_shows_from_when_on_and_closes_then(
        self, session: DbSession, owner: Member, member: Member
    ) -> None:
        changed = require(session, owner, graceDays=14)
        browser = as_member(identity, session, member)
        shown = browser.get("/user/self").json
        assert (shown["mfa"], shown["mfaNeededFrom"]) == (False, changed["requireMfaFrom"])
        until = datetime.fromisoformat(str(changed["requireMfaFrom"])) - clock.now()
        assert timedelta(days=13, hours=23) < until < timedelta(days=14, minutes=1)
        session.execute(text("update organizations set requires_mfa_from = now() - interval '1 s'"))
        assert browser.get("/user/self").status == 403

    @pytest.mark.parametrize("days", [-1, 15])
    def test_is_at_most_two_weeks(self, session: DbSession, owner: Member, days: int) -> None:
        body = {"requireMfa": True, "graceDays": days}
        answer = as_member(organizations, session, owner).put(SECURITY, body)
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "graceDays")


class TestChange:
    def test_can_be_taken_back(self, session: DbSession, owner: Member, member: Member) -> None:
        give_factor(session, owner.user_id)
        browser = as_member(organizations, session, owner)
        session.execute(text("update sessions set methods = '{password,totp}'"))
        assert browser.put(SECURITY, {"requireMfa": True}).json["requireMfa"] is True
        assert browser.get(SECURITY).json["requireMfa"] is True
        none = {"requireMfa": False, "requireMfaFrom": None}
        assert browser.put(SECURITY, {"requireMfa": False}).json == none
        assert browser.get(SECURITY).json == none
        assert as_member(identity, session, member).get("/user/self").status == 200
        recorded = text(
            "select count(*) from audit_events where action = 'organization.security_changed'"
            " and organization_id = :id"
        )
        assert session.scalar(recorded, {"id": owner.organization_id}) == 2

    def test_editor_cannot(self, session: DbSession, owner: Member) -> None:
        organization = session.get_one(Organization, owner.organization_id)
        seat = a_member(session, organization, role=Role.EDITOR)
        answer = as_member(organizations, session, seat).put(SECURITY, {"requireMfa": True})
        assert answer.json["code"] == "role_too_low"

    def test_wants_a_recent_proof(self, session: DbSession, owner: Member) -> None:
        browser = as_member(organizations, session, owner)
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        answer = browser.put(SECURITY, {"requireMfa": True})
        assert answer.json["code"] == "fresh_login_needed"
