"""The list of providers and their modules. A provider is imported only when it is requested."""

import functools
import importlib
from collections.abc import Iterator

from shared.providers.base import Provider
from shared.providers.spec import ProviderSpec

PLATFORMS = "shared.providers.platforms"

PROVIDERS: dict[str, str] = {
    "x": "x:X",
    "linkedin-page": "linkedin:LinkedInPage",
    "mastodon": "mastodon:Mastodon",
    "mastodon-custom": "mastodon:MastodonCustom",
    "bluesky": "bluesky:Bluesky",
}
"""Slug to module and class, in the order they are offered."""


class UnknownProvider(LookupError):
    """There is no provider with that name; callers turn this into their own refusal."""


def slugs() -> tuple[str, ...]:
    """List every provider's slug, in the order they are offered."""
    return tuple(PROVIDERS)


@functools.cache
def provider(slug: str) -> Provider:
    """Import and return the provider that `slug` names.

    Raises:
        UnknownProvider: there is no such provider.
    """
    if slug not in PROVIDERS:
        raise UnknownProvider(slug)
    module, name = PROVIDERS[slug].split(":")
    found = getattr(importlib.import_module(f"{PLATFORMS}.{module}"), name)()
    if not isinstance(found, Provider):
        raise TypeError(f"{module}.{name} is not a Provider")
    return found


def specs() -> Iterator[ProviderSpec]:
    """Yield every provider's table. Imports all platforms: for listings and the variants function only."""
    for slug in PROVIDERS:
        yield provider(slug).spec


# Markup, character references, and addresses that count as less than their length need additional characters.
_ROOM_FOR_MARKUP = 20


@functools.cache
def longest_text() -> int:
    """Return the maximum number of characters of a composed text, for any platform. Imports all platforms."""
    return _ROOM_FOR_MARKUP * max(spec.longest_text for spec in specs())
