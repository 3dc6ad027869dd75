"""The tokens by which browsers are recognized that have signed in before.

The cookie `device` holds one token for each person who signs in with the browser, newest last. Every token is ours: a browser
that sends one that its user does not have gets another, so nobody can plant one whose value they know.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from shared.core.crypto import hash_secret, new_secret

DEVICE_LIFE = timedelta(days=400)
"""How long an unused device is recognized; browsers keep no cookie longer (RFC 6265bis, section 5.5)."""
MOST_TOKENS = 4
"""How many people one browser recognizes; the oldest token is dropped first."""
_SEPARATOR = "."
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)


def tokens_in(cookie: str | None) -> tuple[str, ...]:
    """Return the tokens in a cookie, newest last; what is no token is ignored."""
    parts = (cookie or "").split(_SEPARATOR, MOST_TOKENS)[:MOST_TOKENS]
    return tuple(part for part in parts if _TOKEN.fullmatch(part))


def new_token() -> str:
    """Create a token."""
    return new_secret()


def as_cookie(tokens: Sequence[str], added: str | None) -> str:
    """Return the cookie that holds the tokens and, unless it is None, one more."""
    kept = [*tokens, added] if added else list(tokens)
    return _SEPARATOR.join(kept[-MOST_TOKENS:])


def hashes(tokens: Sequence[str]) -> list[str]:
    """Return the tokens' hashes in hexadecimal, to look them up."""
    return [hash_secret(token).hex() for token in tokens]
