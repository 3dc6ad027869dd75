"""An organization's team: lists, changes and removes members, and lets a member leave.

A change of a seat locks the organization's row first and reads both seats after that. So the caller's rights are those
of that moment, and of two owners who leave at once one stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel
from sqlalchemy.orm import Session

from shared.access.actor import actor_of
from shared.access.context import ActingMember
from shared.access.endings import Ended, end_seat
from shared.access.errors import (
    LastOwner,
    OwnerIsUnlimited,
    OwnershipIsOffered,
    SeatAboveOwn,
    TooManySeats,
)
from shared.access.policy import reaches
from shared.access.seats import GIVES_FROM, Rights
from shared.access.team_schemas import (
    ChangedMember,
    MemberChange,
    RemovedMember,
    TeamMember,
    TeamUser,
    WhatEnded,
)
from shared.audit.entries import Action, Entry
from shared.audit.record import record_all
from shared.billing.sections import Section
from shared.billing.usage import check_level, find_allowances
from shared.channels.limits import check_customers
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ApiKeyId, CustomerId, OrganizationId, UserId
from shared.db.statement import to_json
from shared.organizations import member_queries as queries
from shared.organizations.errors import NoSuchMember
from shared.organizations.member_queries import MemberRow, SeatRow
from shared.organizations.models import Role
from shared.organizations.queries import LIST_KEYS_OF_MEMBER, lock_organization
from shared.organizations.schemas import ROLES_ON_WIRE

MOST_SEATS = 1_000  # they are listed without pages


def list_members(session: Session, member: ActingMember) -> list[TeamMember]:
    """List the organization's members, longest-standing first."""
    rows = queries.LIST_MEMBERS.all(session, member.organization_id)
    return [TeamMember(**_as_member(row, member)) for row in rows]


def check_seat_is_free(session: Session, organization_id: OrganizationId) -> None:
    """Check that the organization, which is locked, can have one more seat. Pending invitations count.

    Raises:
        PlanUsedUp: its plan includes no more.
        TooManySeats: it has `MOST_SEATS`.
    """
    count = queries.count_seats(session, organization_id)
    used = count.members + count.pending
    allowances = find_allowances(session, organization_id)
    check_level(allowances, Section.TEAM_MEMBERS, before=used, after=used + 1)
    if used >= MOST_SEATS:
        raise TooManySeats(MOST_SEATS)


def change_member(
    session: Session, member: ActingMember, user_id: UserId, wanted: MemberChange
) -> ChangedMember:
    """Change a member's seat. If it allows less than before, what the member held ends, except the keys to keep.

    Raises:
        NoSuchMember: the organization has no such member.
        SeatAboveOwn: the caller's own seat allows less than the one before, or than the one wanted.
        LastOwner: nobody else would own the organization.
        OwnershipIsOffered: a member cannot be made an owner without accepting it.
        OwnerIsUnlimited: an owner has no customers and needs no approval.
        TooManySeats: the organization has no place for one more open seat.
        PlanUsedUp: its plan includes no more open seats.
        InvalidInput: nothing is to be changed, or a customer or a key does not exist.
    """
    given = wanted.model_fields_set - {"keep_keys"}
    changes = {name: getattr(wanted, name) for name in given}
    if nulls := [name for name, value in changes.items() if value is None and name != "customers"]:
        _refuse(nulls[0], "This must not be null. Leave it out to keep the current value.")
    if not changes:
        _refuse("role", "There is nothing to change. Send at least one field.")
    caller, seat = _managed_seat(session, member, user_id)
    before = rights_of(seat)
    after = _changed(before, wanted, given)
    disabled = seat.disabled if wanted.disabled is None else wanted.disabled
    _check_gift(caller, before, after)
    if seat.role is Role.OWNER and (after.role is not Role.OWNER or disabled):
        _check_owner_stays(seat)
    if seat.disabled and not disabled:
        check_seat_is_free(session, member.organization_id)
    if wanted.customers:
        check_customers(session, member.organization_id, wanted.customers)
    ended = Ended()
    if after.is_less_than(before) or (disabled and not seat.disabled):
        ended = _end(session, member, user_id, wanted.keep_keys)
    row = queries.CHANGE_MEMBER.one(
        session, member.organization_id, user_id, to_json(_columns(after, disabled=disabled))
    )
    entry = Entry(
        Action.MEMBER_UPDATED,
        user_id,
        before=recorded_seat(before, disabled=seat.disabled),
        after=recorded_seat(after, disabled=disabled),
    )
    record_all(session, actor_of(member), [entry, *_ends(ended)])
    return ChangedMember(**_as_member(row, member), ended=WhatEnded.model_validate(ended))


