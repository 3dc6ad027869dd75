"""Checks the body of a request once, before anything is done: its media type, encoding, depth and texts.

Later readers of the body get UTF-8 without a byte order mark, in which every text can be stored. So no parser can refuse a
body after the request was carried out.
"""

import email.message
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.core.cleaning import MAX_JSON_DEPTH
from shared.core.depth import is_too_deep
from shared.core.errors import FieldProblem, InvalidInput, Unreadable

URL_ENCODED = "application/x-www-form-urlencoded"
_FORMS = frozenset({URL_ENCODED, "multipart/form-data"})
_MOST_PROBLEMS = 20
# An escaped NUL in JSON (not a backslash that was itself escaped): PostgreSQL cannot store it in a text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Every escape is skipped as a whole; group 1 is half of a surrogate pair without the other half.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_HALF = re.compile("[\ud800-\udfff]")
_FORM_PART = re.compile(
    rb"--[^\r\n]{1,80}\r?\n(?:[\w-]{1,80}:[^\r\n]{0,200}\r?\n){0,5}content-disposition: *form-data",
    re.IGNORECASE,
)
_IS_FORM = (
    "The body is a form, but `Content-Type` says otherwise. Send it with `Content-Type: multipart/form-data` and its "
    "boundary, as your HTTP library does if you leave the header to it."
)
_TOO_DEEP = f"The body is nested more than {MAX_JSON_DEPTH} levels deep. Send it with fewer levels."
_NUL_REFUSED = "This text contains a NUL character, which cannot be stored. Remove it."
_HALF_REFUSED = "This text contains half of a surrogate pair, which is not a character. Remove it."


def media_type(content_type: str) -> str:
    """Return the type and subtype of a `Content-Type` header, in lower case and without parameters.

    FastAPI reads the header in the same way, so both agree on which bodies are JSON.
    """
    message = email.message.Message()
    message["content-type"] = content_type
    return message.get_content_type()


def is_json(content_type: str) -> bool:
    """Return whether a body of this type is parsed as JSON: `application/json`, `application/*+json`."""
    main, _, subtype = media_type(content_type).partition("/")
    return main == "application" and (subtype == "json" or subtype.endswith("+json"))


def checked_body(body: bytes, content_type: str) -> bytes:
    """Return a body that all readers read the same way; a form stays unchanged.

    A body of any other type is checked like JSON, because some routes read JSON whatever its type.

    Raises:
        Unreadable: it is not UTF-8 (or UTF-16 or UTF-32 for JSON), or is nested too deeply.
        InvalidInput: a text contains a NUL or half of a surrogate pair; lists the fields.
    """
    if media_type(content_type) in _FORMS:
        return body
    if _FORM_PART.match(body):
        raise Unreadable(_IS_FORM)
    body = _in_utf8(body)
    if is_too_deep(body):
        raise Unreadable(_TOO_DEEP, problems=[FieldProblem("", "too_deep", _TOO_DEEP)])
    if b"\\u0000" in body and _NUL.search(body):
        problems = _fields_with(lambda text: "\0" in text, body, "nul_character", _NUL_REFUSED)
        raise InvalidInput(_NUL_REFUSED, problems=problems)
    if _SURROGATE.search(body) and any(found[1] for found in _ESCAPE.finditer(body)):
        problems = _fields_with(
            lambda text: bool(_HALF.search(text)), body, "lone_surrogate", _HALF_REFUSED
        )
        raise InvalidInput(_HALF_REFUSED, problems=problems)
    return body


def _in_utf8(body: bytes) -> bytes:
    """Decode a body as `json.loads` would, but strictly, and drop the byte order mark."""
    try:
        return body.decode(json.detect_encoding(body)).encode()
    except UnicodeError as error:
        raise Unreadable("The body is not valid UTF-8. Send it encoded as UTF-8.") from error


def _fields_with(
    is_bad: Callable[[str], bool], body: bytes, code: str, words: str
) -> list[FieldProblem]:
    """List the fields whose name or text is invalid; empty if the body cannot be read."""
    try:
        found = itertools.islice(_paths_of(is_bad, json.loads(body), ""), _MOST_PROBLEMS)
        return [FieldProblem(_readable(path), code, words) for path in found]
    except (ValueError, RecursionError):
        return []


def _paths_of(is_bad: Callable[[str], bool], value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str) and is_bad(value):
        yield path
    pairs = value.items() if isinstance(value, dict) else ()
    for name, inner in enumerate(value) if isinstance(value, list) else pairs:
        where = f"{path}.{name}".removeprefix(".")
        if isinstance(name, str) and is_bad(name):
            yield where
        else:
            yield from _paths_of(is_bad, inner, where)


def _readable(path: str) -> str:
    return path.encode(errors="replace").decode().replace("\0", "?")
