"""The statements that read and write invitations.

Who has an invitation's link knows it by its token alone, so what finds it by the token's hash crosses organizations.
"""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import CustomerId, InvitationId, MemberId, OrganizationId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.models import Role

LIVE_INVITATION = sql("i.used_at is null and i.revoked_at is null and i.expires_at > now()")
"""Whether the invitation `i` lets somebody in."""


class Addressee(NamedTuple):
    organization_id: OrganizationId
    email: str


class AddresseeRow(NamedTuple):
    """Whether somebody with the address is a member, and the seat that an invitation offers them already; a role of None: none."""

    is_member: bool
    role: Role | None
    needs_approval: bool | None
    may_approve: bool | None
    customers: list[CustomerId] | None
    is_live: bool


FIND_ADDRESSEE = Statement(
    "find_addressee",
    sql("""
        select exists (
            select from members m join users u on u.id = m.user_id
            where m.organization_id = :organization_id and u.email = :email and u.deleted_at is null
        ) as is_member, i.role, i.needs_approval, i.may_approve, i.customers,
            coalesce(i.expires_at > now(), false) as is_live
        from (values (1)) as one left join invitations i on i.organization_id = :organization_id and i.email = :email
            and not i.is_open and i.used_at is null and i.revoked_at is null
    """),
    params=Addressee,
    row=AddresseeRow,
)
"""Find whether an address has a seat, or an invitation to one."""


class NewInvitation(NamedTuple):
    organization_id: OrganizationId
    invitation_id: InvitationId
    invited_by: UserId
    email: str | None
    is_open: bool
    role: Role
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    token_hash: bytes
    life_seconds: float


class InvitationRow(NamedTuple):
    id: InvitationId
    email: str | None
    is_open: bool
    role: Role
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    invited_by: UserId
    created_at: datetime
    expires_at: datetime
    is_live: bool


_INVITATION = sql(
    "i.id, i.email, i.is_open, i.role, i.needs_approval, i.may_approve, i.customers, i.invited_by, i.created_at,"
    " i.expires_at, i.expires_at > now() as is_live"
)

ADD_INVITATION = Statement(
    "add_invitation",
    sql(
        """
        insert into invitations as i (id, organization_id, invited_by, email, is_open, role, needs_approval, may_approve,
            customers, token_hash, expires_at)
        values (:invitation_id, :organization_id, :invited_by, :email, :is_open, :role, :needs_approval, :may_approve,
            :customers, :token_hash, now() + make_interval(secs => :life_seconds))
        on conflict (organization_id, email) where not is_open and used_at is null and revoked_at is null
        do update set id = excluded.id, invited_by = excluded.invited_by, role = excluded.role,
            needs_approval = excluded.needs_approval, may_approve = excluded.may_approve, customers = excluded.customers,
            token_hash = excluded.token_hash, created_at = now(), updated_at = now(), expires_at = excluded.expires_at
        returning {invitation}
        """,
        invitation=_INVITATION,
    ),
    params=NewInvitation,
    row=InvitationRow,
)
"""Add an invitation, in place of an earlier one that is bound to the same address."""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


LIST_INVITATIONS = Statement(
    "list_invitations",
    sql(
        """
        select {invitation} from invitations i
        where i.organization_id = :organization_id and i.used_at is null and i.revoked_at is null
        order by i.created_at, i.id
        limit 1000
        """,
        invitation=_INVITATION,
    ),
    params=OfOrganization,
    row=InvitationRow,
)
"""List the invitations that nobody has used or revoked, expired ones too, oldest first; at most 1,000."""


class OneInvitation(NamedTuple):
    organization_id: OrganizationId
    invitation_id: InvitationId


FIND_INVITATION = Statement(
    "find_invitation",
    sql(
        """
        select {invitation} from invitations i
        where i.organization_id = :organization_id and i.id = :invitation_id and i.used_at is null and i.revoked_at is null
        """,
        invitation=_INVITATION,
    ),
    params=OneInvitation,
    row=InvitationRow,
)
"""Find an invitation that nobody has used or revoked."""


class Renewal(NamedTuple):
    organization_id: OrganizationId
    invitation_id: InvitationId
    invited_by: UserId
    token_hash: bytes
    life_seconds: float


