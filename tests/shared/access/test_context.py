"""Whether one statement tells who is calling, and refuses everybody else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from shared.access.context import (
    NO_ORGANIZATION,
    ActingMember,
    Caller,
    Credentials,
    Via,
    count_public,
    identify,
    network_of,
)
from shared.access.errors import (
    FreshLoginNeeded,
    ImpersonationOver,
    ImpersonationRefused,
    KeyReadsOnly,
    NoApiKey,
    NoOrganization,
    NotInTheirPlace,
    NotSignedIn,
    OrganizationGone,
    RoleTooLow,
    SecondFactorNeeded,
    UnknownApiKey,
    UnknownGrant,
)
from shared.access.policy import Per, Quota, Rate, Rule, Who
from shared.billing.errors import NotInPlan
from shared.billing.sections import Action, Section
from shared.core import clock
from shared.core.errors import Forbidden, TooManyRequests
from shared.core.ids import CustomerId, OrganizationId, new_id
from shared.core.reach import Reach
from shared.identity.errors import SessionOver
from shared.identity.models import Factor, FactorKind, Method, User
from shared.organizations.models import ApiKey, Member, Role
from tests.builders import a_member, a_user, an_operator, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import (
    STRONG,
    as_member,
    as_operator,
    by_grant,
    by_key,
    in_place_of,
    put_app_secret,
)

ANY = Rule(Who.VIEWER, consent=True)
WRITES = Rule(Who.VIEWER, consent=True, writes=True)
TWICE = Rate("test", 2, timedelta(minutes=1))
LIMITED = Rule(Who.VIEWER, consent=True, rate=TWICE)


@pytest.fixture(autouse=True)
def _aws(aws: None) -> None:
    put_app_secret()


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session))


def signed_in(session: DbSession, member: Member, **also: str | None) -> Credentials:
    gateway = as_member(None, session, member)
    return Credentials(
        access_token=gateway.headers["auth"],
        **{"organization": gateway.headers["showorg"], **also},
    )


def in_their_place(
    session: DbSession, member: Member, operator: Member | None = None, **columns: Any
) -> Credentials:
    """Return the credentials of a super admin who acts as `member`."""
    headers = in_place_of(None, session, member, operator, **columns).headers
    return Credentials(access_token=headers["auth"], impersonate=headers["impersonate"])


def with_key(session: DbSession, member: Member, **also: Any) -> Credentials:
    return Credentials(api_key=by_key(None, session, member, **also).headers["authorization"])


def ask(session: DbSession, credentials: Credentials, rule: Rule = ANY) -> Caller:
    return identify(session, credentials, rule)


class TestSession:
    def test_says_who_where_and_in_which_role(self, session: DbSession) -> None:
        user = a_user(session, timezone="Europe/Paris")
        member = a_member(session, an_organization(session), user, role=Role.EDITOR)
        with count_statements() as cost:
            found = ask(session, signed_in(session, member)).member
        assert cost.statements == 2  # of which one put the session there
        assert found == ActingMember(
            organization_id=found.organization_id,
            user_id=found.user_id,
            role=Role.EDITOR,
            timezone="Europe/Paris",
            via=Via.SESSION,
            session_id=found.session_id,
            proof=found.proof,
            has_factor=False,
        )
        assert found.proof is not None
        assert found.proof.methods == {Method.PASSWORD}
        assert found.proof.is_fresh
        assert not found.proof.is_strong
        assert (found.organization_id, found.user_id) == (member.organization_id, user.id)

    def test_nothing_was_sent(self, session: DbSession) -> None:
        with pytest.raises(NotSignedIn):
            ask(session, Credentials())

    @pytest.mark.parametrize(
        "change",
        [
            "update sessions set revoked_at = now()",
            "update sessions set expires_at = now()",
            "update users set activated_at = null",
            "update users set deleted_at = now()",
        ],
    )
    def test_ended_session_is_refused_at_once(
        self, session: DbSession, member: Member, change: str
    ) -> None:
        credentials = signed_in(session, member)
        ask(session, credentials)  # so that the token is remembered
        session.execute(text(change))
        with pytest.raises(SessionOver):
            ask(session, credentials)

    @pytest.mark.parametrize(
        "change",
        [
            "update members set disabled = true",
            "update organizations set deleted_at = now()",
        ],
    )
    def test_nobody_acts_without_a_seat(
        self, session: DbSession, member: Member, change: str
    ) -> None:
        credentials = signed_in(session, member, organization=None)
        session.execute(text(change))
        with pytest.raises(NoOrganization):
            ask(session, credentials)
        with pytest.raises(NoOrganization):
            ask(session, credentials, LIMITED)

    def test_routes_of_the_person_alone_need_no_seat(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = signed_in(session, member)
        session.execute(text("delete from members"))
        rate = Rate("own", 5, timedelta(minutes=1), Per.PRINCIPAL)
        personal = Rule(Who.VIEWER, person=True, personal=True, rate=rate)
        found = ask(session, credentials, personal)
        assert (found.member.organization_id, found.member.role) == (NO_ORGANIZATION, Role.VIEWER)
        assert (found.member.person_id, found.member.reach.customers) == (member.user_id, None)
        assert found.quota is not None
        assert found.quota.remaining == 4
        with pytest.raises(RoleTooLow):
            ask(session, credentials, replace(personal, who=Who.MEMBER))

    def test_first_organization_is_meant_unless_another_is_chosen(
        self, session: DbSession, member: Member
    ) -> None:
        user = session.get_one(User, member.user_id)
        second = a_member(session, an_organization(session), user)
        session.execute(
            text("update members set created_at = now() + interval '1 minute' where id = :id"),
            {"id": second.id},
        )
        for chosen, meant in ((None, member), (str(second.organization_id), second)):
            credentials = signed_in(session, member, organization=chosen)
            assert ask(session, credentials).member.organization_id == meant.organization_id

    @pytest.mark.parametrize("chosen", ["foreign", "disabled", "deleted", "nonsense"])
    def test_organization_without_a_seat_is_refused_instead_of_replaced(
        self, session: DbSession, member: Member, chosen: str
    ) -> None:
        """Finding 2.16: it fell back to the caller's first organization, also for writes."""
        other = an_organization(session)
        if chosen != "foreign":
            seat = a_member(session, other, session.get_one(User, member.user_id))
            seat.disabled = chosen == "disabled"
        if chosen == "deleted":
            other.deleted_at = clock.now()
        session.flush()
        named = "nonsense" if chosen == "nonsense" else str(other.id)
        credentials = signed_in(session, member, organization=named)
        with pytest.raises(OrganizationGone):
            ask(session, credentials)
        personal = ask(session, credentials, Rule(Who.VIEWER, personal=True))
        assert personal.member.organization_id == member.organization_id

    def test_impersonation_that_is_over_is_refused_instead_of_ignored(
        self, session: DbSession, member: Member
    ) -> None:
        """Finding 2.16: an impersonation that is over went on as the caller, also for writes."""
        admin = an_operator(session)
        credentials = in_their_place(session, member, admin)
        assert ask(session, credentials).member.impersonated_by == admin.user_id
        for over in (
            "update members set disabled = true where id = :member",
            "update impersonations set ended_at = now()",
            "update impersonations set ends_at = now()",
            "update impersonations set session_id = gen_random_uuid()",
            "update users set is_super_admin = false",
        ):
            with session.begin_nested() as tried:
                session.execute(text(over), {"member": member.id} if ":member" in over else {})
                refusal = ImpersonationRefused if "is_super_admin" in over else ImpersonationOver
                with pytest.raises(refusal):
                    ask(session, credentials)
                alone = ask(session, credentials, Rule(Who.VIEWER, personal=True)).member
                assert (alone.user_id, alone.impersonated_by) == (admin.user_id, None)
                tried.rollback()
        assert ask(session, credentials).member.user_id == member.user_id

    def test_impersonation_ends_after_an_hour(self, session: DbSession, member: Member) -> None:
        credentials = in_their_place(session, member, ends_at=clock.now() - timedelta(seconds=1))
        with pytest.raises(ImpersonationOver) as refused:
            ask(session, credentials)
        assert refused.value.status == 401

    def test_only_the_chosen_member_is_impersonated(
        self, session: DbSession, member: Member
    ) -> None:
        other = a_member(session, an_organization(session))
        credentials = in_their_place(session, member)
        with pytest.raises(ImpersonationOver):
            ask(session, replace(credentials, impersonate=str(other.id)))

    def test_token_ends_after_a_quarter_of_an_hour(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = signed_in(session, member)
        with time_machine.travel(clock.now() + timedelta(minutes=14, seconds=59), tick=False):
            ask(session, credentials)
        with (
            time_machine.travel(clock.now() + timedelta(minutes=15, seconds=6), tick=False),
            pytest.raises(SessionOver),
        ):
            ask(session, credentials)

    def test_key_that_was_replaced_still_opens_until_it_is_dropped(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = signed_in(session, member)
        put_app_secret(**{"1": "k" * 32, "2": "n" * 32})
        ask(session, credentials)
        put_app_secret(**{"2": "n" * 32})
        with pytest.raises(SessionOver):
            ask(session, credentials)

    @pytest.mark.parametrize("forgery", ["none", "other_key", "garbage", "renew"])
    def test_forged_token_is_refused(
        self, session: DbSession, member: Member, forgery: str
    ) -> None:
        real = signed_in(session, member).access_token or ""
        claims = jwt.decode(real, options={"verify_signature": False})
        token = {
            "none": jwt.encode(claims, "", algorithm="none", headers={"kid": "1"}),
            "other_key": jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "1"}),
            "garbage": "a.b.c",
            "renew": jwt.encode(
                {**claims, "use": "renew"}, "k" * 32, algorithm="HS256", headers={"kid": "1"}
            ),
        }[forgery]
        with pytest.raises(SessionOver):
            ask(session, Credentials(access_token=token))

    def test_token_of_one_user_does_not_open_the_session_of_another(
        self, session: DbSession, member: Member
    ) -> None:
        claims = jwt.decode(
            signed_in(session, member).access_token or "", options={"verify_signature": False}
        )
        claims["sub"] = str(a_user(session).id)
        token = jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "1"})
        with pytest.raises(SessionOver):
            ask(session, Credentials(access_token=token))


