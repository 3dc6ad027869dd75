"""Finds an account's server and handle by its DID document, not by the server that claims the account.

Anybody can run a server that answers a login with somebody else's DID. The DID document names the only server that acts
for it. Sources: atproto.com/specs/did (the two methods, `#atproto_pds`, `alsoKnownAs`), atproto.com/specs/handle,
w3c-ccg.github.io/did-method-web (`/.well-known/did.json`), web.plc.directory (404: unknown, 410: deactivated), read 2026-11-30.
"""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.config import settings
from shared.providers.errors import GrantRejected
from shared.providers.http import Api
from shared.providers.oauth import server_address

PLC_DIRECTORY = "plc.directory"
_PLC = re.compile(r"did:plc:[a-z2-7]{24}")
# No path, and no port, which atproto allows only for localhost: both would be written with a colon.
_WEB = re.compile(r"did:web:([a-z0-9-]+(?:\.[a-z0-9-]+)+)")
_NO_ACCOUNT = (400, 404, 410)


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of a DID document: `server` is the origin of its PDS; `handle` is None if it names none."""

    did: str
    server: str
    handle: str | None


def resolve(api: Api, did: str) -> Identity:
    """Fetch the document of a DID and read it.

    Raises:
        GrantRejected: there is no such DID, or its document names no server.
        PlatformUnavailable: the document cannot be fetched just now.
        InvalidInput: the document names a server that is not a public https address.
    """
    answer = api.request("GET", _document_address(did), accept=_NO_ACCOUNT)
    if not answer.is_success:
        raise api.with_evidence(
            GrantRejected(
                f"{answer.request.url.host} does not know the account {did}. Check the server and "
                "the handle."
            ),
            answer,
        )
    document = api.read(answer, "id")
    server = _server(document)
    if document["id"] != did or server is None:
        raise api.with_evidence(
            GrantRejected(f"The account {did} names no server, so nothing can be posted to it."),
            answer,
        )
    return Identity(did, server, _handle(document))


def _document_address(did: str) -> str:
    if _PLC.fullmatch(did):
        return f"{_origin(PLC_DIRECTORY)}/{did}"
    if web := _WEB.fullmatch(did):
        return f"{_origin(web[1])}/.well-known/did.json"
    raise GrantRejected("The server named an account id that Bluesky does not use.")


def _origin(host: str) -> str:
    """Return a host's origin, which `PROVIDER_BASE_URLS` can override."""
    overridden = settings().provider_base_urls.get(host)
    return overridden.rstrip("/") if overridden else server_address(host, field="service")


def _server(document: Mapping[str, Any]) -> str | None:
    for service in _dicts(document.get("service")):
        is_pds = str(service.get("id", "")) in {"#atproto_pds", f"{document['id']}#atproto_pds"}
        if is_pds and service.get("type") == "AtprotoPersonalDataServer":
            return server_address(str(service.get("serviceEndpoint", "")), field="service")
    return None


def _handle(document: Mapping[str, Any]) -> str | None:
    """Return the first handle; the others have no meaning."""
    names = document.get("alsoKnownAs")
    for name in names if isinstance(names, list) else []:
        if isinstance(name, str) and name.startswith("at://"):
            return name.removeprefix("at://").casefold()
    return None


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def server_name(address: str) -> str:
    """Return a server's name as shown to members."""
    return urllib.parse.urlsplit(address).netloc
