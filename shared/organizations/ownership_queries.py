"""The statements that offer the ownership of an organization, and move it."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import OfferId, OrganizationId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.member_queries import ACTIVE_OWNER


class NewOffer(NamedTuple):
    organization_id: OrganizationId
    offer_id: OfferId
    offered_by: UserId
    offered_to: UserId
    steps_down: bool
    life_seconds: float


OFFER_OWNERSHIP = Statement(
    "offer_ownership",
    sql("""
        insert into ownership_offers (id, organization_id, offered_by, offered_to, steps_down, expires_at)
        values (:offer_id, :organization_id, :offered_by, :offered_to, :steps_down,
            now() + make_interval(secs => :life_seconds))
        on conflict (organization_id, offered_by) do update set id = excluded.id, offered_to = excluded.offered_to,
            steps_down = excluded.steps_down, created_at = now(), expires_at = excluded.expires_at
    """),
    params=NewOffer,
    row=NoRow,
)
"""Offer a member the ownership, in place of the owner's earlier offer."""


class OffersFor(NamedTuple):
    """`user_id` None: all offers, which owners see."""

    organization_id: OrganizationId
    user_id: UserId | None


class ListedOffer(NamedTuple):
    id: OfferId
    steps_down: bool
    expires_at: datetime
    offered_by: UserId
    offered_by_name: str
    offered_to: UserId
    offered_to_name: str
    offered_to_email: str


_GIVER = sql(
    """
    exists (
        select from members m join users u on u.id = m.user_id
        where m.organization_id = offer.organization_id and m.user_id = offer.offered_by and {active_owner}
    )
    """,
    active_owner=ACTIVE_OWNER,
)
_LIVE_OFFERS = sql(
    """
    select offer.id, offer.steps_down, offer.expires_at, offer.offered_by, giver.name as offered_by_name,
        offer.offered_to, receiver.name as offered_to_name, receiver.email as offered_to_email
    from ownership_offers offer join users giver on giver.id = offer.offered_by
        join users receiver on receiver.id = offer.offered_to
    where offer.organization_id = :organization_id and offer.expires_at > now() and {giver}
    """,
    giver=_GIVER,
)
LIST_OFFERS = Statement(
    "list_ownership_offers",
    sql(
        """
        {live_offers}
            and (cast(:user_id as uuid) is null or offer.offered_to = cast(:user_id as uuid))
        order by offer.created_at, offer.id
        limit 1000
        """,
        live_offers=_LIVE_OFFERS,
    ),
    params=OffersFor,
    row=ListedOffer,
)
"""List the offers of those who are still owners, oldest first; at most 1,000."""


class OfferBy(NamedTuple):
    organization_id: OrganizationId
    offered_by: UserId


FIND_OFFER_OF = Statement(
    "find_ownership_offer_of",
    sql("{live_offers} and offer.offered_by = :offered_by", live_offers=_LIVE_OFFERS),
    params=OfferBy,
    row=ListedOffer,
)
"""Find the offer that an owner has made."""


class OneOffer(NamedTuple):
    """`user_id`: who takes it back or declines; None: any owner."""

    organization_id: OrganizationId
    offer_id: OfferId
    user_id: UserId | None


class EndedOffer(NamedTuple):
    offered_to: UserId


END_OFFER = Statement(
    "end_ownership_offer",
    sql("""
        delete from ownership_offers
        where organization_id = :organization_id and id = :offer_id
            and (cast(:user_id as uuid) is null or offered_to = cast(:user_id as uuid))
        returning offered_to
    """),
    params=OneOffer,
    row=EndedOffer,
)
"""Delete an offer; no row: there is none."""


class Acceptance(NamedTuple):
    organization_id: OrganizationId
    offer_id: OfferId
    user_id: UserId


class Moved(NamedTuple):
    offered_by: UserId
    steps_down: bool


ACCEPT_OFFER = Statement(
    "accept_ownership_offer",
    sql(
        """
        with taken as (
            delete from ownership_offers offer
            where offer.organization_id = :organization_id and offer.id = :offer_id and offer.offered_to = :user_id
                and offer.expires_at > now() and {giver}
                and exists (
                    select from members r
                    where r.organization_id = offer.organization_id and r.user_id = offer.offered_to and not r.disabled
                )
            returning offer.organization_id, offer.offered_by, offer.offered_to, offer.steps_down
        ), changed as (
            update members m set updated_at = now(), customers = null, needs_approval = false,
                role = case when m.user_id = taken.offered_to then 'owner' else 'admin' end
            from taken
            where m.organization_id = taken.organization_id
                and (m.user_id = taken.offered_to or (m.user_id = taken.offered_by and taken.steps_down))
        )
        select offered_by, steps_down from taken
        """,
        giver=_GIVER,
    ),
    params=Acceptance,
    row=Moved,
)
"""Make the receiver of an offer an owner; no row: it is over, or the one who made it is no owner any more.

The organization is locked before (`lock_organization`). One statement, so that an offer moves the ownership once.
"""


class OfferToUser(NamedTuple):
    offer_id: OfferId
    user_id: UserId


class OfferedTo(NamedTuple):
    organization_id: OrganizationId
    organization_name: str
    offered_by_name: str
    steps_down: bool
    expires_at: datetime


FIND_OFFER_TO = Statement(
    "find_ownership_offer_to",
    sql(
        """
        select offer.organization_id, o.name as organization_name, u.name as offered_by_name, offer.steps_down,
            offer.expires_at
        from ownership_offers offer join organizations o on o.id = offer.organization_id and o.deleted_at is null
            join users u on u.id = offer.offered_by
            join members own on own.organization_id = offer.organization_id and own.user_id = offer.offered_to
        where offer.id = :offer_id and offer.offered_to = :user_id and not own.disabled and offer.expires_at > now()
            and {giver}
        """,
        giver=_GIVER,
    ),
    params=OfferToUser,
    row=OfferedTo,
)
"""Find an offer to a user, in whichever organization it was made."""
