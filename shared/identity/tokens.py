"""What proves a session: a short-lived signed token, and an opaque one that renews it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import jwt

from shared.aws.secrets import secret
from shared.core import clock
from shared.core.config import settings
from shared.core.ids import SessionId, UserId

_ALGORITHM = "HS256"
_LEEWAY = timedelta(seconds=5)  # two containers' clocks


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """Which session a token speaks for. Whether the session still lives, only the database knows."""

    user_id: UserId
    session_id: SessionId


def sign_access_token(claims: SessionClaims) -> str:
    """Sign a token for `ACCESS_TOKEN_SECONDS`, with the newest key."""
    now = clock.now()
    key_id, key = list(_keys().items())[-1]
    return jwt.encode(
        {
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "iat": now,
            "exp": now + timedelta(seconds=settings().access_token_seconds),
        },
        key,
        algorithm=_ALGORITHM,
        headers={"kid": key_id},
    )


def read_access_token(token: str) -> SessionClaims | None:
    """Read a token that one of our keys signed; None if it is not one, or has expired."""
    try:
        key = _keys().get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            return None
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            leeway=_LEEWAY,
            options={"require": ["sub", "sid", "exp"]},
        )
        return SessionClaims(UserId(UUID(claims["sub"])), SessionId(UUID(claims["sid"])))
    except (jwt.InvalidTokenError, ValueError):
        return None


def _keys() -> Mapping[str, str]:
    """Return the signing keys by id, newest last."""
    keys: dict[str, str] = json.loads(secret(settings().app_secret_name)["jwtKeys"])
    return keys
