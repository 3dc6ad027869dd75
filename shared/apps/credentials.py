"""Creates the ids, secrets, codes and tokens of apps."""

import secrets
import string
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from shared.identity.tokens import derived_from

_ALPHABET = string.ascii_letters + string.digits
_USER_CODE_ALPHABET = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1, which are easily confused
)

REGISTERED_PREFIX = "pcd_"
"""The prefix of the client id of an app that registered itself."""
CODE_CHARACTERS = 32
GRANT_PREFIX = "pos_"
"""The prefix of a third-party app's token; API keys do not have it."""
UNUSED_LIFE = timedelta(days=90)
"""A token that is not used for this long ends, and the consent with it."""
TOKEN_LIFE = timedelta(hours=1)
"""The lifetime of an access token that can be refreshed."""
_REFRESH_PREFIX = "por_"
_FAMILY_CHARACTERS = 32
_TOKEN_CHARACTERS = 40


def new_client_id() -> str:
    """Create the client id of an organization's app."""
    return "pca_" + _random(32)


def new_registered_client_id() -> str:
    """Create the client id of an app that registers itself."""
    return REGISTERED_PREFIX + _random(32)


def new_client_secret() -> str:
    """Create an app's secret."""
    return "pcs_" + _random(48)


def new_code() -> str:
    """Create an authorization code."""
    return _random(CODE_CHARACTERS)


def new_token() -> str:
    """Create an access token; `shared/access/context.py` recognizes it by its prefix."""
    return GRANT_PREFIX + _random(_TOKEN_CHARACTERS)


def new_family() -> str:
    """Create a family: the part of a refresh token that stays when it is rotated."""
    return _REFRESH_PREFIX + _random(_FAMILY_CHARACTERS)


def new_refresh_token(family: str) -> str:
    """Create a refresh token of a family."""
    return family + _random(_TOKEN_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and its refresh token."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


class NewToken(NamedTuple):
    """The stored values of a token. The last three are None if the app does not refresh it."""

    token_hash: bytes
    life_seconds: float | None = None
    family_hash: bytes | None = None
    refresh_hash: bytes | None = None


def successors_of(refresh_token: str) -> list[Pair]:
    """Return the successors of a refresh token, one pair for each of our token keys, newest first.

    A pair is derived from the token and a token key, so two concurrent exchanges get the same pair, and knowing an old token
    is not enough to compute it.
    """
    family = family_of(refresh_token)
    return [
        Pair(GRANT_PREFIX + _written(access), family + _written(refresh))
        for access, refresh in zip(
            derived_from(refresh_token, "oauth access token"),
            derived_from(refresh_token, "oauth refresh token"),
            strict=True,
        )
    ]


def family_of(refresh_token: str) -> str:
    """Return the family of a refresh token."""
    return refresh_token[: len(_REFRESH_PREFIX) + _FAMILY_CHARACTERS]


def new_user_code() -> str:
    """Create a code that a member reads on one screen and types on another: `XXXX-XXXX`, 40 bits."""
    letters = _random(8, _USER_CODE_ALPHABET)
    return f"{letters[:4]}-{letters[4:]}"


def read_user_code(typed: str) -> str:
    """Normalize a typed code: lower case, spaces and hyphens do not matter."""
    letters = "".join(char for char in typed.upper() if char.isalnum())
    return f"{letters[:4]}-{letters[4:]}"


def _written(secret: bytes) -> str:
    """Encode bytes as the end of a token, with almost 5.95 bits per letter."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in secret[:_TOKEN_CHARACTERS])


def _random(characters: int, alphabet: str = _ALPHABET) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(characters))
