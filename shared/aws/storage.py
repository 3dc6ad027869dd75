"""Stores and reads files in S3 or a compatible object storage.

A browser uploads in parts directly to the storage, with addresses signed here. Files that programs send or have fetched
pass through a function, one part at a time. Reads and copies that must get exactly the bytes that were checked before
give their ETag.
"""

import functools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any, Literal
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.secrets import secret
from shared.core.config import settings
from shared.core.errors import Unavailable
from shared.core.ranges import Assembled, Span

_Addressing = Literal["path", "virtual"]
# Source: docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, read 2026-11.
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024**2
_COPY_PART_BYTES = 256 * 1024**2
_COPIES_AT_ONCE = 16
# Changed files are read and sent in parts of this size, or in larger ones for large files: 27 MB each for 5 GB.
_SENT_PART_BYTES = 8 * 1024**2
_MOST_SENT_PARTS = 200
_SENT_AT_ONCE = 2
_DELETED_AT_ONCE = 500
# A stored file never changes.
_CACHE_CONTROL = "public, max-age=31536000, immutable"
_GONE = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
_CHANGED = frozenset({"412", "PreconditionFailed"})
_WRONG_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"})


class StorageUnavailable(Unavailable):
    """The object storage does not answer, or its answer is unusable."""

    def __init__(self) -> None:
        super().__init__("The file storage does not answer. Try again in a moment.")


class StorageKeysMissing(Exception):
    """The secret that `S3_CREDENTIALS_SECRET` names lacks the keys of the storage."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The secret {name} needs accessKeyId and secretAccessKey.")


class ObjectMissing(Exception):
    """The object does not exist or has changed, or the upload has ended."""


class PartsRefused(Exception):
    """The storage could not combine the parts: one is missing, too small, or not the one that was named."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's metadata in the storage."""

    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part as confirmed by the storage."""

    number: int
    etag: str


def public_url(key: str) -> str:
    """Return an object's public address."""
    return f"{settings().media_public_url.rstrip('/')}/{quote(key)}"


def key_of(url: str) -> str | None:
    """Return the object key of a public address; None if the address is not ours."""
    prefix = f"{settings().media_public_url.rstrip('/')}/"
    return (
        url.removeprefix(prefix) if settings().media_public_url and url.startswith(prefix) else None
    )


# Uploads in parts


def create_multipart(key: str, *, content_type: str | None = None) -> str:
    """Start a multipart upload and return its id. The bucket's lifecycle rule removes uploads that are never completed.

    With `content_type`, the object can be served as soon as it is complete.
    """
    served = {"ContentType": content_type, "CacheControl": _CACHE_CONTROL} if content_type else {}
    with _failures():
        answer = _client().create_multipart_upload(Bucket=_bucket(), Key=key, **served)
    return str(answer["UploadId"])


def upload_part(key: str, upload_id: str, number: int, content: bytes) -> UploadedPart:
    """Store one part of an upload; all but the last have at least `MIN_PART_BYTES`.

    Raises:
        ObjectMissing: the upload has ended.
    """
    with _failures():
        answer = _client().upload_part(
            Bucket=_bucket(), Key=key, UploadId=upload_id, PartNumber=number, Body=content
        )
    return UploadedPart(number, str(answer["ETag"]))


def presign_part(
    key: str, upload_id: str, number: int, *, size_bytes: int, valid_for: timedelta
) -> str:
    """Sign an address for one part of exactly `size_bytes`; the storage refuses any other length. Sends nothing."""
    url = _client().generate_presigned_url(
        "upload_part",
        Params={
            "Bucket": _bucket(),
            "Key": key,
            "UploadId": upload_id,
            "PartNumber": number,
            "ContentLength": size_bytes,
        },
        ExpiresIn=int(valid_for.total_seconds()),
    )
    return str(url)


