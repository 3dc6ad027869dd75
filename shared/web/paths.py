"""Finds the route of a path in any spelling, because clients join base addresses and paths in different ways.

`//public/v1/posts`, `/public/v1/posts/`, `/Public/V1/posts` and `/api/public/v1/posts` are one route. Only the
fixed parts of a route ignore case; ids and API keys stay unchanged.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote

from shared.access.policy import POLICY
from shared.core.config import settings

BASE = "/api"
"""The prefix of clients whose base address is configured as `https://host/api` instead of `https://host`."""

# Not `//host` or `/\\host`, which browsers read as another server's address.
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")
_SLASHES = re.compile(r"/{2,}")
# A document about `https://host/api/mcp` is also requested here (RFC 8414 section 3.1, RFC 9728 section 3.1).
_INSERTED = re.compile(r"(/\.well-known/[^/]+)/api(/[^/]+)?")
_BELOW_BASE = ("/public/v1/", "/mcp", "/oauth/", "/device", "/.well-known/")
_base: ContextVar[str] = ContextVar("base", default="")


def own_path(wanted: str | None) -> str:
    """Return a path on this server to which a browser may be sent: the wanted one, or the start page if it is none."""
    return wanted if wanted and _OWN_PATH.fullmatch(wanted) else "/"


@dataclass(frozen=True, slots=True)
class Place:
    """A path in the routes' spelling, and the base before it: `/api` or empty."""

    path: str
    base: str = ""


class Paths:
    """The paths of one application."""

    def __init__(self, templates: Iterable[str], *, below_api: bool) -> None:
        self._templates = [_segments(one) for one in dict.fromkeys(templates)]
        self._below_api = below_api

    def read(self, path: str) -> Place:
        """Read a path. An unknown path keeps its spelling."""
        path, base = _SLASHES.sub("/", path), ""
        path = path.rstrip("/") or "/"
        if self._below_api:
            path, base = _without_base(path)
        return Place(self._as_declared(path), base)

    def knows(self, path: str) -> bool:
        """Return whether a route has this path."""
        return self._match(_segments(path)) is not None

    def _as_declared(self, path: str) -> str:
        if path == path.lower():
            return path
        segments = _segments(path)
        template = self._match(segments)
        if template is None:
            return path
        pairs = zip(template, segments, strict=True)
        return "/" + "/".join(given if _varies(one) else one for one, given in pairs)

    def _match(self, segments: Sequence[str]) -> Sequence[str] | None:
        return next((one for one in self._templates if _fits(one, segments)), None)


def another_spelling(path: str) -> str | None:
    """Return the canonical spelling of any function's path; None if the path is unknown or already canonical."""
    place = _everywhere().read(path)
    if place.path == path or not _everywhere().knows(place.path):
        return None
    keeps_base = place.base and place.path.startswith(_BELOW_BASE)
    found = quote(place.base + place.path if keeps_base else place.path)
    return None if found == path else found


def answers_head(path: str) -> bool:
    """Return whether a path answers `HEAD`. It does not if a GET starts or uses up something, because link scanners send HEAD."""
    return not _acting().knows(path)


@functools.cache
def _everywhere() -> Paths:
    return Paths((route.partition(" ")[2] for route in POLICY), below_api=True)


@functools.cache
def _acting() -> Paths:
    acting = (route for route, rule in POLICY.items() if route.startswith("GET ") and rule.writes)
    return Paths((route.partition(" ")[2] for route in acting), below_api=False)


def enter(base: str) -> None:
    """Record the base of the request."""
    _base.set(base)


def base_address() -> str:
    """Return the public address with the request's base, so that answers contain the addresses that clients use."""
    return f"{settings().public_url}{_base.get()}"


def _without_base(path: str) -> tuple[str, str]:
    if found := _INSERTED.fullmatch(path):
        return f"{found[1]}{found[2] or ''}", BASE
    rest = path[len(BASE) :]
    if path[: len(BASE)].lower() == BASE and (not rest or rest.startswith("/")):
        return rest or "/", BASE
    return path, ""


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def _varies(segment: str) -> bool:
    return segment.startswith("{")


def _fits(template: Sequence[str], segments: Sequence[str]) -> bool:
    return len(template) == len(segments) and all(
        (_varies(one) and given) or one.lower() == given.lower()
        for one, given in zip(template, segments, strict=True)
    )
