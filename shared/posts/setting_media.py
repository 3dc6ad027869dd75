"""Which files do a post's settings name? They go out with its root, beside the files that are shown in it.

They are kept in the root's list of files, marked by their setting, so that whatever is done for a file (staging it, keeping
it in the library until it is out) is done for them too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from shared.posts.draft import Thread, media_entry
from shared.providers.registry import provider
from shared.providers.spec import MediaSetting


def with_setting_media(thread: Thread, slug: str) -> Thread:
    """Add the files that the settings name to the root's list."""
    root, *replies = thread.parts
    named = _named(thread.settings, provider(slug).spec.media_settings)
    return replace(thread, parts=[replace(root, media=[*root.media, *named]), *replies])


def shown_media(media: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a stored part's files without those that settings name, as they were composed."""
    return [entry for entry in media if "setting" not in entry]


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
