"""The files of a thread: those that its settings name, and what the files of a changed post keep.

Files that a setting names go out with the root, beside the files that are shown in it. They are kept in the root's list,
marked by their setting, so that whatever is done for a file (staging it, keeping it in the library until it is out) is
done for them too.

Programs send the whole list of files to change a text, each by its id and address alone. What such an item leaves out
(its alternative text, where a cover is) stays as it is stored; null, or an empty text, removes it.
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
    """Add the files that the settings name to the root's list."""
    named = _named(thread.settings, provider(slug).spec.media_settings)
    if not named:
        return thread
    root, *replies = thread.parts
    return replace(thread, parts=[replace(root, media=[*root.media, *named]), *replies])


def displayed_media(media: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a stored part's files without those that settings name, as they were composed."""
    return [entry for entry in media if "setting" not in entry]


def with_kept_details(thread: Thread, before: Sequence[StoredPart]) -> Thread:
    """Return the thread with what its files keep of `before`, and without what the request removes.

    A file is looked for in the part of the same place first, then in the others: parts and files may have moved.
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


def _named(settings: Mapping[str, Any], names: Sequence[str]) -> list[Mapping[str, str]]:
    """Read what can be read: what else a setting holds, the check of the settings refuses."""
    entries: list[Mapping[str, str]] = []
    for name in names:
        try:
            file = MediaSetting.model_validate(settings.get(name))
        except ValidationError:
            continue
        if file.id or file.path:
            entries.append(media_entry(file.id, file.path, file.alt) | {"setting": name})
    return entries
