"""Reads a picture's displayed size, and the memory that decoding needs, from its header.

Sources: W3C PNG 3rd edition, GIF89a section 18, RFC 9649 (WebP), AVIF 1.1 with ISO/IEC 23008-12 (HEIF), TIFF 6.0
section 2, Microsoft's BITMAPINFOHEADER page; read 2026-11.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.core.formats.exif import ON_ITS_SIDE, UPRIGHT, orientation, oriented, tiff_tags
from shared.core.formats.jpeg import read_jpeg
from shared.core.ranges import Broken, Ranges
from shared.media.boxes import Box, boxes, find_box, whole

_MAX_SEGMENTS = 2_000  # PNG and WebP chunks: real files have a few dozen before the picture


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of a picture's header.

    `width` and `height` are in pixels as shown, after rotation; `orientation` is Exif's (1 to 8). `decoding_bytes` is what
    a decoder holds at once beyond a few rows: zero if the picture can be read row by row.
    """

    width: int
    height: int
    decoding_bytes: int = 0
    orientation: int = UPRIGHT


def read_picture(file: Ranges, content_type: str) -> Picture:
    """Read the header of a picture of a sniffed type.

    Raises:
        Broken: the header is damaged or of a kind that is not supported.
    """
    picture = _READERS[content_type](file)
    if picture.width <= 0 or picture.height <= 0:
        raise Broken("it has no pixels")
    return picture


# JPEG

_COEFFICIENT_BYTES = 2  # a progressive picture's coefficients are all kept until its last scan


def _jpeg(file: Ranges) -> Picture:
    jpeg = read_jpeg(file)
    decoding = 0
    if jpeg.progressive:
        samples = jpeg.width * jpeg.height * sum(jpeg.sampling) // max(jpeg.sampling)
        decoding = samples * _COEFFICIENT_BYTES
    return _displayed(jpeg.width, jpeg.height, turned=jpeg.orientation, decoding_bytes=decoding)


# PNG


