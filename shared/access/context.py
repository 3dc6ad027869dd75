"""Identifies the caller, their organization and role, and counts the call, with one statement.

It runs in autocommit, before the request's unit of work: the process has one connection, and a transaction should not
stay open while idle.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shared.access.context_queries import (
    COUNT_PUBLIC,
    COUNT_PUBLIC_ROLLING,
    By,
    CallerRow,
    Calls,
    CountedCallerRow,
    CountedProfileRow,
    Counting,
    ProfileRow,
    identify_by,
)
from shared.access.errors import (
    CompanyLoginNeeded,
    FreshLoginNeeded,
    ImpersonationOver,
    ImpersonationRefused,
    KeyProposesOnly,
    KeyReadsOnly,
    MfaNeeded,
    NoApiKey,
    NoOrganization,
    NotConsented,
    NotInTheirPlace,
    NotSignedIn,
    OrganizationGone,
    OwnLoginNeeded,
    PersonNeeded,
    RateLimitReached,
    RoleTooLow,
    SecondFactorNeeded,
    UnknownApiKey,
    UnknownGrant,
    WholeOrganizationNeeded,
)
from shared.access.policy import Quota, Rate, Rule, Who, reaches
from shared.apps.credentials import GRANT_PREFIX
from shared.apps.scopes import PROPOSE, WRITE
from shared.billing.errors import NotInPlan
from shared.billing.plans import Allowances
from shared.billing.queries import PlanRow
from shared.billing.sections import Action, binds
from shared.billing.usage import allowances_of_nobody, current_allowances
from shared.core import clock
from shared.core.crypto import hash_secret
from shared.core.ids import (
    ApiKeyId,
    ConnectionId,
    CustomerId,
    EntityId,
    GrantId,
    MemberId,
    OrganizationId,
    SessionId,
    UserId,
)
from shared.core.log import note
from shared.core.reach import Reach
from shared.identity.errors import SessionOver
from shared.identity.logins import methods_of
from shared.identity.models import SECOND_FACTORS, FactorKind, Method
from shared.identity.tokens import read_access_token
from shared.organizations.models import Role
from shared.organizations.queries import KEY_PROPOSES, KEY_WRITES

_SUBSCRIBER_BITS = (
    64  # the smallest network that an IPv6 subscriber has. Source: RFC 6177, RFC 7421, read 2026-11
)
_WRITING = frozenset({KEY_WRITES, WRITE})  # an API key's scope, and a grant's
_PROPOSING = frozenset({KEY_PROPOSES, PROPOSE})
_NOBODY = UUID(int=0)
NO_ORGANIZATION = OrganizationId(_NOBODY)
"""The organization of a person who belongs to none, on a personal route. It matches no row."""
FRESH = timedelta(minutes=10)
"""How long a proof of identity is fresh."""


class Via(StrEnum):
    """How the caller authenticated."""

    SESSION = "session"
    API_KEY = "api_key"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Proof:
    """How and when the person of a session proved their identity. `factors` are the second factors that they have."""

    authenticated_at: datetime
    methods: frozenset[Method]
    factors: frozenset[FactorKind]
    connection_id: ConnectionId | None = None

    @property
    def is_strong(self) -> bool:
        """Return whether the person proved a second factor."""
        return not SECOND_FACTORS.isdisjoint(self.methods)

    @property
    def is_fresh(self) -> bool:
        """Return whether the proof is recent, and as strong as the person can give."""
        recent = self.authenticated_at > clock.now() - FRESH
        # Who comes through a company login proves their second factor there.
        return recent and (self.is_strong or not self.factors or self.connection_id is not None)


@dataclass(frozen=True, slots=True)
class ActingMember:
    """Who acts in a request. For an API key, `user_id` is the user who created it; None if that user was deleted.

    `may_write` is False for a key or consent that only reads or proposes. With one that `proposes`, posts are written, and wait
    for approval. `proof` is None for a program. What a member with `needs_approval` schedules waits for somebody with
    `may_approve`. `has_factor` says whether the person has a second factor; None for an API key. `request_id` and `address` (of
    the network) are for the audit log.
    """

    organization_id: OrganizationId
    user_id: UserId | None
    role: Role
    timezone: str
    via: Via
    session_id: SessionId | None = None
    is_super_admin: bool = False
    impersonated_by: UserId | None = None
    may_write: bool = True
    proposes: bool = False
    api_key_id: ApiKeyId | None = None
    grant_id: GrantId | None = None
    customers: tuple[CustomerId, ...] | None = None
    needs_approval: bool = False
    may_approve: bool = False
    allowances: Allowances = field(default_factory=allowances_of_nobody)
    requires_mfa_from: datetime | None = None
    proof: Proof | None = None
    has_factor: bool | None = None
    request_id: str | None = None
    address: str | None = None

    @property
    def reach(self) -> Reach:
        """Return what the caller may see of the organization."""
        customers = None if self.customers is None else list(self.customers)
        return Reach(self.organization_id, customers)

    def require(self, role: Role, *, writes: bool, proposes: bool = False) -> None:
        """Refuse what the caller may not do, where the route's rule leaves that open.

        `proposes`: it writes only what waits for approval, if the caller's key only proposes.

        Raises:
            Forbidden: the role is too low, or the key does not allow it.
        """
        if writes and not self.may_write:
            self.require_proposal(proposes)
        if not reaches(self.role, role):
            raise RoleTooLow(role.value)

    def require_proposal(self, proposes: bool) -> None:
        """Refuse what the caller's key or consent, which may not write, does not allow.

        Raises:
            KeyProposesOnly: it only proposes, and this cannot be proposed.
            KeyReadsOnly: it only reads.
        """
        if not self.proposes:
            raise KeyReadsOnly
        if not proposes:
            raise KeyProposesOnly

    @property
    def needs_factor(self) -> bool:
        """Return whether the organization requires a second factor by now, and the person has none."""
        since = self.requires_mfa_from
        return self.has_factor is False and since is not None and since <= clock.now()

    @property
    def person_id(self) -> UserId:
        """Return the signed-in person, on a route whose rule requires one."""
        if self.user_id is None:
            raise PersonNeeded
        return self.user_id


@dataclass(frozen=True, slots=True)
class Profile:
    """What `GET /user/self` shows in addition to the member."""

    email: str
    name: str
    last_name: str
    bio: str
    picture_url: str | None
    organization_name: str
    is_trialing: bool
    allow_trial: bool
    impersonation_reason: str | None
    impersonation_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request contains to prove who is calling and which of their organizations they mean.

    `api_key` is an organization's API key, or the token of a member's consent, which begins with `pos_`. Either one
    already implies an organization, so naming a different one is refused.
    """

    access_token: str | None = None
    api_key: str | None = None
    organization: str | None = None
    impersonate: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The result of identifying a caller.

    Calls are counted by `principal`: the id of the signed-in person, the key or the grant. `quota` is None if the
    database does not count the route's calls, `profile` if the rule does not request it.
    """

    member: ActingMember
    principal: UserId | ApiKeyId | GrantId
    quota: Quota | None = None
    profile: Profile | None = None


def identify(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    """Identify the caller, refuse what `rule` does not allow them, and count the call if it is limited.

    Raises:
        Unauthenticated: the request has no valid credentials, or the impersonation that it names is over.
        Forbidden: the rule requires more, or the caller may not use the organization or member that the request names.
        NotInPlan: the organization's plan does not include the rule's flag.
        TooManyRequests: the limit is used up.
    """
    if credentials.api_key:
        caller = _by_program(session, credentials, rule)
    elif rule.program:
        raise NoApiKey
    elif credentials.access_token:
        caller = _by_session(session, credentials, rule)
    else:
        raise NotSignedIn
    _check(caller.member, rule)
    if rule.fresh:
        require_fresh(session, caller.member)
    return caller


def count_public(session: Session | Connection, subject: str, rate: Rate) -> Quota:
    """Count a call of a public route by `subject`: the caller's network (`network_of`), or the session it concerns.

    Raises:
        TooManyRequests: the limit is used up.
    """
    window_seconds = rate.window.total_seconds()
    if rate.rolling:
        row = COUNT_PUBLIC_ROLLING.one(session, subject, rate.name, window_seconds, rate.allowed)
    else:
        row = COUNT_PUBLIC.one(session, subject, rate.name, window_seconds)
    return _quota(row, rate)


def _by_session(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    claims = read_access_token(credentials.access_token or "")
    if claims is None:
        raise SessionOver
    values = {"session_id": claims.session_id, "user_id": claims.user_id}
    target = _named(credentials.impersonate, MemberId)
    if target:
        row = _find(session, By.IMPERSONATION, rule, target=target, **values)
        if row is not None:
            _note(row, Via.SESSION)
            return _caller(row, Via.SESSION, rule)
    chosen = None if rule.personal else _named(credentials.organization, OrganizationId)
    row = _find(session, By.SESSION, rule, chosen=chosen, **values)
    if row is None:
        raise SessionOver
    _note(row, Via.SESSION)
    if target and not rule.personal:
        raise ImpersonationOver if row.is_super_admin else ImpersonationRefused
    if row.organization_id is None and not rule.personal:
        raise OrganizationGone if chosen else NoOrganization
    _check_company_login(row, rule)
    return _caller(row, Via.SESSION, rule)


def _check_company_login(row: CallerRow, rule: Rule) -> None:
    """Check that the session came as the organization requires, and is not used beyond the organization through which it came.

    Raises:
        OwnLoginNeeded: it came through a company login, and the route is about the person.
        CompanyLoginNeeded: the organization requires its company login. Owners with a second factor need not use it.
    """
    if rule.personal:
        if row.connection_id and not rule.in_company:
            raise OwnLoginNeeded
        return
    required = row.required_connection_id
    if required is None or row.connection_id == required:
        return
    is_strong = not SECOND_FACTORS.isdisjoint(row.methods or ())
    if row.role != Role.OWNER or not is_strong:
        raise CompanyLoginNeeded


def _by_program(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    key = credentials.api_key or ""
    via = Via.OAUTH if key.startswith(GRANT_PREFIX) else Via.API_KEY
    by = By.OAUTH if via is Via.OAUTH else By.API_KEY
    row = _find(session, by, rule, key_hash=hash_secret(key))
    if row is None:
        raise UnknownGrant if via is Via.OAUTH else UnknownApiKey
    _note(row, via)
    if rule.person:
        raise PersonNeeded
    if via is Via.OAUTH and not rule.consent:
        raise NotConsented
    if _named(credentials.organization, OrganizationId) not in {None, row.organization_id}:
        raise OrganizationGone
    caller = _caller(row, via, rule)
    if rule.writes and not rule.judges_itself and not caller.member.may_write:
        caller.member.require_proposal(rule.proposes)
    return caller


def _note(row: CallerRow, via: Via) -> None:
    """Add the caller's ids to the log, before anything is refused: the organization, the person, and the API key or grant."""
    proof = {Via.API_KEY: "key_id", Via.OAUTH: "grant_id"}.get(via)
    note(
        organization_id=row.organization_id,
        user_id=row.user_id,
        **({proof: row.principal} if proof else {}),
    )


