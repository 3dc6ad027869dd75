"""Adds a file to the library through a function: a complete one, or one that is still being read.

Its type is detected from its first bytes before anything is stored, so it is stored directly under its public object key,
which nobody learns before the file is in the library. If a process dies on the way, it leaves an incomplete row, which the
sweep removes with everything under its object key.
"""

import hashlib
import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO

from sqlalchemy.orm import Session

from shared.audit.entries import Actor
from shared.aws import storage
from shared.aws.storage import UploadedPart
from shared.core.ids import MediaId, OrganizationId, new_id
from shared.core.ranges import Ranges
from shared.db.session import unit_of_work
from shared.media.errors import FileRefused
from shared.media.keys import incoming_key, served_key, stored_name
from shared.media.probe import Examined, FileInfo, check_size, examine, max_bytes
from shared.media.queries import ADD_UPLOAD, MediaRow
from shared.media.quota import check_quota
from shared.media.schemas import file_name
from shared.media.sniff import EXTENSIONS, HEAD_BYTES, sniff
from shared.media.upload import add_to_library, refuse_upload, store_examined

PART_BYTES = 8 * 1024**2
_PIECE_BYTES = 256 * 1024
_PARTS_AT_ONCE = 2  # being sent while the next one is read; memory holds one more
# The name that a client sends if it only knows the kind of file.
_NO_NAMES = frozenset({"", "file", "blob", "jpeg", *EXTENSIONS.values()})


@dataclass(frozen=True, slots=True)
class Expected:
    """A file with a row and an object key, from which it will be served."""

    media_id: MediaId
    key: str


def given_name(given: str | None) -> str | None:
    """Read the client's file name; None if it sends none, or only the kind of file."""
    name = file_name(given or "")
    return None if name.lower() in _NO_NAMES else name


def look_at(file: IO[bytes]) -> Examined:
    """Examine a complete file: return its properties and the content to store.

    Raises:
        FileRefused: it may not be stored.
    """
    size_bytes = file.seek(0, 2)

    def read(start: int, length: int) -> bytes:
        file.seek(start)
        return file.read(length)

    return examine(Ranges(read, size_bytes))


def hash_of(file: IO[bytes]) -> bytes:
    """Hash a complete file in pieces."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.digest()


def expect_file(
    session: Session,
    actor: Actor,
    info: FileInfo,
    *,
    name: str | None,
) -> Expected:
    """Add the row of a file, which is stored after the commit. Without a name it gets its stored name."""
    expected = _place(actor.organization, info.content_type)
    _add(session, actor, expected, size_bytes=info.size_bytes, name=name)
    return expected


def store_file(actor: Actor, expected: Expected, examined: Examined) -> MediaRow:
    """Store a file that was examined and is still open, and add it to the library.

    Doing this twice is harmless.

    Raises:
        UploadIsOver: it was aborted in the meantime.
    """
    info = examined.info
    content = examined.content.read(
        0, info.size_bytes
    )  # only a few megabytes, because it arrived in one request
    storage.put(expected.key, content, content_type=info.content_type)
    return add_to_library(
        actor, expected.media_id, info, key=expected.key, arrived_under=expected.key
    )


def receive(
    actor: Actor,
    pieces: Iterator[bytes],
    *,
    announced_bytes: int | None,
    name: str | None,
) -> MediaRow:
    """Store a file while it is read, with only a few parts in memory.

    An error from `pieces` is passed on, and nothing stays stored. Do not call this inside a transaction.

    Raises:
        FileRefused: it may not be stored.
    """
    parts = _in_parts(pieces)
    first = next(parts, b"")
    content_type = _type_of(first)
    check_size(content_type, announced_bytes or 0)
    second = next(parts, None)
    if second is None:
        file = io.BytesIO(first)
        examined = look_at(file)
        with unit_of_work() as session:
            expected = expect_file(session, actor, examined.info, name=name)
        return store_file(actor, expected, examined)
    return _receive_in_parts(actor, chain((first, second), parts), content_type, name=name)


def _receive_in_parts(
    actor: Actor,
    parts: Iterator[bytes],
    content_type: str,
    *,
    name: str | None,
) -> MediaRow:
    """Store parts as they arrive. The row is added when all have arrived; until then only parts exist."""
    expected = _place(actor.organization, content_type)
    key = expected.key
    upload_id = storage.create_multipart(key, content_type=content_type)
    with ExitStack() as undo:
        undo.callback(storage.abort_multipart, key, upload_id)
        sent, size_bytes = _send(key, upload_id, content_type, parts)
        with unit_of_work() as session:
            _add(session, actor, expected, size_bytes=size_bytes, name=name)
        storage.complete_multipart(key, upload_id, sent)
        undo.pop_all()
    stored = storage.head(key)
    try:
        read = partial(storage.read_range, key, etag=stored.etag)
        examined = examine(Ranges(read, size_bytes))
    except FileRefused as refused:
        refuse_upload(actor.organization, expected.media_id, key, refused)
        raise
    store_examined(key, key, examined, source=stored)
    return add_to_library(actor, expected.media_id, examined.info, key=key, arrived_under=key)


def _send(
    key: str, upload_id: str, content_type: str, parts: Iterator[bytes]
) -> tuple[list[UploadedPart], int]:
    """Send parts while the next one is read; return the confirmed parts and the number of bytes."""
    limit = max_bytes(content_type)
    sent: list[UploadedPart] = []
    under_way: deque[Future[UploadedPart]] = deque()
    size_bytes = 0
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        for number, part in enumerate(parts, start=1):
            size_bytes += len(part)
            if size_bytes > limit:
                raise FileRefused(
                    "too_large",
                    f"Files of this kind can have at most {limit:,} bytes; this one has more. "
                    "Upload a smaller one.",
                    path="size",
                )
            under_way.append(pool.submit(storage.upload_part, key, upload_id, number, part))
            if len(under_way) == _PARTS_AT_ONCE:
                sent.append(under_way.popleft().result())
        sent += [one.result() for one in under_way]
    return sent, size_bytes


def _in_parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Combine pieces, each smaller than a part, into parts of `PART_BYTES`, and a last one with the rest."""
    held: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        held.append(piece)
        size_bytes += len(piece)
        if size_bytes >= PART_BYTES:
            part = b"".join(held)
            yield part[:PART_BYTES]
            held, size_bytes = [part[PART_BYTES:]], size_bytes - PART_BYTES
    if size_bytes:
        yield b"".join(held)


def _type_of(first: bytes) -> str:
    if not first:
        raise FileRefused("empty", "The file is empty. Choose another file.")
    return sniff(first[:HEAD_BYTES])


def _place(organization_id: OrganizationId, content_type: str) -> Expected:
    media_id = MediaId(new_id())
    return Expected(media_id, served_key(incoming_key(organization_id, media_id), content_type))


def _add(
    session: Session,
    actor: Actor,
    expected: Expected,
    *,
    size_bytes: int,
    name: str | None,
) -> None:
    check_quota(session, actor.organization, size_bytes)
    ADD_UPLOAD.run(
        session,
        actor.organization,
        media_id=expected.media_id,
        uploaded_by=actor.user_id,
        key=expected.key,
        upload_id=None,
        name=name or stored_name(expected.key),
        size_bytes=size_bytes,
    )