RENEW_INVITATION = Statement(
    "renew_invitation",
    sql(
        """
        update invitations i set invited_by = :invited_by, token_hash = :token_hash,
            expires_at = now() + make_interval(secs => :life_seconds), updated_at = now()
        where i.organization_id = :organization_id and i.id = :invitation_id and i.used_at is null and i.revoked_at is null
        returning {invitation}
        """,
        invitation=_INVITATION,
    ),
    params=Renewal,
    row=InvitationRow,
)
"""Give an invitation a new token and a new end; no row: it was used or revoked meanwhile."""

REVOKE_INVITATION = Statement(
    "revoke_invitation",
    sql("""
        update invitations set revoked_at = now(), updated_at = now()
        where organization_id = :organization_id and id = :invitation_id and used_at is null and revoked_at is null
    """),
    params=OneInvitation,
    row=NoRow,
)
"""Revoke an invitation."""


class Token(NamedTuple):
    token_hash: bytes


class InvitedTo(NamedTuple):
    id: InvitationId
    organization_id: OrganizationId


FIND_BY_TOKEN = Statement(
    "find_invitation_by_token",
    sql(
        "select i.id, i.organization_id from invitations i where i.token_hash = :token_hash and {live}",
        live=LIVE_INVITATION,
    ),
    params=Token,
    row=InvitedTo,
)
"""Find which organization a token invites to."""


class Guest(NamedTuple):
    """`token_hash` None: the invitation is known by its id. `user_id` None: nobody has signed in."""

    organization_id: OrganizationId
    invitation_id: InvitationId
    token_hash: bytes | None
    user_id: UserId | None


class GuestRow(NamedTuple):
    """An invitation for a guest. `giver_role` is None if the member who invited has no open seat any more.

    `guest_email` is None if nobody has signed in. `is_member`: the guest has a seat, open or disabled.
    """

    organization_name: str
    email: str | None
    is_open: bool
    role: Role
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    giver_name: str
    giver_role: Role | None
    giver_needs_approval: bool | None
    giver_may_approve: bool | None
    giver_customers: list[CustomerId] | None
    guest_email: str | None
    is_member: bool


FIND_FOR_GUEST = Statement(
    "find_invitation_for_guest",
    sql(
        """
        select o.name as organization_name, i.email, i.is_open, i.role, i.needs_approval, i.may_approve, i.customers,
            giver.name as giver_name, m.role as giver_role, m.needs_approval as giver_needs_approval,
            m.may_approve as giver_may_approve, m.customers as giver_customers, guest.email as guest_email,
            exists (
                select from members own where own.organization_id = i.organization_id and own.user_id = guest.id
            ) as is_member
        from invitations i
        join organizations o on o.id = i.organization_id and o.deleted_at is null
        join users giver on giver.id = i.invited_by
        left join members m on m.organization_id = i.organization_id and m.user_id = i.invited_by and not m.disabled
            and giver.activated_at is not null and giver.deleted_at is null
        left join users guest on guest.id = :user_id and guest.activated_at is not null and guest.deleted_at is null
        where i.organization_id = :organization_id and i.id = :invitation_id and {live}
            and (cast(:token_hash as bytea) is null or i.token_hash = cast(:token_hash as bytea))
        """,
        live=LIVE_INVITATION,
    ),
    params=Guest,
    row=GuestRow,
)
"""Find a living invitation with what decides whether a guest may use it. Lock the organization before using it."""


class Use(NamedTuple):
    organization_id: OrganizationId
    invitation_id: InvitationId
    user_id: UserId
    member_id: MemberId
    role: Role
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None


class Joined(NamedTuple):
    organization_id: OrganizationId


USE_INVITATION = Statement(
    "use_invitation",
    sql(
        """
        with used as (
            update invitations i set used_at = now(), used_by = :user_id, updated_at = now()
            where i.organization_id = :organization_id and i.id = :invitation_id and {live}
            returning i.organization_id
        )
        insert into members (id, organization_id, user_id, role, disabled, needs_approval, may_approve, customers)
        select cast(:member_id as uuid), organization_id, cast(:user_id as uuid), cast(:role as text), false,
            cast(:needs_approval as boolean), cast(:may_approve as boolean), cast(:customers as uuid[])
        from used
        returning organization_id
        """,
        live=LIVE_INVITATION,
    ),
    params=Use,
    row=Joined,
)
"""Use up an invitation and add the member; no row: somebody else used it, or it is over.

One statement, so that an invitation adds one member.
"""
