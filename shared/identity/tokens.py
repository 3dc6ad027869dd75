"""The tokens of a session: a short-lived signed access token, and a rotating renew token.

Both are signed with the same token keys. The renew token contains its session, so that an old one of any age is
recognized. A hash in the session's row says which one is current.
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
_LEEWAY = timedelta(seconds=5)  # for the difference between two containers' clocks
_ACCESS, _RENEW = "access", "renew"
REMEMBERED = timedelta(minutes=5)
"""How long a verified access token is not verified again, unless it expires earlier."""
MOST_REMEMBERED = 1_000
"""The maximum number of remembered tokens (about 1 MB); the oldest are dropped first."""


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """A token's session. Only the database knows whether it is still valid."""

    user_id: UserId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token's verified content, with the token keys and times for which it was verified."""

    claims: SessionClaims
    keys: Mapping[str, str]
    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether it was verified recently, with the current token keys."""
        return self.since <= now < self.until and self.keys is _keys()


_verified: OrderedDict[str, _Verified] = OrderedDict()


def sign_access_token(claims: SessionClaims) -> str:
    """Sign an access token for `ACCESS_TOKEN_SECONDS` with the newest token key."""
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
    """Read an access token; None if it is not signed with one of our token keys or has expired.

    A verified token is remembered for `REMEMBERED`. Every request still checks whether its session is valid.
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
    """Read an access token of any age, only in order to end its session."""
    return _claims(_read(token, _ACCESS, ["sub", "sid"]))


def sign_renew_token(session_id: SessionId) -> str:
    """Create a renew token. It is valid while its hash is in the session's row."""
    return _sign({"use": _RENEW, "sid": str(session_id), "jti": new_secret()})


def read_renew_token(token: str) -> SessionId | None:
    """Return the session of a renew token; None if it is not signed with one of our token keys."""
    claims = _read(token, _RENEW, ["sid", "jti"])
    return SessionId(UUID(claims["sid"])) if claims else None


def derived_from(value: str, purpose: str) -> list[bytes]:
    """Return 64 bytes that only this server can derive from `value`, for each token key, newest first."""
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
            # Our clock decides what has expired; the library would use the machine's.
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
    """Return the token keys by id, newest last. A token key stays for `SESSION_DAYS` after it was replaced.

    Returns the same object until a token key is added or removed.
    """
    return _parsed(secret(settings().app_secret_name)["jwtKeys"])


@functools.lru_cache(maxsize=1)
def _parsed(keys: str) -> Mapping[str, str]:
    parsed: dict[str, str] = json.loads(keys)
    return parsed
