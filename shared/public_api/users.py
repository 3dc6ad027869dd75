"""Finds users for an operator's program: members of any organization, if a super admin created its API key."""

from typing import Any

from sqlalchemy.orm import Session

from shared.access.context import ActingMember, Via
from shared.core.ids import MemberId, OrganizationId, UserId
from shared.core.wire import WireModel
from shared.organizations import queries
from shared.organizations.schemas import WireRole
from shared.public_api.errors import Refused


class Subscription(WireModel):
    """What the organization has."""

    subscription_tier: str


class FoundOrganization(WireModel):
    """An organization that a user is in."""

    id: OrganizationId
    name: str
    subscription: Subscription


class FoundUser(WireModel):
    """A user."""

    id: UserId
    name: str
    email: str


class FoundMember(WireModel):
    """A user in an organization; `id` is the membership's."""

    id: MemberId
    role: WireRole
    organization: FoundOrganization
    user: FoundUser


def find_users(session: Session, member: ActingMember, words: str) -> list[FoundMember]:
    """List members of any organization by a part of a user's name or address, or by the user's id; at most 20.

    A super admin must have created the API key with all scopes, because it reads everybody's addresses: a read-only key is
    for programs that read one organization. For the same reason, a colleague's key is refused, and so is a super admin's grant
    to a third-party app.

    Raises:
        Refused: it is not such an API key of a super admin who is a member of the organization.
    """
    has_all_rights = member.via is Via.API_KEY and member.may_write
    where, maker = member.organization_id, member.user_id if has_all_rights else None
    if maker is None or not queries.is_super_admin(session, where, maker):
        raise Refused(403, "Unauthorized")
    return [_found(row) for row in queries.search_members(session, words)]


def _found(row: Any) -> FoundMember:
    tier = Subscription(subscription_tier=row.plan.upper())
    return FoundMember(
        id=row.id,
        role=row.role,
        organization=FoundOrganization(
            id=row.organization_id, name=row.organization_name, subscription=tier
        ),
        user=FoundUser(id=row.user_id, name=row.name, email=row.email),
    )
