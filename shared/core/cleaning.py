"""Cuts and cleans names, texts and addresses from outside, once, before they are stored or shown.

Platforms, self-hosted servers and other programs do not know our limits. A cleaned value fits every column, header and
answer. Nothing is refused, because the value belongs to something that has already happened.
"""

import math
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

MAX_NAME_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 5_000
MAX_ADDRESS_CHARACTERS = 2_000
MAX_ID_CHARACTERS = 1_000
MAX_JSON_DEPTH = (
    32  # our own limit; stored settings and platform answers are only a few levels deep
)
MAX_JSON_TEXT_CHARACTERS = 20_000

# Halves of surrogate pairs cannot be stored, noncharacters have no meaning, and bidirectional embeddings, overrides and
# isolates make a text look like another: unicode.org/reports/tr36 (bidirectional text spoofing), read 2026-11-30.
_NEVER = "\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069"
_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_NOT_IN_TEXT = re.compile(f"[{_NEVER}{_CONTROLS}]")
_NOT_IN_JSON = re.compile("[\ud800-\udfff\x00]")
_SPACE = re.compile(r"[\s\x85\u2028\u2029]+")
_NOT_IN_ADDRESS = re.compile(f"[{_NEVER}{_CONTROLS}\\s]")
_WEB = frozenset({"http", "https"})


def one_line(value: str) -> str:
    """Return a name on one line, without control or bidirectional characters and with single spaces."""
    return _SPACE.sub(" ", _NOT_IN_TEXT.sub("", value)).strip()


def clean_name(value: object, *, max_length: int = MAX_NAME_CHARACTERS) -> str:
    """Return a value as a one-line name of at most `max_length` code points; empty if it is not a string."""
    if not isinstance(value, str):
        return ""
    # Cut first, so that a name of a million characters costs no more than a short one.
    return _cut(one_line(value[: max_length * 8]), max_length)


def clean_text(value: object, *, max_length: int = MAX_TEXT_CHARACTERS) -> str:
    """Return a text of at most `max_length` code points, keeping line breaks and tabs; empty if it is not a string."""
    if not isinstance(value, str):
        return ""
    return _cut(_NOT_IN_TEXT.sub("", value[: max_length * 8]), max_length)


def clean_id(value: object) -> str:
    """Return an external id unchanged, or an empty string if it cannot be stored. An id is never cut or cleaned."""
    written = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    is_kept = len(written) <= MAX_ID_CHARACTERS and not _NOT_IN_ADDRESS.search(written)
    return written if is_kept else ""


def web_address(value: object) -> str | None:
    """Return an http(s) address; None if it has another scheme, is too long, or is not an address."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ADDRESS_CHARACTERS:
        return None
    address = value.strip()
    if _NOT_IN_ADDRESS.search(address):
        return None
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:  # square brackets without an address
        return None
    return address if parts.scheme.casefold() in _WEB and parts.hostname else None


def clean_json(value: Any, *, depth: int = MAX_JSON_DEPTH) -> Any:
    """Return JSON that can be stored and returned: values that are nested too deeply become null, long texts are cut."""
    if isinstance(value, str):
        return _cut(
            _NOT_IN_JSON.sub("", value[: MAX_JSON_TEXT_CHARACTERS * 2]), MAX_JSON_TEXT_CHARACTERS
        )
    if isinstance(value, Mapping):
        if depth <= 0:
            return None
        return {
            clean_json(str(name)): clean_json(inner, depth=depth - 1)
            for name, inner in value.items()
        }
    if isinstance(value, float) and not math.isfinite(value):
        return None  # Python accepts NaN and infinity as numbers, JSON and the database do not
    if isinstance(value, list | tuple):
        return [clean_json(inner, depth=depth - 1) for inner in value] if depth > 0 else None
    return value


def _cut(value: str, max_length: int) -> str:
    return value if len(value) <= max_length else f"{value[: max_length - 1].rstrip()}…"
