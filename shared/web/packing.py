"""Gzips JSON answers if the client accepts it, and answers 304 if the client already has the answer.

Streamed answers, files and compressed answers are unchanged. So are texts of less than `MIN_BYTES`, which fit into one
packet anyway.

If a compressed answer mixed a secret with text that an attacker chooses, its length would leak the secret (BREACH) to
anyone who can make a browser send hundreds of such requests. Here nobody can: cookies are SameSite=Lax, so another site
can only make the browser send them by opening a link; a cross-site request that changes anything is refused
(`shared/access/crossing.py`); and no answer to a GET contains a secret, which a test checks for every route.

Sources: RFC 9110, sections 8.8, 12.5.3, 13.1.2 and 15.4.5; breachattack.com; read 2026-12.
"""

import hashlib
import zlib
from collections.abc import Mapping
from http import HTTPStatus

from shared.core.errors import InvalidInput
from shared.web.bodies import is_json

MIN_BYTES = 1024
# Measured on a month of 5,000 posts, 3.2 MB: 550 kB in 23 ms. Level 1 makes 578 kB in 20 ms, level 6 512 kB in 54 ms.
LEVEL = 3
MAX_ANSWER_BYTES = 6 * 1024**2 - 64 * 1024
"""Lambda's limit for an answer, minus room for the headers. The body is a JSON string or base64 there."""

_GZIP = 16 + zlib.MAX_WBITS
Headers = list[tuple[bytes, bytes]]


class AnswerTooLarge(InvalidInput):
    """The answer would be too large."""

    code = "answer_too_large"

    def __init__(self) -> None:
        super().__init__(
            "The answer is larger than 6 MB. Request less, such as a shorter range, or send `Accept-Encoding: gzip`."
        )


def finish(
    request_headers: Mapping[str, str], status: int, headers: Headers, body: bytes, *, is_list: bool
) -> tuple[int, Headers, bytes]:
    """Return the final answer: its status, headers and body.

    `asked` are the request's headers. A list has an `ETag`: a hash of its body, computed for each request, so that a 304
    never hides a change. It saves sending, not reading: rows that a list joins can change without it, so a statement that
    detects every change would read as much as the list.

    Raises:
        AnswerTooLarge: the answer exceeds Lambda's limit.
    """
    given = {name.lower(): value.decode("latin-1") for name, value in headers}
    if b"content-encoding" in given or not is_json(given.get(b"content-type", "")):
        return status, headers, body
    is_short = len(body) < MIN_BYTES
    if not is_short:
        headers = _varying(headers)  # a 304 too: it varies like the answer that it replaces
    if is_list and status == HTTPStatus.OK and b"etag" not in given:
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = [*headers, (b"etag", tag.encode())]
        if is_among(tag, request_headers.get("if-none-match", "")):
            unsent = (b"content-type", b"content-length")
            return HTTPStatus.NOT_MODIFIED, _without(headers, *unsent), b""
    if is_short:
        return status, headers, body
    if takes_gzip(request_headers.get("accept-encoding", "")):
        body = zlib.compress(body, LEVEL, _GZIP)
        packed = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
        return status, [*_without(headers, b"content-length"), *packed], body
    if len(body) > MAX_ANSWER_BYTES // 2 and bytes_in_json(body) > MAX_ANSWER_BYTES:
        raise AnswerTooLarge
    return status, headers, body


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip and does not prefer plain text. Without the header it gets plain text."""
    liked: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            liked[coding] = float(weight)
        except ValueError:
            liked[coding] = 0.0
    others = liked.get("*", 0.0)
    gzip = liked.get("gzip", liked.get("x-gzip", others))
    return gzip > 0 and gzip >= liked.get("identity", 0.0)


def is_among(tag: str, if_none_match: str) -> bool:
    """Return whether a header contains a tag, weak or strong."""
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in given or tag.removeprefix("W/") in given


def bytes_in_json(body: bytes) -> int:
    """Return the size of a text as a JSON string in bytes, without its quotes."""
    return len(body) + body.count(b'"') + body.count(b"\\") + body.count(b"\n")


def _without(headers: Headers, *names: bytes) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in names]


def _varying(headers: Headers) -> Headers:
    """Add the deciding header to the answer's `Vary`."""
    named = [value.decode("latin-1").lower() for name, value in headers if name.lower() == b"vary"]
    if "accept-encoding" in ",".join(named):
        return headers
    varies = b", ".join([*(name.encode() for name in named), b"accept-encoding"])
    return [*_without(headers, b"vary"), (b"vary", varies)]