def _find(
    session: Session | Connection, by: By, rule: Rule, **proof: UUID | bytes | None
) -> CallerRow | None:
    rate = _counted_rate(rule)
    counted = None
    values: dict[str, Any] = dict(proof)
    if rate:
        counted = rate.per, Counting.ROLLING if rate.rolling else Counting.FIXED
        values |= {"rate": rate.name, "window_seconds": rate.window.total_seconds()}
        if rate.rolling:
            values["allowed"] = rate.allowed
    statement = identify_by(by, counted, reads_profile=rule.reads_profile)
    return statement.find(session, **values)


def _caller(row: CallerRow, via: Via, rule: Rule) -> Caller:
    may_write = row.scopes is None or not _WRITING.isdisjoint(row.scopes)
    proposes = not may_write and not _PROPOSING.isdisjoint(row.scopes or ())
    member = ActingMember(
        organization_id=row.organization_id or NO_ORGANIZATION,
        user_id=row.user_id,
        role=Role(row.role),
        timezone=row.timezone,
        via=via,
        customers=None if row.customers is None else tuple(map(CustomerId, row.customers)),
        needs_approval=row.needs_approval or proposes,
        may_approve=row.may_approve,
        allowances=current_allowances(
            PlanRow(row.plan, row.plan_ends_at, row.limits, row.organization_since)
        ),
        requires_mfa_from=row.requires_mfa_from,
        proof=_proof(row),
        has_factor=None if row.factors is None else bool(row.factors),
        session_id=row.session_id,
        is_super_admin=row.is_super_admin,
        impersonated_by=row.impersonated_by,
        may_write=may_write,
        proposes=proposes,
        api_key_id=ApiKeyId(row.principal) if via is Via.API_KEY else None,
        grant_id=GrantId(row.principal) if via is Via.OAUTH else None,
    )
    rate = _counted_rate(rule)
    quota = None
    if rate and isinstance(row, CountedCallerRow | CountedProfileRow):
        quota = _quota(row, rate)
    profile = _profile(row) if isinstance(row, ProfileRow) else None
    return Caller(member, row.principal, quota, profile)


