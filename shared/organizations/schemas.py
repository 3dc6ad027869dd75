"""Request and response schemas of organizations."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from shared.core.ids import ApiKeyId, CustomerId, MemberId, OrganizationId, UserId
from shared.core.wire import RequestModel, TimezoneName, VisibleName, WireModel, WireTime
from shared.organizations.models import Role

MOST_GRACE_DAYS = 14
"""How long members may have, at most, to add a second factor that their organization requires."""

# On the wire the roles keep the names that existing clients know.
WIRE_ROLES: Mapping[str, str] = {
    Role.OWNER: "SUPERADMIN",
    Role.ADMIN: "ADMIN",
    Role.EDITOR: "EDITOR",
    Role.MEMBER: "USER",
    Role.VIEWER: "VIEWER",
}
ROLES_ON_WIRE: Mapping[str, Role] = {wire: Role(role) for role, wire in WIRE_ROLES.items()}


def _wire_role(value: Any) -> Any:
    return WIRE_ROLES.get(value, value) if isinstance(value, str) else value


WireRole = Annotated[
    Literal["SUPERADMIN", "ADMIN", "EDITOR", "USER", "VIEWER"], BeforeValidator(_wire_role)
]


class OrganizationIn(RequestModel):
    """Omitted fields stay unchanged."""

    name: VisibleName | None = Field(default=None, min_length=3, max_length=128)
    description: str | None = Field(default=None, max_length=5_000)
    timezone: TimezoneName | None = None
    mails_impersonations: bool | None = Field(
        default=None,
        description="Whether the owners get an email when an operator begins to act as a member.",
    )


class NewOrganization(RequestModel):
    """Without a time zone it gets that of the person."""

    name: VisibleName = Field(min_length=3, max_length=128, examples=["Analytical Engines"])
    timezone: TimezoneName | None = None


class OrganizationOut(WireModel):
    id: OrganizationId
    name: str
    description: str
    timezone: str
    plan: str
    mails_impersonations: bool = Field(
        description="Whether the owners get an email when an operator begins to act as a member."
    )


class Security(WireModel):
    """Without a second factor, members reach no route of the organization from `requireMfaFrom` on; null: none is required."""

    require_mfa: bool
    require_mfa_from: WireTime | None = Field(examples=["2026-12-15T09:00:00Z"])


class SecurityIn(RequestModel):
    """`graceDays`: how long members have to add a second factor."""

    require_mfa: bool
    grace_days: int = Field(default=0, ge=0, le=MOST_GRACE_DAYS)


class Seat(WireModel):
    role: WireRole
    disabled: bool


class Membership(WireModel):
    """`users` contains only the caller's own membership."""

    id: OrganizationId
    name: str
    description: str
    created_at: WireTime
    users: list[Seat]


class OrganizationChoice(WireModel):
    id: OrganizationId


ShortLinkChoice = Literal["ASK", "YES", "NO"]


class ShortLinks(WireModel):
    """Whether links in posts are shortened. The choice is kept for clients; links are sent as written."""

    shortlink: ShortLinkChoice


class ShortLinksIn(RequestModel):
    shortlink: ShortLinkChoice


MOST_HOURS_TWO_KEYS_DO = 7 * 24


Customers = Annotated[
    list[CustomerId] | None,
    Field(max_length=1_000, description="The customers that it is limited to; null: no limit."),
]


KeyScope = Literal["read", "propose", "write"]


class ApiKeyIn(RequestModel):
    name: VisibleName = Field(default="API key", min_length=1, max_length=100, examples=["Zapier"])
    scopes: set[KeyScope] = Field(
        default={"read", "write"},
        min_length=1,
        max_length=10,
        description="`write` and `propose` include `read`. What a key schedules that only proposes waits for approval.",
        examples=[["read", "write"]],
    )
    customers: Customers = None
    expires_at: WireTime | None = None


class ApiKeyChange(RequestModel):
    """A change; omitted fields stay unchanged. `expiresAt` null: it does not expire. `customers` null: no limit."""

    name: VisibleName | None = Field(default=None, min_length=1, max_length=100)
    scopes: set[KeyScope] | None = Field(default=None, min_length=1, max_length=10)
    customers: Customers = None
    expires_at: WireTime | None = None


class ApiKeyRotation(RequestModel):
    """How long the previous API key stays valid, for programs that do not have the new one yet."""

    keep_old_for_hours: int = Field(default=0, ge=0, le=MOST_HOURS_TWO_KEYS_DO, examples=[24])


class ApiKeyRotated(WireModel):
    api_key: str = Field(description="The new key. It is not shown again.")


class ApiKeyOut(WireModel):
    id: ApiKeyId
    name: str
    hint: str = Field(description="The key's last four characters.")
    scopes: list[str]
    customers: list[CustomerId] | None = Field(
        description="The customers that it is limited to; null: no limit."
    )
    created_by: UserId | None = Field(description="The member who created it; null if they left.")
    created_at: WireTime
    last_used_at: WireTime | None = Field(description="To the minute.")
    expires_at: WireTime | None
    previous_ends_at: WireTime | None = Field(
        description="When the key before the last rotation stops working."
    )


class ApiKeyMade(ApiKeyOut):
    key: str = Field(description="The key itself. Only this answer shows it.")


class ApiKeyList(WireModel):
    keys: list[ApiKeyOut]


class ApiKeyRevoked(WireModel):
    id: ApiKeyId


class ImpersonationCandidate(WireModel):
    """A membership, whose id is sent to `POST /user/impersonate`."""

    id: MemberId
    role: WireRole
    user_id: UserId
    email: str
    name: str
    organization_id: OrganizationId
    organization_name: str


class ImpersonationCandidates(WireModel):
    members: list[ImpersonationCandidate]


class ImpersonationIn(RequestModel):
    """`id` of a membership; null ends the impersonation."""

    id: MemberId | None
    reason: VisibleName | None = Field(
        default=None,
        min_length=3,
        max_length=500,
        description="Why. The organization's owners and the console show it.",
        examples=["Support request 4711: the calendar stays empty"],
    )


class Impersonation(WireModel):
    """`id` of a membership; null: nobody is impersonated any longer."""

    id: MemberId | None
    ends_at: WireTime | None = Field(description="When it ends by itself; null for none.")


class SeatFound(WireModel):
    """A seat of a person; `POST /user/impersonate` takes its id."""

    id: MemberId
    role: WireRole
    disabled: bool
    organization_id: OrganizationId
    organization_name: str


class ListedPerson(WireModel):
    """A person with an account on this server."""

    id: UserId
    email: str
    name: str
    created_at: WireTime
    activated_at: WireTime | None = Field(description="Null: the address was never proven.")
    is_super_admin: bool
    sessions: int = Field(description="How many sessions are open.")
    last_used_at: WireTime | None = Field(
        description="When an open session was last used; null without one."
    )
    seats: list[SeatFound]


class PersonPage(WireModel):
    """A page of people, by address."""

    people: list[ListedPerson]
    next_cursor: str | None


class ListedOrganization(WireModel):
    """An organization on this server."""

    id: OrganizationId
    name: str
    plan: str
    created_at: WireTime
    members: int = Field(description="How many seats are open.")


class OrganizationPage(WireModel):
    """A page of organizations, by name."""

    organizations: list[ListedOrganization]
    next_cursor: str | None
