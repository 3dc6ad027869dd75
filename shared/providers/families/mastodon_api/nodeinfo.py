"""Reads a server's software from its NodeInfo document, which most programs of the fediverse have.

Source: nodeinfo.diaspora.software/protocol.html and its schemas 2.0 and 2.1, read 2026-11-30. A list of
links names the document; only links to the server itself are followed. `Api` limits both answers, and they are as
untrusted as the instance document.
"""

import re
import urllib.parse
from datetime import timedelta

from shared.providers.answers import object_in, objects_in, text_in
from shared.providers.errors import ProviderError
from shared.providers.families.mastodon_api.software import Software, named
from shared.providers.http import Api

LONGEST_ANSWER = timedelta(seconds=5)  # for each document about a server
_LINKS = "/.well-known/nodeinfo"
_SCHEMA = re.compile(r"https?://nodeinfo\.diaspora\.software/ns/schema/(\d)\.(\d)", re.ASCII)


def read_software(api: Api) -> Software | None:
    """Ask the server; None if it does not answer or names no software."""
    try:
        path = _path(api)
        if path is None:
            return None
        document = api.read(api.request("GET", path, timeout=LONGEST_ANSWER))
    except ProviderError:
        return None
    return named(object_in(document, "software"))


def _path(api: Api) -> str | None:
    """Return the path of the newest document that the server lists on itself."""
    links = api.read(api.request("GET", _LINKS, timeout=LONGEST_ANSWER))
    found: dict[tuple[str, str], str] = {}
    for link in objects_in(links, "links")[:20]:
        schema = _SCHEMA.fullmatch(text_in(link, "rel"))
        path = _own_path(text_in(link, "href"), api)
        if schema and path:
            found[schema[1], schema[2]] = path
    return found[max(found)] if found else None


def _own_path(address: str, api: Api) -> str | None:
    """Return the path of an address on the server itself; None for any other."""
    try:
        parts = urllib.parse.urlsplit(address[:2_000])
    except ValueError:  # square brackets without an address
        return None
    is_own = parts.netloc.casefold() == urllib.parse.urlsplit(api.base_url).netloc.casefold()
    return parts.path if is_own and parts.path.startswith("/") else None
