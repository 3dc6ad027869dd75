"""The files of a thread: those of its settings, and the details that files of a changed post keep.

Files of a setting are published with the root, in addition to the files that are shown in it. They are stored in the root's
list with their setting, so that they are staged and kept like all other files.

Programs send the whole list of files to change a text, each only with its id and address. Details that such an item leaves
out (alternative text, position of the cover) keep their stored values; null, or an empty text, removes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from shared.posts.draft import Thread, media_entry
from shared.posts.guards import living
from shared.posts.parts import StoredPart
from shared.providers.registry import provider
from shared.providers.spec import MediaSetting

Entry = Mapping[str, Any]

_DETAILS = ("alt", "thumbnailTimestamp")


def with_setting_media(thread: Thread, slug: str) -> Thread:
    """Add the files of the settings to the root's list."""
    named = _named(thread.settings, provider(slug).spec.media_settings)
    if not named:
        return thread
    root, *replies = thread.parts
    return replace(thread, parts=[replace(root, media=[*root.media, *named]), *replies])


def displayed_media(media: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a stored part's files as composed, without those of settings."""
    return [entry for entry in media if "setting" not in entry]


def with_kept_details(thread: Thread, before: Sequence[StoredPart]) -> Thread:
    """Return the thread with the details that its files keep from `before`, without those that the request removes.

    A file is searched first in the part at the same position, then in the others, because parts and files can move.
    """
    if not any(part.media for part in thread.parts):
        return thread
    stored = [[*displayed_media(part.media)] for part in living(before)] if before else []
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
    """Find a file's stored entry and remove it from the search, because a part can show one file twice."""
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


def _named(settings: Mapping[str, Any], names: Sequence[str]) -> list[Mapping[str, str]]:
    """Read a setting's file; the check of the settings refuses invalid values."""
    entries: list[Mapping[str, str]] = []
    for name in names:
        try:
            file = MediaSetting.model_validate(settings.get(name))
        except ValidationError:
            continue
        if file.id or file.path:
            entries.append(media_entry(file.id, file.path, file.alt) | {"setting": name})
    return entries
