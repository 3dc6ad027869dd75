"""Which refusals come from who the caller is."""

from shared.core.errors import Forbidden, Unauthenticated


class NotSignedIn(Unauthenticated):
    """No session and no API key came with the request."""

    def __init__(self) -> None:
        super().__init__("Sign in, or send an API key.")


class UnknownApiKey(Unauthenticated):
    """The API key was never given out, or has been revoked, or has expired."""

    code = "unknown_api_key"

    def __init__(self) -> None:
        super().__init__("This API key is not, or no longer, valid.")


class NoOrganization(Forbidden):
    """The user belongs to no organization that is open to them."""

    code = "no_organization"

    def __init__(self) -> None:
        super().__init__("You do not belong to an organization. Ask to be invited to one.")


class RoleTooLow(Forbidden):
    """The member's role does not reach."""

    code = "role_too_low"

    def __init__(self, needed: str) -> None:
        super().__init__(f"This needs the role {needed} or a higher one.")


class PersonNeeded(Forbidden):
    """A program asked for what only a signed-in person may do."""

    code = "person_needed"

    def __init__(self) -> None:
        super().__init__("An API key cannot do this; sign in.")


class KeyReadsOnly(Forbidden):
    """The API key may read, and the request writes."""

    code = "key_reads_only"

    def __init__(self) -> None:
        super().__init__("This API key may only read.")
