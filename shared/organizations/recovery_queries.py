"""The statements about the seats of people who recover their account without their second factor."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import OrganizationId, RecoveryId, UserId
from shared.db.statement import NoParams, NoRow, Statement, sql
from shared.organizations.member_queries import ACTIVE_OWNER
from shared.organizations.models import Role
from shared.organizations.queries import OfOrganization, OfUser


class OfRecovery(NamedTuple):
    recovery_id: RecoveryId
    user_id: UserId


CLOSE_SEATS = Statement(
    "close_seats_of_recovery",
    sql("""
        update members m set recovery_id = :recovery_id, recovery_objected_by = null, updated_at = now()
        where m.user_id = :user_id and exists (
            select from members other join users u on u.id = other.user_id
            where other.organization_id = m.organization_id and other.user_id <> m.user_id and u.deleted_at is null
        )
    """),
    params=OfRecovery,
    row=NoRow,
)
"""Close the seats of a user in the organizations that they share with others."""


class Administrator(NamedTuple):
    email: str


LIST_ADMINISTRATORS = Statement(
    "list_administrators_of_person",
    sql("""
        select distinct u.email from members own
        join members m on m.organization_id = own.organization_id and m.user_id <> own.user_id
        join organizations o on o.id = m.organization_id and o.deleted_at is null
        join users u on u.id = m.user_id
        where own.user_id = :user_id and not own.disabled and m.role in ('owner', 'admin') and not m.disabled
            and u.activated_at is not null and u.deleted_at is null
        order by u.email
        limit 1000
    """),
    params=OfUser,
    row=Administrator,
)
"""List the addresses of all other owners and admins of a user's organizations: it crosses organizations, for emails alone."""


class RecoveryRow(NamedTuple):
    """`is_closed`: the recovery is over, and the seat waits. `other_owners`: how many there are who can agree."""

    id: RecoveryId
    user_id: UserId
    email: str
    name: str
    role: Role
    started_at: datetime
    opens_at: datetime
    is_closed: bool
    is_objected: bool
    other_owners: int


LIST_RECOVERIES = Statement(
    "list_recoveries_of_organization",
    sql(
        """
        select r.id, r.user_id, person.email, person.name, seat.role, r.started_at, r.opens_at,
            seat.recovery_id is not null as is_closed, seat.recovery_objected_by is not null as is_objected, (
                select count(*) from members m join users u on u.id = m.user_id
                where m.organization_id = seat.organization_id and m.id <> seat.id and {active_owner}
            ) as other_owners
        from members seat
        join recoveries r on r.user_id = seat.user_id
            and (r.id = seat.recovery_id or (r.stopped_at is null and r.finished_at is null))
        join users person on person.id = seat.user_id and person.deleted_at is null
        where seat.organization_id = :organization_id and not seat.disabled
        order by r.started_at, r.id
        limit 1000
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=OfOrganization,
    row=RecoveryRow,
)
"""List the recoveries of an organization's members that wait, or that have closed a seat; oldest first."""


class OneInOrganization(NamedTuple):
    organization_id: OrganizationId
    recovery_id: RecoveryId
    caller_id: UserId


class SeatOfRecovery(NamedTuple):
    user_id: UserId
    role: Role
    is_closed: bool
    other_owners: int


FIND_SEAT = Statement(
    "find_seat_of_recovery",
    sql(
        """
        select seat.user_id, seat.role, seat.recovery_id is not null as is_closed, (
                select count(*) from members m join users u on u.id = m.user_id
                where m.organization_id = seat.organization_id and m.id <> seat.id and {active_owner}
            ) as other_owners
        from members seat
        join recoveries r on r.id = :recovery_id and r.user_id = seat.user_id
            and (r.id = seat.recovery_id or (r.stopped_at is null and r.finished_at is null))
        where seat.organization_id = :organization_id and seat.user_id <> :caller_id
        for update of seat
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=OneInOrganization,
    row=SeatOfRecovery,
)
"""Find and lock the seat of somebody else in a recovery that waits, or that has closed the seat."""


class Objection(NamedTuple):
    """`objected_by`: None withdraws the objection."""

    organization_id: OrganizationId
    recovery_id: RecoveryId
    objected_by: UserId | None


OBJECT = Statement(
    "object_to_recovery",
    sql("""
        update members set recovery_objected_by = cast(:objected_by as uuid), updated_at = now()
        where organization_id = :organization_id and recovery_id = :recovery_id
    """),
    params=Objection,
    row=NoRow,
)
"""Keep a seat closed that would open by itself, or withdraw that."""


class ClosedSeat(NamedTuple):
    organization_id: OrganizationId
    recovery_id: RecoveryId


OPEN_SEAT = Statement(
    "open_seat_of_recovery",
    sql("""
        update members set recovery_id = null, recovery_objected_by = null, updated_at = now()
        where organization_id = :organization_id and recovery_id = :recovery_id
    """),
    params=ClosedSeat,
    row=NoRow,
)
"""Open a closed seat."""


class OpenedSeat(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId


OPEN_SEATS_OF_ONLY_OWNERS = Statement(
    "open_seats_of_only_owners",
    sql(
        """
        update members seat set recovery_id = null, updated_at = now()
        where seat.recovery_id is not null and seat.recovery_objected_by is null and seat.role = 'owner'
            and exists (
                select from factors f
                where f.user_id = seat.user_id and f.confirmed_at <= now() - interval '72 hours'
            )
            and not exists (
                select from members m join users u on u.id = m.user_id
                where m.organization_id = seat.organization_id and m.id <> seat.id and {active_owner}
            )
        returning seat.organization_id, seat.user_id
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=NoParams,
    row=OpenedSeat,
)
"""Open the closed seats of only owners who have had a new second factor for 72 hours, unless an admin objects."""


class ClosedOrganization(NamedTuple):
    organization_id: OrganizationId
    name: str
    is_objected: bool


LIST_CLOSED = Statement(
    "list_closed_seats",
    sql("""
        select o.id as organization_id, o.name, m.recovery_objected_by is not null as is_objected
        from members m join organizations o on o.id = m.organization_id and o.deleted_at is null
        where m.user_id = :user_id and m.recovery_id is not null and not m.disabled
        order by o.name, o.id
        limit 1000
    """),
    params=OfUser,
    row=ClosedOrganization,
)
"""List the organizations whose seats of a user are closed."""
