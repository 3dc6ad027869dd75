"""Reads the boxes of an ISO media file (MP4, AVIF). Source: ISO/IEC 14496-12, sections 4.2 and 8.11."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.ranges import Broken, Ranges, Scattered

_MAX_BOXES = 1_000  # in one container; a fragmented video has one `moof` a second, but its `moov` comes first


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four-character type, the start and end of its content, and the start of the box."""

    type: str
    start: int
    end: int
    begins: int = 0


def boxes(file: Ranges, start: int, end: int, *, cut: bool = False) -> Iterator[Box]:
    """Yield the boxes between two offsets, reading their headers only.

    With `cut`, the existing part of a truncated box is yielded before the box is refused.

    Raises:
        Broken: a box does not end where it should.
    """
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, head = file.number(start, 4), 8
        kind = file.at(start + 4, 4).decode("latin-1")
        if size == 1:  # the size follows as a 64-bit number
            size, head = file.number(start + 8, 8), 16
        elif size == 0:  # the last box, up to the end
            size = end - start
        if size < head or start + size > end:
            if cut:
                yield Box(kind, min(start + head, end), end, start)
            raise Broken(f"the box {kind!r} at {start} claims {size} bytes")
        yield Box(kind, start + head, start + size, start)
        start += size
    raise Scattered("it has too many boxes")


def find_box(file: Ranges, inside: Box, *path: str) -> Box | None:
    """Find the first box at `path` (types, outermost first) inside another."""
    for kind in path:
        found = next(
            (box for box in boxes(file, inside.start, inside.end) if box.type == kind), None
        )
        if found is None:
            return None
        inside = found
    return inside


def whole(file: Ranges) -> Box:
    """Return the whole file as a box to search."""
    return Box("", 0, file.size)
