"""How names, texts and addresses that come from outside are cut and cleaned, once, before anything stores or shows them.

A platform, an instance that anybody may run, another program: none of them keeps our limits. What is left here fits every
column, every header and every answer. Nothing is refused, since what arrives belongs to something that already happened.
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
MAX_JSON_DEPTH = 32  # ours; settings and platform answers that we keep are a handful deep
MAX_JSON_TEXT_CHARACTERS = 20_000

# Halves of surrogate pairs cannot be stored, noncharacters are for nobody, and the bidirectional embeddings, overrides
# and isolates make a text read as another one: unicode.org/reports/tr36 (bidirectional text spoofing), read 2026-11-30.
_NEVER = "\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069"
_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_NOT_IN_TEXT = re.compile(f"[{_NEVER}{_CONTROLS}]")
_NOT_IN_JSON = re.compile("[\ud800-\udfff\x00]")
_SPACE = re.compile(r"[\s\x85\u2028\u2029]+")
_NOT_IN_ADDRESS = re.compile(f"[{_NEVER}{_CONTROLS}\\s]")
_WEB = frozenset({"http", "https"})


def one_line(value: str) -> str:
    """Return a name on one line: no control or bidirectional characters, each run of space as one."""
    return _SPACE.sub(" ", _NOT_IN_TEXT.sub("", value)).strip()


def clean_name(value: object, *, max_length: int = MAX_NAME_CHARACTERS) -> str:
    """Return a value as a name on one line, cut to `max_length` code points; empty if it is not a string."""
    if not isinstance(value, str):
        return ""
    # What is cut away first is never looked at: a name of a million characters costs as much as a short one.
    return _cut(one_line(value[: max_length * 8]), max_length)


def clean_text(value: object, *, max_length: int = MAX_TEXT_CHARACTERS) -> str:
    """Return a text with its line breaks and tabs, cut to `max_length` code points; empty if it is not a string."""
    if not isinstance(value, str):
        return ""
    return _cut(_NOT_IN_TEXT.sub("", value[: max_length * 8]), max_length)


def clean_id(value: object) -> str:
    """Return an external id unchanged, or an empty string if it cannot be stored: an id is never cut or cleaned."""
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
    except ValueError:  # square brackets that hold no address
        return None
    return address if parts.scheme.casefold() in _WEB and parts.hostname else None


def clean_json(value: Any, *, depth: int = MAX_JSON_DEPTH) -> Any:
    """Return JSON that the database can store and a response can show: parts nested too deep become null, long texts are cut."""
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
        return None  # Python reads NaN and infinity as numbers, JSON and the database do not
    if isinstance(value, list | tuple):
        return [clean_json(inner, depth=depth - 1) for inner in value] if depth > 0 else None
    return value


def _cut(value: str, max_length: int) -> str:
    return value if len(value) <= max_length else f"{value[: max_length - 1].rstrip()}…"