def complete_multipart(key: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
    """Combine the parts.

    Raises:
        ObjectMissing: the upload was completed, aborted, or has expired.
        PartsRefused: the parts are not the ones that were uploaded.
    """
    ordered = [
        {"PartNumber": part.number, "ETag": part.etag}
        for part in sorted(parts, key=lambda part: part.number)
    ]
    with _failures():
        _client().complete_multipart_upload(
            Bucket=_bucket(), Key=key, UploadId=upload_id, MultipartUpload={"Parts": ordered}
        )


def abort_multipart(key: str, upload_id: str) -> None:
    """Abort an upload and delete its parts; does nothing if it has ended."""
    try:
        with _failures():
            _client().abort_multipart_upload(Bucket=_bucket(), Key=key, UploadId=upload_id)
    except ObjectMissing:
        return


# Objects


def head(key: str) -> StoredObject:
    """Return an object's metadata.

    Raises:
        ObjectMissing: the object does not exist.
    """
    with _failures():
        answer = _client().head_object(Bucket=_bucket(), Key=key)
    return StoredObject(answer["ContentLength"], answer["ETag"])


def read_range(key: str, start: int, length: int, *, etag: str | None = None) -> bytes:
    """Read `length` bytes from `start`, or fewer at the end of the object.

    Raises:
        ObjectMissing: the object does not exist, or no longer has this `etag`.
    """
    wanted: dict[str, Any] = {"IfMatch": etag} if etag else {}
    with _failures():
        answer = _client().get_object(
            Bucket=_bucket(), Key=key, Range=f"bytes={start}-{start + length - 1}", **wanted
        )
        with answer["Body"] as body:
            return bytes(body.read())


def put(key: str, content: bytes | IO[bytes], *, content_type: str) -> None:
    """Store a small object in one request and replace an existing one; a file object is read in pieces."""
    with _failures():
        _client().put_object(
            Bucket=_bucket(),
            Key=key,
            Body=content,
            ContentType=content_type,
            CacheControl=_CACHE_CONTROL,
        )


def copy(key: str, to: str, *, source: StoredObject, content_type: str) -> None:
    """Copy an object inside the storage, in parallel parts if it is large, and set its type again.

    Raises:
        ObjectMissing: the object is no longer the one that `source` describes.
    """
    with _failures():
        if source.size_bytes <= _COPY_PART_BYTES:
            _copy_at_once(key, to, source, content_type)
            return
        try:
            _copy_in_parts(key, to, source, content_type)
        except ClientError as error:
            if _code_of(error) != "NotImplemented":
                raise
            _copy_at_once(key, to, source, content_type)  # a storage that copies only whole objects


def put_together(
    key: str, to: str, content: Assembled, *, source: StoredObject, content_type: str
) -> None:
    """Store `content`, which consists of pieces of the object `key` and of bytes.

    Parts that are unchanged pieces of that object are copied inside the storage; only the others are read and sent, a few
    at a time. `to` may be `key`. All parts but the last have the same length, because R2 requires it
    (developers.cloudflare.com/r2/objects/multipart-objects, read 2026-11).

    Raises:
        ObjectMissing: the object is no longer the one that `source` describes.
    """
    if content.size_bytes <= _SENT_PART_BYTES:
        put(to, content.read(0, content.size_bytes), content_type=content_type)
        return
    size = max(_SENT_PART_BYTES, -(-content.size_bytes // _MOST_SENT_PARTS))
    starts = range(0, content.size_bytes, size)
    upload_id = create_multipart(to, content_type=content_type)
    writer = _PartWriter(key, to, upload_id, content, source, size)
    try:
        with _failures(), ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            parts = list(pool.map(writer.store, range(1, len(starts) + 1), starts))
        complete_multipart(to, upload_id, parts)
    except (ObjectMissing, PartsRefused, StorageUnavailable):
        abort_multipart(to, upload_id)
        raise


def delete(key: str) -> None:
    """Delete an object; does nothing if it does not exist."""
    with _failures():
        _client().delete_object(Bucket=_bucket(), Key=key)


def delete_page(prefix: str) -> int:
    """Delete a page of the objects whose keys begin with `prefix`; return how many."""
    with _failures():
        answer = _client().list_objects_v2(
            Bucket=_bucket(), Prefix=prefix, MaxKeys=_DELETED_AT_ONCE
        )
        keys = [found["Key"] for found in answer.get("Contents", ())]
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(delete, keys))
    return len(keys)


def _copy_at_once(key: str, to: str, source: StoredObject, content_type: str) -> None:
    _client().copy_object(
        Bucket=_bucket(),
        Key=to,
        CopySource={"Bucket": _bucket(), "Key": key},
        CopySourceIfMatch=source.etag,
        MetadataDirective="REPLACE",
        ContentType=content_type,
        CacheControl=_CACHE_CONTROL,
    )


def _copy_in_parts(key: str, to: str, source: StoredObject, content_type: str) -> None:
    """Copy ranges in parallel: a single copy of 5 GB would take longer than the caller's request."""
    upload_id = _client().create_multipart_upload(
        Bucket=_bucket(), Key=to, ContentType=content_type, CacheControl=_CACHE_CONTROL
    )["UploadId"]

    def copy_part(number: int, start: int) -> dict[str, Any]:
        end = min(start + _COPY_PART_BYTES, source.size_bytes) - 1
        answer = _client().upload_part_copy(
            Bucket=_bucket(),
            Key=to,
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": _bucket(), "Key": key},
            CopySourceIfMatch=source.etag,
            CopySourceRange=f"bytes={start}-{end}",
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    starts = range(0, source.size_bytes, _COPY_PART_BYTES)
    try:
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            parts = list(pool.map(copy_part, range(1, len(starts) + 1), starts))
        _client().complete_multipart_upload(
            Bucket=_bucket(), Key=to, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )
    except (ClientError, BotoCoreError):
        abort_multipart(to, upload_id)
        raise


class _PartWriter:
    """Stores the parts of `put_together` by copying inside the storage, or by reading and sending."""

    def __init__(
        self,
        key: str,
        to: str,
        upload_id: str,
        content: Assembled,
        source: StoredObject,
        part_bytes: int,
    ) -> None:
        self._key, self._to, self._upload_id = key, to, upload_id
        self._content, self._source, self._part_bytes = content, source, part_bytes
        self._can_copy = True
        self._sending = threading.Semaphore(_SENT_AT_ONCE)

    def store(self, number: int, start: int) -> UploadedPart:
        """Store the part that starts at `start`."""
        length = min(self._part_bytes, self._content.size_bytes - start)
        piece = self._content.source_of(start, length) if self._can_copy else None
        if piece is not None:
            try:
                return self._copy(number, piece)
            except ClientError as error:
                if _code_of(error) != "NotImplemented":
                    raise
                self._can_copy = False
        with self._sending:
            part = self._content.read(start, length)
            return upload_part(self._to, self._upload_id, number, part)

    def _copy(self, number: int, piece: Span) -> UploadedPart:
        answer = _client().upload_part_copy(
            Bucket=_bucket(),
            Key=self._to,
            UploadId=self._upload_id,
            PartNumber=number,
            CopySource={"Bucket": _bucket(), "Key": self._key},
            CopySourceIfMatch=self._source.etag,
            CopySourceRange=f"bytes={piece.start}-{piece.start + piece.length - 1}",
        )
        return UploadedPart(number, str(answer["CopyPartResult"]["ETag"]))


@contextmanager
def _failures() -> Iterator[None]:
    """Translate the storage's errors into those that callers handle."""
    try:
        yield
    except ClientError as error:
        code = _code_of(error)
        if code in _GONE or code in _CHANGED:
            raise ObjectMissing(code) from error
        if code in _WRONG_PARTS:
            raise PartsRefused(code) from error
        raise StorageUnavailable from error
    except BotoCoreError as error:
        raise StorageUnavailable from error


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _bucket() -> str:
    return settings().media_bucket


def _client() -> Any:
    config = settings()
    addressing: _Addressing = config.s3_addressing or (
        "path" if config.s3_endpoint_url else "virtual"
    )
    keys = ("", "")
    if config.s3_credentials_secret:
        known = secret(config.s3_credentials_secret)
        keys = known.get("accessKeyId", ""), known.get("secretAccessKey", "")
        if not all(keys):
            raise StorageKeysMissing(config.s3_credentials_secret)
    return _client_of(
        config.s3_endpoint_url,
        config.s3_region or config.aws_region,
        addressing,
        *keys,
    )


@functools.lru_cache(maxsize=2)  # rotated credentials create another client
def _client_of(endpoint: str, region: str, addressing: _Addressing, key_id: str, key: str) -> Any:
    """Create the client. It has its own session, because the default one is not safe in several threads."""
    session = boto3.Session(key_id or None, key or None)
    return session.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": addressing},
            # Other storages would refuse requests with the newer S3 checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=3,
            read_timeout=20,
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=_COPIES_AT_ONCE,
        ),
    )
