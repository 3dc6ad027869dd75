"""What a program may be allowed, and how that is read and written."""

from collections.abc import Iterable

READ, WRITE = "mcp:read", "mcp:write"
SCOPES = (READ, WRITE)
"""Every scope there is, in the order in which they are written."""


def granted_scopes(asked: str | None, ceiling: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the scopes that a program gets: all if it asks for none, else those it asks for that exist.

    `ceiling` is what it registered for; None means every scope. Writing includes reading. The result is empty if none of the
    requested scopes exists. Unknown ones (`openid`, `offline_access`) are left out, as RFC 6749 section 3.3 allows; the answer
    tells the program what it got.
    """
    most = SCOPES if ceiling is None else _with_reading(set(ceiling))
    if not asked or not asked.strip():
        return most
    words = _with_reading(set(asked.split()))
    return tuple(scope for scope in words if scope in most)


def scope_text(scopes: Iterable[str]) -> str:
    """Write scopes as the protocol does."""
    held = set(scopes)
    return " ".join(scope for scope in SCOPES if scope in held)


def _with_reading(words: set[str]) -> tuple[str, ...]:
    reads = words | ({READ} if WRITE in words else set())  # what was written is shown
    return tuple(scope for scope in SCOPES if scope in reads)