class TestProof:
    """Whether a route that needs a recent proof of identity gets one."""

    FRESH = Rule(Who.VIEWER, person=True, self_only=True, fresh=True)

    def prove(self, session: DbSession, ago: timedelta, *methods: Method) -> None:
        session.execute(
            text("update sessions set authenticated_at = :at, methods = :methods"),
            {"at": clock.now() - ago, "methods": list(methods)},
        )

    def add_factor(self, session: DbSession, member: Member, *, confirmed: bool = True) -> None:
        session.add(
            Factor(
                user_id=member.user_id,
                kind=FactorKind.TOTP,
                name="Phone",
                confirmed_at=clock.now() if confirmed else None,
            )
        )
        session.flush()

    def test_old_proof_is_refused(self, session: DbSession, member: Member) -> None:
        credentials = signed_in(session, member)
        self.prove(session, timedelta(minutes=9, seconds=50), Method.PASSWORD)
        ask(session, credentials, self.FRESH)
        self.prove(session, timedelta(minutes=10), Method.PASSWORD)
        with pytest.raises(FreshLoginNeeded):
            ask(session, credentials, self.FRESH)
        ask(session, credentials)

    def test_password_alone_is_refused_of_who_has_a_second_factor(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = signed_in(session, member)
        self.add_factor(session, member, confirmed=False)
        ask(session, credentials, self.FRESH)
        self.add_factor(session, member)
        self.add_factor(session, a_member(session, an_organization(session)))
        with pytest.raises(FreshLoginNeeded):
            ask(session, credentials, self.FRESH)
        self.prove(session, timedelta(), Method.PASSWORD, Method.TOTP)
        found = ask(session, credentials, self.FRESH).member.proof
        assert found is not None
        assert found.factors == {FactorKind.TOTP}

    def test_factor_of_another_does_not_matter(self, session: DbSession, member: Member) -> None:
        self.add_factor(session, a_member(session, an_organization(session)))
        ask(session, signed_in(session, member), self.FRESH)

    def test_nobody_does_it_in_another_place(self, session: DbSession, member: Member) -> None:
        credentials = in_their_place(session, member)
        for rule in (
            self.FRESH,
            Rule(Who.VIEWER, person=True, self_only=True),
            Rule(Who.VIEWER, action=Action.DELETE),
        ):
            with pytest.raises(NotInTheirPlace):
                ask(session, credentials, rule)

    def test_session_ends_after_its_longest_life(self, session: DbSession, member: Member) -> None:
        credentials = signed_in(session, member)
        session.execute(text("update sessions set ends_at = now()"))
        with pytest.raises(SessionOver):
            ask(session, credentials)


class TestReach:
    """Which customers a caller sees."""

    ONE, TWO, THREE = (CustomerId(new_id()) for _ in range(3))

    def test_member_sees_their_customers(self, session: DbSession, member: Member) -> None:
        everything = ask(session, signed_in(session, member)).member.reach
        assert everything == Reach(OrganizationId(member.organization_id))
        assert not everything.is_limited
        member.customers = [self.ONE, self.TWO]
        session.flush()
        reach = ask(session, signed_in(session, member)).member.reach
        assert reach.customers == [self.ONE, self.TWO]
        assert reach.is_limited

    def test_key_sees_its_customers(self, session: DbSession, member: Member) -> None:
        credentials = with_key(session, member)
        session.execute(text("update api_keys set customers = :ids"), {"ids": [self.ONE]})
        assert ask(session, credentials).member.reach.customers == [self.ONE]

    @pytest.mark.parametrize(
        ("members", "consents", "sees"),
        [
            (None, None, None),
            ([ONE, TWO], None, [ONE, TWO]),
            (None, [ONE], [ONE]),
            ([ONE, TWO], [TWO, THREE], [TWO]),
            ([ONE], [TWO], []),
            ([], None, []),
        ],
    )
    def test_consent_sees_what_both_see(
        self,
        session: DbSession,
        member: Member,
        members: list[CustomerId] | None,
        consents: list[CustomerId] | None,
        sees: list[CustomerId] | None,
    ) -> None:
        credentials = with_grant(session, member)
        session.execute(text("update members set customers = :ids"), {"ids": members})
        session.execute(text("update oauth_grants set customers = :ids"), {"ids": consents})
        assert ask(session, credentials).member.reach.customers == sees

    def test_only_a_person_decides(self, session: DbSession, member: Member) -> None:
        member.may_approve = member.needs_approval = True
        session.flush()
        for credentials, decides, waits in (
            (signed_in(session, member), True, True),
            (with_key(session, member), False, False),
            (with_grant(session, member), False, True),
        ):
            found = ask(session, credentials).member
            assert (found.may_approve, found.needs_approval) == (decides, waits)


def with_grant(session: DbSession, member: Member, *scopes: str) -> Credentials:
    asked = scopes or ("mcp:read", "mcp:write")
    return Credentials(
        api_key=by_grant(None, session, member, scopes=asked).headers["authorization"]
    )


class TestGrant:
    def test_acts_as_the_member_who_consented(self, session: DbSession) -> None:
        member = a_member(session, an_organization(session), role=Role.EDITOR)
        credentials = with_grant(session, member)
        with count_statements() as cost:
            found = ask(session, credentials, LIMITED)
        assert cost.statements == 1
        assert (found.member.organization_id, found.member.user_id, found.member.role) == (
            member.organization_id,
            member.user_id,
            Role.EDITOR,
        )
        assert found.member.via is Via.OAUTH
        assert found.quota == Quota(limit=2, remaining=1, resets_in_seconds=60)

    @pytest.mark.parametrize(
        "change",
        [
            "update oauth_grants set revoked_at = now()",
            "update oauth_grants set token_ends_at = now()",
            "update oauth_grants set last_used_at = now() - interval '90 days'",
            "update oauth_grants set updated_at = now() - interval '90 days'",
            "update oauth_apps set deleted_at = now()",
            "update members set disabled = true",
            "update users set deleted_at = now()",
            "update organizations set deleted_at = now()",
        ],
    )
    def test_ended_grant_is_refused(self, session: DbSession, member: Member, change: str) -> None:
        credentials = with_grant(session, member)
        session.execute(text(change))
        with pytest.raises(UnknownGrant):
            ask(session, credentials)

    @pytest.mark.parametrize(
        ("role", "acts_as"),
        [
            (Role.OWNER, Role.EDITOR),
            (Role.ADMIN, Role.EDITOR),
            (Role.MEMBER, Role.MEMBER),
            (Role.VIEWER, Role.VIEWER),
        ],
    )
    def test_never_administers(self, session: DbSession, role: Role, acts_as: Role) -> None:
        member = a_member(session, an_organization(session), role=role)
        credentials = with_grant(session, member)
        assert identify(session, credentials, ANY).member.role is acts_as
        with pytest.raises(Forbidden):
            identify(session, credentials, Rule(Who.ADMIN))

    def test_who_left_and_came_back_is_asked_again(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = with_grant(session, member)
        session.execute(text("update oauth_grants set updated_at = now() - interval '1 second'"))
        with pytest.raises(UnknownGrant):
            ask(session, credentials)

    def test_scope_says_if_it_may_write(self, session: DbSession, member: Member) -> None:
        identify(session, with_grant(session, member), WRITES)
        reads = with_grant(session, member, "mcp:read")
        identify(session, reads, ANY)
        with pytest.raises(KeyReadsOnly):
            identify(session, reads, WRITES)


class TestApiKey:
    def test_acts_for_its_organization_as_an_administrator(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = with_key(session, member)
        with count_statements() as cost:
            found = ask(session, credentials).member
        assert cost.statements == 1
        assert (found.organization_id, found.role, found.via) == (
            member.organization_id,
            Role.ADMIN,
            Via.API_KEY,
        )

    @pytest.mark.parametrize(
        "change",
        [
            "update api_keys set revoked_at = now()",
            "update api_keys set expires_at = now()",
            "update organizations set deleted_at = now()",
        ],
    )
    def test_ended_key_is_refused(self, session: DbSession, member: Member, change: str) -> None:
        credentials = with_key(session, member)
        session.execute(text(change))
        with pytest.raises(UnknownApiKey):
            ask(session, credentials)

    def test_key_of_before_a_rotation_does_for_a_while(
        self, session: DbSession, member: Member
    ) -> None:
        old = with_key(session, member)
        rotate = "update api_keys set previous_hash = key_hash, key_hash = '\\x00', previous_ends_at = now() + {}"
        session.execute(text(rotate.format("interval '1 second'")))
        assert ask(session, old).member.organization_id == member.organization_id
        session.execute(text("update api_keys set previous_ends_at = now()"))
        with pytest.raises(UnknownApiKey):
            ask(session, old)

    def test_route_for_programs_takes_no_session(self, session: DbSession, member: Member) -> None:
        rule = Rule(Who.VIEWER, program=True)
        with pytest.raises(NoApiKey):
            ask(session, signed_in(session, member), rule)
        assert ask(session, with_key(session, member), rule).member.via is Via.API_KEY

    def test_outlives_who_made_it(self, session: DbSession, member: Member) -> None:
        credentials = with_key(session, member)
        session.execute(text("update users set deleted_at = now()"))
        assert ask(session, credentials).member.user_id is None

    def test_use_is_noted_once_a_minute(self, session: DbSession, member: Member) -> None:
        credentials = with_key(session, member)
        key = session.query(ApiKey).one()
        ask(session, credentials)
        session.expire_all()
        assert key.last_used_at is not None
        for seconds, noted in ((59, False), (61, True)):
            session.execute(
                text("update api_keys set last_used_at = now() - make_interval(secs => :s)"),
                {"s": seconds},
            )
            session.expire_all()
            before = key.last_used_at
            ask(session, credentials)
            session.expire_all()
            assert (key.last_used_at != before) is noted

    def test_reading_key_does_not_write(self, session: DbSession, member: Member) -> None:
        credentials = with_key(session, member, scopes=("read",))
        identify(session, credentials, ANY)
        with pytest.raises(KeyReadsOnly):
            identify(session, credentials, WRITES)


class TestRule:
    @pytest.mark.parametrize(
        ("role", "who", "allowed"),
        [
            (Role.VIEWER, Who.VIEWER, True),
            (Role.VIEWER, Who.MEMBER, False),
            (Role.EDITOR, Who.ADMIN, False),
            (Role.OWNER, Who.ADMIN, True),
            (Role.OWNER, Who.SUPER_ADMIN, False),
        ],
    )
    def test_role_is_compared(
        self, session: DbSession, role: Role, who: Who, allowed: bool
    ) -> None:
        credentials = signed_in(session, a_member(session, an_organization(session), role=role))
        if allowed:
            ask(session, credentials, Rule(who))
        else:
            with pytest.raises(Forbidden):
                ask(session, credentials, Rule(who))

    def test_super_admin_may_act_as_a_member_and_nobody_else(
        self, session: DbSession, member: Member
    ) -> None:
        admin = an_operator(session)
        found = ask(session, in_their_place(session, member, admin)).member
        assert found.user_id == member.user_id
        assert found.impersonated_by == admin.user_id
        with pytest.raises(ImpersonationRefused):
            ask(session, signed_in(session, member, impersonate=str(admin.id)))

    def test_super_admin_needs_a_second_factor(self, session: DbSession, member: Member) -> None:
        admin = an_operator(session)
        operates = Rule(Who.SUPER_ADMIN, person=True)
        with pytest.raises(SecondFactorNeeded):
            ask(session, signed_in(session, admin), operates)
        token = as_operator(None, session, admin).headers["auth"]
        assert ask(session, Credentials(token), operates).member.user_id == admin.user_id
        strong = as_member(None, session, member, methods=STRONG).headers["auth"]
        with pytest.raises(RoleTooLow):
            ask(session, Credentials(strong), operates)


class TestFlag:
    API = Rule(Who.VIEWER, flag=Section.PUBLIC_API, action=Action.READ)
    FEEDS = Rule(Who.EDITOR, flag=Section.AUTOPOST, action=Action.CREATE)

    @pytest.fixture
    def member(self, session: DbSession, configure: Configure, aws: None) -> Member:
        configure(BILLING="on")
        return a_member(session, an_organization(session, plan="free"), role=Role.EDITOR)

    def test_what_the_plan_does_not_include_is_refused(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = with_key(session, member)
        with pytest.raises(NotInPlan) as refused, count_statements() as cost:
            ask(session, credentials, self.API)
        assert cost.statements == 1
        assert (refused.value.status, refused.value.code) == (402, "not_in_plan")
        assert refused.value.message == (
            "Your plan (FREE) does not include the public API. "
            "Choose the plan STANDARD or a larger one."
        )
        assert refused.value.details == {
            "section": "public_api",
            "action": "read",
            "limit": None,
            "used": None,
            "plan": "FREE",
            "neededPlan": "STANDARD",
            "url": "http://127.0.0.1:3000/app/billing",
        }

    @pytest.mark.parametrize(
        "change",
        [
            "update organizations set plan = 'standard'",
            'update organizations set limits = \'{"given": "standard"}\'',
            "update organizations set plan = 'standard', plan_ends_at = now() + interval '1 day'",
        ],
    )
    def test_what_it_includes_is_not(self, session: DbSession, member: Member, change: str) -> None:
        session.execute(text(change))
        ask(session, with_key(session, member), self.API)
        with pytest.raises(NotInPlan):
            ask(session, signed_in(session, member), self.FEEDS)

    def test_an_ended_plan_includes_nothing(self, session: DbSession, member: Member) -> None:
        session.execute(text("update organizations set plan = 'team', plan_ends_at = now()"))
        with pytest.raises(NotInPlan):
            ask(session, with_key(session, member), self.API)

    def test_the_role_is_told_first(self, session: DbSession) -> None:
        viewer = a_member(session, an_organization(session, plan="free"), role=Role.VIEWER)
        with pytest.raises(RoleTooLow) as refused:
            ask(session, signed_in(session, viewer), self.FEEDS)
        assert refused.value.details == {"role": "editor"}

    def test_deleting_is_never_refused(self, session: DbSession, member: Member) -> None:
        ask(
            session,
            signed_in(session, member),
            Rule(Who.EDITOR, flag=Section.AUTOPOST, action=Action.DELETE),
        )

    def test_nothing_is_refused_where_plans_do_not_bind(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        configure(BILLING="off")
        ask(session, with_key(session, member), self.API)


class TestLimit:
    def test_is_counted_in_the_same_statement(self, session: DbSession, member: Member) -> None:
        credentials = signed_in(session, member)
        with count_statements() as cost:
            quota = ask(session, credentials, LIMITED).quota
        assert cost.statements == 1
        assert quota
        assert (quota.limit, quota.remaining, quota.resets_in_seconds) == (2, 1, 60)

    def test_third_call_is_refused_until_the_window_is_over(
        self, session: DbSession, member: Member
    ) -> None:
        credentials = signed_in(session, member)
        for _ in range(2):
            ask(session, credentials, LIMITED)
        with pytest.raises(TooManyRequests) as refused:
            ask(session, credentials, LIMITED)
        assert refused.value.retry_after_seconds == 60
        session.execute(
            text("update rate_limits set window_started_at = now() - interval '60 seconds'")
        )
        quota = ask(session, credentials, LIMITED).quota
        assert quota
        assert quota.remaining == 1

    def test_organizations_are_counted_apart(self, session: DbSession, member: Member) -> None:
        for _ in range(2):
            ask(session, with_key(session, member), LIMITED)
        other = a_member(session, an_organization(session))
        ask(session, with_key(session, other), LIMITED)
        with pytest.raises(TooManyRequests):
            ask(session, with_key(session, member), LIMITED)

    def test_installation_may_allow_another_number(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        configure(RATE_LIMITS='{"test": 1}')
        credentials = with_key(session, member)
        ask(session, credentials, LIMITED)
        with pytest.raises(TooManyRequests):
            ask(session, credentials, LIMITED)

    def test_addresses_are_counted_apart(self, session: DbSession) -> None:
        once = Rate("test", 1, timedelta(minutes=1), Per.ADDRESS)
        count_public(session, network_of("203.0.113.1"), once)
        count_public(session, network_of("203.0.113.2"), once)
        with pytest.raises(TooManyRequests):
            count_public(session, network_of("203.0.113.1"), once)

    @pytest.mark.parametrize(
        ("first", "second", "are_one"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            ("::ffff:203.0.113.1", "203.0.113.1", True),
            ("::ffff:203.0.113.1", "::ffff:203.0.113.2", False),
            ("unknown", "unknown", True),
        ],
    )
    def test_a_network_of_ipv6_is_one_address(
        self, session: DbSession, first: str, second: str, are_one: bool
    ) -> None:
        rate = Rate("test", 2, timedelta(minutes=1), Per.ADDRESS)
        count_public(session, network_of(first), rate)
        assert count_public(session, network_of(second), rate).remaining == (0 if are_one else 1)
