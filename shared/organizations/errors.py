"""Which refusals concern organizations, their keys, and requests that are sent again."""

from shared.core.errors import Conflict, NotFound


class NoSuchOrganization(NotFound):
    """The user is not a member of such an organization."""

    def __init__(self) -> None:
        super().__init__("You are not a member of such an organization.")


class NoSuchApiKey(NotFound):
    """The organization has no such key, or it is revoked."""

    def __init__(self) -> None:
        super().__init__("There is no such API key.")


class TooManyApiKeys(Conflict):
    """The organization holds as many keys as it may."""

    code = "too_many_api_keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} API keys already. Revoke one that is no longer used.")


class NoSuchMember(NotFound):
    """No open membership has this id."""

    def __init__(self) -> None:
        super().__init__("There is no such member.")


class KeyReused(Conflict):
    """The same `Idempotency-Key` came with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request. Use a new one for each."
        )
