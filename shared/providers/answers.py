"""How is a platform's answer read? As JSON of bounded depth whose texts can be stored, and whose ids and tokens are texts.

Anybody may run an instance, so an answer is as untrusted as a request. What cannot be read is a `ValueError`, whatever
is wrong with it; the size is bounded where the answer is received (`shared/core/net.py`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from shared.core.cleaning import clean_id
from shared.core.depth import is_too_deep

MAX_ANSWER_DEPTH = 64
MAX_TOKEN_CHARACTERS = 10_000
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# RFC 6749, appendix A.12 (read 2026-11-30): the characters of an access token are visible ASCII.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_TOKENS = frozenset({"access_token", "refresh_token", "token", "accessJwt", "refreshJwt"})
_TEXTS = frozenset({"username", "handle", "client_id", "client_secret", "localizedName", "state"})
_IDS = frozenset({"id", "post_id", "did", "cid", "uri"})


def read_json(response: httpx.Response) -> Any:
    """Read an answer as JSON.

    Half of a surrogate pair becomes U+FFFD: what arrives belongs to something that already happened.

    Raises:
        ValueError: it is no JSON, or nested more than `MAX_ANSWER_DEPTH` levels deep.
    """
    text = response.content.decode(json.detect_encoding(response.content), errors="replace")
    if is_too_deep(text.encode(), most=MAX_ANSWER_DEPTH):
        raise ValueError(f"the answer is nested more than {MAX_ANSWER_DEPTH} levels deep")
    read = json.loads(text)
    return _without_halves(read) if _ESCAPED_HALF.search(text) else read


def is_readable(name: str, value: Any) -> bool:
    """Return whether the value of a required field is set, and of the type that its name promises."""
    if name in _TOKENS:
        return is_token(value)
    if name in _TEXTS:
        return isinstance(value, str) and bool(value)
    if name in _IDS:
        return bool(clean_id(value))
    return bool(value)


def objects_in(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer; empty where there is no such list."""
    found = body.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


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
