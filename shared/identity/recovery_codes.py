"""Recovery codes: each proves a second factor once, for when the device with the factor is gone."""

import secrets

from shared.core.crypto import hash_secret

HOW_MANY = 10
_LETTERS = 16
"""Of five bits: 80 bits, so a hash without a salt is enough."""
_GROUP = 4
# Without letters that look alike; I, L and O are read as digits.
# Source: crockford.com/base32.html, read 2026-12-01.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0"})


def new_codes() -> list[str]:
    """Create ten codes of four groups, `7K3M-Q0ZD-9XPA-2T5H`."""
    return [_new_code() for _ in range(HOW_MANY)]


def hash_code(typed: str) -> bytes:
    """Return the hash of a code. Lower case, spaces and hyphens do not matter."""
    letters = "".join(letter for letter in typed.upper() if letter.isalnum())
    return hash_secret(letters.translate(_READ_AS))


def _new_code() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
    groups = (letters[start : start + _GROUP] for start in range(0, _LETTERS, _GROUP))
    return "-".join(groups)