def _proof(row: CallerRow) -> Proof | None:
    if row.authenticated_at is None:
        return None
    return Proof(
        authenticated_at=row.authenticated_at,
        methods=frozenset(map(Method, row.methods or ())),
        factors=frozenset(map(FactorKind, row.factors or ())),
        connection_id=row.connection_id,
    )


def _check(member: ActingMember, rule: Rule) -> None:
    if rule.is_theirs_alone and member.impersonated_by:
        raise NotInTheirPlace
    if member.needs_factor and not rule.personal:
        raise MfaNeeded
    if rule.who is Who.SUPER_ADMIN:
        _check_operator(member)
    elif not reaches(member.role, Role(rule.who.value)):
        raise RoleTooLow(rule.who.value)
    if rule.whole and member.customers is not None:
        raise WholeOrganizationNeeded
    action = rule.action or Action.CREATE
    if rule.flag and binds(rule.flag, action) and not member.allowances.has(rule.flag):
        raise NotInPlan(rule.flag, action, member.allowances)


def _check_operator(member: ActingMember) -> None:
    """Check that the caller is a super admin whose session has proven a second factor."""
    if not member.is_super_admin:
        raise RoleTooLow("super admin")
    if member.proof is None or not member.proof.is_strong:
        raise SecondFactorNeeded


