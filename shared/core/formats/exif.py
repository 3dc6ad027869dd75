"""Reads a TIFF directory's tags. Exif data are a small TIFF in every file format.

Sources: TIFF 6.0 section 2, CIPA DC-008 4.6 (Exif); read 2026-11.
"""

import struct

from shared.core.ranges import WINDOW, Broken, Ranges

UPRIGHT = 1
ON_ITS_SIDE = range(5, 9)
_ORIENTATION = 274


def orientation(file: Ranges, start: int, end: int) -> int:
    """Return the orientation in Exif data: 1 (upright) to 8.

    Damaged data count as 1, because viewers ignore them too.
    """
    if end - start > WINDOW or end > file.size:
        return UPRIGHT
    try:
        return oriented(tiff_tags(file, start))
    except Broken:
        return UPRIGHT


def orientation_alone(turned: int) -> bytes:
    """Write Exif data with only the orientation (1 to 8): a TIFF header and a directory with one entry."""
    entry = struct.pack(">HHIHxx", _ORIENTATION, 3, 1, turned)
    return b"MM\x00*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def oriented(tags: dict[int, int]) -> int:
    """Return a directory's orientation, or 1 if it has no valid one."""
    named = tags.get(_ORIENTATION, UPRIGHT)
    return named if UPRIGHT <= named < ON_ITS_SIDE.stop else UPRIGHT


def tiff_tags(file: Ranges, base: int) -> dict[int, int]:
    """Read the first directory's tags whose values are single integers.

    Raises:
        Broken: there is no directory, or the file ends within it.
    """
    mark = file.at(base, 4)
    if mark not in {b"II*\x00", b"MM\x00*"}:
        raise Broken("no TIFF directory was found")
    order = "little" if mark[:2] == b"II" else "big"
    at = base + file.number(base + 4, 4, order)
    tags = {}
    for index in range(file.number(at, 2, order)):
        entry = at + 2 + 12 * index
        kind, count = file.number(entry + 2, 2, order), file.number(entry + 4, 4, order)
        if kind in {3, 4} and count == 1:  # a SHORT or a LONG, whose value is in the entry itself
            tags[file.number(entry, 2, order)] = file.number(
                entry + 8, 2 if kind == 3 else 4, order
            )
    return tags
