"""What the ids, secrets, codes and tokens look like that programs are given."""

import secrets
import string
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from shared.identity.tokens import derived_from

_ALPHABET = string.ascii_letters + string.digits
_USER_CODE_ALPHABET = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1, which look like others
)

REGISTERED_PREFIX = "pcd_"
"""How the client id of a program begins that registered itself."""
CODE_CHARACTERS = 32
GRANT_PREFIX = "pos_"
"""What the token of a third-party app begins with; API keys do not."""
UNUSED_LIFE = timedelta(days=90)
"""After how long without use a token ends, and with it the consent."""
TOKEN_LIFE = timedelta(hours=1)
"""How long the access token of a program that refreshes it is good."""
_REFRESH_PREFIX = "por_"
_FAMILY_CHARACTERS = 32
_TOKEN_CHARACTERS = 40


def new_client_id() -> str:
    """Make the client id of an organization's app."""
    return "pca_" + _random(32)


def new_registered_client_id() -> str:
    """Make the client id of a program that registers itself."""
    return REGISTERED_PREFIX + _random(32)


def new_client_secret() -> str:
    """Make the secret of a program."""
    return "pcs_" + _random(48)


def new_code() -> str:
    """Make the code that a consent is exchanged by."""
    return _random(CODE_CHARACTERS)


def new_token() -> str:
    """Make a token; `shared/access/context.py` recognizes it by its prefix."""
    return GRANT_PREFIX + _random(_TOKEN_CHARACTERS)


def new_family() -> str:
    """Make the part of a refresh token that stays when it is rotated."""
    return _REFRESH_PREFIX + _random(_FAMILY_CHARACTERS)


def new_refresh_token(family: str) -> str:
    """Make a refresh token of a family."""
    return family + _random(_TOKEN_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and the refresh token that was given with it."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


class NewToken(NamedTuple):
    """What is kept of a token. The last three are None where the program does not refresh it."""

    token_hash: bytes
    life_seconds: float | None = None
    family_hash: bytes | None = None
    refresh_hash: bytes | None = None


def successors_of(refresh_token: str) -> list[Pair]:
    """Return what a refresh token is exchanged for, by each of our keys, newest first.

    It follows from the token and a key of ours, so two who exchange it at the same moment get the same pair, and nobody who
    only knows an old token can make it.
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
    """Return the part of a refresh token that stays."""
    return refresh_token[: len(_REFRESH_PREFIX) + _FAMILY_CHARACTERS]


def new_user_code() -> str:
    """Make what a member reads from one screen and types at another: `XXXX-XXXX`, 40 bits."""
    letters = _random(8, _USER_CODE_ALPHABET)
    return f"{letters[:4]}-{letters[4:]}"


def read_user_code(typed: str) -> str:
    """Return a typed code as it was made: small letters, blanks and dashes do not matter."""
    letters = "".join(char for char in typed.upper() if char.isalnum())
    return f"{letters[:4]}-{letters[4:]}"


def _written(secret: bytes) -> str:
    """Write bytes as the end of a token; each letter keeps almost all of its 5.95 bits."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in secret[:_TOKEN_CHARACTERS])


def _random(characters: int, alphabet: str = _ALPHABET) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(characters))