def remove_member(
    session: Session, member: ActingMember, user_id: UserId, keep_keys: Sequence[ApiKeyId]
) -> RemovedMember:
    """Remove a member. What they held ends, except the keys to keep.

    Raises:
        NoSuchMember: the organization has no such member.
        SeatAboveOwn: the member's seat allows more than the caller's.
        LastOwner: nobody else would own the organization.
        InvalidInput: the member did not create a key that is to be kept.
    """
    _, seat = _managed_seat(session, member, user_id)
    return _remove(session, member, seat, keep_keys, Action.MEMBER_REMOVED)


def leave_organization(session: Session, member: ActingMember) -> RemovedMember:
    """Leave the organization. All that the member held ends: nobody keeps a key to what they left.

    Raises:
        NoSuchMember: the member was removed at the same moment.
        LastOwner: nobody else would own the organization.
    """
    seat = locked_seats(session, member, member.person_id).get(member.person_id)
    if seat is None:
        raise NoSuchMember
    return _remove(session, member, seat, (), Action.MEMBER_LEFT)


def rights_of(seat: SeatRow) -> Rights:
    """Return what a seat allows while it is open."""
    customers = None if seat.customers is None else frozenset(seat.customers)
    return Rights(seat.role, customers, seat.needs_approval, seat.may_approve)


def _remove(
    session: Session,
    member: ActingMember,
    seat: SeatRow,
    keep_keys: Sequence[ApiKeyId],
    action: Action,
) -> RemovedMember:
    if seat.role is Role.OWNER:
        _check_owner_stays(seat)
    ended = _end(session, member, seat.user_id, keep_keys)
    queries.REMOVE_MEMBER.run(session, member.organization_id, seat.user_id)
    entry = Entry(
        action, seat.user_id, before=recorded_seat(rights_of(seat), disabled=seat.disabled)
    )
    record_all(session, actor_of(member), [entry, *_ends(ended)])
    return RemovedMember(id=seat.user_id, ended=WhatEnded.model_validate(ended))


def _end(
    session: Session, member: ActingMember, user_id: UserId, keep_keys: Sequence[ApiKeyId]
) -> Ended:
    """End what a member holds in the organization, except the keys to keep."""
    if keep_keys:
        _check_keys(session, member.organization_id, user_id, keep_keys)
    return end_seat(session, member.organization_id, user_id, keep_keys=keep_keys)


def _ends(ended: Ended) -> Iterator[Entry]:
    """List what ended with a seat for the audit log."""
    for key in ended.keys:
        yield Entry(Action.API_KEY_REVOKED, key.id)
    for consent in ended.consents:
        yield Entry(Action.GRANT_REVOKED, consent.id)


def _check_keys(
    session: Session,
    organization_id: OrganizationId,
    user_id: UserId,
    keep_keys: Sequence[ApiKeyId],
) -> None:
    created = {row.id for row in LIST_KEYS_OF_MEMBER.all(session, organization_id, user_id)}
    words = "This member did not create such an API key, or it is revoked. Leave it out."
    unknown = [
        FieldProblem(f"keepKeys.{number}", "unknown_key", words)
        for number, key_id in enumerate(keep_keys)
        if key_id not in created
    ]
    if unknown:
        raise InvalidInput("Some API keys cannot be kept. Nothing was changed.", problems=unknown)


