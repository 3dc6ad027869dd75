"""Request and response schemas of an organization's team: members, and what ends with their seats."""

from typing import Any

from pydantic import Field

from shared.core.ids import ApiKeyId, CustomerId, GrantId, UserId
from shared.core.wire import RequestModel, WireModel, WireTime
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


class Team(WireModel):
    users: list[TeamMember]


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
