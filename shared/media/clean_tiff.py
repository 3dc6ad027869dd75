"""Removes metadata from a TIFF: data that its directories need stay, and every other byte is overwritten.

The directories are rewritten in place, with the entries that describe the picture. Everything that no such entry
points to (Exif, locations, XMP, IPTC, previews, maker notes) becomes zeros, so nothing can be overlooked.

Source: TIFF 6.0 sections 2 and 8, TIFF technical notes 1 and 2; read 2026-11.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.ranges import Broken, Ranges
from shared.media.pieces import Cleaned, Patched

_MAX_PAGES, _MAX_ENTRIES = 100, 1_000
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
# The tags that say how the picture is stored and shown.
_KEPT = frozenset({
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290,
    291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 332, 336, 338, 339, 340, 341, 347,
    512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34675,
})  # fmt: skip
_PLACES = {273: 279, 324: 325, 513: 514}  # strips, tiles, an old JPEG: position and length of each
_JPEG_TABLES = frozenset(
    {519, 520, 521}
)  # old JPEG: of 64, and of a code's lengths and up to 256 values
_JPEG_TABLE_BYTES = 16 + 256


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    raw: bytes  # the twelve bytes
    start: int  # of its values
    size: int  # of one value
    count: int

    @property
    def end(self) -> int:
        return self.start + self.size * self.count


def clean_tiff(file: Ranges) -> Cleaned:
    """Keep the pages and how they are shown. Raises `Broken` if the directories cannot be read."""
    order = "<" if file.at(0, 2) == b"II" else ">"
    patched = Patched(file)
    needed = [(0, 8)]
    damage = None
    at, seen = file.number(4, 4, _name(order)), set[int]()
    while at and at not in seen:
        if len(seen) == _MAX_PAGES:
            raise Broken("it has too many pages")
        seen.add(at)
        entries = list(_entries(file, at, order))
        kept = [entry for entry in entries if entry.tag in _KEPT]
        end = at + 2 + 12 * len(entries)
        following = file.at(end, 4)
        written = struct.pack(f"{order}H", len(kept)) + b"".join(one.raw for one in kept)
        written += following
        patched.put(at, written)
        needed.append((at, at + len(written)))
        needed += [(one.start, one.end) for one in kept if one.end - one.start > 4]
        for start, stop in _places(file, kept, order):
            needed.append((start, stop))
            if stop > file.size:
                damage = "it ends in the middle of the picture"
        at = struct.unpack(f"{order}I", following)[0]
    last = 0
    for start, stop in sorted(needed):
        patched.blank(last, start)
        last = max(last, stop)
    patched.blank(last, file.size)
    return patched.cleaned(damage=damage)


def _entries(file: Ranges, at: int, order: str) -> Iterator[_Entry]:
    count = file.number(at, 2, _name(order))
    if count > _MAX_ENTRIES:
        raise Broken("it has too many TIFF entries")
    for index in range(count):
        start = at + 2 + 12 * index
        raw = file.at(start, 12)
        tag, kind, values = struct.unpack(f"{order}HHI", raw[:8])
        size = _SIZES.get(kind, 1)
        inline = size * values <= 4
        place = start + 8 if inline else struct.unpack(f"{order}I", raw[8:])[0]
        yield _Entry(tag, raw, place, size, values)


def _places(file: Ranges, kept: list[_Entry], order: str) -> Iterator[tuple[int, int]]:
    """Yield where each strip or tile begins and ends."""
    by_tag = {entry.tag: entry for entry in kept}
    for where, how_long in _PLACES.items():
        if where in by_tag and how_long in by_tag:
            starts, lengths = by_tag[where], by_tag[how_long]
            for index in range(min(starts.count, lengths.count)):
                start = _value(file, starts, index, order)
                yield start, start + _value(file, lengths, index, order)
    for tag in _JPEG_TABLES & by_tag.keys():
        for index in range(min(by_tag[tag].count, 4)):
            start = _value(file, by_tag[tag], index, order)
            yield start, min(start + _JPEG_TABLE_BYTES, file.size)


def _value(file: Ranges, entry: _Entry, index: int, order: str) -> int:
    return file.number(entry.start + entry.size * index, entry.size, _name(order))


def _name(order: str) -> str:
    return "little" if order == "<" else "big"
