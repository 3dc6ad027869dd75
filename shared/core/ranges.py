"""Reads and assembles stored files without holding a whole file in memory."""

import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

WINDOW = 64 * 1024
MAX_READS = 48  # a file whose header needs more than this is refused
# Each look costs about two microseconds including the caller's work. The largest files of cameras and programs need some
# tens of thousands: one per TIFF strip, PNG chunk, GIF frame or box.
MAX_LOOKS = 400_000

_READ_OVER = 256 * 1024  # reading this many bytes is cheaper than another request

ReadRange = Callable[[int, int], bytes]
"""Returns `length` bytes from `start`."""


class Broken(Exception):
    """The bytes do not match their type; the message says where."""


class Scattered(Broken):
    """The parts to read are in too many places; the file may be intact."""


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes from `start` that `read` will return; nothing is read yet."""

    read: ReadRange
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Blank:
    """`length` zeros."""

    length: int


class Ranges:
    """A file of `size` bytes that `read` returns, read through one window at a time.

    By default only a file's head is read: a few small windows. `max_reads=None` reads through all of it. Whatever its
    structure and however often its parts refer to each other, a file is looked at at most `MAX_LOOKS` times.
    """

    def __init__(
        self,
        read: ReadRange,
        size: int,
        *,
        window: int = WINDOW,
        max_reads: int | None = MAX_READS,
    ) -> None:
        self.size = size
        self._read = read
        self._window = window
        self._max_reads = max_reads
        self._held, self._held_from = b"", 0
        self._reads = 0
        self._looks = 0

    def at(self, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from `start`.

        Raises:
            Broken: the file ends before that.
            Scattered: this needed too many reads or looks.
        """
        self._looks += 1
        if self._looks > MAX_LOOKS:
            raise Scattered("it has too many parts")
        if start < 0 or start + length > self.size:
            raise Broken(f"the file ends at {self.size}, before {start} + {length}")
        offset = start - self._held_from
        if not (offset >= 0 and offset + length <= len(self._held)):
            self._fetch(start, max(length, min(self._window, self.size - start)))
            offset = 0
        return self._held[offset : offset + length]

    def number(self, start: int, length: int, order: str = "big") -> int:
        """Return the unsigned integer of `length` bytes at `start`; `order` is `big` or `little`."""
        return int.from_bytes(self.at(start, length), "little" if order == "little" else "big")

    def held(self, start: int) -> memoryview:
        """Return the window's bytes from `start` on, at least one, for searching without copies.

        Raises:
            Broken: the file ends before `start`.
        """
        self.at(start, 1)
        return memoryview(self._held)[start - self._held_from :]

    def walk(self, *, window: int, max_reads: int | None = None) -> "Ranges":
        """Return the same file with other windows."""
        return Ranges(self._read, self.size, window=window, max_reads=max_reads)

    def span(self, start: int, end: int) -> Span:
        """Return the span from `start` to `end` without reading it."""
        return Span(self._read, start, end - start)

    def _fetch(self, start: int, length: int) -> None:
        if length > self._window:
            raise Broken(f"too many bytes ({length}) were requested at once")
        if self._reads == self._max_reads:
            raise Scattered("its header is scattered over the whole file")
        self._reads += 1
        data = self._read(start, length)
        if len(data) != length:
            raise Broken(f"{len(data)} of {length} bytes came from {start}")
        self._held, self._held_from = data, start


class Assembled:
    """The concatenation of `pieces`. Their sizes are known, so any range can be read at any time."""

    def __init__(self, pieces: Iterable[bytes | Span | Blank]) -> None:
        self._pieces = list(pieces)
        self._starts: list[int] = []
        self.size_bytes = 0
        for piece in self._pieces:
            self._starts.append(self.size_bytes)
            self.size_bytes += _length(piece)

    def source_of(self, start: int, length: int) -> Span | None:
        """Return the span that contains all of these bytes; None if no single span does."""
        index = bisect.bisect_right(self._starts, start) - 1
        piece, offset = self._pieces[index], start - self._starts[index]
        if not isinstance(piece, Span) or offset + length > piece.length:
            return None
        return Span(piece.read, piece.start + offset, length)

    def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, or fewer at the end; no more of the files than that is read.

        Spans of one file at unchanged distances, with only short insertions between them, are read in one request.
        """
        end = min(start + length, self.size_bytes)
        read = []
        at, index = start, bisect.bisect_right(self._starts, start) - 1
        while at < end:
            piece, offset = self._pieces[index], at - self._starts[index]
            taken = min(end - at, _length(piece) - offset)
            if isinstance(piece, bytes):
                read.append(piece[offset : offset + taken])
            elif isinstance(piece, Blank):
                read.append(bytes(taken))
            elif taken:
                last, stop = self._run(index, piece, at + taken, end)
                data = piece.read(piece.start + offset, stop - at)
                read.append(self._put_over(data, at, index + 1, last) if last > index else data)
                taken, index = stop - at, last
            at, index = at + taken, index + 1
        return b"".join(read)

    def _run(self, index: int, piece: Span, stop: int, end: int) -> tuple[int, int]:
        """Return the last piece that can be read together with piece `index`, and where that read ends."""
        last, moved = index, piece.start - self._starts[index]
        for number in range(index + 1, len(self._pieces)):
            following, start = self._pieces[number], self._starts[number]
            if start >= end or start - stop > _READ_OVER:
                break
            if isinstance(following, Span):
                if following.read != piece.read or following.start - start != moved:
                    break
                last, stop = number, min(end, start + following.length)
        return last, stop

    def _put_over(self, data: bytes, at: int, first: int, last: int) -> bytes:
        """Return `data`, read starting at `at`, with the pieces `first` up to `last` written over it."""
        changed = bytearray(data)
        for number in range(first, last):
            piece, start = self._pieces[number], self._starts[number] - at
            if isinstance(piece, bytes):
                changed[start : start + len(piece)] = piece
            elif isinstance(piece, Blank):
                changed[start : start + piece.length] = bytes(piece.length)
        return bytes(changed)


def _length(piece: bytes | Span | Blank) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length
