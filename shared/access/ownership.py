"""Ownership: an owner offers it to a member, and it moves when the member accepts."""

from datetime import timedelta

from sqlalchemy.orm import Session

from shared.access.actor import actor_of
from shared.access.context import ActingMember, Profile
from shared.access.errors import SeatAboveOwn
from shared.access.team import locked_seats
from shared.access.team_schemas import (
    OwnershipAccepted,
    OwnershipOfferIn,
    OwnershipOfferOut,
    OwnershipOffers,
    PersonNamed,
)
from shared.audit.entries import Action
from shared.audit.record import record
from shared.aws.mail import Mail
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import OfferId, UserId, new_id
from shared.identity.mails import queue_mail
from shared.organizations import letters
from shared.organizations import ownership_queries as queries
from shared.organizations.errors import NoSuchOffer
from shared.organizations.models import Role
from shared.organizations.ownership_queries import ListedOffer, OfferedTo
from shared.organizations.queries import lock_organization

LIFE = timedelta(days=7)


def offer_ownership(
    session: Session, member: ActingMember, profile: Profile, wanted: OwnershipOfferIn
) -> OwnershipOfferOut:
    """Offer a member the ownership, by email too. It takes the place of the caller's earlier offer.

    Raises:
        SeatAboveOwn: the caller is no owner any more.
        InvalidInput: the member does not exist, is disabled, or is an owner.
    """
    organization_id = member.organization_id
    seats = locked_seats(session, member, member.person_id, wanted.user_id)
    own, seat = seats.get(member.person_id), seats.get(wanted.user_id)
    if own is None or own.disabled or own.role is not Role.OWNER:
        raise SeatAboveOwn
    if seat is None or seat.disabled or seat.role is Role.OWNER:
        words = "The receiver must be a member who is not disabled and not an owner. Choose another one."
        raise InvalidInput(words, problems=[FieldProblem("userId", "not_a_receiver", words)])
    queries.OFFER_OWNERSHIP.run(
        session,
        organization_id=organization_id,
        offer_id=OfferId(new_id()),
        offered_by=member.person_id,
        offered_to=wanted.user_id,
        steps_down=wanted.steps_down,
        life_seconds=LIFE.total_seconds(),
    )
    offer = queries.FIND_OFFER_OF.one(session, organization_id, member.person_id)
    record(session, actor_of(member), Action.OWNERSHIP_OFFERED, wanted.user_id)
    letter = letters.ownership_offer(
        f"{settings().console_url}/ownership/{offer.id}",
        giver=profile.name or profile.email,
        organization=profile.organization_name,
        steps_down=offer.steps_down,
        expires_at=offer.expires_at,
    )
    queue_mail(session, Mail(offer.offered_to_email, letter.title, letter.text, letter.html))
    return _out(offer)


def list_offers(session: Session, member: ActingMember) -> OwnershipOffers:
    """List the offers of ownership: owners see all, other members those made to them."""
    reader = None if member.role is Role.OWNER else member.person_id
    rows = queries.LIST_OFFERS.all(session, member.organization_id, reader)
    return OwnershipOffers(offers=[_out(row) for row in rows])


def get_offer_to(session: Session, user_id: UserId, offer_id: OfferId) -> OfferedTo:
    """Return an offer to a user, in whichever of their organizations it was made.

    Raises:
        NoSuchOffer: it is over, or was made to somebody else.
    """
    offer = queries.FIND_OFFER_TO.find(session, offer_id, user_id)
    if offer is None:
        raise NoSuchOffer
    return offer


def end_offer(session: Session, member: ActingMember, offer_id: OfferId) -> None:
    """Withdraw an offer as an owner, or decline it as its receiver.

    Raises:
        NoSuchOffer: it is over, or concerns others.
    """
    by = None if member.role is Role.OWNER else member.person_id
    ended = queries.END_OFFER.find(session, member.organization_id, offer_id, by)
    if ended is None:
        raise NoSuchOffer
    record(session, actor_of(member), Action.OWNERSHIP_WITHDRAWN, ended.offered_to)


def accept_ownership(
    session: Session, member: ActingMember, offer_id: OfferId
) -> OwnershipAccepted:
    """Become an owner by an offer. What limited the receiver's seat ends.

    Raises:
        NoSuchOffer: it is over, was made to somebody else, or the one who made it is no owner any more.
    """
    lock_organization(session, member.organization_id)
    moved = queries.ACCEPT_OFFER.find(session, member.organization_id, offer_id, member.person_id)
    if moved is None:
        raise NoSuchOffer
    former = Role.ADMIN if moved.steps_down else Role.OWNER
    record(
        session,
        actor_of(member),
        Action.OWNERSHIP_ACCEPTED,
        moved.offered_by,
        before={"role": Role.OWNER},
        after={"role": former},
    )
    return OwnershipAccepted(role=Role.OWNER, former_owner_role=former)


def _out(offer: ListedOffer) -> OwnershipOfferOut:
    return OwnershipOfferOut(
        id=offer.id,
        from_=PersonNamed(id=offer.offered_by, name=offer.offered_by_name),
        to=PersonNamed(id=offer.offered_to, name=offer.offered_to_name),
        steps_down=offer.steps_down,
        expires_at=offer.expires_at,
    )
