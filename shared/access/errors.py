"""The refusals that depend on the caller."""

from collections.abc import Sequence
from datetime import timedelta

from shared.access.policy import Quota
from shared.core.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
)
from shared.core.ids import OrganizationId
from shared.identity.models import Method

_MOST_SECONDS_TOLD = 120  # longer waits are given in minutes


class NotSignedIn(Unauthenticated):
    """The request has no session and no API key."""

    def __init__(self) -> None:
        super().__init__(
            "You are not signed in. Sign in, renew the session with `POST "
            "/auth/renew`, or send an API key."
        )


class UnknownApiKey(Unauthenticated):
    """The API key does not exist, was revoked, or has expired."""

    code = "unknown_api_key"

    def __init__(self) -> None:
        super().__init__("This API key is unknown, expired or revoked. Use a valid one.")


class NoApiKey(Unauthenticated):
    """A route for programs only was called without a key."""

    code = "no_api_key"

    def __init__(self) -> None:
        super().__init__("No API key was sent. Send one in the `Authorization` header.")


class UnknownGrant(Unauthenticated):
    """The token of a consent does not exist, or the consent was revoked."""

    code = "unknown_token"

    def __init__(self) -> None:
        super().__init__(
            "This token is unknown, expired or revoked. Ask the member for consent again."
        )


class NoOrganization(Forbidden):
    """The user is not an active member of any organization."""

    code = "no_organization"

    def __init__(self) -> None:
        super().__init__("You do not belong to any organization. Ask an owner to invite you.")


class OrganizationGone(Forbidden):
    """The caller is not, or no longer, an active member of the organization that the request names."""

    code = "organization_gone"

    def __init__(self) -> None:
        super().__init__("You are not a member of the selected organization. Select another one.")


class ImpersonationOver(Unauthenticated):
    """The request of a super admin names a member as whom they do not, or no longer, act."""

    code = "impersonation_over"

    def __init__(self) -> None:
        super().__init__(
            "You do not act as this member any longer. Go on as yourself, or begin again with "
            "`POST /user/impersonate` and a reason."
        )


class ImpersonationRefused(Forbidden):
    """The request of somebody who is no super admin names a member to act as."""

    code = "impersonation_refused"

    def __init__(self) -> None:
        super().__init__("You cannot act as this member. Try again as yourself.")


class SecondFactorNeeded(Forbidden):
    """The route requires a session that has proven a second factor, and this one has not."""

    code = "mfa_needed"

    def __init__(self) -> None:
        super().__init__(
            "This requires a second factor. Add one to your account, then sign in with it or "
            "confirm it with `POST /user/confirm`."
        )


class OriginRefused(Forbidden):
    """Another site's page sent the request through a browser."""

    code = "origin_refused"

    def __init__(self) -> None:
        super().__init__(
            "Requests from other sites' pages are refused. Send this one from Roost's own pages, "
            "or with an API key in the `Authorization` header."
        )


class PrefetchRefused(Forbidden):
    """A browser prefetched an address that changes something."""

    code = "prefetch_refused"

    def __init__(self) -> None:
        super().__init__(
            "Opening this address changes something, so it cannot be prefetched. Open it directly."
        )


class NotConsented(Forbidden):
    """A third-party app requests something that the member's consent does not cover."""

    code = "not_consented"

    def __init__(self) -> None:
        super().__init__("The member's consent does not cover this. Use an API key, or sign in.")


class NotInTheirPlace(Forbidden):
    """An administrator who acts as a member tried what only the member may do."""

    code = "not_in_their_place"

    def __init__(self) -> None:
        super().__init__(
            "Only members themselves can do this, not an administrator acting as them. Stop "
            "impersonating and ask the member."
        )


class FreshLoginNeeded(Forbidden):
    """The session's proof of identity is too old, or weaker than the person can give. `methods` are those that would do."""

    code = "fresh_login_needed"

    def __init__(self, methods: Sequence[Method]) -> None:
        super().__init__(
            "Confirm that it is you with `POST /user/confirm`, then try again within ten minutes."
        )
        self.details = {"methods": list(methods)}


class MfaNeeded(Forbidden):
    """The organization requires a second factor, and the person has none."""

    code = "mfa_needed"

    def __init__(self) -> None:
        super().__init__(
            "Your organization requires a second factor. Add one with `POST /user/factors`. Your other organizations stay open: "
            "select one with `POST /user/change-org`."
        )
        self.details = {"url": "/user/factors"}


class OtherOwnerNeeded(Forbidden):
    """Only an owner can open the seat that a recovery has closed."""

    code = "other_owner_needed"

    def __init__(self) -> None:
        super().__init__("Only an owner of your organization can agree to this. Ask one.")


class OwnLoginNeeded(Forbidden):
    """The session came through a company login, and the request is about the person, not about the company."""

    code = "own_login_needed"

    def __init__(self) -> None:
        super().__init__(
            "You signed in through your company, which cannot change your account. Sign in with your "
            "own password or login instead."
        )


class CompanyLoginNeeded(Forbidden):
    """The organization requires its company login, and the session did not come through it."""

    code = "company_login_needed"

    def __init__(self) -> None:
        super().__init__(
            "This organization requires its company login. Sign in with `POST /auth/company`."
        )


class AddressNotOfCompany(Forbidden):
    """Somebody came through a company login with an address for which it does not speak."""

    code = "address_not_of_company"

    def __init__(self) -> None:
        super().__init__(
            "Your company's provider names no verified address of a domain that your company has "
            "proven. Ask an owner of your organization."
        )


class SeatClosed(Forbidden):
    """Somebody came through a company login whose seat was removed or disabled."""

    code = "seat_closed"

    def __init__(self) -> None:
        super().__init__(
            "You are no longer a member of this organization. Ask an owner to invite you."
        )


