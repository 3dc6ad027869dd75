"""Recognizes a server's software from its own document, and lists what that software promises.

A promise is valid only for its own software. Many programs have Mastodon's API, with a version that begins like
Mastodon's; only the name distinguishes them.
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
    """The program behind a server. `name` is in lower case, and empty if the document does not have it."""

    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyPromise:
    """A program that keeps idempotency keys for `lifetime`, from a version on."""

    name: str
    since: tuple[int, int]
    lifetime: timedelta
    source: str


@dataclass(frozen=True, slots=True)
class NoPromise:
    """A known program without reliable idempotency keys; `why` is from the source that was read."""

    name: str
    why: str
    source: str


# The only list of programs with idempotency keys. For a program that is not listed, posts are looked up, never repeated.
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

_PLEROMA_CACHE = (
    "keeps the answers of the last 2,500 requests of the whole server in memory, by the header alone, and stores "
    "each after its request has ended, so it recognizes neither a request beside it nor one of some time ago"
)
NOT_READ = "its source was not read, so nothing is known"
# These programs are recognized so that they do not count as Mastodon.
KEEPS_NONE = (
    NoPromise(
        "pleroma",
        _PLEROMA_CACHE,
        "https://git.pleroma.social/pleroma/pleroma, lib/pleroma/web/plugs/idempotency_plug.ex and "
        "lib/pleroma/application.ex, read 2026-11-30",
    ),
    NoPromise(
        "akkoma",
        _PLEROMA_CACHE,
        "https://akkoma.dev/AkkomaGang/akkoma, a fork of Pleroma with the same two files, read 2026-11",
    ),
    NoPromise(
        "gotosocial",
        "does not read the header in the versions that were read; a wish for it was filed",
        "https://github.com/superseriousbusiness/gotosocial/issues/2723, read 2026-11-30",
    ),
    NoPromise(
        "pixelfed",
        "does not read the header",
        "https://github.com/pixelfed/pixelfed/issues/3581 and "
        "https://github.com/pixelfed/docs/pull/91, read 2026-11-30",
    ),
    NoPromise(
        "friendica",
        "does not read the header",
        "https://github.com/friendica/friendica, src/Module/Api/Mastodon/Statuses.php, read 2026-11-30",
    ),
    NoPromise(
        "takahe",
        "admits the header across origins and does nothing with it",
        "https://github.com/jointakahe/takahe/pull/618, read 2026-11-30",
    ),
    NoPromise("mitra", NOT_READ, "https://codeberg.org/silverpill/mitra"),
    NoPromise("sharkey", NOT_READ, "https://activitypub.software/TransFem-org/Sharkey"),
)

# The part after the plus in versions of Mastodon's own builds and its forks, such as `4.3.0+glitch`. These forks do not
# change app/services/post_status_service.rb, which keeps the keys. `pr` is Mastodon's own build of a pull request.
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
_OWN_SOURCE = "github.com/mastodon/mastodon"


def software_of(document: Mapping[str, Any]) -> Software:
    """Return the program of an instance document (`/api/v1/instance` or `/api/v2/instance`).

    Mastodon is assumed only if the version has the form of Mastodon's or a listed fork's, and no other name is given.
    """
    version = _text(document.get("version"))
    if found_name := named(document.get("software")):
        return found_name
    if found := _COMPATIBLE.search(version) or _NAME_AND_VERSION.fullmatch(version):
        return Software(found[1].lower()[:MAX_LENGTH], found[2].strip()[:MAX_LENGTH])
    if "pleroma" in document:  # an extension of the first version's document
        return Software("pleroma", version)
    source = _source_in(document)
    # GoToSocial writes only `0.20.0+git-1a2b3c4` as its version.
    for known in KEEPS_NONE:
        if known.name in source:
            return Software(known.name, version)
    own = _MASTODONS_OWN.fullmatch(version)
    if own and (own[4] is None or own[4].lower() in _FORKS):
        return Software(MASTODON, version)
    return Software("", version)


def is_clear(document: Mapping[str, Any]) -> bool:
    """Return whether a document names its software explicitly, or Mastodon's source code.

    A version in Mastodon's form alone is not enough, because other programs write one too.
    """
    software = software_of(document)
    return bool(software.name) and (
        software.name != MASTODON
        or named(document.get("software")) is not None
        or _OWN_SOURCE in _source_in(document)
    )


def agreed(software: Software, nodeinfo: Software | None) -> Software:
    """Return the software that two documents of a server agree on.

    `software` is from the instance document, which does not name it or only has a version in Mastodon's form. If NodeInfo
    names another program, the server runs that one. If only NodeInfo names Mastodon, the software is unknown, because the
    instance document has no version of Mastodon's and contradicts it.
    """
    if nodeinfo is None:
        return software
    if nodeinfo.name == MASTODON or nodeinfo.name in _FORKS:
        return software
    return nodeinfo


def _source_in(document: Mapping[str, Any]) -> str:
    return _text(document.get("source_url") or document.get("source_code_url")).lower()


def named(software: Any) -> Software | None:
    """Read the field in which a program names itself: a name, or an object with name and version."""
    if isinstance(software, Mapping):
        name, version = _text(software.get("name")), _text(software.get("version"))
    else:
        name, version = _text(software), ""
    return Software(name.lower(), version) if name else None


def promise_of(software: Software) -> Idempotency:
    """Return a program's known idempotency promise."""
    for promise in KEEPS_KEYS:
        if software.name == promise.name and _at_least(software.version, promise.since):
            return Idempotency(IdempotencyForm.HEADER, promise.lifetime, promise.source)
    return Idempotency()


def _at_least(version: str, since: tuple[int, int]) -> bool:
    found = _NUMBERS.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= since


def _text(value: Any) -> str:
    return clean_name(value, max_length=MAX_LENGTH)