def _png(file: Ranges) -> Picture:
    width, height = file.number(16, 4), file.number(20, 4)
    depth, color, interlaced = file.at(24, 1)[0], file.at(25, 1)[0], file.at(28, 1)[0]
    turned = UPRIGHT
    for kind, start, length in _png_chunks(file):
        if kind == b"eXIf":
            turned = orientation(file, start, start + length)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color)
    if channels is None:
        raise Broken(f"PNG color type {color} does not exist")
    decoding = width * height * channels * max(1, depth // 8) if interlaced else 0
    return _displayed(width, height, turned=turned, decoding_bytes=decoding)


def _png_chunks(file: Ranges) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and length of the chunks before the picture's data."""
    at = 8
    for _ in range(_MAX_SEGMENTS):
        length, kind = file.number(at, 4), file.at(at + 4, 4)
        if kind in {b"IDAT", b"IEND"}:
            return
        yield kind, at + 8, length
        at += 12 + length
    raise Broken("it has too many PNG chunks")


# GIF, BMP

_RGBA = 4


def _gif(file: Ranges) -> Picture:
    width, height = file.number(6, 2, "little"), file.number(8, 2, "little")
    return Picture(width, height, decoding_bytes=2 * width * height * _RGBA)


def _bmp(file: Ranges) -> Picture:
    if file.number(14, 4, "little") < 40:
        raise Broken("BMP files of OS/2 cannot be read; save it as PNG")
    width, height = file.number(18, 4, "little"), file.number(22, 4, "little")
    if height >= 1 << 31:  # negative: the rows run from top to bottom
        height = (1 << 32) - height
    bits, compression = file.number(28, 2, "little"), file.number(30, 4, "little")
    if bits not in {24, 32} or compression not in {0, 3}:
        raise Broken("only uncompressed BMP files of 24 or 32 bits can be read; save it as PNG")
    return Picture(width, height)


# WebP


def _webp(file: Ranges) -> Picture:
    kind = file.at(12, 4)
    if kind == b"VP8 ":
        if file.at(23, 3) != b"\x9d\x01\x2a":
            raise Broken("no WebP key frame was found")
        size = file.number(26, 2, "little") & 0x3FFF, file.number(28, 2, "little") & 0x3FFF
        return _webp_picture(*size)
    if kind == b"VP8L":
        bits = file.number(21, 4, "little")
        return _webp_picture((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        flags = file.number(20, 1)
        width, height = file.number(24, 3, "little") + 1, file.number(27, 3, "little") + 1
        turned = _webp_orientation(file) if flags & 8 else UPRIGHT
        return _webp_picture(width, height, turned=turned)
    raise Broken(f"the WebP chunk {kind!r} is not known")


def _webp_picture(width: int, height: int, *, turned: int = UPRIGHT) -> Picture:
    # libwebp keeps the frame, the canvas it is drawn on, and for lossless files as much again for a while.
    decoding = width * height * _RGBA * 5 // 2
    return _displayed(width, height, turned=turned, decoding_bytes=decoding)


def _webp_orientation(file: Ranges) -> int:
    at = 12
    for _ in range(_MAX_SEGMENTS):
        if at + 8 > file.size:
            break
        kind, length = file.at(at, 4), file.number(at + 4, 4, "little")
        if kind == b"EXIF":
            start = at + 8
            if file.at(start, min(6, length)) == b"Exif\x00\x00":
                start += 6
            return orientation(file, start, at + 8 + length)
        at += 8 + length + length % 2
    return UPRIGHT


# AVIF

_QUARTER_TURNS = (UPRIGHT, 8, 3, 6)  # `irot` counts them anti-clockwise
_AVIF_BYTES_A_PIXEL = 15  # measured: the planes, libheif's copy of them, and the converted rows


def _avif(file: Ranges) -> Picture:
    top = whole(file)
    meta = find_box(file, top, "meta")
    if meta is None:
        raise Broken("it has no meta box")
    meta = Box("meta", meta.start + 4, meta.end)  # past its version and flags
    properties = find_box(file, meta, "iprp", "ipco")
    if properties is None:
        raise Broken("it has no properties")
    found = list(boxes(file, properties.start, properties.end))
    wanted = _avif_properties(file, meta)
    chosen = [found[index - 1] for index in wanted if 0 < index <= len(found)] or found
    sizes = [box for box in chosen if box.type == "ispe"]
    if not sizes:
        raise Broken("its size is missing")
    width, height = file.number(sizes[0].start + 4, 4), file.number(sizes[0].start + 8, 4)
    turns = [file.number(box.start, 1) & 3 for box in chosen if box.type == "irot"]
    return _displayed(
        width,
        height,
        turned=_QUARTER_TURNS[turns[0]] if turns else UPRIGHT,
        decoding_bytes=width * height * _AVIF_BYTES_A_PIXEL,
    )


def _avif_properties(file: Ranges, meta: Box) -> list[int]:
    """List the numbers of the primary item's properties, counted from 1; empty if the file names none."""
    primary, table = find_box(file, meta, "pitm"), find_box(file, meta, "iprp", "ipma")
    if primary is None or table is None:
        return []
    item = file.number(primary.start + 4, 2 if file.number(primary.start, 1) == 0 else 4)
    version, wide = file.number(table.start, 1), file.number(table.start + 3, 1) & 1
    count, at = file.number(table.start + 4, 4), table.start + 8
    id_bytes = 2 if version == 0 else 4
    for _ in range(min(count, _MAX_SEGMENTS)):
        found, links = file.number(at, id_bytes), file.number(at + id_bytes, 1)
        at += id_bytes + 1
        if found == item:
            return [
                file.number(at + 2 * link, 2) & 0x7FFF if wide else file.number(at + link, 1) & 0x7F
                for link in range(links)
            ]
        at += links * (2 if wide else 1)
    return []


# TIFF

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _ROWS_A_STRIP, _TILE_HEIGHT = 256, 257, 258, 277, 278, 323


def _tiff(file: Ranges) -> Picture:
    tags = tiff_tags(file, 0)
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    if not width or not height:
        raise Broken("its size is missing")
    # A strip or a row of tiles is decoded at once; up to 16 bits a sample, since the list of depths lies elsewhere.
    rows = min(tags.get(_TILE_HEIGHT) or tags.get(_ROWS_A_STRIP) or height, height)
    decoding = width * rows * tags.get(_SAMPLES, 1) * 2
    return _displayed(width, height, turned=oriented(tags), decoding_bytes=decoding)


def _displayed(width: int, height: int, *, turned: int, decoding_bytes: int) -> Picture:
    if turned in ON_ITS_SIDE:
        width, height = height, width
    return Picture(width, height, decoding_bytes, turned)


_READERS: dict[str, Callable[[Ranges], Picture]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/avif": _avif,
    "image/bmp": _bmp,
    "image/tiff": _tiff,
}
