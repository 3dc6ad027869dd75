"""How the head of a stored file is read: in a few windows, wherever they lie, never as a whole."""

from collections.abc import Callable

WINDOW = 64 * 1024
MAX_READS = 48  # a file that hides its header behind more than this is not worth the requests

ReadRange = Callable[[int, int], bytes]
"""Returns `length` bytes from `start`."""


class Broken(Exception):
    """The bytes are not what their type promises; the message says where."""


class Ranges:
    """A file of `size` bytes behind `read`. Holds one window at a time."""

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
