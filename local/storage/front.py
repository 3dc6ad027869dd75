"""The object storage as browsers and functions see it: S3's protocol over the store of `objects.py`.

It stands where S3 stands, and below `/_public/` where CloudFront stands. Unlike moto's, it refuses forged and
expired signatures, streams (an upload of gigabytes is never in memory) and forgets nothing.
"""

import asyncio
import base64
import contextlib
import dataclasses
import fnmatch
import hashlib
import uuid
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
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from local.storage.objects import BlobWriter, ObjectStore, Part, StoredObject, Upload
from local.storage.refusals import S3Refusal
from local.storage.signatures import UNSIGNED, SignedRequest, Verifier
from local.template import BucketSpec, CorsRule

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PUBLIC_PREFIX = "/_public/"
_CHUNK = 1024 * 1024
_MAX_SINGLE_BYTES = 5 * 1024**3
_MIN_PART_BYTES = 5 * 1024**2
_MAX_XML_BYTES = 2 * 1024**2
_KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
# What CloudFront adds in front of media (MediaHeaders in template.yaml): an upload never runs as a page.
_PUBLIC_HEADERS = {
    "access-control-allow-origin": "*",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}
_XML_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class _Disconnected(Exception):
    """The client went away in the middle of its request."""


@dataclass(frozen=True, slots=True)
class _Request:
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
                raise _Disconnected
            gathered += message.get("body", b"")
            if not message.get("more_body"):
                yield bytes(gathered)
                return
            if len(gathered) >= _CHUNK:
                yield bytes(gathered)
                gathered.clear()

    async def small_body(self) -> bytes:
        whole = bytearray()
        async for piece in self.body():
            whole += piece
            if len(whole) > _MAX_XML_BYTES:
                raise S3Refusal(400, "MaxMessageLengthExceeded", "Your request was too big.")
        return bytes(whole)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    pieces: Iterator[bytes] | None = None


_Handler = Callable[[_Request], Awaitable[_Answer]]


