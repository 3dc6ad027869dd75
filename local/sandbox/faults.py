"""How the sandbox is told to misbehave, so that a publisher can be seen to cope.

Faults are tried in the order they were asked for, and one request meets at most one. They are gone after a restart.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.sandbox.refusals import Refused, invalid_grant, token_invalid

# Where the ASGI scope holds the server's transport (`app.py` puts it there).
TRANSPORT = "roost.sandbox.transport"


class Kind(StrEnum):
    """Which requests a fault may hit."""

    STATUSES = "statuses"  # POST /api/v1/statuses
    MEDIA = "media"  # an upload, or a change of its description
    PROCESSING = "processing"  # GET /api/v1/media/:id
    TOKEN = "token"  # POST /oauth/token  # noqa: S105  # a kind, no secret
    VERIFY = "verify"  # GET /api/v1/accounts/verify_credentials
    READ = "read"  # every other request that changes nothing
    OTHER = "other"  # every other request that does: apps, revoke, delete
    ANY = "any"


class Action(StrEnum):
    """What happens to a request that a fault hits. Nothing is carried out unless it says so."""

    INTERNAL_ERROR = "500"
    UNAVAILABLE = "503"
    RATE_LIMITED = "429"
    UNAUTHORIZED = "401"
    INVALID_GRANT = "invalid_grant"
    DROP_BEFORE = "drop_before"  # the connection closes without an answer
    DROP_AFTER_ACCEPT = "drop_after_accept"  # carried out; the connection closes without an answer
    ERROR_AFTER_ACCEPT = "500_after_accept"  # carried out; the answer is 500 all the same
    TIMEOUT = "timeout"  # carried out; the answer is held back for `seconds`

    @property
    def carries_out(self) -> bool:
        """Whether the request takes effect although its caller does not learn of it."""
        return self in (Action.DROP_AFTER_ACCEPT, Action.ERROR_AFTER_ACCEPT, Action.TIMEOUT)


class Trait(StrEnum):
    """How the whole server differs from Mastodon, as other software does, until it behaves again."""

    NO_KEYS = "no_keys"  # it keeps no idempotency keys, and names itself as GoToSocial does
    COARSE_SCOPES = "coarse_scopes"  # it knows `read` and `write`, and nothing finer
    ODD_ADDRESSES = "odd_addresses"  # its posts have addresses of another form
    V1_ONLY = (
        "v1_only"  # it has the first version of the instance document, without a configuration
    )
    SLOW = "slow_forever"  # it carries every post out and never answers
    COMPRESSED = "compressed"  # it packs every answer, whatever the request allows


class NewTrait(BaseModel):
    """What `POST /_faults` takes instead of a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trait: Trait


class Fault(BaseModel):
    """What `POST /_faults` takes. `retry_after` (seconds) goes with 429 and 503, `seconds` with timeout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    action: Action
    count: int = Field(default=1, ge=1)
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=30, gt=0)
    account: str | None = None

    def hits(self, kind: Kind, account: str | None) -> bool:
        """Whether a request of `kind` by `account` is meant."""
        return self.kind in (kind, Kind.ANY) and self.account in (account, None)


_NEVER = Fault(kind=Kind.STATUSES, action=Action.TIMEOUT, seconds=24 * 3600)


@dataclass(slots=True)
class _Pending:
    fault: Fault
    remaining: int


class Faults:
    """The faults still to come; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self._traits: set[Trait] = set()

    def become(self, trait: Trait) -> None:
        """Differ in this from now on."""
        with self._lock:
            self._traits.add(trait)

    def has(self, trait: Trait) -> bool:
        """Return whether the server differs in this."""
        with self._lock:
            return trait in self._traits

    def traits(self) -> list[str]:
        """List in what the server differs."""
        with self._lock:
            return sorted(self._traits)

    def add(self, fault: Fault) -> None:
        """Let `fault` hit the next `fault.count` requests it means."""
        with self._lock:
            self._pending.append(_Pending(fault, fault.count))

    def take(self, kind: Kind, account: str | None) -> Fault | None:
        """Use up one hit and return its fault, if the request meets one."""
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
        """List what is still to come, in the order it is tried."""
        with self._lock:
            return [
                {**pending.fault.model_dump(mode="json"), "remaining": pending.remaining}
                for pending in self._pending
            ]

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._pending.clear()
            self._traits.clear()


def refusal(fault: Fault) -> Refused:
    """Say what a fault that answers says. A real server's 500 has no more words than this."""
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
    """What a caller in this process sees instead of a closed socket."""


class Dropped(Response):
    """No answer at all: the socket closes."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close the connection under the server's feet, and wait until it has noticed."""
        transport = scope.get(TRANSPORT)
        if transport is None:
            raise ConnectionDropped("The sandbox was told to drop this connection.")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
