"""The first seat of a new user: the ownership of a new organization, or what an invitation gives.

A new organization is added when its owner registers, so that it can be named at once. An invitation is used when the user's
address is proven, because it may be bound to that address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.access.errors import AlreadyMember, InvitationForAnotherAddress, InvitationOver
from shared.access.invitations import find_invitation, join_as_registered
from shared.audit.entries import Actor
from shared.billing.errors import PlanUsedUp
from shared.core.ids import InvitationId, OrganizationId, UserId, new_id
from shared.core.log import log
from shared.identity.errors import FieldNeeded
from shared.identity.schemas import Registration
from shared.organizations import queries as organizations
from shared.organizations.invitation_queries import InvitedTo


@dataclass(frozen=True, slots=True)
class FirstSeat:
    """The name and the time zone of the new organization, or the invitation."""

    company: str | None
    timezone: str | None
    invited: InvitedTo | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return what the link of a registration remembers."""
        return {
            "company": self.company,
            "timezone": self.timezone,
            "organization_id": str(self.invited.organization_id) if self.invited else None,
            "invitation_id": str(self.invited.id) if self.invited else None,
        }


def first_seat_in(remembered: Mapping[str, Any]) -> FirstSeat:
    """Read what the link of a registration remembers."""
    invited = None
    if remembered.get("invitation_id"):
        invited = InvitedTo(
            id=InvitationId(UUID(remembered["invitation_id"])),
            organization_id=OrganizationId(UUID(remembered["organization_id"])),
        )
    return FirstSeat(remembered.get("company"), remembered.get("timezone"), invited)


def choose_first_seat(session: Session, wanted: Registration, email: str) -> FirstSeat:
    """Return the seat that a registration asks for.

    Raises:
        FieldNeeded: there is neither an invitation nor the name of an organization.
        InvitationOver: the invitation can no longer be used.
        InvitationForAnotherAddress: the invitation is bound to another address.
    """
    if wanted.org is None:
        if wanted.company is None:
            raise FieldNeeded("company", "Enter a name for your organization.")
        return FirstSeat(wanted.company, wanted.timezone)
    found = find_invitation(session, wanted.org, None)
    if not found.row.is_open and found.row.email != email:
        raise InvitationForAnotherAddress
    return FirstSeat(None, wanted.timezone, found.invited)


def add_first_organization(session: Session, user_id: UserId | None, seat: FirstSeat) -> None:
    """Add the new organization of a registration without an invitation.

    For a known address, whose `user_id` is None, it runs the same statement with the id of nobody, which adds nothing.
    """
    if seat.company:
        organizations.add_organization(
            session,
            user_id or UserId(new_id()),
            name=seat.company,
            timezone=seat.timezone or "UTC",
        )


def take_first_seat(session: Session, user_id: UserId, seat: FirstSeat, *, actor: Actor) -> None:
    """Give a user, whose address is proven now, the seat of the registration that proved it.

    Other registrations with the address may have added an organization, or none. If the invitation is over, the user belongs to
    no organization.
    """
    if seat.invited:
        organizations.DELETE_FOUNDED.run(session, user_id)
        join_if_possible(session, user_id, seat.invited, actor=actor)
    elif seat.company and seat.timezone:
        renamed = organizations.RENAME_FOUNDED.run(session, user_id, seat.company, seat.timezone)
        if not renamed:
            add_first_organization(session, user_id, seat)


def join_if_possible(
    session: Session, user_id: UserId, invited: InvitedTo, *, actor: Actor
) -> None:
    """Join by an invitation. If it is over by now, or the plan includes no more members, that is logged."""
    try:
        join_as_registered(session, user_id, invited, actor=actor.as_user(user_id))
    except (AlreadyMember, InvitationForAnotherAddress, InvitationOver, PlanUsedUp) as error:
        reason = type(error).__name__
        log.info("invitation.not_used", extra={"user_id": str(user_id), "reason": reason})
