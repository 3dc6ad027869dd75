"""The responses about the caller: "who am I", and what a deletion did."""

from typing import Literal

from pydantic import Field

from shared.access.context import ActingMember, Profile
from shared.billing.plans import NO_LIMIT
from shared.billing.sections import Section
from shared.core.ids import OrganizationId, UserId
from shared.core.wire import WireModel, WireTime
from shared.organizations.schemas import WIRE_ROLES, WireRole


class OwnImpersonation(WireModel):
    """What the console shows above every page while a super admin acts as the member."""

    by: UserId = Field(description="The super admin.")
    reason: str
    ends_at: WireTime = Field(description="From then on, requests are answered with 401.")


class OwnSelf(WireModel):
    """`id` is null for an API key whose creator was deleted. The API key itself is never shown again."""

    id: UserId | None
    email: str
    name: str
    last_name: str
    bio: str
    picture: str | None
    timezone: str
    org_id: OrganizationId
    org_name: str
    role: WireRole
    billing: bool = Field(description="Whether plans limit what the organization may use.")
    tier: str = Field(examples=["ULTIMATE"])
    total_channels: int = Field(description="How many channels the plan includes.")
    is_trailing: bool = Field(
        description="Whether the plan is a trial; spelled as clients know it."
    )
    allow_trial: bool
    is_lifetime: bool
    mfa: bool = Field(description="Whether the user has a second factor.")
    mfa_needed_from: WireTime | None = Field(
        description="From when on the organization is closed to members without a second factor.",
        examples=["2026-12-15T09:00:00Z"],
    )
    admin: bool = Field(description="Whether the user may act for any organization.")
    impersonate: bool = Field(description="Whether a super admin acts as this user.")
    impersonation: OwnImpersonation | None = Field(
        description="By whom, why and until when; null if nobody acts as this user here."
    )


def own_self(member: ActingMember, profile: Profile) -> OwnSelf:
    """Build what members see about themselves."""
    channels = member.allowances.limit(Section.CHANNELS)
    return OwnSelf(
        id=member.user_id,
        email=profile.email,
        name=profile.name,
        last_name=profile.last_name,
        bio=profile.bio,
        picture=profile.picture_url,
        timezone=member.timezone,
        org_id=member.organization_id,
        org_name=profile.organization_name,
        role=WIRE_ROLES[member.role],
        billing=member.allowances.bind,
        tier=member.allowances.plan.upper(),
        total_channels=NO_LIMIT if channels is None else channels,
        is_trailing=profile.is_trialing,
        allow_trial=profile.allow_trial,
        is_lifetime=member.allowances.is_lifetime,
        mfa=bool(member.has_factor),
        mfa_needed_from=member.requires_mfa_from,
        admin=member.is_super_admin,
        impersonate=member.impersonated_by is not None,
        impersonation=_impersonation(member, profile),
    )


def _impersonation(member: ActingMember, profile: Profile) -> OwnImpersonation | None:
    if member.impersonated_by is None:
        return None
    return OwnImpersonation.model_validate(
        {
            "by": member.impersonated_by,
            "reason": profile.impersonation_reason,
            "ends_at": profile.impersonation_ends_at,
        }
    )


class DeletedOut(WireModel):
    """What was deleted, and how long it can come back."""

    deleted: bool = True
    erase_at: WireTime = Field(
        description="When everything is erased. Until then it can come back."
    )
    organizations: list[OrganizationId] = Field(description="The organizations that were deleted.")
    return_url: str | None = Field(
        description="The page that brings it back, where this server sends no email; otherwise it is mailed."
    )


class BroughtBack(WireModel):
    restored: Literal["account", "organization"]
