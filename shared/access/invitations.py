"""Invitations: offers seats by a link, and lets people join by it.

An invitation gives what its giver may give when somebody joins, not when it was made. To make, change or use one, the
organization's row is locked first, as for a change of a seat.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.access.actor import actor_of
from shared.access.context import ActingMember, Profile
from shared.access.errors import (
    AlreadyMember,
    InvitationForAnotherAddress,
    InvitationOver,
    OwnershipIsOffered,
    SeatAboveOwn,
)
from shared.access.seats import Rights
from shared.access.team import (
    check_seat_is_free,
    locked_rights,
    recorded_seat,
    visible_customers,
)
from shared.access.team_schemas import InvitationIn, InvitationMade, InvitationOut
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.mail import Mail, mail_is_on
from shared.billing.sections import Section
from shared.billing.usage import check_level, find_allowances
from shared.channels.limits import check_customers
from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import InvitationId, MemberId, OrganizationId, UserId, new_id
from shared.identity.mails import queue_mail
from shared.organizations import invitation_queries as queries
from shared.organizations import letters
from shared.organizations.errors import NoSuchInvitation
from shared.organizations.invitation_queries import AddresseeRow, GuestRow, InvitationRow, InvitedTo
from shared.organizations.member_queries import count_seats
from shared.organizations.models import Role
from shared.organizations.queries import lock_organization
from shared.organizations.schemas import ROLES_ON_WIRE

LIFE = timedelta(days=7)


def invite(
    session: Session, member: ActingMember, profile: Profile, wanted: InvitationIn
) -> InvitationMade:
    """Invite somebody, by email unless that is not wanted. Inviting an address again replaces the earlier invitation.

    Raises:
        InvalidInput: the address is missing, or a customer does not exist.
        OwnershipIsOffered: nobody is invited as an owner.
        SeatAboveOwn: the seat allows more than the caller's own, or replaces one that does.
        AlreadyMember: somebody with the address has a seat.
        TooManySeats: the organization has no place for one more.
        PlanUsedUp: its plan includes no more.
    """
    if wanted.email is None and not wanted.link:
        words = "An address is required, unless `link` makes an invitation that anybody can use."
        raise InvalidInput(words, problems=[FieldProblem("email", "missing", words)])
    role = ROLES_ON_WIRE[wanted.role]
    if role is Role.OWNER:
        raise OwnershipIsOffered
    customers = None if wanted.customers is None else frozenset(wanted.customers)
    rights = Rights(role, customers, wanted.needs_approval, wanted.may_approve)
    organization_id = member.organization_id
    giver = locked_rights(session, member)
    if not giver.may_give(rights):
        raise SeatAboveOwn
    if not _replaces_live(session, organization_id, giver, wanted):
        check_seat_is_free(session, organization_id)
    if wanted.customers:
        check_customers(session, organization_id, wanted.customers)
    token = new_secret()
    row = queries.ADD_INVITATION.one(
        session,
        organization_id=organization_id,
        invitation_id=InvitationId(new_id()),
        invited_by=member.person_id,
        email=wanted.email,
        is_open=wanted.link,
        role=role,
        needs_approval=rights.needs_approval,
        may_approve=rights.may_approve,
        customers=wanted.customers,
        token_hash=hash_secret(token),
        life_seconds=LIFE.total_seconds(),
    )
    after = recorded_seat(rights, disabled=False)
    record(session, actor_of(member), Action.INVITATION_CREATED, row.id, after=after)
    return _sent(session, profile, row, token, by_mail=wanted.send_email)


def list_invitations(session: Session, member: ActingMember) -> list[InvitationOut]:
    """List the invitations that nobody has used, expired ones too, oldest first."""
    rows = queries.LIST_INVITATIONS.all(session, member.organization_id)
    return [_out(row, member) for row in rows]


def resend_invitation(
    session: Session, member: ActingMember, profile: Profile, invitation_id: InvitationId
) -> InvitationMade:
    """Make a new link for an invitation, whose old one stops working, and email it. The caller gives the seat from now on.

    Raises:
        NoSuchInvitation: it was used or revoked, or does not exist.
        SeatAboveOwn: the seat allows more than the caller's own.
        TooManySeats: it had expired, and the organization has no place for one more.
        PlanUsedUp: it had expired, and the plan includes no more.
    """
    organization_id = member.organization_id
    giver = locked_rights(session, member)
    found = queries.FIND_INVITATION.find(session, organization_id, invitation_id)
    if found is None:
        raise NoSuchInvitation
    if not giver.may_give(_rights_of(found)):
        raise SeatAboveOwn
    if not found.is_live:
        check_seat_is_free(session, organization_id)
    token = new_secret()
    row = queries.RENEW_INVITATION.one(
        session,
        organization_id,
        invitation_id,
        invited_by=member.person_id,
        token_hash=hash_secret(token),
        life_seconds=LIFE.total_seconds(),
    )
    record(session, actor_of(member), Action.INVITATION_RESENT, invitation_id)
    return _sent(session, profile, row, token, by_mail=True)


def revoke_invitation(session: Session, member: ActingMember, invitation_id: InvitationId) -> None:
    """Revoke an invitation: its link stops working.

    Raises:
        NoSuchInvitation: it was used or revoked, or does not exist.
        SeatAboveOwn: the seat allows more than the caller's own.
    """
    organization_id = member.organization_id
    giver = locked_rights(session, member)
    found = queries.FIND_INVITATION.find(session, organization_id, invitation_id)
    if found is None:
        raise NoSuchInvitation
    if not giver.manages(_rights_of(found)):
        raise SeatAboveOwn
    queries.REVOKE_INVITATION.run(session, organization_id, invitation_id)
    record(session, actor_of(member), Action.INVITATION_REVOKED, invitation_id)


def join(session: Session, user_id: UserId, token: str, *, actor: Actor) -> OrganizationId:
    """Join an organization by the token of an invitation's link.

    Raises:
        InvitationOver: it is unknown, used, expired or revoked, or its giver may give no seat any more.
        InvitationForAnotherAddress: it is bound to another address than the user's.
        AlreadyMember: the user has a seat.
        PlanUsedUp: the organization's plan has come to include fewer members since the invitation.
    """
    token_hash = hash_secret(token)
    found = queries.FIND_BY_TOKEN.find(session, token_hash)
    if found is None:
        raise InvitationOver
    return _join(session, user_id, found, token_hash, actor)


def join_as_registered(
    session: Session,
    user_id: UserId,
    invited: InvitedTo,
    *,
    actor: Actor,
) -> OrganizationId:
    """Join by the invitation with which a user registered, whose address is proven now. Raises what `join` does."""
    return _join(session, user_id, invited, None, actor)


@dataclass(frozen=True, slots=True)
class FoundInvitation:
    """A living invitation, and what it gives now."""

    invited: InvitedTo
    row: GuestRow
    rights: Rights


def find_invitation(session: Session, token: str, user_id: UserId | None) -> FoundInvitation:
    """Find a living invitation by the token of its link, for a user who may have signed in.

    Raises:
        InvitationOver: it is unknown, used, expired or revoked, or its giver may give no seat any more.
    """
    token_hash = hash_secret(token)
    found = queries.FIND_BY_TOKEN.find(session, token_hash)
    if found is None:
        raise InvitationOver
    guest = queries.FIND_FOR_GUEST.find(
        session, found.organization_id, found.id, token_hash, user_id
    )
    rights = given_by(guest) if guest else None
    if guest is None or rights is None:
        raise InvitationOver
    return FoundInvitation(found, guest, rights)


def given_by(invitation: GuestRow) -> Rights | None:
    """Return what an invitation gives now; None if its giver may give none of it any more."""
    if invitation.giver_role is None:
        return None
    customers = invitation.giver_customers
    giver = Rights(
        invitation.giver_role,
        None if customers is None else frozenset(customers),
        bool(invitation.giver_needs_approval),
        bool(invitation.giver_may_approve),
    )
    return _rights_of(invitation).limited_to(giver)


def is_for(invitation: GuestRow) -> bool:
    """Return whether the guest is the one whom an invitation is for."""
    return invitation.is_open or invitation.email == invitation.guest_email


def _join(
    session: Session,
    user_id: UserId,
    invited: InvitedTo,
    token_hash: bytes | None,
    actor: Actor,
) -> OrganizationId:
    organization_id = invited.organization_id
    lock_organization(session, organization_id)
    found = queries.FIND_FOR_GUEST.find(session, organization_id, invited.id, token_hash, user_id)
    given = given_by(found) if found else None
    if found is None or given is None or found.guest_email is None:
        raise InvitationOver
    if found.is_member:
        raise AlreadyMember
    if not is_for(found):
        raise InvitationForAnotherAddress
    _check_seat_in_plan(session, organization_id)
    joined = queries.USE_INVITATION.find(
        session,
        organization_id,
        invited.id,
        user_id,
        member_id=MemberId(new_id()),
        role=given.role,
        needs_approval=given.needs_approval,
        may_approve=given.may_approve,
        customers=None if given.customers is None else sorted(given.customers),
    )
    if joined is None:
        raise InvitationOver
    record(
        session,
        actor.in_organization(organization_id),
        Action.MEMBER_JOINED,
        user_id,
        after=recorded_seat(given, disabled=False),
    )
    return joined.organization_id


def _check_seat_in_plan(session: Session, organization_id: OrganizationId) -> None:
    """Check that the plan includes one more member. The invitation was counted when it was made, but plans change."""
    allowances = find_allowances(session, organization_id)
    if allowances.limit(Section.TEAM_MEMBERS) is not None:
        members = count_seats(session, organization_id).members
        check_level(allowances, Section.TEAM_MEMBERS, before=members, after=members + 1)


def _replaces_live(
    session: Session, organization_id: OrganizationId, giver: Rights, wanted: InvitationIn
) -> bool:
    """Return whether a new invitation replaces one that is bound to the same address and counts as a seat already."""
    if wanted.email is None:
        return False
    found = queries.FIND_ADDRESSEE.one(session, organization_id, wanted.email)
    if found.is_member:
        raise AlreadyMember
    if found.role is None or wanted.link:
        return False
    if not giver.manages(_rights_of(found)):
        raise SeatAboveOwn
    return found.is_live


def _out(row: InvitationRow, member: ActingMember) -> InvitationOut:
    return InvitationOut(
        id=row.id,
        email=row.email,
        link=row.is_open,
        role=row.role,
        needs_approval=row.needs_approval,
        may_approve=row.may_approve,
        customers=visible_customers(row.customers, member),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        expired=not row.is_live,
    )


def _rights_of(row: InvitationRow | GuestRow | AddresseeRow) -> Rights:
    assert row.role is not None
    customers = None if row.customers is None else frozenset(row.customers)
    return Rights(row.role, customers, bool(row.needs_approval), bool(row.may_approve))


def _sent(
    session: Session,
    giver: Profile,
    row: InvitationRow,
    token: str,
    *,
    by_mail: bool,
) -> InvitationMade:
    url = f"{settings().console_url}/?org={token}"
    address = row.email if by_mail and mail_is_on() else None
    if address:
        letter = letters.invitation(
            url,
            giver=giver.name or giver.email,
            organization=giver.organization_name,
            role=row.role,
            expires_at=row.expires_at,
        )
        queue_mail(session, Mail(address, letter.title, letter.text, letter.html))
    return InvitationMade(
        id=row.id, url=url, expires_at=row.expires_at, emailed=address is not None
    )
