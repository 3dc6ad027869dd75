"""The statements that identify a caller and count the call, built from checked pieces, one for each kind of rule.

It is one statement, because it comes before everything else of every request.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Any, NamedTuple

from shared.access.policy import Per
from shared.apps.queries import CUSTOMERS_OF_GRANT, LIVE_GRANT
from shared.core.ids import (
    ApiKeyId,
    ConnectionId,
    CustomerId,
    GrantId,
    MemberId,
    OrganizationId,
    SessionId,
    UserId,
)
from shared.db.statement import Sql, Statement, sql
from shared.identity.queries import LIVE_LOGIN
from shared.organizations.impersonation_queries import LIVE_IMPERSONATION
from shared.organizations.queries import LIVE_KEY

PARTS_OF_WINDOW = 60
"""Calls within one part of a rolling window are stored as one entry."""


class By(StrEnum):
    """What identifies the caller."""

    SESSION = "session"
    IMPERSONATION = "impersonation"
    API_KEY = "api_key"
    OAUTH = "oauth"


class Counting(StrEnum):
    """How a call is counted: within fixed windows, or within one that moves on."""

    FIXED = "fixed"
    ROLLING = "rolling"


class BySession(NamedTuple):
    """`chosen`: the organization that the request names; None: the first that the person belongs to."""

    session_id: SessionId
    user_id: UserId
    chosen: OrganizationId | None


class BySessionFixed(NamedTuple):
    session_id: SessionId
    user_id: UserId
    chosen: OrganizationId | None
    rate: str
    window_seconds: float


class BySessionRolling(NamedTuple):
    session_id: SessionId
    user_id: UserId
    chosen: OrganizationId | None
    rate: str
    window_seconds: float
    allowed: int


class ByImpersonation(NamedTuple):
    """`target`: the membership in which a super admin acts."""

    session_id: SessionId
    user_id: UserId
    target: MemberId


class ByImpersonationFixed(NamedTuple):
    session_id: SessionId
    user_id: UserId
    target: MemberId
    rate: str
    window_seconds: float


class ByImpersonationRolling(NamedTuple):
    session_id: SessionId
    user_id: UserId
    target: MemberId
    rate: str
    window_seconds: float
    allowed: int


class ByProgram(NamedTuple):
    key_hash: bytes


class ByProgramFixed(NamedTuple):
    key_hash: bytes
    rate: str
    window_seconds: float


class ByProgramRolling(NamedTuple):
    key_hash: bytes
    rate: str
    window_seconds: float
    allowed: int


@dataclass(frozen=True, slots=True)
class CallerRow:
    """Who calls, and in which membership. Without one, the organization is null, and the rest is the least that there is.

    The last five columns are about the session. `factors` are the kinds of the person's second factors, also for a consent; the
    others are null for a program. `required_connection_id` is the company login through which members must come; null if they
    need not.
    """

    organization_id: OrganizationId | None
    user_id: UserId | None
    role: str
    session_id: SessionId | None
    is_super_admin: bool
    impersonated_by: UserId | None
    principal: UserId | ApiKeyId | GrantId
    scopes: list[str] | None
    timezone: str
    plan: str
    plan_ends_at: datetime | None
    limits: dict[str, Any]
    organization_since: datetime
    requires_mfa_from: datetime | None
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    authenticated_at: datetime | None
    methods: list[str] | None
    factors: list[str] | None
    connection_id: ConnectionId | None
    required_connection_id: ConnectionId | None


@dataclass(frozen=True, slots=True)
class CountedCallerRow(CallerRow):
    """The call is counted."""

    calls: int
    resets_in_seconds: int


@dataclass(frozen=True, slots=True)
class ProfileRow(CallerRow):
    """What `GET /user/self` shows is read too."""

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
class CountedProfileRow(ProfileRow):
    """Both."""

    calls: int
    resets_in_seconds: int


# `login` is the session, `seat` the membership in which it acts. A session survives a password change only if it was not
# revoked by it; a disabled member has no seat, and neither has a member of a deleted organization, or one whose seat a recovery has
# closed. A session that came through a company login has no seat but in its organization.
_LOGIN = sql(
    """
login as (
  select s.id as session_id, u.id as user_id, u.is_super_admin, s.authenticated_at, s.methods, s.connection_id,
         array(select distinct cast(f.kind as text) from factors f where f.user_id = u.id and f.confirmed_at is not null) as factors
  from sessions s join users u on u.id = s.user_id
  where s.id = :session_id and s.user_id = :user_id and {live_login}
)""",
    live_login=LIVE_LOGIN,
)
_OWN_SEAT = sql("""
seat as (
  select login.session_id, login.user_id, login.is_super_admin, cast(null as uuid) as impersonated_by,
         m.organization_id, m.role, m.needs_approval, m.may_approve, m.customers, cast(null as text[]) as scopes,
         login.user_id as principal
  from login left join lateral (
    select m.organization_id, m.role, m.needs_approval, m.may_approve, m.customers
    from members m join organizations o on o.id = m.organization_id and o.deleted_at is null
    where m.user_id = login.user_id and not m.disabled and m.recovery_id is null
      and m.organization_id = coalesce(:chosen, m.organization_id)
      and (login.connection_id is null or exists (
        select from company_logins c where c.id = login.connection_id and c.organization_id = m.organization_id))
    order by m.created_at, m.id limit 1
  ) m on true
)""")
_IMPERSONATED_SEAT = sql(
    """
