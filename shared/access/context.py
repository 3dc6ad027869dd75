"""Who is calling, for which organization, in which role, and how often so far: answered by one statement.

It runs in autocommit, before the request's unit of work: the process has one connection, and a transaction should not
stay open while idle.
"""

import functools
import ipaddress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, Uuid, bindparam, text
from sqlalchemy.orm import Session

from shared.access.errors import (
    ImpersonationOver,
    KeyReadsOnly,
    NoApiKey,
    NoOrganization,
    NotConsented,
    NotSignedIn,
    OrganizationGone,
    PersonNeeded,
    RateLimitReached,
    RoleTooLow,
    UnknownApiKey,
    UnknownGrant,
)
from shared.access.policy import Per, Quota, Rate, Rule, Who, reaches
from shared.apps.credentials import GRANT_PREFIX
from shared.apps.queries import LIVE_GRANT
from shared.apps.scopes import WRITE
from shared.core.crypto import hash_secret
from shared.core.ids import OrganizationId, SessionId, UserId
from shared.db.statement import Sql, sql
from shared.db.types import AnyRow
from shared.identity.errors import SessionOver
from shared.identity.queries import LIVE_LOGIN
from shared.identity.tokens import read_access_token
from shared.organizations.models import Role
from shared.organizations.queries import KEY_WRITES, LIVE_KEY

_SUBSCRIBER_BITS = (
    64  # the smallest network that an IPv6 subscriber has. Source: RFC 6177, RFC 7421, read 2026-11
)
_WRITING = frozenset({KEY_WRITES, WRITE})  # an API key's scope, and a grant's
_NOBODY = UUID(int=0)
PARTS_OF_WINDOW = 60
"""Calls within one part of a rolling window are stored as one entry."""


class Via(StrEnum):
    """How the caller authenticated."""

    SESSION = "session"
    API_KEY = "api_key"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class ActingMember:
    """Who acts in a request. For an API key, `user_id` is the user who created it; None if that user was deleted.

    `may_write` is False for a read-only key or consent. `program_id` is the id of that key or consent.
    """

    organization_id: OrganizationId
    user_id: UserId | None
    role: Role
    timezone: str
    plan: str
    plan_ends_at: datetime | None
    via: Via
    session_id: SessionId | None = None
    is_super_admin: bool = False
    impersonated_by: UserId | None = None
    may_write: bool = True
    program_id: UUID | None = None

    def require(self, role: Role, *, writes: bool) -> None:
        """Refuse what the caller may not do, where the route's rule leaves that open.

        Raises:
            Forbidden: the role is too low, or the key is read-only.
        """
        if writes and not self.may_write:
            raise KeyReadsOnly
        if not reaches(self.role, role):
            raise RoleTooLow(role.value)

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
    total_channels: int


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
    principal: UUID
    quota: Quota | None = None
    profile: Profile | None = None


