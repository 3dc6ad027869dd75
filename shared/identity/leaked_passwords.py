"""Asks a server of leaked passwords whether it knows one, without telling it which.

Only the first five digits of the SHA-1 hash are sent, which thousands of passwords share; the server answers with the rest of
all hashes that it knows (k-anonymity). The answer is padded, so its size tells nothing either.
Source: haveibeenpwned.com/API/v3, "Searching by range" and "Introducing padding", read 2026-12.
"""

import hashlib
from datetime import timedelta

import httpx

from shared.core.config import settings
from shared.core.log import log
from shared.core.net import guarded_client
from shared.identity.password_rules import normal_form

LONGEST_REQUEST = timedelta(seconds=1)
_MAX_BYTES = 1024**2  # an answer has about 1,000 lines of 40 bytes
_SENT = 5


def is_leaked(password: str) -> bool:
    """Return whether the server at `PASSWORD_RANGE_URL` knows a password; False if there is none, or it does not answer."""
    address = settings().password_range_url
    if not address:
        return False
    digest = hashlib.sha1(normal_form(password).encode(), usedforsecurity=False).hexdigest().upper()
    try:
        with guarded_client(max_bytes=_MAX_BYTES, max_time=LONGEST_REQUEST) as client:
            answer = client.get(
                f"{address.rstrip('/')}/{digest[:_SENT]}", headers={"add-padding": "true"}
            )
            answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("password.not_looked_up", extra={"reason": type(error).__name__})
        return False
    return any(_is_in(line, digest[_SENT:]) for line in answer.text.splitlines())


def _is_in(line: str, rest: str) -> bool:
    """Return whether a line names this hash. A line that only pads the answer has the count 0."""
    known, _, count = line.partition(":")
    return known.strip().upper() == rest and count.strip() != "0"
