"""Rebuilds a file from the pieces to keep, without holding all of it in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.core.ranges import Assembled, Blank, Broken, Ranges, Scattered, Span

_COMPARED_BYTES = 4_096
_MAX_PIECES = 1_000  # each piece of the old file may be one request to the storage
# Pieces that keep their distances are read across small gaps (`Assembled.read`), so they cost little.
_MAX_PATCHES = 20_000


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A file without its metadata, and its detected properties.

    `changed`: it differs from the uploaded file. `moves`: it has more than one frame. `damage` is a
    clause ("it ends in the middle of ..."); None: the file is complete. `orientation` is the Exif orientation that is
    kept (1 to 8); None: the cleaner leaves the orientation as it is.
    """

    content: Assembled
    changed: bool
    moves: bool = False
    damage: str | None = None
    orientation: int | None = None


class Kept:
    """Collects the pieces of a file to keep, in order; everything else is removed."""

    def __init__(self, file: Ranges) -> None:
        self._file = file
        self._pieces: list[bytes | tuple[int, int]] = []

    def keep(self, start: int, end: int) -> None:
        """Keep the bytes from `start` to `end`, or to the end of the file."""
        end = min(end, self._file.size)
        if start >= end:
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, tuple) and last[1] == start:
            self._pieces[-1] = (last[0], end)
        else:
            self._pieces.append((start, end))

    def add(self, content: bytes) -> int:
        """Insert new content; return the number of the piece, for `replace`."""
        self._pieces.append(content)
        return len(self._pieces) - 1

    def replace(self, number: int, content: bytes) -> None:
        """Replace content that `add` inserted."""
        self._pieces[number] = content

    @property
    def size_bytes(self) -> int:
        """The total length so far."""
        return sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in self._pieces)

    def cleaned(
        self, *, moves: bool = False, damage: str | None = None, orientation: int | None = None
    ) -> Cleaned:
        """Return the file made of the pieces.

        Raises:
            Scattered: there are too many pieces to be worth the requests.
        """
        changed = not self._is_the_file()
        pieces = [p if isinstance(p, bytes) else self._file.span(*p) for p in self._pieces]
        return Cleaned(_assembled(pieces), changed, moves, damage, orientation)

    def _is_the_file(self) -> bool:
        """Return whether the pieces are the whole file, in order, apart from what was inserted."""
        at = 0
        for piece in self._pieces:
            if isinstance(piece, tuple):
                if piece[0] != at:
                    return False
                at = piece[1]
            elif at + len(piece) > self._file.size or self._file.at(at, len(piece)) != piece:
                return False
            else:
                at += len(piece)
        return at == self._file.size


class Patched:
    """Collects bytes to overwrite in a file. Its length and all other bytes stay the same."""

    def __init__(self, file: Ranges) -> None:
        self._file = file
        self._patches: list[tuple[int, int, bytes | None]] = []

    def blank(self, start: int, end: int) -> None:
        """Overwrite the bytes from `start` to `end`, or to the end of the file, with zeros."""
        end = min(end, self._file.size)
        if start < end and not self._is_there(start, bytes(min(end - start, _COMPARED_BYTES)), end):
            self._patches.append((start, end, None))

    def blank_unread(self, start: int, end: int) -> None:
        """Overwrite bytes with zeros without reading them first: for data in thousands of places."""
        end = min(end, self._file.size)
        if start < end:
            self._patches.append((start, end, None))

    def put(self, start: int, content: bytes) -> None:
        """Overwrite the bytes from `start` on with `content`."""
        if not self._is_there(start, content, start + len(content)):
            self._patches.append((start, start + len(content), content))

    def cleaned(self, *, moves: bool = False, damage: str | None = None) -> Cleaned:
        """Return the file with everything overwritten.

        Raises:
            Broken: two patches overlap, so the file's structure names the same bytes twice.
            Scattered: there are too many patches to be worth the requests.
        """
        pieces: list[bytes | Span | Blank] = []
        at = 0
        for start, end, content in sorted(self._patches, key=lambda patch: patch[:2]):
            if start < at:
                if end <= at and content is None:  # inside a range that is already blank
                    continue
                raise Broken(f"two of its parts overlap at {start}")
            if start > at:
                pieces.append(self._file.span(at, start))
            pieces.append(Blank(end - start) if content is None else content)
            at = end
        if at < self._file.size:
            pieces.append(self._file.span(at, self._file.size))
        written = _assembled(pieces, most=_MAX_PATCHES)
        return Cleaned(written, bool(self._patches), moves, damage)

    def _is_there(self, start: int, content: bytes, end: int) -> bool:
        """Return whether the file already has these bytes; long content is not compared."""
        if end - start > _COMPARED_BYTES:
            return False
        return self._file.at(start, end - start) == content


def _assembled(pieces: Sequence[bytes | Span | Blank], *, most: int = _MAX_PIECES) -> Assembled:
    if sum(isinstance(piece, Span) for piece in pieces) > most:
        raise Scattered("its metadata is in too many places")
    return Assembled(pieces)
