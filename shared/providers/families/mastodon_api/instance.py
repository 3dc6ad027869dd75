"""Reads a server's instance document and keeps the needed values with a channel.

Source: docs.joinmastodon.org/entities/Instance and /entities/V1_Instance, read 2026-11. Servers leave fields out, or set
them to null or 0; a value that is not a positive number counts as missing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.core import clock
from shared.core.cleaning import clean_name
from shared.providers.errors import ProviderError
from shared.providers.families.mastodon_api import nodeinfo
from shared.providers.families.mastodon_api.nodeinfo import LONGEST_ANSWER
from shared.providers.families.mastodon_api.software import (
    MASTODON,
    Software,
    agreed,
    is_clear,
    software_of,
)
from shared.providers.http import Api
from shared.providers.spec import MediaRules, TextRules

LINK_LENGTH = 23  # `characters_reserved_per_url`, entities/Instance
READ_AGAIN_AFTER = timedelta(days=1)
MOST_MEDIA = 20
_MOST_TYPES = 100
_LONGEST_TYPE = 100
_PLAIN = "text/plain"


def read_instance(api: Api, headers: Mapping[str, str]) -> dict[str, Any]:
    """Request the server's document, and return the values to keep; {} if it cannot be read.

    A document that does not clearly say what the server runs is compared with NodeInfo.

    The document's second version is requested first. If it is missing or lacks the maximum length of a post, the first
    version, which older servers and many other programs have, fills the gaps.
    """
    document = _document(api, "/api/v2/instance", headers)
    if not document or not _configuration(document, "statuses").get("max_characters"):
        later = {name: value for name, value in document.items() if value}
        if not _configuration(document, "statuses"):
            later.pop("configuration", None)
        document = _document(api, "/api/v1/instance", headers) | later
    if not document:
        return {}
    software = software_of(document)
    if not is_clear(document):
        software = agreed(software, nodeinfo.read_software(api))
    return kept(document, read_at=api.now(), software=software)


def kept(
    document: Mapping[str, Any], *, read_at: datetime, software: Software | None = None
) -> dict[str, Any]:
    """Return the values of a document to keep: the software, its limits, and the time of reading.

    `software` is better known than from the document; None: only the document names it.
    """
    software, statuses = software or software_of(document), _configuration(document, "statuses")
    longest = _positive(statuses.get("max_characters")) or _positive(document.get("max_toot_chars"))
    known = {
        "software": software.name,
        "softwareVersion": software.version,
        "serverReadAt": clock.to_wire(read_at),
        "maxCharacters": longest,
        "linkLength": _positive(statuses.get("characters_reserved_per_url")),
        "plainText": _PLAIN in _formats(document) or None,
        "media": _media(document) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def is_stale(account: Mapping[str, Any], *, at: datetime) -> bool:
    """Return whether the document should be read again; `at` is the current time."""
    try:
        read_at = clock.as_utc(datetime.fromisoformat(account["serverReadAt"]))
    except (KeyError, TypeError, ValueError):
        return True
    return at - read_at > READ_AGAIN_AFTER


def software_in(account: Mapping[str, Any]) -> Software:
    """Return the last known software of a channel's server."""
    return Software(str(account.get("software") or ""), str(account.get("softwareVersion") or ""))


def text_rules_of(account: Mapping[str, Any], table: TextRules) -> TextRules:
    """Return the server's text rules: the maximum length and how it is counted.

    Only Mastodon and its forks are known to count graphemes, a link as 23 and a mention without its server.
    """
    longest = _positive(account.get("maxCharacters")) or table.max_length
    if "software" not in account:
        return replace(table, max_length=longest)
    if software_in(account).name != MASTODON:
        return TextRules(max_length=longest, editor=table.editor)
    link_length = _positive(account.get("linkLength")) or LINK_LENGTH
    return replace(table, max_length=longest, link_length=link_length)


def media_rules_of(account: Mapping[str, Any], table: MediaRules) -> MediaRules:
    """Return the server's media rules: the table, narrowed by the server's own limits."""
    media = account.get("media")
    if not isinstance(media, Mapping):
        return table
    images, videos = table.images, table.videos
    types = media.get("types")
    if isinstance(types, list):
        images = replace(images, types=tuple(kind for kind in images.types if kind in types))
        videos = replace(videos, types=tuple(kind for kind in videos.types if kind in types))
    most = _positive(media.get("maxCount")) or table.max_count
    images = replace(
        images,
        max_count=most if images.types else 0,
        max_bytes=_smaller(images.max_bytes, media.get("imageBytes")),
        max_pixels=_smaller(images.max_pixels, media.get("imagePixels")),
        max_alt_length=_positive(media.get("altLength")) or images.max_alt_length,
    )
    takes_videos = bool(videos.types) and not media.get("noVideos")
    videos = replace(
        videos,
        max_count=videos.max_count if takes_videos else 0,
        max_bytes=_smaller(videos.max_bytes, media.get("videoBytes")),
        max_pixels=_smaller(videos.max_pixels, media.get("videoPixels")),
    )
    return replace(table, images=images, videos=videos, max_count=most)


def _media(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read the rules for files. A video limit of 0 means no videos; other limits of 0 have no meaning."""
    media = _configuration(document, "media_attachments")
    upload = document.get("upload_limit")  # Pleroma's, for any file
    types = media.get("supported_mime_types")
    listed = types[:_MOST_TYPES] if isinstance(types, list) else []
    known = [name for kind in listed if (name := clean_name(kind, max_length=_LONGEST_TYPE))]
    video_bytes = media.get("video_size_limit")
    count = _positive(_configuration(document, "statuses").get("max_media_attachments"))
    rules = {
        "types": [kind.lower() for kind in known] or None,
        "maxCount": min(count, MOST_MEDIA) if count else None,
        "imageBytes": _positive(media.get("image_size_limit")) or _positive(upload),
        "imagePixels": _positive(media.get("image_matrix_limit")),
        "videoBytes": _positive(video_bytes) or _positive(upload),
        "videoPixels": _positive(media.get("video_matrix_limit")),
        "noVideos": True if video_bytes == 0 and not isinstance(video_bytes, bool) else None,
        "altLength": _positive(media.get("description_limit")),
    }
    return {name: value for name, value in rules.items() if value is not None}


def _document(api: Api, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Read one document; {} if it is missing or unreadable, because it is needed only later."""
    try:
        return api.read(api.request("GET", path, headers=headers, timeout=LONGEST_ANSWER))
    except ProviderError:
        return {}


def _configuration(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    configuration = document.get("configuration")
    found = configuration.get(section) if isinstance(configuration, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _formats(document: Mapping[str, Any]) -> list[Any]:
    """List the server's text formats, if it reports any; Mastodon itself does not.

    glitch-soc and GoToSocial: `configuration.statuses.supported_mime_types`
    (github.com/superseriousbusiness/gotosocial/pull/1370, read 2026-11); Pleroma: `pleroma.metadata.post_formats`.
    """
    found = _configuration(document, "statuses").get("supported_mime_types")
    pleroma = document.get("pleroma")
    metadata = pleroma.get("metadata") if isinstance(pleroma, Mapping) else None
    formats = metadata.get("post_formats") if isinstance(metadata, Mapping) else None
    return [
        *(found if isinstance(found, list) else ()),
        *(formats if isinstance(formats, list) else ()),
    ]


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _smaller(ours: int | None, theirs: Any) -> int | None:
    limits = [limit for limit in (ours, _positive(theirs)) if limit is not None]
    return min(limits, default=None)
