"""What do the files of a changed post keep where a request does not say it? Their alternative text, and where a cover is.

Programs send the whole list of files to change a text, each by its id and address alone. What such an item leaves out
stays as it is stored; null, or an empty text, removes it. An item without it is not a wish to lose it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.posts.draft import Thread, media_entry
from shared.posts.guards import living
from shared.posts.parts import StoredPart
from shared.posts.setting_media import shown_media
from shared.providers.registry import provider

Entry = Mapping[str, Any]

_DETAILS = ("alt", "thumbnailTimestamp")


def with_kept_details(thread: Thread, before: Sequence[StoredPart]) -> Thread:
    """Return the thread with what its files keep of `before`, and without what the request removes.

    A file is looked for in the part of the same place first, then in the others: parts and files may have moved.
    """
    stored = [[*shown_media(part.media)] for part in living(before)] if before else []
    parts = []
    for number, part in enumerate(thread.parts):
        places = [*stored[number : number + 1], *stored[:number], *stored[number + 1 :]]
        media = [_kept(entry, _take(entry, places)) for entry in part.media]
        parts.append(replace(part, media=media))
    return replace(thread, parts=parts)


def with_kept_setting_details(thread: Thread, before: Mapping[str, Any], slug: str) -> Thread:
    """Return the thread with settings whose files keep the alternative text that `before`, the previous settings, have."""
    settings = dict(thread.settings)
    for name in provider(slug).spec.media_settings:
        now, then = settings.get(name), before.get(name)
        if not (isinstance(now, Mapping) and isinstance(then, Mapping)):
            continue
        if "alt" not in now and then.get("alt") and _file_of(now) == _file_of(then):
            settings[name] = {**now, "alt": then["alt"]}
    return replace(thread, settings=settings)


def _take(entry: Entry, places: Sequence[list[Entry]]) -> Entry:
    """Find what is stored of a file, and take it out: a part may show one file twice."""
    for entries in places:
        for index, stored in enumerate(entries):
            if stored["id"] == entry["id"]:
                return entries.pop(index)
    return {}


def _kept(entry: Entry, stored: Entry) -> Entry:
    kept = {name: stored[name] for name in _DETAILS if name in stored and name not in entry}
    return {name: value for name, value in {**entry, **kept}.items() if value is not None}


def _file_of(setting: Mapping[str, Any]) -> str:
    named, address = setting.get("id"), setting.get("path")
    entry = media_entry(
        named if isinstance(named, str) else None, address if isinstance(address, str) else None
    )
    return str(entry["id"])