seat as (
  select login.session_id, m.user_id, login.is_super_admin, login.user_id as impersonated_by,
         m.organization_id, m.role, m.needs_approval, m.may_approve, m.customers, cast(null as text[]) as scopes,
         login.user_id as principal, i.reason, i.ends_at
  from login join impersonations i on i.session_id = login.session_id and i.member_id = :target and {live_impersonation}
  join members m on m.id = i.member_id and not m.disabled
  join users u on u.id = m.user_id and u.deleted_at is null
  where login.is_super_admin
)""",
    live_impersonation=LIVE_IMPERSONATION,
)
# A key acts with the rights of an administrator, who created it; a grant with those of the member who consented, while
# they are a member: a member who left and returned must consent again. A consent covers posts, files and channels, so a
# grant is never an administrator: a webhook that it created would outlive it. Last use is stored to the minute.
_KEY_SEAT = sql(
    """
seat as (
  select cast(null as uuid) as session_id, u.id as user_id, false as is_super_admin,
         cast(null as uuid) as impersonated_by, k.organization_id, 'admin' as role, false as needs_approval,
         false as may_approve, k.customers, k.scopes,
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
         m.needs_approval, false as may_approve, {customers} as customers,
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
    customers=CUSTOMERS_OF_GRANT,
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
  select cast(:rate as text) || ':' || seat.principal as key from seat
)""")
_OF_SEAT = {Per.ORGANIZATION: _OF_ORGANIZATION, Per.PRINCIPAL: _OF_PRINCIPAL}
_OF_PUBLIC = sql("""
subject as (select cast(:rate as text) || ':' || cast(:subject as text) as key)""")
_ROW = sql("""
select seat.organization_id, seat.user_id, coalesce(seat.role, 'viewer') as role, seat.session_id, seat.is_super_admin,
       seat.impersonated_by, seat.principal, seat.scopes, coalesce(u.timezone, o.timezone) as timezone,
       coalesce(o.plan, 'free') as plan, o.plan_ends_at, coalesce(o.limits, '{}') as limits,
       coalesce(o.created_at, now()) as organization_since, o.requires_mfa_from,
       coalesce(seat.needs_approval, false) as needs_approval, coalesce(seat.may_approve, false) as may_approve,
       seat.customers""")
_PROOF = sql(""", login.authenticated_at, login.methods, login.factors, login.connection_id,
       (select c.id from company_logins c where c.organization_id = seat.organization_id and c.required)
         as required_connection_id""")
_NO_PROOF = sql(""",
       cast(null as timestamptz) as authenticated_at, cast(null as text[]) as methods, cast(null as text[]) as factors,
       cast(null as uuid) as connection_id, cast(null as uuid) as required_connection_id""")
# Whether the person who consented has a second factor: an organization may require one.
_GRANT_PROOF = sql(""",
       cast(null as timestamptz) as authenticated_at, cast(null as text[]) as methods,
       array(
         select distinct cast(f.kind as text) from factors f where f.user_id = seat.user_id and f.confirmed_at is not null
       ) as factors,
       cast(null as uuid) as connection_id, cast(null as uuid) as required_connection_id""")
_PROFILE_COLUMNS = sql(""",
       coalesce(u.email, '') as email, coalesce(u.name, '') as name, coalesce(u.last_name, '') as last_name,
       coalesce(u.bio, '') as bio, u.picture_url, o.name as organization_name, o.is_trialing, o.allow_trial""")
_IMPERSONATION = sql(", seat.reason as impersonation_reason, seat.ends_at as impersonation_ends_at")
_NO_IMPERSONATION = sql(""",
       cast(null as text) as impersonation_reason, cast(null as timestamptz) as impersonation_ends_at""")
_TABLES = sql("""
from seat
left join organizations o on o.id = seat.organization_id
left join users u on u.id = seat.user_id""")
_WITH_LOGIN = sql("join login on true")
_WITHOUT_DELETED = sql("""
where seat.organization_id is null or o.deleted_at is null""")
_WITH_COUNT = sql("left join counted on true")
_COUNTED_COLUMNS = sql(", counted.calls, counted.resets_in_seconds")

_SEATS: Mapping[By, Sql] = {
    By.SESSION: sql("{login}, {seat}", login=_LOGIN, seat=_OWN_SEAT),
    By.IMPERSONATION: sql("{login}, {seat}", login=_LOGIN, seat=_IMPERSONATED_SEAT),
    By.API_KEY: _KEY_SEAT,
    By.OAUTH: _GRANT_SEAT,
}
_COUNTED: Mapping[Counting, Sql] = {
    Counting.FIXED: _COUNTED_FIXED,
    Counting.ROLLING: _COUNTED_ROLLING,
}
_PARAMS: Mapping[tuple[By, Counting | None], type[Any]] = {
    (By.SESSION, None): BySession,
    (By.SESSION, Counting.FIXED): BySessionFixed,
    (By.SESSION, Counting.ROLLING): BySessionRolling,
    (By.IMPERSONATION, None): ByImpersonation,
    (By.IMPERSONATION, Counting.FIXED): ByImpersonationFixed,
    (By.IMPERSONATION, Counting.ROLLING): ByImpersonationRolling,
    (By.API_KEY, None): ByProgram,
    (By.API_KEY, Counting.FIXED): ByProgramFixed,
    (By.API_KEY, Counting.ROLLING): ByProgramRolling,
    (By.OAUTH, None): ByProgram,
    (By.OAUTH, Counting.FIXED): ByProgramFixed,
    (By.OAUTH, Counting.ROLLING): ByProgramRolling,
}
_BY_SESSION = frozenset({By.SESSION, By.IMPERSONATION})
_PROOFS: Mapping[By, Sql] = {
    By.SESSION: _PROOF,
    By.IMPERSONATION: _PROOF,
    By.API_KEY: _NO_PROOF,
    By.OAUTH: _GRANT_PROOF,
}
_NOTHING = sql("")


@functools.cache
def identify_by(
    by: By, counted: tuple[Per, Counting] | None, *, reads_profile: bool
) -> Statement[..., CallerRow]:
    """Return the statement that identifies a caller. Made when it is first needed: a function needs few of all."""
    name = f"identify_by_{by}"
    row: type[CallerRow] = ProfileRow if reads_profile else CallerRow
    if counted is not None:
        per, counting = counted
        name += f"_counted_{counting}_per_{per}"
        row = CountedProfileRow if reads_profile else CountedCallerRow
    return Statement(
        name + "_with_profile" * reads_profile,
        sql(
            "with {seat} {counted} {row} {proof} {profile_columns} {impersonation} {counted_columns}"
            " {tables} {with_login} {with_count} {without_deleted}",
            seat=_SEATS[by],
            counted=_counted(*counted) if counted else _NOTHING,
            row=_ROW,
            profile_columns=_PROFILE_COLUMNS if reads_profile else _NOTHING,
            impersonation=_impersonation_of(by) if reads_profile else _NOTHING,
            counted_columns=_COUNTED_COLUMNS if counted else _NOTHING,
            proof=_PROOFS[by],
            tables=_TABLES,
            with_login=_WITH_LOGIN if by in _BY_SESSION else _NOTHING,
            with_count=_WITH_COUNT if counted else _NOTHING,
            without_deleted=_WITHOUT_DELETED,
        ),
        params=_PARAMS[by, counted[1] if counted else None],
        row=row,
        repeatable=True,
    )


def _impersonation_of(by: By) -> Sql:
    return _IMPERSONATION if by is By.IMPERSONATION else _NO_IMPERSONATION


def _counted(per: Per, counting: Counting) -> Sql:
    return sql(", {subject}, {counted}", subject=_OF_SEAT[per], counted=_COUNTED[counting])


def every_way() -> Iterator[Statement[..., CallerRow]]:
    """List all statements that identify a caller."""
    for by, counted, reads_profile in product(
        By, [None, *product(_OF_SEAT, Counting)], (False, True)
    ):
        yield identify_by(by, counted, reads_profile=reads_profile)


class PublicCall(NamedTuple):
    subject: str
    rate: str
    window_seconds: float


class PublicCallRolling(NamedTuple):
    subject: str
    rate: str
    window_seconds: float
    allowed: int


class Calls(NamedTuple):
    calls: int
    resets_in_seconds: int


COUNT_PUBLIC = Statement(
    "count_public",
    sql(
        "with {subject}, {counted} select calls, resets_in_seconds from counted",
        subject=_OF_PUBLIC,
        counted=_COUNTED_FIXED,
    ),
    params=PublicCall,
    row=Calls,
    repeatable=True,
)
"""Count a call of a public route within fixed windows."""

COUNT_PUBLIC_ROLLING = Statement(
    "count_public_rolling",
    sql(
        "with {subject}, {counted} select calls, resets_in_seconds from counted",
        subject=_OF_PUBLIC,
        counted=_COUNTED_ROLLING,
    ),
    params=PublicCallRolling,
    row=Calls,
    repeatable=True,
)
"""Count a call of a public route within a window that moves on."""
