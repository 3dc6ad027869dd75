"""The sandbox's refusals: one exception with Mastodon's status and text.

The sentences are those of a real server, because clients recognize some of them by their text. Sources:
docs.joinmastodon.org/methods (errors of each method) and bug reports that quote real servers, read 2026-11.
"""


class Refused(Exception):
    """A request that is answered with `status` and `{"error": error}`; OAuth adds a description."""

    def __init__(self, status: int, error: str, description: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description


def invalid(problem: str) -> Refused:
    """A field of the new object is invalid."""
    return Refused(422, f"Validation failed: {problem}")


def not_found() -> Refused:
    """The object does not exist, or the caller may not see it."""
    return Refused(404, "Record not found")


def token_invalid() -> Refused:
    """The token is missing or unknown."""
    return Refused(401, "The access token is invalid")


def invalid_client() -> Refused:
    """The program is unknown, or its secret is wrong."""
    return Refused(
        401,
        "invalid_client",
        "Client authentication failed due to unknown client, no client authentication included, or"
        " unsupported authentication method.",
    )


def invalid_grant() -> Refused:
    """The code is used, expired, or belongs to another client, address or verifier."""
    return Refused(
        400,
        "invalid_grant",
        "The provided authorization grant is invalid, expired, revoked, does not match the"
        " redirection URI used in the authorization request, or was issued to another client.",
    )


def invalid_scope() -> Refused:
    """A requested scope does not exist or was not registered by the client."""
    return Refused(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")


def missing_parameter(name: str) -> Refused:
    """An OAuth request lacks a field."""
    return Refused(400, "invalid_request", f"Missing required parameter: {name}")
