"""A platform's name on the wire: `mastodon` for every Mastodon server, because `mastodon-custom` is internal.

The interfaces for existing programs (the public API, webhooks and the tools) have one name for both.
"""

from collections.abc import Mapping

WIRE_NAMES: Mapping[str, str] = {"mastodon-custom": "mastodon"}


def wire_name(slug: str) -> str:
    """Return the name by which programs know a platform."""
    return WIRE_NAMES.get(slug, slug)


def wire_name_of(column: str) -> str:
    """Return the SQL expression for the same."""
    names = " ".join(f"when '{slug}' then '{name}'" for slug, name in WIRE_NAMES.items())
    return f"case {column} {names} else {column} end"