def identify(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    """Identify the caller, refuse what `rule` does not allow them, and count the call if it is limited.

    Raises:
        Unauthenticated: the request has no valid credentials.
        Forbidden: the rule requires more, or the caller may not use the organization or member that the request names.
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
    return caller


def count_public(session: Session | Connection, subject: str, rate: Rate) -> Quota:
    """Count a call of a public route by `subject`: the caller's network (`network_of`), or the session it concerns.

    Raises:
        TooManyRequests: the limit is used up.
    """
    values = {**_rate_values(rate), "subject": subject}
    row = session.execute(_count_public(rate.rolling), values).one()
    return _quota(row, rate)


def _by_session(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    claims = read_access_token(credentials.access_token or "")
    if claims is None:
        raise SessionOver
    values: dict[str, Any] = {
        "session_id": claims.session_id,
        "user_id": claims.user_id,
        "chosen": None if rule.personal else _named(credentials.organization),
        **_rate_values(_counted_rate(rule)),
    }
    target = _named(credentials.impersonate)
    if target:
        statement = _statement("impersonation", rule)
        row = session.execute(statement, {**values, "target": target}).one_or_none()
        if row is not None:
            return _caller(row, Via.SESSION, rule)
    row = session.execute(_statement("session", rule), values).one_or_none()
    if row is None:
        raise SessionOver
    if target and not rule.personal:
        raise ImpersonationOver
    if row.organization_id is None:
        raise OrganizationGone if values["chosen"] else NoOrganization
    return _caller(row, Via.SESSION, rule)


def _by_program(session: Session | Connection, credentials: Credentials, rule: Rule) -> Caller:
    key = credentials.api_key or ""
    via = Via.OAUTH if key.startswith(GRANT_PREFIX) else Via.API_KEY
    values = {"key_hash": hash_secret(key), **_rate_values(_counted_rate(rule))}
    row = session.execute(_statement(via.value, rule), values).one_or_none()
    if row is None:
        raise UnknownGrant if via is Via.OAUTH else UnknownApiKey
    if rule.person:
        raise PersonNeeded
    if via is Via.OAUTH and not rule.consent:
        raise NotConsented
    if _named(credentials.organization) not in {None, row.organization_id}:
        raise OrganizationGone
    caller = _caller(row, via, rule)
    if rule.writes and not rule.judges_itself and not caller.member.may_write:
        raise KeyReadsOnly
    return caller


def _caller(row: AnyRow, via: Via, rule: Rule) -> Caller:
    member = ActingMember(
        organization_id=row.organization_id,
        user_id=row.user_id,
        role=Role(row.role),
        timezone=row.timezone,
        plan=row.plan,
        plan_ends_at=row.plan_ends_at,
        via=via,
        session_id=row.session_id,
        is_super_admin=row.is_super_admin,
        impersonated_by=row.impersonated_by,
        may_write=row.scopes is None or not _WRITING.isdisjoint(row.scopes),
        program_id=None if via is Via.SESSION else row.principal,
    )
    rate = _counted_rate(rule)
    quota = _quota(row, rate) if rate else None
    profile = _profile(row) if rule.reads_profile else None
    return Caller(member, row.principal, quota, profile)


def _check(member: ActingMember, rule: Rule) -> None:
    if rule.who is Who.SUPER_ADMIN:
        if not member.is_super_admin:
            raise RoleTooLow("super admin")
    elif not reaches(member.role, Role(rule.who.value)):
        raise RoleTooLow(rule.who.value)


def _profile(row: AnyRow) -> Profile:
    return Profile(
        email=row.email,
        name=row.name,
        last_name=row.last_name,
        bio=row.bio,
        picture_url=row.picture_url,
        organization_name=row.organization_name,
        is_trialing=row.is_trialing,
        allow_trial=row.allow_trial,
        total_channels=row.total_channels,
    )


def _quota(row: AnyRow, rate: Rate) -> Quota:
    resets_in_seconds = max(1, row.resets_in_seconds)
    if row.calls > rate.allowed:
        raise RateLimitReached(Quota(rate.allowed, 0, resets_in_seconds), rate.window)
    return Quota(rate.allowed, rate.allowed - row.calls, resets_in_seconds)


def _rate_values(rate: Rate | None) -> dict[str, Any]:
    if rate is None:
        return {}
    values = {"rate": rate.name, "window_seconds": int(rate.window.total_seconds())}
    return {**values, "allowed": rate.allowed} if rate.rolling else values


def _counted_rate(rule: Rule) -> Rate | None:
    """Return the rate that the database counts, if any."""
    return None if rule.rate is None or rule.rate.in_memory else rule.rate


def network_of(address: str) -> str:
    """Return what an address is counted as: for IPv6 its network, since a subscriber has all of its addresses."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((int(known), _SUBSCRIBER_BITS), strict=False))


def _named(value: str | None) -> UUID | None:
    """Read the id that a request names. An invalid id matches no row; only an empty one means "not named"."""
    try:
        return UUID(value) if value else None
    except ValueError:
        return _NOBODY


# `login` is the session, `seat` the membership in which it acts. A session survives a password change only if it was not
# revoked by it; a disabled member has no seat, and neither has a member of a deleted organization.
_LOGIN = sql(
    """
login as (
  select s.id as session_id, u.id as user_id, u.is_super_admin
  from sessions s join users u on u.id = s.user_id
  where s.id = :session_id and s.user_id = :user_id and {live_login}
)""",
    live_login=LIVE_LOGIN,
)
_OWN_SEAT = sql("""
seat as (
  select login.session_id, login.user_id, login.is_super_admin, cast(null as uuid) as impersonated_by,
         m.organization_id, m.role, cast(null as text[]) as scopes, login.user_id as principal
  from login left join lateral (
    select m.organization_id, m.role
    from members m join organizations o on o.id = m.organization_id and o.deleted_at is null
    where m.user_id = login.user_id and not m.disabled
      and m.organization_id = coalesce(:chosen, m.organization_id)
    order by m.created_at, m.id limit 1
  ) m on true
)""")
_IMPERSONATED_SEAT = sql("""
seat as (
  select login.session_id, m.user_id, login.is_super_admin, login.user_id as impersonated_by,
         m.organization_id, m.role, cast(null as text[]) as scopes, login.user_id as principal
  from login join members m on m.id = :target and not m.disabled
  join users u on u.id = m.user_id and u.deleted_at is null
  where login.is_super_admin
)""")
# A key acts with the rights of an administrator, who created it; a grant with those of the member who consented, while
# they are a member: a member who left and returned must consent again. A consent covers posts, files and channels, so a
# grant is never an administrator: a webhook that it created would outlive it. Last use is stored to the minute.
_KEY_SEAT = sql(
    """
seat as (
  select cast(null as uuid) as session_id, u.id as user_id, false as is_super_admin,
         cast(null as uuid) as impersonated_by, k.organization_id, 'admin' as role, k.scopes,
         k.id as principal, k.last_used_at
  from api_keys k left join users u on u.id = k.created_by and u.deleted_at is null
  where (k.key_hash = :key_hash or (k.previous_hash = :key_hash and k.previous_ends_at > now()))
    and {live_key}
),
touched as (
  update api_keys set last_used_at = now() from seat
  where api_keys.id = seat.principal
    and (seat.last_used_at is null or seat.last_used_at < now() - interval '1 minute')
)""",
    live_key=LIVE_KEY,
)
_GRANT_SEAT = sql(
    """
seat as (
  select cast(null as uuid) as session_id, u.id as user_id, false as is_super_admin,
         cast(null as uuid) as impersonated_by, m.organization_id,
         case when m.role in ('owner', 'admin') then 'editor' else m.role end as role,
         g.scopes, g.id as principal, g.last_used_at
  from oauth_grants g
  join oauth_apps a on a.id = g.app_id
  join members m on m.organization_id = g.organization_id and m.user_id = g.user_id
  join users u on u.id = g.user_id and u.activated_at is not null and u.deleted_at is null
  where g.token_hash = :key_hash and {live_grant}
    and (g.token_ends_at is null or g.token_ends_at > now())
),
touched as (
  update oauth_grants set last_used_at = now() from seat
  where oauth_grants.id = seat.principal
    and (seat.last_used_at is null or seat.last_used_at < now() - interval '1 minute')
)""",
    live_grant=LIVE_GRANT,
)
# The row's lock serializes concurrent calls, so no two of them take the last place.
_COUNTED_FIXED = sql("""
counted as (
  insert into rate_limits as r (key, window_started_at, count)
  select key, now(), 1 from subject
  on conflict (key) do update set
    count = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                 then 1 else r.count + 1 end,
    window_started_at = case when r.window_started_at <= now() - make_interval(secs => :window_seconds)
                             then now() else r.window_started_at end
  returning r.count as calls,
    cast(ceil(extract(epoch from r.window_started_at + make_interval(secs => :window_seconds) - now())) as int)
      as resets_in_seconds
)""")
# A refused call takes no place: a caller who keeps trying is let in once the oldest calls leave the window. The time of the
# last call protects the row from the sweep.
#
# Calls within a sixtieth of the window (a minute of an hour) are stored as one entry: their number, and the time of the
# newest. So a row has at most 61 entries, and a call costs the same whatever the limit. No window ever has more calls than
# allowed: a call counts until the newest one in its entry leaves the window, at most a sixtieth of the window longer.
_COUNTED_ROLLING = sql(
    """
counted as (
  insert into rate_limits as r (key, window_started_at, count, calls, counts)
  select key, now(), 1, array[now()], array[1] from subject
  on conflict (key) do update set window_started_at = now(), (count, calls, counts) = (
    with held as (
      select at, coalesce(times, 1) as times from unnest(r.calls, r.counts) as kept(at, times)
      where at > now() - make_interval(secs => :window_seconds)
    ), used as (
      select coalesce(sum(times), 0) as times from held
    ), kept as (
      select max(at) as at, sum(times) as times from (
        select at, times from held
        union all select now(), 1 from used where used.times < :allowed
      ) one group by date_bin(make_interval(secs => :window_seconds / {parts_of_window}.0), at, 'epoch')
    )
    select used.times + 1, array_agg(kept.at order by kept.at), array_agg(kept.times order by kept.at)
    from used, kept group by used.times
  )
  returning r.count as calls,
    cast(ceil(extract(epoch from r.calls[1] + make_interval(secs => :window_seconds) - now())) as int)
      as resets_in_seconds
)""",
    parts_of_window=PARTS_OF_WINDOW,
)
_OF_ORGANIZATION = sql("""
subject as (
  select cast(:rate as text) || ':' || seat.organization_id as key from seat where seat.organization_id is not null
)""")
_OF_PRINCIPAL = sql("""
subject as (
  select cast(:rate as text) || ':' || seat.principal as key from seat where seat.organization_id is not null
)""")
_OF_SEAT = {Per.ORGANIZATION: _OF_ORGANIZATION, Per.PRINCIPAL: _OF_PRINCIPAL}
_OF_PUBLIC = sql("""
subject as (select cast(:rate as text) || ':' || cast(:subject as text) as key)""")
_ROW = sql("""
select seat.organization_id, seat.user_id, seat.role, seat.session_id, seat.is_super_admin, seat.impersonated_by,
       seat.principal, seat.scopes, coalesce(u.timezone, o.timezone) as timezone, o.plan, o.plan_ends_at""")
_PROFILE_COLUMNS = sql(""",
       coalesce(u.email, '') as email, coalesce(u.name, '') as name, coalesce(u.last_name, '') as last_name,
       coalesce(u.bio, '') as bio, u.picture_url, o.name as organization_name, o.is_trialing, o.allow_trial,
       (select count(*) from channels c where c.organization_id = o.id and c.deleted_at is null) as total_channels""")
_TABLES = sql("""
from seat
left join organizations o on o.id = seat.organization_id
left join users u on u.id = seat.user_id""")
_WITHOUT_DELETED = sql("""
where seat.organization_id is null or o.deleted_at is null""")
_FROM = sql("{tables} {without_deleted}", tables=_TABLES, without_deleted=_WITHOUT_DELETED)
_FROM_COUNTED = sql(
    "{tables} left join counted on true {without_deleted}",
    tables=_TABLES,
    without_deleted=_WITHOUT_DELETED,
)
_COUNTED_COLUMNS = sql(", counted.calls, counted.resets_in_seconds")

_SEATS = {
    "session": (_LOGIN, _OWN_SEAT),
    "impersonation": (_LOGIN, _IMPERSONATED_SEAT),
    "api_key": (_KEY_SEAT,),
    "oauth": (_GRANT_SEAT,),
}
_IDS = {
    "session": ("session_id", "user_id", "chosen"),
    "impersonation": ("session_id", "user_id", "target"),
    "api_key": (),
    "oauth": (),
}


def _statement(by: str, rule: Rule) -> TextClause:
    rate = _counted_rate(rule)
    return _written(by, (rate.per, rate.rolling) if rate else None, rule.reads_profile)


@functools.cache
def _written(by: str, count: tuple[Per, bool] | None, profile: bool) -> TextClause:
    parts, columns, tables = [*_SEATS[by]], [_ROW], _FROM
    if profile:
        columns.append(_PROFILE_COLUMNS)
    if count is not None:
        per, rolling = count
        parts += [_OF_SEAT[per], _counted(rolling)]
        columns.append(_COUNTED_COLUMNS)
        tables = _FROM_COUNTED
    statement = sql(
        "with {parts} {columns} {tables}",
        parts=Sql(",".join(parts)),
        columns=Sql("".join(columns)),
        tables=tables,
    )
    ids = (bindparam(name, type_=Uuid()) for name in _IDS[by])
    return text(statement).bindparams(*ids).execution_options(repeatable=True)


@functools.cache
def _count_public(rolling: bool) -> TextClause:
    statement = sql(
        "with {subject}, {counted} select calls, resets_in_seconds from counted",
        subject=_OF_PUBLIC,
        counted=_counted(rolling),
    )
    return text(statement).execution_options(repeatable=True)


def _counted(rolling: bool) -> Sql:
    return _COUNTED_ROLLING if rolling else _COUNTED_FIXED
