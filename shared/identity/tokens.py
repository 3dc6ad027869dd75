"""What proves a session: a short-lived signed token, and a rotating one that renews it.

Both are signed with the same keys. The renewing token names its session, so that an old one of any age is known for
what it is; which one is current, only a hash in the session's row says.
"""

import functools
import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from shared.aws.secrets import secret
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import new_secret
from shared.core.ids import SessionId, UserId

_ALGORITHM = "HS256"
_LEEWAY = timedelta(seconds=5)  # two containers' clocks
_ACCESS, _RENEW = "access", "renew"
REMEMBERED = timedelta(minutes=5)
"""For how long a verified access token is taken at its word, if it does not end sooner."""
MOST_REMEMBERED = 1_000
"""The tokens verified first are forgotten beyond this: about 1 MB."""


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """Which session a token speaks for. Whether the session still lives, only the database knows."""

    user_id: UserId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token's verified content, with the keys and the times that it was verified for."""

    claims: SessionClaims
    keys: Mapping[str, str]
    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it is young enough, and our keys are still those that it was verified by."""
        return self.since <= now < self.until and self.keys is _keys()


_verified: OrderedDict[str, _Verified] = OrderedDict()


def sign_access_token(claims: SessionClaims) -> str:
    """Sign a token for `ACCESS_TOKEN_SECONDS`, with the newest key."""
    now = clock.now()
    return _sign(
        {
            "use": _ACCESS,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "iat": now,
            "exp": now + timedelta(seconds=settings().access_token_seconds),
        }
    )


def read_access_token(token: str) -> SessionClaims | None:
    """Read a token; None if none of our keys signed it, or it has expired.

    One that was verified is remembered for `REMEMBERED`. Whether its session still lives is asked at each request.
    """
    now = clock.now()
    known = _verified.get(token)
    if known is not None:
        if known.holds(now):
            return known.claims
        del _verified[token]
    found = _read(token, _ACCESS, ["sub", "sid", "exp"])
    claims = _claims(found)
    if found is not None and claims is not None:
        _remember(token, claims, now, ends_at=datetime.fromtimestamp(found["exp"], UTC))
    return claims


def read_expired_access_token(token: str) -> SessionClaims | None:
    """Read a token whatever its age: good enough to end its session, and for nothing else."""
    return _claims(_read(token, _ACCESS, ["sub", "sid"]))


def sign_renew_token(session_id: SessionId) -> str:
    """Make a renewing token. It is good as long as its hash stands in the session's row."""
    return _sign({"use": _RENEW, "sid": str(session_id), "jti": new_secret()})


def read_renew_token(token: str) -> SessionId | None:
    """Return the session that a renewing token was made for; None if none of our keys signed it."""
    claims = _read(token, _RENEW, ["sid", "jti"])
    return SessionId(UUID(claims["sid"])) if claims else None


def derived_from(value: str, purpose: str) -> list[bytes]:
    """Return 64 bytes that only this server can derive from `value`, for each of our keys, newest first."""
    message = f"{purpose}:{value}".encode()
    keys = reversed(list(_keys().values()))
    return [hmac.digest(key.encode(), message, hashlib.sha512) for key in keys]


def _sign(claims: Mapping[str, Any]) -> str:
    key_id, key = list(_keys().items())[-1]
    return jwt.encode(dict(claims), key, algorithm=_ALGORITHM, headers={"kid": key_id})


def _read(token: str, use: str, required: list[str]) -> dict[str, Any] | None:
    try:
        key = _keys().get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            return None
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            # Our clock says what has expired: the library asks the machine's.
            options={"require": required, "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        return None
    if "exp" in required and not _is_still_good(claims["exp"]):
        return None
    return claims if claims.get("use") == use else None


def _is_still_good(expiry: object) -> bool:
    """Return whether a token that expires at this many seconds since 1970 is still valid."""
    return isinstance(expiry, int) and expiry > (clock.now() - _LEEWAY).timestamp()


def _remember(token: str, claims: SessionClaims, now: datetime, *, ends_at: datetime) -> None:
    _verified[token] = _Verified(claims, _keys(), now, min(ends_at + _LEEWAY, now + REMEMBERED))
    while len(_verified) > MOST_REMEMBERED:
        _verified.popitem(last=False)


def _claims(claims: dict[str, Any] | None) -> SessionClaims | None:
    if claims is None:
        return None
    return SessionClaims(UserId(UUID(claims["sub"])), SessionId(UUID(claims["sid"])))


def _keys() -> Mapping[str, str]:
    """Return the signing keys by id, newest last. A key stays for `SESSION_DAYS` after it was replaced.

    The same object as long as no key was added or taken away.
    """
    return _parsed(secret(settings().app_secret_name)["jwtKeys"])


@functools.lru_cache(maxsize=1)
def _parsed(keys: str) -> Mapping[str, str]:
    parsed: dict[str, str] = json.loads(keys)
    return parsed
