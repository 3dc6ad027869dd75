"""How a stored file is read, or put together with others, without ever holding it as a whole."""

import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

WINDOW = 64 * 1024
MAX_READS = 48  # a file that hides its header behind more than this is not worth the requests

ReadRange = Callable[[int, int], bytes]
"""Returns `length` bytes from `start`."""


class Broken(Exception):
    """The bytes are not what their type promises; the message says where."""


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes from `start` of what `read` reads; nothing is read yet."""

    read: ReadRange
    start: int
    length: int


class Ranges:
    """The head of a file of `size` bytes behind `read`: a few windows, wherever they lie. Holds one at a time."""

    def __init__(self, read: ReadRange, size: int) -> None:
        self.size = size
        self._read = read
        self._held, self._held_from = b"", 0
        self._reads = 0

    def at(self, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from `start`.

        Raises:
            Broken: the file ends before, or finding this took too many reads.
        """
        if start < 0 or start + length > self.size:
            raise Broken(f"the file ends at {self.size}, before {start} + {length}")
        offset = start - self._held_from
        if not (offset >= 0 and offset + length <= len(self._held)):
            self._fetch(start, max(length, min(WINDOW, self.size - start)))
            offset = 0
        return self._held[offset : offset + length]

    def number(self, start: int, length: int, order: str = "big") -> int:
        """Return the unsigned integer of `length` bytes at `start`; `order` is `big` or `little`."""
        return int.from_bytes(self.at(start, length), "little" if order == "little" else "big")

    def span(self, start: int, end: int) -> Span:
        """Name the bytes from `start` to `end` without reading them."""
        return Span(self._read, start, end - start)

    def _fetch(self, start: int, length: int) -> None:
        if length > WINDOW:
            raise Broken(f"{length} bytes were asked for at once")
        if self._reads == MAX_READS:
            raise Broken("its header is scattered over the whole file")
        self._reads += 1
        data = self._read(start, length)
        if len(data) != length:
            raise Broken(f"{len(data)} of {length} bytes came from {start}")
        self._held, self._held_from = data, start


class Assembled:
    """What `pieces` are when put one after the other; their sizes are known, so any range can be read at any time."""

    def __init__(self, pieces: Iterable[bytes | Span]) -> None:
        self._pieces = list(pieces)
        self._starts: list[int] = []
        self.size_bytes = 0
        for piece in self._pieces:
            self._starts.append(self.size_bytes)
            self.size_bytes += _length(piece)

    def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, or fewer at the end; no more of the files than that is read."""
        end = min(start + length, self.size_bytes)
        read = []
        at, index = start, bisect.bisect_right(self._starts, start) - 1
        while at < end:
            piece, offset = self._pieces[index], at - self._starts[index]
            taken = min(end - at, _length(piece) - offset)
            if isinstance(piece, bytes):
                read.append(piece[offset : offset + taken])
            elif taken:
                read.append(piece.read(piece.start + offset, taken))
            at, index = at + taken, index + 1
        return b"".join(read)


def _length(piece: bytes | Span) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length
