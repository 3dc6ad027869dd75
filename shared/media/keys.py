"""Under which keys files lie in the storage.

`incoming/...` is what arrives: nobody can read it from outside, and a lifecycle rule of the bucket removes what is left
there. `files/<organization>/<file>/...` is served to everybody. The last part of a key is random, so that knowing an
id is not enough to read a file.
"""

import secrets
import uuid

from shared.core.ids import OrganizationId
from shared.media.sniff import EXTENSIONS

_INCOMING, _SERVED = "incoming/", "files/"


def incoming_key(organization_id: OrganizationId, media_id: uuid.UUID) -> str:
    """Make the key under which an upload arrives."""
    return f"{_INCOMING}{organization_id}/{media_id}/{secrets.token_hex(16)}"


def served_key(incoming: str, content_type: str) -> str:
    """Say where an upload is served from: always the same for one upload, so that completing it twice is harmless."""
    return f"{_SERVED}{incoming.removeprefix(_INCOMING)}.{EXTENSIONS[content_type]}"


def stored_name(key: str) -> str:
    """Say what a served file is called where it lies: a random name, with the extension of its type."""
    return key.rsplit("/", 1)[-1]


def variant_key(served: str, name: str) -> str:
    """Say where a copy of a served file lies; `name` ends in its extension."""
    return f"{served.rsplit('.', 1)[0]}-{name}"


def thumbnail_key(served: str) -> str:
    """Say where the thumbnail that we make of a served picture lies."""
    return variant_key(served, "thumbnail.jpg")
