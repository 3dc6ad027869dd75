"""The HTTP front of the object storage: S3's protocol over the store of `objects.py`.

It takes the place of S3, and below `/_public/` that of CloudFront. Unlike moto's S3, it refuses forged and expired
signatures, streams (an upload of gigabytes is never in memory) and keeps objects across restarts.
"""

import asyncio
import contextlib
import fnmatch
import hashlib
import uuid
from collections.abc import (
    Awaitable,
    Callable,
    Sequence,
)
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from local.storage.listing import list_page
from local.storage.objects import ObjectStore, StoredObject, Upload
from local.storage.protocol import (
    CHUNK_BYTES,
    Answer,
    Disconnected,
    Receive,
    Request,
    Scope,
    Send,
    flag,
    iso_time,
    kept_headers,
    names_of,
    parse_xml,
    read_request,
    with_hash,
    xml_answer,
)
from local.storage.refusals import S3Refusal
from local.storage.rules import byte_range, check_digests, chosen_parts, is_unchanged
from local.storage.signatures import UNSIGNED, SignedRequest, Verifier
from local.system import BucketSpec, CorsRule
from shared.core import clock

PUBLIC_PREFIX = "/_public/"
_MAX_SINGLE_BYTES = 5 * 1024**3
# The headers that CloudFront adds to media (MediaHeaders in template.yaml), so that an upload never runs as html.
_PUBLIC_HEADERS = {
    "access-control-allow-origin": "*",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


_Handler = Callable[[Request], Awaitable[Answer]]


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
        request = read_request(scope, receive)
        request_id = uuid.uuid4().hex[:16].upper()
        try:
            answer = await self._answer(request)
        except S3Refusal as refusal:
            answer = Answer(
                refusal.status,
                {"content-type": "application/xml"},
                refusal.as_xml(unquote(request.raw_path), request_id),
            )
        except Disconnected:
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

    async def _answer(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return self._preflight(request)
        if request.raw_path.startswith(PUBLIC_PREFIX):
            return await self._public(request)
        signed = SignedRequest(request.method, request.raw_path, request.pairs, request.headers)
        body_hash = self._verifier.verify(signed, now=clock.now())
        request = with_hash(request, body_hash)
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

    def _handler(self, request: Request) -> _Handler:
        """Choose the handler by the method and the query's subresource, as S3 does."""
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

    async def _not_implemented(self, request: Request) -> Answer:
        raise S3Refusal(
            501, "NotImplemented", f"The local storage does not know this {request.method}."
        )

    # Objects

    async def _public(self, request: Request) -> Answer:
        key = unquote(request.raw_path).removeprefix(PUBLIC_PREFIX)
        if request.method not in ("GET", "HEAD"):
            raise S3Refusal(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )
        stored = await asyncio.to_thread(self._store.find, self._public_bucket, key)
        if stored is None:
            # S3's answer to a caller without permission to list.
            raise S3Refusal(403, "AccessDenied", "Access Denied")
        return self._serve(request, stored)

    async def _get(self, request: Request) -> Answer:
        stored = await asyncio.to_thread(self._find, request)
        return self._serve(request, stored)

    def _find(self, request: Request) -> StoredObject:
        stored = self._store.find(request.bucket, request.key)
        if stored is None:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return stored

    def _serve(self, request: Request, stored: StoredObject) -> Answer:
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
        if is_unchanged(request, stored):
            return Answer(304, {name: headers[name] for name in ("etag", "last-modified")})
        if (match := request.headers.get("if-match")) and match.strip('"') not in (
            "*",
            stored.etag,
        ):
            raise S3Refusal(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            )
        first, last = byte_range(request.headers.get("range"), stored.size)
        length = last - first + 1
        headers["content-length"] = str(length)
        status = 200
        if (first, last) != (0, stored.size - 1):
            status = 206
            headers["content-range"] = f"bytes {first}-{last}/{stored.size}"
        pieces = (
            None
            if request.method == "HEAD"
            else self._store.read(stored.blobs, first, length, chunk=CHUNK_BYTES)
        )
        return Answer(status, headers, pieces=pieces)

    async def _put(self, request: Request) -> Answer:
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
            headers=kept_headers(request.headers),
        )
        return Answer(200, {"etag": f'"{stored.etag}"', **checksum})

    async def _put_part(self, request: Request) -> Answer:
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
        return Answer(200, {"etag": f'"{blob.md5}"', **checksum})

    async def _take(self, request: Request) -> tuple[Any, dict[str, str]]:
        """Write the body to a blob and check every digest that was sent with it."""
        if int(request.headers.get("content-length", "0")) > _MAX_SINGLE_BYTES:
            raise S3Refusal(
                400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"
            )
        writer = await asyncio.to_thread(self._store.writer)
        try:
            async for piece in request.body():
                await asyncio.to_thread(writer.write, piece)
            check_digests(request, writer)
            blob = await asyncio.to_thread(writer.finish)
        finally:
            writer.discard()
        checksum = {
            name: value for name, value in request.headers.items() if name == "x-amz-checksum-crc32"
        }
        return blob, checksum

    async def _copy(self, request: Request) -> Answer:
        bucket, _, key = unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = await asyncio.to_thread(self._store.find, bucket, key.partition("?versionId=")[0])
        if source is None:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        replace = request.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
        headers = kept_headers(request.headers) if replace else source.headers
        stored = await asyncio.to_thread(
            self._store.copy, source, request.bucket, request.key, headers=headers
        )
        return xml_answer(
            "CopyObjectResult",
            f"<ETag>&quot;{stored.etag}&quot;</ETag><LastModified>{iso_time(stored.modified)}</LastModified>",
        )

    async def _delete(self, request: Request) -> Answer:
        await asyncio.to_thread(self._store.delete, request.bucket, request.key)
        return Answer(204, {})

    async def _delete_many(self, request: Request) -> Answer:
        document = parse_xml(await self._checked_body(request))
        keys = [element.findtext("{*}Key") or "" for element in document.findall("{*}Object")]
        for key in keys:
            await asyncio.to_thread(self._store.delete, request.bucket, key)
        quiet = document.findtext("{*}Quiet") == "true"
        return xml_answer(
            "DeleteResult",
            ""
            if quiet
            else "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys),
        )

    # Multipart uploads

    async def _begin(self, request: Request) -> Answer:
        upload = await asyncio.to_thread(
            self._store.begin, request.bucket, request.key, kept_headers(request.headers)
        )
        return xml_answer(
            "InitiateMultipartUploadResult", f"{names_of(upload)}<UploadId>{upload.id}</UploadId>"
        )

    async def _complete(self, request: Request) -> Answer:
        upload = await asyncio.to_thread(self._upload, request)
        document = parse_xml(await self._checked_body(request))
        asked = [
            (
                int(element.findtext("{*}PartNumber") or 0),
                (element.findtext("{*}ETag") or "").strip('"'),
            )
            for element in document.findall("{*}Part")
        ]
        chosen = chosen_parts(asked, await asyncio.to_thread(self._store.parts, upload))
        stored = await asyncio.to_thread(self._store.complete, upload, chosen)
        location = f"<Location>{escape(request.raw_path)}</Location>"
        return xml_answer(
            "CompleteMultipartUploadResult",
            f"{location}{names_of(upload)}<ETag>&quot;{stored.etag}&quot;</ETag>",
        )

    async def _abort(self, request: Request) -> Answer:
        upload = await asyncio.to_thread(self._upload, request)
        await asyncio.to_thread(self._store.abort, upload)
        return Answer(204, {})

    async def _list_parts(self, request: Request) -> Answer:
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
        entries = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso_time(part.modified)}</LastModified>"
            f"<ETag>&quot;{part.blob.md5}&quot;</ETag><Size>{part.blob.size}</Size></Part>"
            for part in parts[:limit]
        )
        following = (
            f"<NextPartNumberMarker>{parts[limit - 1].number}</NextPartNumberMarker>"
            if len(parts) > limit
            else ""
        )
        paging = f"<PartNumberMarker>{after}</PartNumberMarker>{following}<MaxParts>{limit}</MaxParts><IsTruncated>{flag(len(parts) > limit)}</IsTruncated>"
        return xml_answer(
            "ListPartsResult",
            f"{names_of(upload)}<UploadId>{upload.id}</UploadId>{paging}{entries}",
        )

    def _upload(self, request: Request) -> Upload:
        upload = self._store.find_upload(request.bucket, request.key, request.query["uploadId"])
        if upload is None:
            raise S3Refusal(
                404,
                "NoSuchUpload",
                "The specified upload does not exist. It may have been aborted or completed.",
            )
        return upload

    async def _checked_body(self, request: Request) -> bytes:
        body = await request.small_body()
        if request.body_hash != UNSIGNED and hashlib.sha256(body).hexdigest() != request.body_hash:
            raise S3Refusal(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        return body

    # Buckets

    def _list_buckets(self) -> Answer:
        entries = "".join(
            f"<Bucket><Name>{name}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>"
            for name in sorted(self._buckets)
        )
        return xml_answer(
            "ListAllMyBucketsResult", f"<Owner><ID>local</ID></Owner><Buckets>{entries}</Buckets>"
        )

    async def _head_bucket(self, _request: Request) -> Answer:
        return Answer(200, {"x-amz-bucket-region": "us-east-1"})

    async def _location(self, _request: Request) -> Answer:
        return xml_answer("LocationConstraint", "")

    async def _list_uploads(self, request: Request) -> Answer:
        prefix = request.query.get("prefix", "")
        uploads = [
            upload
            for upload in await asyncio.to_thread(self._store.uploads, request.bucket)
            if upload.key.startswith(prefix)
        ]
        entries = "".join(
            f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{upload.id}</UploadId><Initiated>{iso_time(upload.started)}</Initiated></Upload>"
            for upload in uploads
        )
        return xml_answer(
            "ListMultipartUploadsResult",
            f"<Bucket>{request.bucket}</Bucket><IsTruncated>false</IsTruncated>{entries}",
        )

    async def _list(self, request: Request) -> Answer:
        return await asyncio.to_thread(list_page, self._store, request)

    # CORS

    def _rule(self, request: Request, method: str) -> CorsRule | None:
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

    def _cors_headers(self, request: Request) -> dict[str, str]:
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

    def _preflight(self, request: Request) -> Answer:
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
        return Answer(200, headers)
