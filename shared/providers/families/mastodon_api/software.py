"""Which software a server of Mastodon's API runs, by its own document, and what that software is known to promise.

A promise holds for the software that makes it. Many programs answer under Mastodon's API, with a version that begins
like Mastodon's; only the name says which it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.core.cleaning import clean_name
from shared.providers.spec import Idempotency, IdempotencyForm

MASTODON = "mastodon"
MAX_LENGTH = 100  # of a name or version that is kept


@dataclass(frozen=True, slots=True)
class Software:
    """The program behind a server. `name` is in lower case, and empty where the document does not tell."""

    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyPromise:
    """A program that keeps the keys of the Idempotency-Key header, from a version on, for `lifetime`."""

    name: str
    since: tuple[int, int]
    lifetime: timedelta
    source: str


# The one place that says who keeps keys. What is not listed keeps none: its posts are looked up, never repeated.
# Left out on purpose, though it reads the header: Pleroma and Akkoma keep 2,500 answers of the whole server in memory
# (lib/pleroma/web/plugs/idempotency_plug.ex, read 2026-11), so a busy server forgets a key within minutes. Known to
# have no keys: Pixelfed (github.com/pixelfed/pixelfed/issues/3581), GoToSocial
# (github.com/superseriousbusiness/gotosocial/issues/2723), both read 2026-11.
KEEPS_KEYS = (
    KeyPromise(
        MASTODON,
        since=(2, 3),
        lifetime=timedelta(hours=1),
        source=(
            "https://docs.joinmastodon.org/methods/statuses/#headers and "
            "https://github.com/mastodon/documentation/pull/581, read 2026-11"
        ),
    ),
)

# What Mastodon's own builds and its forks write behind the plus of a version, such as `4.3.0+glitch`. These forks leave
# app/services/post_status_service.rb, where keys are kept, as it is. `pr` is Mastodon's own build of a pull request.
_FORKS = frozenset(
    {"glitch", "hometown", "ecko", "chuckya", "kmyblue", "fedibird", "nightly", "pr"}
)
_MASTODONS_OWN = re.compile(
    r"([1-9]\d?)\.(\d{1,3})\.(\d{1,3})"
    r"(?:-(?:alpha|beta|nightly|rc)[\w.-]*|rc\d+)?"
    r"(?:\+([A-Za-z]+)[\w.+-]*)?",
    re.ASCII,
)
_COMPATIBLE = re.compile(r"\(\s*compatible;\s*([^\s;)]+)\s*([^;)]*)")
_NAME_AND_VERSION = re.compile(r"([A-Za-z][\w.-]*)/(\d\S*)")  # `takahe/0.9.0`
_NUMBERS = re.compile(r"(\d{1,4})\.(\d{1,4})")
# Read in the address of the source code where the version has no name; GoToSocial writes only `0.20.0+git-1a2b3c4`.
_KNOWN_BY_SOURCE = ("gotosocial", "pixelfed", "pleroma", "akkoma", "friendica", "takahe", "mitra")


def software_of(document: Mapping[str, Any]) -> Software:
    """Read which program wrote an instance document (of `/api/v1/instance` or `/api/v2/instance`).

    Mastodon is assumed only where the version is one of Mastodon's or of a listed fork, and no other name is given.
    """
    version = _text(document.get("version"))
    if named := _named(document.get("software")):
        return named
    if found := _COMPATIBLE.search(version) or _NAME_AND_VERSION.fullmatch(version):
        return Software(found[1].lower()[:MAX_LENGTH], found[2].strip()[:MAX_LENGTH])
    if "pleroma" in document:  # an extension of the first version's document
        return Software("pleroma", version)
    source = _text(document.get("source_url") or document.get("source_code_url")).lower()
    for name in _KNOWN_BY_SOURCE:
        if name in source:
            return Software(name, version)
    own = _MASTODONS_OWN.fullmatch(version)
    if own and (own[4] is None or own[4].lower() in _FORKS):
        return Software(MASTODON, version)
    return Software("", version)


def _named(software: Any) -> Software | None:
    """Read the field in which some programs name themselves: a name, or an object with name and version."""
    if isinstance(software, Mapping):
        name, version = _text(software.get("name")), _text(software.get("version"))
    else:
        name, version = _text(software), ""
    return Software(name.lower(), version) if name else None


def promise_of(software: Software) -> Idempotency:
    """Return what a program is known to promise about a repeated request."""
    for promise in KEEPS_KEYS:
        if software.name == promise.name and _at_least(software.version, promise.since):
            return Idempotency(IdempotencyForm.HEADER, promise.lifetime, promise.source)
    return Idempotency()


def _at_least(version: str, since: tuple[int, int]) -> bool:
    found = _NUMBERS.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= since


def _text(value: Any) -> str:
    return clean_name(value, max_length=MAX_LENGTH)