class RoleTooLow(Forbidden):
    """The member's role is too low."""

    code = "role_too_low"

    def __init__(self, needed: str) -> None:
        super().__init__(
            f"This requires the role {needed} or higher. Ask an admin of your organization."
        )
        self.details = {"role": needed}


class SeatAboveOwn(Forbidden):
    """The caller would give more than they have, or change somebody who has more."""

    code = "seat_above_own"

    def __init__(self) -> None:
        super().__init__(
            "You can only give what you may do yourself, and only change members who may do no more "
            "than you: by role, by customers, and by the right to approve. Ask an owner."
        )


class LastOwner(Conflict):
    """The organization would be left without an owner who can act."""

    code = "last_owner"

    def __init__(self) -> None:
        super().__init__(
            "An organization needs an owner, and nobody else is one. Offer the ownership to another "
            "member with `POST /organizations/ownership` first."
        )


class OthersNeedAnOwner(Conflict):
    """The person is the only owner of organizations that have other members. `organizations` are their ids."""

    code = "others_need_an_owner"

    def __init__(self, names: Sequence[str], ids: Sequence[OrganizationId]) -> None:
        super().__init__(
            f"You are the only owner of {', '.join(names)}, which has other members. Offer the ownership to one of "
            "them with `POST /organizations/ownership`, or remove them, before you delete your account."
        )
        self.details = {"organizations": [str(one) for one in ids]}


class ReturnRefused(InvalidInput):
    """The link that brings back what was deleted is unknown or used, or its time is over."""

    def __init__(self) -> None:
        words = "This link was already used, or its time is over. Sign in, or register again if it was erased."
        super().__init__(words, problems=[FieldProblem("code", "code_refused", words)])


class NobodyToReturnTo(Conflict):
    """A deleted organization has no owner who could use it."""

    code = "nobody_to_return_to"

    def __init__(self) -> None:
        super().__init__(
            "None of the organization's owners has an account. Restore your own account first, with the link in its email."
        )


class OwnershipIsOffered(Conflict):
    """A change would make a member an owner without asking them."""

    code = "ownership_is_offered"

    def __init__(self) -> None:
        super().__init__(
            "A member becomes an owner by accepting it. Offer the ownership with "
            "`POST /organizations/ownership`."
        )


class OwnerIsUnlimited(Conflict):
    """A change would limit an owner."""

    code = "owner_is_unlimited"

    def __init__(self) -> None:
        super().__init__(
            "An owner sees all customers and needs no approval. Give the member another role first."
        )


class AlreadyMember(Conflict):
    """The person has a seat in the organization, open or disabled."""

    code = "already_member"

    def __init__(self) -> None:
        super().__init__(
            "This person is already a member of the organization. Change the member's seat, or ask an admin to do so."
        )


class InvitationOver(InvalidInput):
    """The invitation does not exist, or can no longer be used."""

    def __init__(self) -> None:
        words = (
            "This invitation was used or withdrawn, or has expired. Ask the person who invited you "
            "for a new one."
        )
        super().__init__(words, problems=[FieldProblem("org", "invitation_over", words)])


class InvitationForAnotherAddress(Forbidden):
    """The invitation is bound to an address that the person has not proven."""

    code = "invitation_for_another_address"

    def __init__(self) -> None:
        super().__init__(
            "This invitation is for another email address. Sign in or register with the address that "
            "it was sent to."
        )


class TooManySeats(Conflict):
    """The organization has as many members as it can list."""

    code = "too_many_seats"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most:,} members and invitations. Remove "
            "one first."
        )


class WholeOrganizationNeeded(Forbidden):
    """The caller sees only some customers, and the route changes what all of them share."""

    code = "whole_organization_needed"

    def __init__(self) -> None:
        super().__init__(
            "Your access is limited to certain customers, and this affects the others too. Ask an "
            "admin of your organization."
        )


class PersonNeeded(Forbidden):
    """A program requested something that only a signed-in person may do."""

    code = "person_needed"

    def __init__(self) -> None:
        super().__init__("An API key cannot do this. Sign in instead.")


class KeyReadsOnly(Forbidden):
    """The API key is read-only, and the request writes."""

    code = "key_reads_only"

    def __init__(self) -> None:
        super().__init__("This API key is read-only. Use a key with the `write` scope.")


class KeyWouldSkipApproval(Forbidden):
    """The member needs approval, and a key that writes would not."""

    code = "key_would_skip_approval"

    def __init__(self) -> None:
        super().__init__(
            "Your posts need approval, so you cannot get an API key that writes. Create one with the `propose` scope."
        )


class KeyProposesOnly(Forbidden):
    """The API key or consent only proposes posts, and this cannot wait for approval."""

    code = "key_proposes_only"

    def __init__(self) -> None:
        super().__init__(
            "This API key or app may only propose posts. Use one with the `write` scope, or ask a member."
        )


class RateLimitReached(TooManyRequests):
    """The caller's organization or address has reached a route's rate limit."""

    def __init__(self, quota: Quota, window: timedelta) -> None:
        words = (
            f"Rate limit: {quota.limit:,} calls {_per(window)}. "
            f"Try again in {_ahead(quota.resets_in_seconds)}."
        )
        super().__init__(words, retry_after_seconds=quota.resets_in_seconds)
        self.quota = quota


def _per(window: timedelta) -> str:
    minutes = round(window.total_seconds() / 60)
    return {1: "a minute", 60: "an hour"}.get(minutes, f"per {minutes} minutes")


def _ahead(seconds: int) -> str:
    if seconds <= _MOST_SECONDS_TOLD:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
