"""The scopes of apps."""

from collections.abc import Iterable

READ, PROPOSE, WRITE = "mcp:read", "mcp:propose", "mcp:write"
SCOPES = (READ, PROPOSE, WRITE)
"""All scopes, in their order in texts."""

_ALL = (READ, WRITE)
_INCLUDED = {READ: (), PROPOSE: (READ,), WRITE: (READ,)}


def granted_scopes(asked: str | None, ceiling: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the scopes that an app gets: all if it requests none, otherwise the existing ones among the requested.

    `ceiling` contains the registered scopes; None means every scope. Writing and proposing include reading, and who may write
    may propose. The result is empty if none of the requested scopes exists. Unknown ones (`openid`, `offline_access`) are left
    out, as RFC 6749 section 3.3 allows; the answer lists the granted ones.
    """
    most = _ALL if ceiling is None else _with_included(set(ceiling))
    if not asked or not asked.strip():
        return most
    allowed = {*most, PROPOSE} if WRITE in most else most
    return tuple(scope for scope in _with_included(set(asked.split())) if scope in allowed)


def scope_text(scopes: Iterable[str]) -> str:
    """Format scopes as in the protocol."""
    held = set(scopes)
    return " ".join(scope for scope in SCOPES if scope in held)


def _with_included(words: set[str]) -> tuple[str, ...]:
    included = {one for word in words for one in _INCLUDED.get(word, ())}
    return tuple(scope for scope in SCOPES if scope in words | included)
