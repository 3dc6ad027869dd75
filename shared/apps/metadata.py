"""The discovery documents for apps: the addresses for consent and tokens, and the scopes.

RFC 8414 describes the authorization server, RFC 9728 the tools. Each document contains its own name: an app refuses a
document whose `issuer` or `resource` differs from the requested one.
"""

from typing import Any

from shared.apps.scopes import SCOPES
from shared.core.config import settings
from shared.core.errors import NotFound

# `""` and `mcp` are ours; existing apps know the others.
_TOOLS = frozenset({"mcp", "mcp-oauth", "mcp-oauth-claude"})
_DOCS = "{}/docs"
_KNOWN_AS_ISSUER = frozenset({"mcp-oauth", "mcp-oauth-claude"})


class NoSuchDocument(NotFound):
    """There is no document at this address."""

    def __init__(self) -> None:
        super().__init__("This document does not exist. Check its address.")


def server_metadata(name: str, base: str) -> dict[str, Any]:
    """Describe the authorization server with the name that `name` adds to `base`.

    `base` is the public address that the app used, with or without `/api`; all addresses are below it.

    Raises:
        NoSuchDocument: there is no such name.
    """
    return {
        "issuer": issuer(name, base),
        "authorization_endpoint": f"{base}/oauth/authorize{f'/{name}' if name else ''}",
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "registration_endpoint": f"{base}/oauth/register",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "service_documentation": _DOCS.format(settings().public_url),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "scopes_supported": list(SCOPES),
    }


def issuer(name: str, base: str) -> str:
    """Return the authorization server's issuer in the document with this name below `base`.

    Raises:
        NoSuchDocument: there is no such name.
    """
    if name not in {"", *_TOOLS}:
        raise NoSuchDocument
    return _address(name, base)


def known_issuer(issuer_given: str) -> str:
    """Return `said` if it is one of the authorization server's issuers, otherwise the default one."""
    public = settings().public_url
    names = {_address(name, base) for name in ("", *_TOOLS) for base in (public, f"{public}/api")}
    return issuer_given if issuer_given in names else public


def resource_metadata(name: str, base: str) -> dict[str, Any]:
    """Describe the protected resource: the tools at `name`, or the whole API at `base`.

    Raises:
        NoSuchDocument: there is no such resource.
    """
    if name not in {"", *_TOOLS}:
        raise NoSuchDocument
    return {
        "resource": _address(name, base),
        "authorization_servers": [_address(name if name in _KNOWN_AS_ISSUER else "", base)],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "resource_name": "Roost",
        "resource_documentation": _DOCS.format(settings().public_url),
    }


def _address(name: str, base: str) -> str:
    return f"{base}/{name}" if name else base
