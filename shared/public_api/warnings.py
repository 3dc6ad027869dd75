"""`Warning` headers, which report likely mistakes in a request that succeeded.

Source of the form: rfc-editor.org/rfc/rfc7234, section 5.5, read 2026-11: a code, an agent and a quoted text. 299 is
"Miscellaneous Persistent Warning". RFC 9111 no longer describes the header; it stays the contract of this wire.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.core.unknown_fields import MOST_NAMED, unknown_fields
from shared.posts.schemas import MAX_DELAY_MINUTES, CreatedPost, WarningOut
from shared.providers.registry import provider
from shared.providers.wire_names import wire_name
from shared.public_api.post_schemas import PublicPart

UNKNOWN_TAG = "unknown_tag"
_NOT_IN_A_HEADER = re.compile(r"[^ -~]|[\"\\\\]")


def warning(words: str) -> str:
    """Return the value of one header."""
    return f'299 roost "{_NOT_IN_A_HEADER.sub("?", words)}"'


def of_posts(created: Sequence[CreatedPost]) -> list[str]:
    """Warn about each post that has warnings, and about the tags that were left out."""
    by_field = [
        (f"posts.{number}", [one.message for one in post.warnings if one.code != UNKNOWN_TAG])
        for number, post in enumerate(created)
    ]
    tags = [one.message for post in created for one in post.warnings if one.code == UNKNOWN_TAG]
    return [
        warning(f"{where}: {' '.join(words)}")
        for where, words in [*by_field, ("tags", tags)]
        if words
    ]


def of_tags(unknown: Sequence[str]) -> WarningOut | None:
    """Warn about tags that the organization does not have; None if it has all of them."""
    if not unknown:
        return None
    names = ", ".join(f"'{name[:100]}'" for name in unknown[:MOST_NAMED])
    words = f"The organization has no tag {names}, so the posts were stored without it."
    return WarningOut(code=UNKNOWN_TAG, message=words)


def of_delays(parts: Iterable[tuple[str, PublicPart]]) -> list[str]:
    """Warn about each delay that is too long for a schedule; `parts` come with their paths."""
    return [
        warning(f"{path}.delay: The longest delay is {MAX_DELAY_MINUTES} minutes, so that is used.")
        for path, part in parts
        if part.delay > MAX_DELAY_MINUTES
    ]


def of_settings(slug: str, settings: Mapping[str, Any]) -> list[str]:
    """Warn about each setting that a platform does not have."""
    unknown = unknown_fields(provider(slug).spec.settings, dict(settings))
    return [
        warning(f"settings.{name}: {wire_name(slug)} has no such setting.")
        for name in unknown
        if name != "__type"
    ]


def of_unknown_fields(found: Sequence[str]) -> Iterator[str]:
    """Warn about each unknown field of a body, so that a misspelled one is not ignored silently."""
    for path in found[:MOST_NAMED]:
        yield warning(f"{path}: This field is unknown and was ignored.")
    if len(found) > MOST_NAMED:
        yield warning(f"Only the first {MOST_NAMED} unknown fields are named.")
