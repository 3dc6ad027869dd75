"""S3's checks of a request against stored data: digests, parts, conditions and ranges."""

import base64
import contextlib
from collections.abc import (
    Sequence,
)
from email.utils import parsedate_to_datetime

from local.storage.objects import BlobWriter, Part, StoredObject
from local.storage.protocol import Request
from local.storage.refusals import S3Refusal
from local.storage.signatures import UNSIGNED

_MIN_PART_BYTES = 5 * 1024**2


def check_digests(request: Request, writer: BlobWriter) -> None:
    """Check the received body against every digest that was sent with it.

    Raises:
        S3Refusal: a digest does not match.
    """
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


def chosen_parts(asked: Sequence[tuple[int, str]], parts: Sequence[Part]) -> Sequence[Part]:
    """Find the parts that a completion request lists.

    Raises:
        S3Refusal: one is missing, was uploaded again since, is out of order, or is too small and not the last.
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


def is_unchanged(request: Request, stored: StoredObject) -> bool:
    """Return whether the caller already has this version of the object (`If-None-Match`, else `If-Modified-Since`)."""
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


def byte_range(header: str | None, size: int) -> tuple[int, int]:
    """Return the first and last requested byte. As in S3, several ranges or an unreadable one mean the whole object."""
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
