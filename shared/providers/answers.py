"""Reads a platform's answer as JSON of limited depth, with strings that can be stored and readable ids and tokens.

Anybody can run an instance, so an answer is as untrusted as a request. An unreadable answer raises `ValueError`; its size
is limited where it is received (`shared/core/net.py`).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.core import clock
from shared.core.cleaning import clean_id, web_address
from shared.core.depth import is_too_deep

MAX_ANSWER_DEPTH = 64
MAX_TOKEN_CHARACTERS = 10_000
_MOST_COUNTED = 1e15  # integers below it are exact; NaN is not below it
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# RFC 6749, appendix A.12 (read 2026-11-30): the characters of an access token are visible ASCII.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_TOKENS = frozenset(
    {"access_token", "refresh_token", "token", "accessJwt", "refreshJwt", "client_id", "client_secret"}
)  # fmt: skip
_TEXTS = frozenset({"username", "handle", "localizedName", "state", "status"})
_IDS = frozenset({"id", "post_id"})
_WRITTEN_IDS = frozenset({"did", "cid", "uri"})  # never numbers
_ADDRESSES = frozenset({"uploadUrl"})
_OBJECTS = frozenset({"blob"})


def read_json(response: httpx.Response) -> Any:
    """Read an answer as JSON.

    Half of a surrogate pair becomes U+FFFD instead of an error, because the answer reports something that already
    happened.

    Raises:
        ValueError: it is not JSON, or is nested more than `MAX_ANSWER_DEPTH` levels deep.
    """
    text = response.content.decode(json.detect_encoding(response.content), errors="replace")
    if is_too_deep(text.encode(), most=MAX_ANSWER_DEPTH):
        raise ValueError(f"the answer is nested more than {MAX_ANSWER_DEPTH} levels deep")
    read = json.loads(text)
    return _without_halves(read) if _ESCAPED_HALF.search(text) else read


def is_readable(name: str, value: Any) -> bool:
    """Return whether the value of a required field is set and has the type that its name implies."""
    if name in _TOKENS:
        return is_token(value)
    if name in _TEXTS:
        return isinstance(value, str) and bool(value)
    if name in _IDS:
        return bool(clean_id(value))
    if name in _WRITTEN_IDS:
        return isinstance(value, str) and bool(clean_id(value))
    if name in _ADDRESSES:
        return web_address(value) is not None
    if name in _OBJECTS:
        return isinstance(value, dict) and bool(value)
    return bool(value)


def objects_in(body: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer; empty if there is no such list. `path` is dotted."""
    found = _at(body, path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def object_in(body: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return an object in an answer; empty if there is none. `path` is dotted."""
    found = _at(body, path)
    return found if isinstance(found, dict) else {}


def text_in(body: Mapping[str, Any], path: str) -> str:
    """Return a string in an answer; empty if there is none. `path` is dotted."""
    found = _at(body, path)
    return found if isinstance(found, str) else ""


def number_in(body: Mapping[str, Any], path: str) -> float | None:
    """Return a count in an answer; None if there is none. `path` is dotted."""
    found = _at(body, path)
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    return found if abs(found) < _MOST_COUNTED else None


def moment_in(body: Mapping[str, Any], path: str) -> datetime | None:
    """Return a time in an answer, in UTC: ISO 8601, or milliseconds since 1970; None if there is none."""
    found = _at(body, path)
    try:
        if isinstance(found, str):
            return clock.as_utc(datetime.fromisoformat(found))
        if isinstance(found, int | float) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # not a date, or one outside the calendar
        pass
    return None


def _at(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def is_token(value: Any) -> bool:
    """Return whether a value can be sent as a token in a header."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_TOKEN_CHARACTERS
        and _TOKEN.fullmatch(value) is not None
    )


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_halves(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(inner) for name, inner in value.items()}
    return value