def require_fresh(session: Session | Connection, member: ActingMember) -> None:
    """Require that the person proved their identity recently, by the strongest factor they have.

    Raises:
        FreshLoginNeeded: they did not; it lists the methods.
    """
    if member.proof is None or not member.proof.is_fresh:
        if member.proof and member.proof.connection_id:
            raise FreshLoginNeeded([Method.COMPANY])
        factors = member.proof.factors if member.proof else ()
        raise FreshLoginNeeded(methods_of(session, member.person_id, factors))


def _profile(row: ProfileRow) -> Profile:
    return Profile(
        email=row.email,
        name=row.name,
        last_name=row.last_name,
        bio=row.bio,
        picture_url=row.picture_url,
        organization_name=row.organization_name,
        is_trialing=row.is_trialing,
        allow_trial=row.allow_trial,
        impersonation_reason=row.impersonation_reason,
        impersonation_ends_at=row.impersonation_ends_at,
    )


def _quota(row: Calls | CountedCallerRow | CountedProfileRow, rate: Rate) -> Quota:
    resets_in_seconds = max(1, row.resets_in_seconds)
    if row.calls > rate.allowed:
        raise RateLimitReached(Quota(rate.allowed, 0, resets_in_seconds), rate.window)
    return Quota(rate.allowed, rate.allowed - row.calls, resets_in_seconds)


def _counted_rate(rule: Rule) -> Rate | None:
    """Return the rate that the database counts, if any."""
    return None if rule.rate is None or rule.rate.in_memory else rule.rate


def network_of(address: str) -> str:
    """Return the subject of an address's count: for IPv6 the network, because a subscriber has all of its addresses."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((int(known), _SUBSCRIBER_BITS), strict=False))


def _named(value: str | None, of: Callable[[UUID], EntityId]) -> EntityId | None:
    """Read the id that a request names. An invalid id matches no row; only an empty one means "not named"."""
    try:
        return of(UUID(value)) if value else None
    except ValueError:
        return of(_NOBODY)
