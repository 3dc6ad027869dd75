"""The refusals of organizations, their API keys, and repeated requests."""

from shared.core.errors import Conflict, Forbidden, NotFound, Unavailable


class NoSuchOrganization(NotFound):
    """The user is not a member of such an organization."""

    def __init__(self) -> None:
        super().__init__("You are not a member of this organization. Choose another one.")


class OrganizationsClosed(Forbidden):
    """This server accepts no new accounts, and so no new organizations."""

    code = "organizations_closed"

    def __init__(self) -> None:
        super().__init__("This server does not accept new organizations. Ask its operator for one.")


class TooManyOrganizations(Conflict):
    """The person owns as many organizations as they can."""

    code = "too_many_organizations"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have reached the limit of {most} organizations that you own. Leave or give away one first."
        )


class NoSuchApiKey(NotFound):
    """The organization has no such API key, or it is revoked."""

    def __init__(self) -> None:
        super().__init__("This API key does not exist. It may have been revoked already.")


class NotOneApiKey(Conflict):
    """The organization has several API keys or none, so that the request does not say which one it means."""

    code = "not_one_api_key"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"You see {number} API keys. Choose one of `GET /user/api-key`, and rotate it with `POST "
            "/user/api-key/{key_id}/rotate`."
            if number
            else "There is no API key yet. Create one with `POST /user/api-key`."
        )


class TooManyApiKeys(Conflict):
    """The organization already has the maximum number of API keys."""

    code = "too_many_api_keys"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most} API keys. Revoke one first."
        )


class NoSuchMember(NotFound):
    """No open membership has this id."""

    def __init__(self) -> None:
        super().__init__("This member does not exist, or has left your organization.")


class NoSuchInvitation(NotFound):
    """No such invitation waits to be used."""

    def __init__(self) -> None:
        super().__init__("This invitation does not exist. It may have been used or revoked.")


class NoSuchOffer(NotFound):
    """No such offer of ownership waits for the member's answer."""

    def __init__(self) -> None:
        super().__init__(
            "This offer does not exist. It may have been withdrawn, or be over. Ask the owner for a "
            "new one."
        )


class KeyReused(Conflict):
    """The same `Idempotency-Key` was sent with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was already used for a different request. Use a new one for "
            "each request."
        )


class NoCompanyLogin(NotFound):
    """The organization has no company login, or no organization's speaks for the address."""

    def __init__(self) -> None:
        super().__init__("There is no company login here. Sign in another way, or ask an owner.")


class NoSuchDomain(NotFound):
    """The organization has no such domain."""

    def __init__(self) -> None:
        super().__init__("This domain does not exist. Add it first.")


class TooManyDomains(Conflict):
    """The organization has as many domains as it can."""

    code = "too_many_domains"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most} domains. Remove one first."
        )


class DomainNotProven(Conflict):
    """The TXT record of a domain is not there."""

    code = "domain_not_proven"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The TXT record of {name} is missing or has another value. Create it, wait until name "
            "servers have it, and try again."
        )


class DomainOfAnother(Conflict):
    """Another organization has proven the domain."""

    code = "domain_of_another"

    def __init__(self) -> None:
        super().__init__(
            "Another organization has proven this domain. Remove it there first, or ask the operator "
            "of this server."
        )


class NoProvenDomain(Conflict):
    """A company login is to be required, and nobody could come through it."""

    code = "no_proven_domain"

    def __init__(self) -> None:
        super().__init__(
            "The company login speaks for no domain yet, so nobody could sign in. Prove a domain first."
        )


class DomainsNotAnswered(Unavailable):
    """No name server answered."""

    code = "domains_not_answered"

    def __init__(self) -> None:
        super().__init__("The name servers do not answer. Try again in a few minutes.")
