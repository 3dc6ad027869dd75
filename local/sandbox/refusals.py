"""How the network says no: one exception, with Mastodon's status and words.

The sentences are those a real server answers with, since clients recognize some of them by their words. Sources:
docs.joinmastodon.org/methods (errors of each method) and what users of real servers quote in bug reports, read 2026-11.
"""


class Refused(Exception):
    """A request that is answered with `status` and `{"error": error}`; OAuth adds a description."""

    def __init__(self, status: int, error: str, description: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description


def invalid(problem: str) -> Refused:
    """A field of the thing to be made is not acceptable."""
    return Refused(422, f"Validation failed: {problem}")


def not_found() -> Refused:
    """There is no such thing, or it is not the caller's to see."""
    return Refused(404, "Record not found")


def token_invalid() -> Refused:
    """No token came, or one that nobody issued."""
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
    """The code is used up, too old, or was made for another client, address or verifier."""
    return Refused(
        400,
        "invalid_grant",
        "The provided authorization grant is invalid, expired, revoked, does not match the"
        " redirection URI used in the authorization request, or was issued to another client.",
    )


def invalid_scope() -> Refused:
    """A scope was asked for that does not exist or that the client did not register."""
    return Refused(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")


def missing_parameter(name: str) -> Refused:
    """An OAuth request lacks a field."""
    return Refused(400, "invalid_request", f"Missing required parameter: {name}")
