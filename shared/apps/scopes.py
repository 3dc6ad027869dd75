"""The scopes of apps."""

from collections.abc import Iterable

READ, WRITE = "mcp:read", "mcp:write"
SCOPES = (READ, WRITE)
"""All scopes, in their order in texts."""


def granted_scopes(asked: str | None, ceiling: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the scopes that an app gets: all if it requests none, otherwise the existing ones among the requested.

    `ceiling` contains the registered scopes; None means every scope. Writing includes reading. The result is empty if none of
    the requested scopes exists. Unknown ones (`openid`, `offline_access`) are left out, as RFC 6749 section 3.3 allows; the
    answer lists the granted ones.
    """
    most = SCOPES if ceiling is None else _with_reading(set(ceiling))
    if not asked or not asked.strip():
        return most
    words = _with_reading(set(asked.split()))
    return tuple(scope for scope in words if scope in most)


def scope_text(scopes: Iterable[str]) -> str:
    """Format scopes as in the protocol."""
    held = set(scopes)
    return " ".join(scope for scope in SCOPES if scope in held)


def _with_reading(words: set[str]) -> tuple[str, ...]:
    reads = words | ({READ} if WRITE in words else set())  # what was written is shown
    return tuple(scope for scope in SCOPES if scope in reads)