def locked_rights(session: Session, member: ActingMember) -> Rights:
    """Lock the organization, and return what the caller's seat allows now.

    Raises:
        SeatAboveOwn: the seat was closed, or gives no seats any more.
    """
    return _own_rights(member, locked_seats(session, member, member.person_id))


def locked_seats(
    session: Session, member: ActingMember, *user_ids: UserId
) -> dict[UserId, SeatRow]:
    """Lock the organization, and return the seats of those users who have one."""
    lock_organization(session, member.organization_id)
    found = queries.FIND_SEATS.all(session, member.organization_id, list(user_ids))
    return {row.user_id: row for row in found}


def _own_rights(member: ActingMember, seats: Mapping[UserId, SeatRow]) -> Rights:
    own = seats.get(member.person_id)
    if own is None or own.disabled or not reaches(own.role, GIVES_FROM):
        raise SeatAboveOwn
    return rights_of(own)


def _managed_seat(
    session: Session, member: ActingMember, user_id: UserId
) -> tuple[Rights, SeatRow]:
    """Lock the organization; return the caller's rights, and the seat of a member that the caller may change."""
    seats = locked_seats(session, member, member.person_id, user_id)
    seat = seats.get(user_id)
    if seat is None:
        raise NoSuchMember
    own = _own_rights(member, seats)
    if not own.manages(rights_of(seat)):
        raise SeatAboveOwn
    return own, seat


def _changed(before: Rights, wanted: MemberChange, given: Collection[str]) -> Rights:
    customers = before.customers
    if "customers" in given:
        customers = None if wanted.customers is None else frozenset(wanted.customers)
    return Rights(
        role=ROLES_ON_WIRE[wanted.role] if wanted.role else before.role,
        customers=customers,
        needs_approval=(
            before.needs_approval if wanted.needs_approval is None else wanted.needs_approval
        ),
        may_approve=before.may_approve if wanted.may_approve is None else wanted.may_approve,
    )


def _check_gift(caller: Rights, before: Rights, after: Rights) -> None:
    if after.role is Role.OWNER:
        if before.role is not Role.OWNER:
            raise OwnershipIsOffered
        if after.customers is not None or after.needs_approval:
            raise OwnerIsUnlimited
    if not caller.may_give(after, instead_of=before):
        raise SeatAboveOwn


def _check_owner_stays(seat: SeatRow) -> None:
    if not seat.other_owners:
        raise LastOwner


def _columns(rights: Rights, *, disabled: bool) -> dict[str, Any]:
    customers = rights.customers
    return {
        "role": rights.role,
        "customers": None if customers is None else sorted(map(str, customers)),
        "needs_approval": rights.needs_approval,
        "may_approve": rights.may_approve,
        "disabled": disabled,
    }


def recorded_seat(rights: Rights, *, disabled: bool) -> dict[str, Any]:
    """Return a seat as the audit log shows it."""
    return {
        to_camel(name): value
        for name, value in _columns(rights, disabled=disabled).items()
        if value is not None
    }


def visible_customers(
    customers: Sequence[CustomerId] | None, member: ActingMember
) -> list[CustomerId] | None:
    """Return those customers of a seat that the caller sees."""
    if customers is None:
        return None
    return [one for one in customers if member.customers is None or one in member.customers]


def _as_member(row: MemberRow, member: ActingMember) -> dict[str, Any]:
    return {
        "role": row.role,
        "disabled": row.disabled,
        "needs_approval": row.needs_approval,
        "may_approve": row.may_approve,
        "customers": visible_customers(row.customers, member),
        "joined_at": row.joined_at,
        "user": TeamUser(
            id=row.user_id,
            email=row.email,
            name=row.name,
            send_success_emails=row.sends_success_mails,
            send_failure_emails=row.sends_failure_mails,
        ),
    }


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, problems=[FieldProblem(field, "missing", message)])
