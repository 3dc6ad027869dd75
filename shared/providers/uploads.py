"""Sends stored files to a platform in ranges, with little memory, and only while there is time.

There are two ways: `chunks` for platforms that accept numbered pieces (the position can be stored and resumed), and
`RangeFile` for platforms that need one body, which is read range by range as it is sent. The body may also be assembled
from several files.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from shared.core.ranges import Assembled
from shared.providers.base import OutgoingMedia
from shared.providers.errors import PlatformUnavailable
from shared.providers.http import Api

MAX_RANGE = 8 * 1024 * 1024
TIME_TO_STOP = timedelta(seconds=20)  # what a stage function needs to store its position


@dataclass(frozen=True, slots=True)
class Chunk:
    """One numbered piece of a file. `start` is its offset in bytes."""

    index: int
    start: int
    data: bytes
    is_last: bool


def is_time_short(api: Api, *, needed: timedelta = TIME_TO_STOP) -> bool:
    """Return whether a task should store its position and end rather than begin another piece."""
    return api.time_left() < needed


def chunks(api: Api, media: OutgoingMedia, *, size: int, first: int = 0) -> Iterator[Chunk]:
    """Yield a file's pieces of `size` bytes from number `first`; stop early, after any piece, when time is short."""
    if not 0 < size <= MAX_RANGE:
        raise ValueError(f"a piece has 1 to {MAX_RANGE} bytes, not {size}")
    for index, start in enumerate(range(first * size, media.size_bytes, size), first):
        length = min(size, media.size_bytes - start)
        yield Chunk(
            index, start, read_range(api, media, start, length), start + length == media.size_bytes
        )
        if is_time_short(api):
            return


def read_range(api: Api, media: OutgoingMedia, start: int, length: int) -> bytes:
    """Read `length` bytes from `start`.

    Raises:
        PlatformUnavailable: the storage returned less; the file may be being replaced.
    """
    data = api.read_media(media.key, start, length)
    if len(data) != length:
        raise PlatformUnavailable(
            f"The stored file ended early: {start + len(data)} of {media.size_bytes} bytes."
        )
    return data


class RangeFile(io.RawIOBase):
    """A stored file, or one assembled from several, as a readable, seekable file object; holds one range at a time.

    httpx sends it as a request's body or as part of a multipart form, and finds its length by seeking.
    """

    def __init__(
        self, api: Api, file: OutgoingMedia | Assembled, *, range_bytes: int = 4 * 1024 * 1024
    ) -> None:
        super().__init__()
        self._api, self._range_bytes = api, min(range_bytes, MAX_RANGE)
        self._size = file.size_bytes
        self._read = file.read if isinstance(file, Assembled) else partial(read_range, api, file)
        self._position = 0
        self._held, self._held_from = b"", 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: httpx rewinds before it sends."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move without reading."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, from the held range or the next one.

        Raises:
            PlatformUnavailable: there is no time left to continue; nothing was created, so the upload is repeated.
        """
        left = self._size - self._position
        if left <= 0 or size == 0:
            return b""
        offset = self._position - self._held_from
        if not 0 <= offset < len(self._held):
            if is_time_short(self._api, needed=timedelta(seconds=1)):
                raise PlatformUnavailable("The upload did not end in time.")
            self._held = self._read(self._position, min(self._range_bytes, left))
            self._held_from, offset = self._position, 0
        data = self._held[offset:] if size < 0 else self._held[offset : offset + size]
        self._position += len(data)
        return data
