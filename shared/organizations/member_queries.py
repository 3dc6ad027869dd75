"""The statements that read and write the members of an organization."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.core.ids import CustomerId, OrganizationId, UserId
from shared.db.statement import Json, NoRow, Statement, sql
from shared.organizations.invitation_queries import LIVE_INVITATION
from shared.organizations.models import Role

ACTIVE_OWNER = sql(
    "m.role = 'owner' and not m.disabled and u.activated_at is not null and u.deleted_at is null"
)
"""Whether the user `u` can act as an owner, as the member `m`."""


class Seats(NamedTuple):
    organization_id: OrganizationId
    user_ids: list[UserId]


class SeatRow(NamedTuple):
    """`other_owners`: how many other members can act as an owner."""

    user_id: UserId
    role: Role
    disabled: bool
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    other_owners: int


FIND_SEATS = Statement(
    "find_seats",
    sql(
        """
        select seat.user_id, seat.role, seat.disabled, seat.needs_approval, seat.may_approve, seat.customers, (
            select count(*) from members m join users u on u.id = m.user_id
            where m.organization_id = seat.organization_id and m.id <> seat.id and {active_owner}
        ) as other_owners
        from members seat join users person on person.id = seat.user_id
        where seat.organization_id = :organization_id and seat.user_id = any(:user_ids) and person.deleted_at is null
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=Seats,
    row=SeatRow,
)
"""Find the seats of some users, and how many other owners there are. Lock the organization first (`lock_organization`)."""


class MemberChanges(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    user_id: UserId
    changes: Json


class MemberRow(NamedTuple):
    user_id: UserId
    role: Role
    disabled: bool
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    joined_at: datetime
    email: str
    name: str
    sends_success_mails: bool
    sends_failure_mails: bool


CHANGE_MEMBER = Statement(
    "change_member",
    sql("""
        with withdrawn as (
            delete from ownership_offers
            where organization_id = :organization_id and (offered_by = :user_id or offered_to = :user_id)
        )
        update members m set updated_at = now(), (role, disabled, needs_approval, may_approve, customers) = (
            select changed.role, changed.disabled, changed.needs_approval, changed.may_approve, changed.customers
            from jsonb_populate_record(m, cast(:changes as jsonb)) changed)
        from users u
        where m.organization_id = :organization_id and m.user_id = :user_id and u.id = m.user_id
        returning m.user_id, m.role, m.disabled, m.needs_approval, m.may_approve, m.customers,
            m.created_at as joined_at, u.email, u.name, u.sends_success_mails, u.sends_failure_mails
    """),
    params=MemberChanges,
    row=MemberRow,
)
"""Change a member's seat, withdraw the offers of ownership that they made or got, and return the member; no row: there is none."""


class OneMember(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId


REMOVE_MEMBER = Statement(
    "remove_member",
    sql("""
        with withdrawn as (
            delete from ownership_offers
            where organization_id = :organization_id and (offered_by = :user_id or offered_to = :user_id)
        )
        delete from members where organization_id = :organization_id and user_id = :user_id
    """),
    params=OneMember,
    row=NoRow,
)
"""End a member's seat, with the offers of ownership that they made or got.

Their consents end with it, and start again if they come back.
"""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


LIST_MEMBERS = Statement(
    "list_members",
    sql("""
        select m.user_id, m.role, m.disabled, m.needs_approval, m.may_approve, m.customers, m.created_at as joined_at,
            u.email, u.name, u.sends_success_mails, u.sends_failure_mails
        from members m join users u on u.id = m.user_id
        where m.organization_id = :organization_id and u.deleted_at is null
        order by m.created_at, m.id
        limit 1000
    """),
    params=OfOrganization,
    row=MemberRow,
)
"""List an organization's members, longest-standing first; at most 1,000."""


class SeatCount(NamedTuple):
    """`members` are those who are not disabled, `pending` the invitations that can still be used."""

    members: int
    pending: int


COUNT_SEATS = Statement(
    "count_seats",
    sql(
        """
        select (
            select count(*) from members m join users u on u.id = m.user_id
            where m.organization_id = :organization_id and not m.disabled and u.deleted_at is null
        ) as members, (
            select count(*) from invitations i where i.organization_id = :organization_id and {live}
        ) as pending
        """,
        live=LIVE_INVITATION,
    ),
    params=OfOrganization,
    row=SeatCount,
)
"""Count the members whose seat is open, and the invitations that can still be used."""


def count_seats(session: Session, organization_id: OrganizationId) -> SeatCount:
    """Count the open seats of an organization: its members who are not disabled, and its pending invitations.

    Lock the organization first (`lock_organization`), so that the number stands until the transaction ends.
    """
    return COUNT_SEATS.one(session, organization_id)
