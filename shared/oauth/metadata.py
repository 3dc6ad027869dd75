"""What programs read first: where to ask for consent, where for a token, and what there is to ask for.

RFC 8414 for the server that gives tokens, RFC 9728 for the tools that take them. Each document names itself: a program
refuses one whose `issuer` or `resource` is not what it asked for.
"""

from typing import Any

from shared.core.config import settings
from shared.core.errors import NotFound
from shared.oauth.scopes import SCOPES

# `""` and `mcp` are ours; the others are addresses that existing programs know.
_TOOLS = frozenset({"mcp", "mcp-oauth", "mcp-oauth-claude"})
_KNOWN_AS_ISSUER = frozenset({"mcp-oauth", "mcp-oauth-claude"})


class NoSuchDocument(NotFound):
    """Nothing here has this address."""

    def __init__(self) -> None:
        super().__init__("There is no such document.")


def server_metadata(name: str) -> dict[str, Any]:
    """Describe the server that gives tokens, under the name that `name` adds to the public address.

    Raises:
        NoSuchDocument: it has no such name.
    """
    if name not in {"", *_TOOLS}:
        raise NoSuchDocument
    origin = settings().public_url
    return {
        "issuer": _address(name),
        "authorization_endpoint": f"{origin}/oauth/authorize",
        "token_endpoint": f"{origin}/oauth/token",
        "registration_endpoint": f"{origin}/oauth/register",
        "userinfo_endpoint": f"{origin}/oauth/userinfo",
        "service_documentation": f"{origin}/docs",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "scopes_supported": list(SCOPES),
    }


def resource_metadata(name: str) -> dict[str, Any]:
    """Describe what takes the tokens: the tools at `name`, or everything at the public address.

    Raises:
        NoSuchDocument: nothing there takes them.
    """
    if name not in {"", *_TOOLS}:
        raise NoSuchDocument
    return {
        "resource": _address(name),
        "authorization_servers": [_address(name if name in _KNOWN_AS_ISSUER else "")],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "resource_name": "Roost",
        "resource_documentation": f"{settings().public_url}/docs",
    }


def _address(name: str) -> str:
    return f"{settings().public_url}/{name}" if name else settings().public_url
