"""Reads an MP4's size and length from its `moov` box, wherever that is in the file.

Source: ISO/IEC 14496-12, sections 8.2.2 (mvhd), 8.3.2 (tkhd), 8.4.3 (hdlr), 8.8.2 (mehd), 8.16.3 (sidx).
"""

from dataclasses import dataclass

from shared.core.ranges import Broken, Ranges
from shared.media.boxes import Box, boxes, find_box, whole


@dataclass(frozen=True, slots=True)
class Video:
    """Pixels as displayed, after rotation. `duration_ms` is None if the file does not contain it."""

    width: int
    height: int
    duration_ms: int | None


def read_video(file: Ranges) -> Video:
    """Read an MP4's header.

    Raises:
        Broken: the file has no header or no video track.
    """
    movie = find_box(file, whole(file), "moov")
    if movie is None:
        raise Broken("it has no moov box; the recording or the upload may have been cut off")
    sizes = [
        size
        for track in boxes(file, movie.start, movie.end)
        if track.type == "trak" and (size := _picture_size(file, track))
    ]
    if not sizes:
        raise Broken("it has no video track")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Video(width, height, _duration_ms(file, movie))


def _picture_size(file: Ranges, track: Box) -> tuple[int, int] | None:
    """Return a video track's size as shown; None for sound, subtitles and tracks without pixels."""
    handler, header = find_box(file, track, "mdia", "hdlr"), find_box(file, track, "tkhd")
    if handler is None or header is None or file.at(handler.start + 8, 4) != b"vide":
        return None
    matrix = header.start + (40 if file.number(header.start, 1) == 0 else 52)
    a, b = file.number(matrix, 4), file.number(matrix + 4, 4)
    width, height = file.number(matrix + 36, 4) >> 16, file.number(matrix + 40, 4) >> 16
    if not width or not height:
        return None
    return (height, width) if a == 0 and b != 0 else (width, height)  # a quarter turn


def _duration_ms(file: Ranges, movie: Box) -> int | None:
    header = find_box(file, movie, "mvhd")
    if header is None:
        raise Broken("it has no mvhd box")
    is_long = file.number(header.start, 1) == 1
    scale = file.number(header.start + (20 if is_long else 12), 4)
    duration, unknown = _time(file, header.start + (24 if is_long else 16), 8 if is_long else 4)
    if not duration or unknown:
        return _fragments_ms(file, movie, scale)
    return _milliseconds(duration, scale)


def _fragments_ms(file: Ranges, movie: Box, scale: int) -> int | None:
    """Return a fragmented video's length: from `mehd`, or from the sum of an index; None if the file has neither."""
    extended = find_box(file, movie, "mvex", "mehd")
    if extended is not None:
        size = 8 if file.number(extended.start, 1) == 1 else 4
        return _milliseconds(file.number(extended.start + 4, size), scale)
    index = find_box(file, Box("", movie.end, file.size), "sidx")
    if index is None:
        return None
    skipped = 12 + (8 if file.number(index.start, 1) == 0 else 16)
    count = file.number(index.start + skipped + 2, 2)
    entries = index.start + skipped + 4
    total = sum(file.number(entries + 12 * entry + 4, 4) for entry in range(count))
    return _milliseconds(total, file.number(index.start + 8, 4))


def _time(file: Ranges, at: int, size: int) -> tuple[int, bool]:
    value = file.number(at, size)
    return value, value == (1 << 8 * size) - 1


def _milliseconds(duration: int, scale: int) -> int | None:
    return round(duration * 1000 / scale) if scale else None
