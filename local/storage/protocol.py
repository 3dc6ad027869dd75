"""Reads S3 requests and writes answers."""

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from local.storage.objects import Upload
from local.storage.refusals import S3Refusal
from local.storage.signatures import UNSIGNED

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CHUNK_BYTES = 1024 * 1024
_MAX_XML_BYTES = 2 * 1024**2
_KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_XML_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Disconnected(Exception):
    """The client disconnected in the middle of its request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `raw_path` is as sent; `bucket`, `key` and `query` are decoded; `pairs` is the query in its original order."""

    method: str
    raw_path: str
    bucket: str
    key: str
    query: Mapping[str, str]
    pairs: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body_hash: str
    receive: Receive

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces of about a megabyte."""
        gathered = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            gathered += message.get("body", b"")
            if not message.get("more_body"):
                yield bytes(gathered)
                return
            if len(gathered) >= CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()

    async def small_body(self) -> bytes:
        """Return the whole body of an XML request."""
        whole = bytearray()
        async for piece in self.body():
            whole += piece
            if len(whole) > _MAX_XML_BYTES:
                raise S3Refusal(400, "MaxMessageLengthExceeded", "Your request was too big.")
        return bytes(whole)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a `body`, or with `pieces` if the body is too large for memory."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    pieces: Iterator[bytes] | None = None


def read_request(scope: Scope, receive: Receive) -> Request:
    """Read a request's head; `receive` reads the body later."""
    raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
    bucket, _, key = raw_path.lstrip("/").partition("/")
    pairs = parse_qsl(
        scope["query_string"].decode("latin-1").replace("+", "%2B"), keep_blank_values=True
    )
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1").lower()
        headers[text] = (
            f"{headers[text]},{value.decode('latin-1')}"
            if text in headers
            else value.decode("latin-1")
        )
    return Request(
        scope["method"],
        raw_path,
        unquote(bucket),
        unquote(key),
        dict(pairs),
        pairs,
        headers,
        UNSIGNED,
        receive,
    )


def with_hash(request: Request, body_hash: str) -> Request:
    """Add the body's hash from the signature."""
    return dataclasses.replace(request, body_hash=body_hash)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Select the headers that are stored with an object and served with it."""
    kept = {
        name: value
        for name, value in headers.items()
        if name in _KEPT_HEADERS or name.startswith("x-amz-meta-")
    }
    return {"content-type": "binary/octet-stream", **kept}


def parse_xml(body: bytes) -> ET.Element:
    """Read an XML body.

    Raises:
        S3Refusal: the body is not XML.
    """
    try:
        return ET.fromstring(body)  # noqa: S314 (from our own functions, signed, and small)
    except ET.ParseError as error:
        raise S3Refusal(400, "MalformedXML", "The XML you provided was not well-formed") from error


def xml_answer(name: str, inner: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {_XML_NAMESPACE}>{inner}</{name}>'
    return Answer(200, {"content-type": "application/xml"}, text.encode())


def names_of(upload: Upload) -> str:
    return f"<Bucket>{escape(upload.bucket)}</Bucket><Key>{escape(upload.key)}</Key>"


def iso_time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def flag(value: bool) -> str:
    return "true" if value else "false"