class Storage:
    """An ASGI application that speaks S3 for the template's buckets."""

    def __init__(
        self,
        store: ObjectStore,
        buckets: Sequence[BucketSpec],
        verifier: Verifier,
        *,
        public_bucket: str,
    ) -> None:
        self._store = store
        self._buckets = {bucket.name: bucket for bucket in buckets}
        self._verifier = verifier
        self._public_bucket = public_bucket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = _read_request(scope, receive)
        request_id = uuid.uuid4().hex[:16].upper()
        try:
            answer = await self._answer(request)
        except S3Refusal as refusal:
            answer = _Answer(
                refusal.status,
                {"content-type": "application/xml"},
                refusal.as_xml(unquote(request.raw_path), request_id),
            )
        except _Disconnected:
            return
        headers = {"x-amz-request-id": request_id, **answer.headers, **self._cors_headers(request)}
        if request.raw_path.startswith(PUBLIC_PREFIX):
            headers |= _PUBLIC_HEADERS
        if answer.pieces is None:
            headers["content-length"] = headers.get("content-length", str(len(answer.body)))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()
                ],
            }
        )
        if request.method == "HEAD" or answer.pieces is None:
            await send(
                {
                    "type": "http.response.body",
                    "body": b"" if request.method == "HEAD" else answer.body,
                }
            )
            return
        with contextlib.closing(answer.pieces):  # type: ignore[type-var]  # it is a generator
            while piece := await asyncio.to_thread(next, answer.pieces, b""):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, request: _Request) -> _Answer:
        if request.method == "OPTIONS":
            return self._preflight(request)
        if request.raw_path.startswith(PUBLIC_PREFIX):
            return await self._public(request)
        signed = SignedRequest(request.method, request.raw_path, request.pairs, request.headers)
        body_hash = self._verifier.verify(signed, now=datetime.now(UTC))
        request = _with_hash(request, body_hash)
        if not request.bucket:
            return self._list_buckets()
        if request.bucket not in self._buckets:
            raise S3Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
        if unsupported := {
            "acl",
            "tagging",
            "policy",
            "versions",
            "versioning",
            "retention",
            "legal-hold",
            "torrent",
            "select",
        } & set(request.query):
            raise S3Refusal(
                501, "NotImplemented", f"The local storage does not know ?{min(unsupported)}."
            )
        return await self._handler(request)(request)

    def _handler(self, request: _Request) -> _Handler:
        """Choose by method and by the query's sub-resource, as S3 does."""
        on_object = bool(request.key)
        has = request.query.__contains__
        choices: dict[str, list[tuple[bool, _Handler]]] = {
            "GET": [
                (not on_object and has("location"), self._location),
                (not on_object and has("uploads"), self._list_uploads),
                (not on_object and request.query.get("list-type") == "2", self._list),
                (on_object and has("uploadId"), self._list_parts),
                (on_object, self._get),
            ],
            "HEAD": [(on_object, self._get), (True, self._head_bucket)],
            "PUT": [
                (
                    on_object and has("uploadId") and "x-amz-copy-source" in request.headers,
                    self._not_implemented,
                ),
                (on_object and has("uploadId"), self._put_part),
                (on_object and "x-amz-copy-source" in request.headers, self._copy),
                (on_object, self._put),
            ],
            "POST": [
                (not on_object and has("delete"), self._delete_many),
                (on_object and has("uploads"), self._begin),
                (on_object and has("uploadId"), self._complete),
            ],
            "DELETE": [(on_object and has("uploadId"), self._abort), (on_object, self._delete)],
        }
        applying = (handler for applies, handler in choices.get(request.method, []) if applies)
        return next(applying, self._not_implemented)

    async def _not_implemented(self, request: _Request) -> _Answer:
        raise S3Refusal(
            501, "NotImplemented", f"The local storage does not know this {request.method}."
        )

    # Objects

    async def _public(self, request: _Request) -> _Answer:
        key = unquote(request.raw_path).removeprefix(PUBLIC_PREFIX)
        if request.method not in ("GET", "HEAD"):
            raise S3Refusal(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )
        stored = await asyncio.to_thread(self._store.find, self._public_bucket, key)
        if stored is None:
            # As S3 answers those who may not list.
            raise S3Refusal(403, "AccessDenied", "Access Denied")
        return self._serve(request, stored)

    async def _get(self, request: _Request) -> _Answer:
        stored = await asyncio.to_thread(self._find, request)
        return self._serve(request, stored)

    def _find(self, request: _Request) -> StoredObject:
        stored = self._store.find(request.bucket, request.key)
        if stored is None:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return stored

    def _serve(self, request: _Request, stored: StoredObject) -> _Answer:
        headers = {
            **stored.headers,
            **{
                name.removeprefix("response-"): value
                for name, value in request.query.items()
                if name.startswith("response-")
            },
            "etag": f'"{stored.etag}"',
            "last-modified": format_datetime(stored.modified, usegmt=True),
            "accept-ranges": "bytes",
        }
        if _is_unchanged(request, stored):
            return _Answer(304, {name: headers[name] for name in ("etag", "last-modified")})
        if (match := request.headers.get("if-match")) and match.strip('"') not in (
            "*",
            stored.etag,
        ):
            raise S3Refusal(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            )
        first, last = _range(request.headers.get("range"), stored.size)
        length = last - first + 1
        headers["content-length"] = str(length)
        status = 200
        if (first, last) != (0, stored.size - 1):
            status = 206
            headers["content-range"] = f"bytes {first}-{last}/{stored.size}"
        pieces = (
            None
            if request.method == "HEAD"
            else self._store.read(stored.blobs, first, length, chunk=_CHUNK)
        )
        return _Answer(status, headers, pieces=pieces)

    async def _put(self, request: _Request) -> _Answer:
        existing = await asyncio.to_thread(self._store.find, request.bucket, request.key)
        if request.headers.get("if-none-match") == "*" and existing:
            raise S3Refusal(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            )
        blob, checksum = await self._take(request)
        stored = await asyncio.to_thread(
            self._store.put,
            request.bucket,
            request.key,
            [blob],
            etag=blob.md5,
            headers=_kept_headers(request.headers),
        )
        return _Answer(200, {"etag": f'"{stored.etag}"', **checksum})

    async def _put_part(self, request: _Request) -> _Answer:
        upload = await asyncio.to_thread(self._upload, request)
        number = request.query.get("partNumber", "")
        if not number.isdigit() or not 1 <= int(number) <= 10_000:
            raise S3Refusal(
                400,
                "InvalidArgument",
                "Part number must be an integer between 1 and 10000, inclusive",
            )
        blob, checksum = await self._take(request)
        await asyncio.to_thread(self._store.put_part, upload, int(number), blob)
        return _Answer(200, {"etag": f'"{blob.md5}"', **checksum})

    async def _take(self, request: _Request) -> tuple[Any, dict[str, str]]:
        """Write the body to a blob and hold it against every digest that came with it."""
        if int(request.headers.get("content-length", "0")) > _MAX_SINGLE_BYTES:
            raise S3Refusal(
                400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"
            )
        writer = await asyncio.to_thread(self._store.writer)
        try:
            async for piece in request.body():
                await asyncio.to_thread(writer.write, piece)
            _check_digests(request, writer)
            blob = await asyncio.to_thread(writer.finish)
        finally:
            writer.discard()
        checksum = {
            name: value for name, value in request.headers.items() if name == "x-amz-checksum-crc32"
        }
        return blob, checksum

    async def _copy(self, request: _Request) -> _Answer:
        bucket, _, key = unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = await asyncio.to_thread(self._store.find, bucket, key.partition("?versionId=")[0])
        if source is None:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        replace = request.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
        headers = _kept_headers(request.headers) if replace else source.headers
        stored = await asyncio.to_thread(
            self._store.copy, source, request.bucket, request.key, headers=headers
        )
        return _xml(
            "CopyObjectResult",
            f"<ETag>&quot;{stored.etag}&quot;</ETag><LastModified>{_iso(stored.modified)}</LastModified>",
        )

    async def _delete(self, request: _Request) -> _Answer:
        await asyncio.to_thread(self._store.delete, request.bucket, request.key)
        return _Answer(204, {})

    async def _delete_many(self, request: _Request) -> _Answer:
        document = _parse(await self._checked_body(request))
        keys = [element.findtext("{*}Key") or "" for element in document.findall("{*}Object")]
        for key in keys:
            await asyncio.to_thread(self._store.delete, request.bucket, key)
        quiet = document.findtext("{*}Quiet") == "true"
        return _xml(
            "DeleteResult",
            ""
            if quiet
            else "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys),
        )

    # Multipart uploads

    async def _begin(self, request: _Request) -> _Answer:
        upload = await asyncio.to_thread(
            self._store.begin, request.bucket, request.key, _kept_headers(request.headers)
        )
        return _xml(
            "InitiateMultipartUploadResult", f"{_names(upload)}<UploadId>{upload.id}</UploadId>"
        )

    async def _complete(self, request: _Request) -> _Answer:
        upload = await asyncio.to_thread(self._upload, request)
        document = _parse(await self._checked_body(request))
        asked = [
            (
                int(element.findtext("{*}PartNumber") or 0),
                (element.findtext("{*}ETag") or "").strip('"'),
            )
            for element in document.findall("{*}Part")
        ]
        chosen = _choose(asked, await asyncio.to_thread(self._store.parts, upload))
        stored = await asyncio.to_thread(self._store.complete, upload, chosen)
        location = f"<Location>{escape(request.raw_path)}</Location>"
        return _xml(
            "CompleteMultipartUploadResult",
            f"{location}{_names(upload)}<ETag>&quot;{stored.etag}&quot;</ETag>",
        )

    async def _abort(self, request: _Request) -> _Answer:
        upload = await asyncio.to_thread(self._upload, request)
        await asyncio.to_thread(self._store.abort, upload)
        return _Answer(204, {})

    async def _list_parts(self, request: _Request) -> _Answer:
        upload = await asyncio.to_thread(self._upload, request)
        after, limit = (
            int(request.query.get("part-number-marker", "0")),
            int(request.query.get("max-parts", "1000")),
        )
        parts = [
            part
            for part in await asyncio.to_thread(self._store.parts, upload)
            if part.number > after
        ]
        shown = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{_iso(part.modified)}</LastModified>"
            f"<ETag>&quot;{part.blob.md5}&quot;</ETag><Size>{part.blob.size}</Size></Part>"
            for part in parts[:limit]
        )
        following = (
            f"<NextPartNumberMarker>{parts[limit - 1].number}</NextPartNumberMarker>"
            if len(parts) > limit
            else ""
        )
        paging = f"<PartNumberMarker>{after}</PartNumberMarker>{following}<MaxParts>{limit}</MaxParts><IsTruncated>{_flag(len(parts) > limit)}</IsTruncated>"
        return _xml(
            "ListPartsResult", f"{_names(upload)}<UploadId>{upload.id}</UploadId>{paging}{shown}"
        )

    def _upload(self, request: _Request) -> Upload:
        upload = self._store.find_upload(request.bucket, request.key, request.query["uploadId"])
        if upload is None:
            raise S3Refusal(
                404,
                "NoSuchUpload",
                "The specified upload does not exist. It may have been aborted or completed.",
            )
        return upload

    async def _checked_body(self, request: _Request) -> bytes:
        body = await request.small_body()
        if request.body_hash != UNSIGNED and hashlib.sha256(body).hexdigest() != request.body_hash:
            raise S3Refusal(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        return body

    # Buckets

    def _list_buckets(self) -> _Answer:
        shown = "".join(
            f"<Bucket><Name>{name}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>"
            for name in sorted(self._buckets)
        )
        return _xml(
            "ListAllMyBucketsResult", f"<Owner><ID>local</ID></Owner><Buckets>{shown}</Buckets>"
        )

    async def _head_bucket(self, _request: _Request) -> _Answer:
        return _Answer(200, {"x-amz-bucket-region": "us-east-1"})

    async def _location(self, _request: _Request) -> _Answer:
        return _xml("LocationConstraint", "")

    async def _list_uploads(self, request: _Request) -> _Answer:
        prefix = request.query.get("prefix", "")
        uploads = [
            upload
            for upload in await asyncio.to_thread(self._store.uploads, request.bucket)
            if upload.key.startswith(prefix)
        ]
        shown = "".join(
            f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{upload.id}</UploadId><Initiated>{_iso(upload.started)}</Initiated></Upload>"
            for upload in uploads
        )
        return _xml(
            "ListMultipartUploadsResult",
            f"<Bucket>{request.bucket}</Bucket><IsTruncated>false</IsTruncated>{shown}",
        )

    async def _list(self, request: _Request) -> _Answer:
        return await asyncio.to_thread(self._list_page, request)

    def _list_page(self, request: _Request) -> _Answer:
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
        limit = min(int(request.query.get("max-keys", "1000")), 1000)
        token = request.query.get("continuation-token")
        after = (
            base64.urlsafe_b64decode(token).decode()
            if token
            else request.query.get("start-after", "")
        )
        shown: list[str] = []
        groups: list[str] = []
        last = after
        for stored in self._store.list(request.bucket, prefix=prefix, after=after):
            cut = stored.key.find(delimiter, len(prefix)) if delimiter else -1
            group = stored.key[: cut + len(delimiter)] if cut >= 0 else None
            if group is not None and (group in groups[-1:] or after.startswith(group)):
                last = stored.key
                continue
            if len(shown) + len(groups) == limit:
                break
            last = stored.key
            if group is not None:
                groups.append(group)
            else:
                shown.append(_contents(stored, self._written(request, stored.key)))
        else:
            last = ""
        common = "".join(
            f"<CommonPrefixes><Prefix>{self._written(request, group)}</Prefix></CommonPrefixes>"
            for group in groups
        )
        following = (
            f"<NextContinuationToken>{base64.urlsafe_b64encode(last.encode()).decode()}</NextContinuationToken>"
            if last
            else ""
        )
        encoding = (
            "<EncodingType>url</EncodingType>"
            if request.query.get("encoding-type") == "url"
            else ""
        )
        return _xml(
            "ListBucketResult",
            f"<Name>{request.bucket}</Name><Prefix>{self._written(request, prefix)}</Prefix><KeyCount>{len(shown) + len(groups)}</KeyCount>"
            f"<MaxKeys>{limit}</MaxKeys>{encoding}<IsTruncated>{_flag(bool(last))}</IsTruncated>{following}{''.join(shown)}{common}",
        )

    def _written(self, request: _Request, key: str) -> str:
        return quote(key, safe="/") if request.query.get("encoding-type") == "url" else escape(key)

    # CORS

    def _rule(self, request: _Request, method: str) -> CorsRule | None:
        origin, bucket = request.headers.get("origin"), self._buckets.get(request.bucket)
        if origin is None or bucket is None:
            return None
        return next(
            (
                rule
                for rule in bucket.cors
                if method in rule.methods
                and any(fnmatch.fnmatchcase(origin, known) for known in rule.origins)
            ),
            None,
        )

    def _cors_headers(self, request: _Request) -> dict[str, str]:
        method = (
            request.headers.get("access-control-request-method", request.method)
            if request.method == "OPTIONS"
            else request.method
        )
        rule = self._rule(request, method)
        if rule is None:
            return {}
        headers = {
            "access-control-allow-origin": request.headers["origin"],
            "access-control-allow-credentials": "true",
            "vary": "Origin",
        }
        if rule.exposed:
            headers["access-control-expose-headers"] = ", ".join(rule.exposed)
        return headers

    def _preflight(self, request: _Request) -> _Answer:
        rule = self._rule(request, request.headers.get("access-control-request-method", ""))
        asked = [
            name.strip().lower()
            for name in request.headers.get("access-control-request-headers", "").split(",")
            if name.strip()
        ]
        if rule is None or not all(
            any(fnmatch.fnmatchcase(name, known.lower()) for known in rule.headers)
            for name in asked
        ):
            raise S3Refusal(
                403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."
            )
        headers = {"access-control-allow-methods": ", ".join(rule.methods)}
        if asked:
            headers["access-control-allow-headers"] = ", ".join(asked)
        if rule.max_age_seconds is not None:
            headers["access-control-max-age"] = str(rule.max_age_seconds)
        return _Answer(200, headers)


def _read_request(scope: Scope, receive: Receive) -> _Request:
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
    return _Request(
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


def _with_hash(request: _Request, body_hash: str) -> _Request:
    return dataclasses.replace(request, body_hash=body_hash)


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in headers.items()
        if name in _KEPT_HEADERS or name.startswith("x-amz-meta-")
    }
    return {"content-type": "binary/octet-stream", **kept}


def _check_digests(request: _Request, writer: BlobWriter) -> None:
    if request.body_hash != UNSIGNED and writer.sha256.hex() != request.body_hash:
        raise S3Refusal(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    given = {
        "content-md5": writer.md5,
        "x-amz-checksum-crc32": writer.crc32.to_bytes(4, "big"),
        "x-amz-checksum-sha256": writer.sha256,
    }
    for name, digest in given.items():
        if name in request.headers and request.headers[name] != base64.b64encode(digest).decode():
            raise S3Refusal(
                400, "BadDigest", f"The {name} you specified did not match what we received."
            )


def _choose(asked: Sequence[tuple[int, str]], parts: Sequence[Part]) -> Sequence[Part]:
    """Find the parts that a completion names.

    Raises:
        S3Refusal: one is missing, was uploaded anew since, is out of order, or is too small and not the last.
    """
    by_number = {part.number: part for part in parts}
    if not asked:
        raise S3Refusal(
            400,
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    if [number for number, _ in asked] != sorted({number for number, _ in asked}):
        raise S3Refusal(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
    chosen = []
    for number, etag in asked:
        part = by_number.get(number)
        if part is None or part.blob.md5 != etag:
            raise S3Refusal(
                400,
                "InvalidPart",
                "One or more of the specified parts could not be found, or its ETag does not match.",
            )
        chosen.append(part)
    if any(part.blob.size < _MIN_PART_BYTES for part in chosen[:-1]):
        raise S3Refusal(
            400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"
        )
    return chosen


def _is_unchanged(request: _Request, stored: StoredObject) -> bool:
    if (none_match := request.headers.get("if-none-match")) is not None:
        return none_match == "*" or stored.etag in [
            tag.strip().removeprefix("W/").strip('"') for tag in none_match.split(",")
        ]
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    with contextlib.suppress(ValueError):
        return stored.modified.replace(microsecond=0) <= parsedate_to_datetime(since)
    return False


def _range(header: str | None, size: int) -> tuple[int, int]:
    """Return the first and last byte asked for; several ranges, or none that can be read, mean everything, as in S3."""
    everything = (0, size - 1)
    if header is None or not header.startswith("bytes=") or "," in header:
        return everything
    first, dash, last = header.removeprefix("bytes=").strip().partition("-")
    if not dash or not (first + last).isdigit():
        return everything
    start, end = (
        (max(0, size - int(last)), size - 1)
        if not first
        else (int(first), min(int(last), size - 1) if last else size - 1)
    )
    if start >= size or start > end or (not first and int(last) == 0):
        raise S3Refusal(416, "InvalidRange", "The requested range is not satisfiable")
    return start, end


def _parse(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 (from our own functions, signed, and small)
    except ET.ParseError as error:
        raise S3Refusal(400, "MalformedXML", "The XML you provided was not well-formed") from error


def _xml(name: str, inner: str) -> _Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {_XML_NAMESPACE}>{inner}</{name}>'
    return _Answer(200, {"content-type": "application/xml"}, text.encode())


def _contents(stored: StoredObject, key: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{_iso(stored.modified)}</LastModified><ETag>&quot;{stored.etag}&quot;</ETag>"
        f"<Size>{stored.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _names(upload: Upload) -> str:
    return f"<Bucket>{escape(upload.bucket)}</Bucket><Key>{escape(upload.key)}</Key>"


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _flag(value: bool) -> str:
    return "true" if value else "false"
