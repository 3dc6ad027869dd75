"""The statements that begin, end and find impersonations. They cross organizations, because super admins do."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import ImpersonationId, MemberId, OrganizationId, SessionId, UserId
from shared.db.statement import Statement, sql
from shared.organizations.queries import OfOrganization

LIVE_IMPERSONATION = sql("i.ended_at is null and i.ends_at > now()")
"""Whether the impersonation `i` lets in."""


class NewImpersonation(NamedTuple):
    id: ImpersonationId
    operator_id: UserId
    session_id: SessionId
    member_id: MemberId
    reason: str
    life_seconds: float


class BegunImpersonation(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId
    name: str
    ends_at: datetime
    organization_name: str
    mails_impersonations: bool


BEGIN_IMPERSONATION = Statement(
    "begin_impersonation",
    sql("""
        with member as (
            select m.id, m.organization_id, m.user_id, u.name, o.name as organization_name, o.mails_impersonations
            from members m join users u on u.id = m.user_id join organizations o on o.id = m.organization_id
            where m.id = :member_id and not m.disabled and u.deleted_at is null and o.deleted_at is null
        ), begun as (
            insert into impersonations (id, operator_id, session_id, organization_id, member_id, user_id, reason, ends_at)
            select cast(:id as uuid), cast(:operator_id as uuid), cast(:session_id as uuid), organization_id, id, user_id,
                cast(:reason as text), now() + make_interval(secs => :life_seconds)
            from member
            returning ends_at
        )
        select member.organization_id, member.user_id, member.name, begun.ends_at, member.organization_name,
            member.mails_impersonations
        from member, begun
    """),
    params=NewImpersonation,
    row=BegunImpersonation,
)
"""Let a super admin act as a member; no row if there is no such member. One statement, so that both are of one moment."""


class InSession(NamedTuple):
    session_id: SessionId


class EndedImpersonation(NamedTuple):
    id: ImpersonationId
    organization_id: OrganizationId
    user_id: UserId


END_IMPERSONATIONS = Statement(
    "end_impersonations",
    sql(
        """
        update impersonations i set ended_at = now() where i.session_id = :session_id and {live}
        returning i.id, i.organization_id, i.user_id
        """,
        live=LIVE_IMPERSONATION,
    ),
    params=InSession,
    row=EndedImpersonation,
)
"""End what a session's super admin acts as."""


class OwnerAddress(NamedTuple):
    email: str


LIST_OWNER_ADDRESSES = Statement(
    "list_owner_addresses",
    sql("""
        select u.email from members m join users u on u.id = m.user_id
        where m.organization_id = :organization_id and m.role = 'owner' and not m.disabled and u.deleted_at is null
            and u.activated_at is not null
        order by u.email
        limit 100
    """),
    params=OfOrganization,
    row=OwnerAddress,
)
"""List the addresses of an organization's owners; at most 100."""
