"""Locates the samples of a video's track, so that the samples of a removed track can be overwritten.

Metadata tracks store their samples in `mdat` between picture and sound: GoPro's GPMF (location, speed, sensors), GPS
tracks in other cameras' `mett`. Without their track nothing points to them, but they could still be read.

Sources: ISO/IEC 14496-12 sections 8.7.3 (stsz, stz2), 8.7.4 (stsc), 8.7.5 (stco, co64), 8.8.7 (tfhd);
github.com/gopro/gpmf-parser (README, "GPMF Deeper Dive"); read 2026-11-30.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.core.ranges import Broken, Ranges, Scattered
from shared.media.boxes import Box, boxes, find_box

_MAX_CHUNKS = 100_000  # of all such tracks together; a chunk is usually one second
_MAX_SAMPLES = 2_000_000
_BLOCK_BYTES = 32 * 1024
_NOT_SAID = "the position of a metadata track is missing"


@dataclass(slots=True)
class _Left:
    """How many chunks and samples may still be looked at."""

    chunks: int = _MAX_CHUNKS
    samples: int = _MAX_SAMPLES

    def take(self, *, chunks: int = 0, samples: int = 0) -> None:
        self.chunks -= chunks
        self.samples -= samples
        if self.chunks < 0 or self.samples < 0:
            raise Scattered("its tracks of metadata have too many parts")


def sample_ranges(
    file: Ranges, tracks: Sequence[Box], data: Sequence[Box]
) -> list[tuple[int, int]]:
    """List start and end of the ranges that the samples of `tracks` take in `data` (the `mdat` boxes), sorted and disjoint.

    Raises:
        Broken: the file does not say, so metadata could remain.
        Scattered: there are more chunks or samples than real videos have.
    """
    left = _Left()
    found = sorted(chunk for track in tracks for chunk in _chunks(file, track, left))
    ranges: list[tuple[int, int]] = []
    at = 0
    for start, end in found:
        while at < len(data) - 1 and data[at].end <= start:
            at += 1
        if not data:
            break
        start, end = max(start, data[at].start), min(end, data[at].end)
        if start >= end:
            continue
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(end, ranges[-1][1])
        else:
            ranges.append((start, end))
    return ranges


def track_id(file: Ranges, track: Box) -> int | None:
    """Return a track's number; None: it has none."""
    header = find_box(file, track, "tkhd")
    if header is None:
        return None
    return file.number(header.start + (20 if file.number(header.start, 1) == 1 else 12), 4)


def fragment_track_id(file: Ranges, fragment: Box) -> int | None:
    """Return the number of the track that a `traf` continues; None: it names none."""
    header = find_box(file, fragment, "tfhd")
    return file.number(header.start + 4, 4) if header else None


def _chunks(file: Ranges, track: Box, left: _Left) -> Iterator[tuple[int, int]]:
    table = find_box(file, track, "mdia", "minf", "stbl")
    if table is None:
        return
    named = {box.type: box for box in boxes(file, table.start, table.end)}
    places = named.get("co64") or named.get("stco")
    if places is None or not (count := file.number(places.start + 4, 4)):
        return
    left.take(chunks=count)
    sizes, groups = _sizes(file, named, left), list(_groups(file, named, count, left))
    offsets = _numbers(file, places, 8, count, 8 if places.type == "co64" else 4)
    for offset, samples in zip(offsets, groups, strict=True):
        length = 0
        for _ in range(samples):
            if (size := next(sizes, None)) is None:
                raise Broken(_NOT_SAID)
            length += size
        yield offset, offset + length


def _sizes(file: Ranges, named: dict[str, Box], left: _Left) -> Iterator[int]:
    """Yield the size of each sample."""
    box = named.get("stsz") or named.get("stz2")
    if box is None:
        raise Broken(_NOT_SAID)
    common, count = file.number(box.start + 4, 4), file.number(box.start + 8, 4)
    left.take(samples=count)
    if box.type == "stsz":
        return iter([common] * count) if common else _numbers(file, box, 12, count, 4)
    bits = common & 0xFF
    if bits not in {8, 16}:
        raise Broken(_NOT_SAID)
    return _numbers(file, box, 12, count, bits // 8)


def _groups(file: Ranges, named: dict[str, Box], count: int, left: _Left) -> Iterator[int]:
    """Yield how many samples each of `count` chunks holds."""
    box = named.get("stsc")
    if box is None:
        raise Broken(_NOT_SAID)
    entries = file.number(box.start + 4, 4)
    left.take(chunks=entries)
    entries_read = list(_numbers(file, box, 8, 3 * entries, 4))
    firsts, samples = entries_read[::3], entries_read[1::3]
    if not firsts or firsts[0] != 1 or firsts != sorted(firsts):
        raise Broken(_NOT_SAID)
    ends = [*firsts[1:], count + 1]
    chunk = 1
    for end, number in zip(ends, samples, strict=True):
        for _ in range(chunk, min(end, count + 1)):
            yield number
        chunk = max(chunk, min(end, count + 1))


def _numbers(file: Ranges, box: Box, skipped: int, count: int, size: int) -> Iterator[int]:
    """Yield `count` numbers of `size` bytes each, starting `skipped` bytes into a box."""
    start, end = box.start + skipped, box.start + skipped + count * size
    if end > box.end:
        raise Broken(_NOT_SAID)
    for at in range(start, end, _BLOCK_BYTES):
        block = file.at(at, min(_BLOCK_BYTES, end - at))
        for place in range(0, len(block), size):
            yield int.from_bytes(block[place : place + size])
