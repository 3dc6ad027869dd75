"""The object keys of files in the storage.

Uploads arrive under `incoming/...`, which cannot be read from outside; a lifecycle rule of the bucket removes what is
left there. `files/<organization>/<file>/...` is public. The last part of a key is random, so that knowing an id is not
enough to read a file.
"""

import secrets

from shared.core.ids import MediaId, OrganizationId
from shared.media.sniff import EXTENSIONS

_INCOMING, _SERVED = "incoming/", "files/"


def incoming_key(organization_id: OrganizationId, media_id: MediaId) -> str:
    """Make the key under which an upload arrives."""
    return f"{_INCOMING}{organization_id}/{media_id}/{secrets.token_hex(16)}"


def served_key(incoming: str, content_type: str) -> str:
    """Return the public object key of an upload: always the same, so that completing an upload twice is harmless."""
    return f"{_SERVED}{incoming.removeprefix(_INCOMING)}.{EXTENSIONS[content_type]}"


def stored_name(key: str) -> str:
    """Return the last part of a served file's key: a random name with the extension of its type."""
    return key.rsplit("/", 1)[-1]


def variant_key(served: str, name: str) -> str:
    """Return the key of a served file's copy; `name` ends in its extension."""
    return f"{served.rsplit('.', 1)[0]}-{name}"


def thumbnail_key(served: str) -> str:
    """Return the key of the thumbnail that we make of a served picture."""
    return variant_key(served, "thumbnail.jpg")


def prefixes_of(organization_id: OrganizationId) -> tuple[str, ...]:
    """Return what the keys of all of an organization's objects begin with."""
    return (f"{_INCOMING}{organization_id}/", f"{_SERVED}{organization_id}/")
