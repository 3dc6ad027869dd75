"""Faults that the sandbox produces on request, to test how a publisher handles them.

Faults are tried in the order in which they were added, and one request meets at most one. A restart removes them.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.sandbox.refusals import Refused, invalid_grant, token_invalid

# The ASGI scope's entry for the server's transport, set by `app.py`.
TRANSPORT = "roost.sandbox.transport"


class Kind(StrEnum):
    """The kinds of requests that a fault can hit."""

    STATUSES = "statuses"  # POST /api/v1/statuses
    MEDIA = "media"  # an upload, or a change of its description
    PROCESSING = "processing"  # GET /api/v1/media/:id
    TOKEN = "token"  # POST /oauth/token  # noqa: S105  # a kind, no secret
    VERIFY = "verify"  # GET /api/v1/accounts/verify_credentials
    READ = "read"  # every other request without side effects
    OTHER = "other"  # every other request with side effects: apps, revoke, delete
    ANY = "any"


class Action(StrEnum):
    """What happens to a request that a fault hits. The request is not carried out unless stated."""

    INTERNAL_ERROR = "500"
    UNAVAILABLE = "503"
    RATE_LIMITED = "429"
    UNAUTHORIZED = "401"
    INVALID_GRANT = "invalid_grant"
    DROP_BEFORE = "drop_before"  # the connection closes without an answer
    DROP_AFTER_ACCEPT = "drop_after_accept"  # carried out; the connection closes without an answer
    ERROR_AFTER_ACCEPT = "500_after_accept"  # carried out, but the answer is 500
    TIMEOUT = "timeout"  # carried out; the answer is delayed by `seconds`

    @property
    def carries_out(self) -> bool:
        """True if the request takes effect although its caller gets no success answer."""
        return self in (Action.DROP_AFTER_ACCEPT, Action.ERROR_AFTER_ACCEPT, Action.TIMEOUT)


class Trait(StrEnum):
    """A difference of the whole server from Mastodon, as in other software, until it is removed."""

    NO_KEYS = "no_keys"  # keeps no idempotency keys, and reports a version like GoToSocial's
    COARSE_SCOPES = "coarse_scopes"  # knows only the scopes `read` and `write`
    ODD_ADDRESSES = "odd_addresses"  # its posts' addresses have another form
    V1_ONLY = (
        "v1_only"  # has only the first version of the instance document, without a configuration
    )
    SLOW = "slow_forever"  # carries out every post and never answers
    COMPRESSED = "compressed"  # compresses every answer, whatever the request accepts


class NewTrait(BaseModel):
    """The other body of `POST /_faults`: a trait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trait: Trait


class Fault(BaseModel):
    """The body of `POST /_faults`. `retry_after` (seconds) goes with 429 and 503, `seconds` with timeout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    action: Action
    count: int = Field(default=1, ge=1)
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=30, gt=0)
    account: str | None = None

    def hits(self, kind: Kind, account: str | None) -> bool:
        """True if the fault applies to a request of `kind` by `account`."""
        return self.kind in (kind, Kind.ANY) and self.account in (account, None)


_NEVER = Fault(kind=Kind.STATUSES, action=Action.TIMEOUT, seconds=24 * 3600)


@dataclass(slots=True)
class _Pending:
    fault: Fault
    remaining: int


class Faults:
    """The remaining faults. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self._traits: set[Trait] = set()

    def become(self, trait: Trait) -> None:
        """Add a trait."""
        with self._lock:
            self._traits.add(trait)

    def has(self, trait: Trait) -> bool:
        """Return whether the server has the trait."""
        with self._lock:
            return trait in self._traits

    def traits(self) -> list[str]:
        """List the server's traits."""
        with self._lock:
            return sorted(self._traits)

    def add(self, fault: Fault) -> None:
        """Apply `fault` to the next `fault.count` matching requests."""
        with self._lock:
            self._pending.append(_Pending(fault, fault.count))

    def take(self, kind: Kind, account: str | None) -> Fault | None:
        """Return the first fault that applies to the request, and reduce its count; None if none applies."""
        with self._lock:
            for pending in self._pending:
                if pending.fault.hits(kind, account):
                    pending.remaining -= 1
                    if not pending.remaining:
                        self._pending.remove(pending)
                    return pending.fault
            if Trait.SLOW in self._traits and kind is Kind.STATUSES:
                return _NEVER
        return None

    def listed(self) -> list[dict[str, object]]:
        """List the remaining faults in the order in which they are tried."""
        with self._lock:
            return [
                {**pending.fault.model_dump(mode="json"), "remaining": pending.remaining}
                for pending in self._pending
            ]

    def clear(self) -> None:
        """Remove all faults and traits."""
        with self._lock:
            self._pending.clear()
            self._traits.clear()


def refusal(fault: Fault) -> Refused:
    """Return the refusal of a fault that answers. A real server's 500 has no more text than this."""
    match fault.action:
        case Action.UNAUTHORIZED:
            return token_invalid()
        case Action.INVALID_GRANT:
            return invalid_grant()
        case Action.RATE_LIMITED:
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
        case Action.UNAVAILABLE:
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "There was a temporary problem serving your request, please try again",
            )
        case _:
            return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


class ConnectionDropped(ConnectionError):
    """Raised to a caller in this process instead of closing a socket."""


class Dropped(Response):
    """Closes the socket without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close the connection's transport, and wait until the server has noticed."""
        transport = scope.get(TRANSPORT)
        if transport is None:
            raise ConnectionDropped("The sandbox was told to drop this connection.")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
