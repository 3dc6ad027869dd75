"""Request and response schemas of an organization's team: members, and what ends with their seats."""

from typing import Any

from pydantic import Field

from shared.core.ids import (
    ApiKeyId,
    CustomerId,
    GrantId,
    InvitationId,
    OfferId,
    OrganizationId,
    RecoveryId,
    UserId,
)
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.identity.schemas import Email
from shared.organizations.schemas import WireRole

MOST_CUSTOMERS_OF_MEMBER = 1_000
_KEPT: Any = Field(
    default_factory=list,
    max_length=50,
    description="The API keys of the member that stay valid. All others end with the seat.",
)
_CUSTOMERS: Any = Field(
    default=None,
    min_length=1,
    max_length=MOST_CUSTOMERS_OF_MEMBER,
    description="The only customers whose channels and posts the member sees. Null: everything of the organization.",
)


class TeamUser(WireModel):
    id: UserId
    email: str
    name: str
    send_success_emails: bool
    send_failure_emails: bool


class TeamMember(WireModel):
    """`customers` of somebody who sees more than the caller lists only the caller's own."""

    role: WireRole
    disabled: bool
    needs_approval: bool = Field(description="What the member schedules waits for approval.")
    may_approve: bool = Field(description="Whether the member approves posts of others.")
    customers: list[CustomerId] | None = Field(
        description="The only customers whose channels and posts the member sees; null: everything."
    )
    joined_at: WireTime
    user: TeamUser


class InvitationOut(WireModel):
    id: InvitationId
    email: str | None
    link: bool = Field(
        description="Anybody who has the link may use it, not only the person with the address."
    )
    role: WireRole
    needs_approval: bool
    may_approve: bool
    customers: list[CustomerId] | None
    invited_by: UserId
    created_at: WireTime
    expires_at: WireTime
    expired: bool


class Team(WireModel):
    users: list[TeamMember]
    invitations: list[InvitationOut] = Field(
        description="Those that nobody has used yet, expired ones too."
    )


class InvitationIn(RequestModel):
    """An invitation of one person."""

    email: Email | None = Field(default=None, description="Required without `link`.")
    role: WireRole
    needs_approval: bool = False
    may_approve: bool = False
    customers: list[CustomerId] | None = _CUSTOMERS
    send_email: bool = Field(default=True, description="Whether the link is emailed too.")
    link: bool = Field(
        default=False,
        description="Make an open link: the first who uses it joins, whatever their address.",
    )


class InvitationMade(WireModel):
    """`url` is shown this once."""

    id: InvitationId
    url: str = Field(description="The link for the person who is invited.")
    expires_at: WireTime
    emailed: bool


class InvitationRevoked(WireModel):
    id: InvitationId


class OwnershipOfferIn(RequestModel):
    user_id: UserId = Field(description="The member who is to own the organization.")
    steps_down: bool = Field(
        default=True,
        description="Whether the caller becomes an admin when the member accepts. Otherwise both are owners.",
    )


class PersonNamed(WireModel):
    id: UserId
    name: str


class OwnershipOfferOut(WireModel):
    """`from` offers the ownership to `to`."""

    id: OfferId
    from_: PersonNamed = Field(alias="from")
    to: PersonNamed
    steps_down: bool
    expires_at: WireTime


class OwnershipOffers(WireModel):
    offers: list[OwnershipOfferOut]


class OwnershipOfferEnded(WireModel):
    id: OfferId


class OwnershipAccepted(WireModel):
    """The caller's role from now on, and that of the owner who made the offer."""

    role: WireRole
    former_owner_role: WireRole


class Joining(RequestModel):
    org: str = Field(
        min_length=1, max_length=200, description="The token at the end of an invitation's link."
    )


class Joined(WireModel):
    id: OrganizationId


class MemberChange(RequestModel):
    """A change of a seat; omitted fields stay unchanged."""

    role: WireRole | None = None
    needs_approval: bool | None = None
    may_approve: bool | None = None
    customers: list[CustomerId] | None = _CUSTOMERS
    disabled: bool | None = Field(
        default=None, description="A disabled member cannot act, and stays in the list."
    )
    keep_keys: list[ApiKeyId] = _KEPT


class MemberRemoval(RequestModel):
    keep_keys: list[ApiKeyId] = _KEPT


class RecoveryOut(WireModel):
    """A member who recovers their account without their second factor.

    Until `opensAt` it can be stopped. With `closed` it is over, and the member's seat waits for another owner to agree; that of an
    only owner opens 72 hours after they have added a new factor, unless it is `objected` to.
    """

    id: RecoveryId
    user_id: UserId
    email: str
    name: str
    role: WireRole
    started_at: WireTime
    opens_at: WireTime
    closed: bool
    objected: bool
    other_owners: int = Field(description="How many owners there are who can agree.")


class RecoveryList(WireModel):
    recoveries: list[RecoveryOut]


class RecoveryStop(WireModel):
    """`stopped`: the recovery is off, and the factors stay. `objected`: it was over, and the member's seat stays closed."""

    id: RecoveryId
    stopped: bool
    objected: bool


class RecoveryAgreed(WireModel):
    id: RecoveryId
    open: bool = Field(description="Whether the member's seat is open now.")


class ClosedSeat(WireModel):
    id: OrganizationId
    name: str
    objected: bool


class ClosedSeats(WireModel):
    """The organizations that stay closed to the user since their account was recovered."""

    closed: list[ClosedSeat]


class KeyThatEnded(WireModel):
    id: ApiKeyId
    name: str


class ConsentThatEnded(WireModel):
    id: GrantId
    name: str = Field(description="The name of the third-party app.")
    is_device: bool = Field(
        description="Whether it was a program on one of the member's computers."
    )


class WhatEnded(WireModel):
    """What ended with a seat."""

    keys: list[KeyThatEnded]
    consents: list[ConsentThatEnded]


class ChangedMember(TeamMember):
    ended: WhatEnded


class RemovedMember(WireModel):
    id: UserId
    ended: WhatEnded
