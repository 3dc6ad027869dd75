"""Removes metadata from JPEG, PNG, GIF, BMP and WebP files without decoding, and checks whether they are complete.

Everything that a decoder needs stays: the picture, its color profile, and its orientation, in Exif data with nothing else.
Other data are removed, and so is everything after the picture's end (second pictures, videos, trailers).

Sources: ITU-T T.81 annex B, W3C PNG 3rd edition, GIF89a, RFC 9649 (WebP); read 2026-11.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.core.formats.exif import UPRIGHT, orientation, orientation_alone
from shared.core.formats.jpeg import Segment, segments
from shared.core.ranges import Broken, Ranges, Scattered
from shared.media.pieces import Cleaned, Kept

# JPEG

_SOS, _EOI = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # neither stuffing nor a restart
_MAX_SCANS = 1_000  # real files have about ten
_JFIF_BYTES = 18  # including its marker, without a thumbnail
_EXIF = b"Exif\x00\x00"


def clean_jpeg(file: Ranges) -> Cleaned:
    """Keep the picture with its profile and orientation. Raises `Broken` if even its header cannot be read."""
    before = list(segments(file))
    kept = Kept(file)
    kept.keep(0, 2)
    turned = _jpeg_orientation(file, before)
    jfif = [one for one in before if one.is_jfif]
    for one in jfif[:1]:
        _keep_jfif(kept, one)
    if turned != UPRIGHT:
        exif = _EXIF + orientation_alone(turned)
        kept.add(b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif)
    for one in before:
        if not one.is_jfif and (one.is_picture or one.is_profile):
            kept.keep(one.start, one.end)
    try:
        _keep_scans(file, kept, before[-1].end if before else 2)
    except Scattered:
        raise
    except Broken as error:
        return kept.cleaned(damage=str(error), orientation=turned)
    return kept.cleaned(orientation=turned)


def _jpeg_orientation(file: Ranges, before: Sequence[Segment]) -> int:
    exif = next((one for one in before if one.is_exif), None)
    return orientation(file, exif.exif_start, exif.end) if exif else UPRIGHT


def _keep_jfif(kept: Kept, segment: Segment) -> None:
    """Keep the JFIF segment without its thumbnail, which may show an earlier, uncropped picture."""
    if segment.end - segment.start > _JFIF_BYTES and len(segment.head) >= _JFIF_BYTES - 4:
        kept.add(b"\xff\xe0\x00\x10" + segment.head[:12] + bytes(2))
    else:
        kept.keep(segment.start, segment.end)


def _keep_scans(file: Ranges, kept: Kept, at: int) -> None:
    """Keep everything up to the picture's end, except segments between its scans that are not part of the picture."""
    for _ in range(_MAX_SCANS):
        for one in segments(file, at):
            if one.is_picture:
                kept.keep(one.start, one.end)
            at = one.end
        while file.at(at, 2) == b"\xff\xff":  # fill bytes
            at += 1
        if file.number(at + 1, 1) == _EOI:
            kept.keep(at, at + 2)
            return
        found = _next_marker(file, at + 2 + file.number(at + 2, 2))
        kept.keep(at, file.size if found is None else found)
        if found is None:
            raise Broken("it ends in the middle of the picture")
        at = found
    raise Broken("it has too many JPEG scans")


def _next_marker(file: Ranges, at: int) -> int | None:
    while at < file.size:
        data = file.held(at)
        if found := _MARKER.search(data):
            return at + found.start()
        # A marker may begin in the last byte of the held range.
        at += len(data) - 1 if data[-1] == 0xFF and len(data) > 1 else len(data)
    return None


# PNG

_MAX_CHUNKS = 50_000
_PNG_CHUNKS = frozenset({
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"iCCP",
    b"mDCV", b"sBIT", b"sRGB", b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT",
})  # fmt: skip


def clean_png(file: Ranges) -> Cleaned:
    """Keep the chunks that a decoder needs, including those of an animated PNG."""
    kept = Kept(file)
    kept.keep(0, 8)
    moves, turned, damage, exif_at = False, UPRIGHT, None, None
    try:
        for kind, at, end in _png_chunks(file):
            if kind == b"acTL":
                moves = file.number(at + 8, 4) > 1
            if kind == b"eXIf" and turned == UPRIGHT:
                turned = orientation(file, at + 8, end - 4)
            if kind == b"IDAT" and exif_at is None:
                exif_at = kept.add(b"")  # before the picture, where readers look for it
            if kind in _PNG_CHUNKS:
                kept.keep(at, end)
    except Scattered:
        raise
    except Broken as error:
        damage = str(error)
    if turned != UPRIGHT and exif_at is not None:
        kept.replace(exif_at, _png_chunk(b"eXIf", orientation_alone(turned)))
    return kept.cleaned(moves=moves, damage=damage, orientation=turned)


def _png_chunks(file: Ranges) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of each chunk, the last one too if it is cut off."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 12 > file.size:
            raise Broken("it ends before the picture does")
        kind, end = file.at(at + 4, 4), at + 12 + file.number(at, 4)
        yield kind, at, end
        if end > file.size:
            raise Broken("it ends in the middle of the picture")
        if kind == b"IEND":
            return
        at = end
    raise Broken("it has too many PNG chunks")


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


# GIF

_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B
_GIF_COMMENT, _GIF_APPLICATION = 0xFE, 0xFF
_GIF_APPLICATIONS = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"})  # loops, profile
# A frame is two blocks. Half an hour at ten frames a second is 36,000 blocks.
_MAX_GIF_BLOCKS = 50_000
_MAX_SUB_BLOCKS = 4_000_000  # of 255 bytes each in real files, so 50 MiB have 200,000


def clean_gif(file: Ranges) -> Cleaned:
    """Keep frames, timing, loops and the color profile; remove comments, XMP and other applications' data.

    Raises:
        Scattered: it has more blocks than any picture needs.
    """
    kept = Kept(file)
    at = _after_color_table(file, 10, 13)
    kept.keep(0, at)
    frames = 0
    try:
        for kind, start, end in _gif_blocks(file, at):
            frames += kind == _GIF_IMAGE
            if kind != _GIF_EXTENSION or _is_needed_extension(file, start):
                kept.keep(start, end)
    except Scattered:
        raise
    except Broken:
        # A GIF without an end is shown up to its last complete frame.
        kept.add(bytes([_GIF_END]))
        damage = "it ends in the middle of the picture"
        return kept.cleaned(moves=frames > 1, damage=damage)
    return kept.cleaned(moves=frames > 1)


def _gif_blocks(file: Ranges, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield kind, start and end of each block, the one that ends the file too."""
    sub_blocks = 0
    for _ in range(_MAX_GIF_BLOCKS):
        kind = file.number(at, 1)
        if kind == _GIF_END:
            yield kind, at, at + 1
            return
        if kind == _GIF_IMAGE:
            first = _after_color_table(file, at + 9, at + 10) + 1
        elif kind == _GIF_EXTENSION:
            first = at + 2
        else:
            raise Broken(f"no GIF block begins at {at}")
        end, passed = _after_sub_blocks(file, first, _MAX_SUB_BLOCKS - sub_blocks)
        sub_blocks += passed
        yield kind, at, end
        at = end
    raise Scattered(f"it has more than {_MAX_GIF_BLOCKS:,} GIF blocks, and a frame takes two")


def _is_needed_extension(file: Ranges, at: int) -> bool:
    label = file.number(at + 1, 1)
    if label == _GIF_APPLICATION:
        return file.number(at + 2, 1) == 11 and file.at(at + 3, 11) in _GIF_APPLICATIONS
    return label != _GIF_COMMENT


def _after_color_table(file: Ranges, flags_at: int, at: int) -> int:
    flags = file.number(flags_at, 1)
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _after_sub_blocks(file: Ranges, at: int, most: int) -> tuple[int, int]:
    """Return where the sub-blocks that begin at `at` end, and how many there are."""
    data, start = file.held(at), at
    for passed in range(most):
        if at - start >= len(data):
            data, start = file.held(at), at
        size = data[at - start]
        at += size + 1
        if not size:
            return at, passed
    raise Scattered("it has too many GIF sub-blocks")


# BMP

_EMBEDDED = b"DEBM"  # `MBED` as a little-endian number


def clean_bmp(file: Ranges) -> Cleaned:
    """Keep everything up to the last row, and a profile after it: a BMP has no place for metadata."""
    start, header = file.number(10, 4, "little"), file.number(14, 4, "little")
    width, height = file.number(18, 4, "little"), file.number(22, 4, "little")
    height = min(height, (1 << 32) - height)  # negative: the rows run from top to bottom
    end = start + (width * file.number(28, 2, "little") + 31) // 32 * 4 * height
    kept = Kept(file)
    has_profile = header >= 124 and file.at(70, 4) == _EMBEDDED
    kept.keep(0, file.size if has_profile else end)
    return kept.cleaned(damage="it ends in the middle of the picture" if end > file.size else None)


# WebP

_HAS_XMP, _HAS_EXIF = 0x04, 0x08
_WEBP_CHUNKS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})


@dataclass(frozen=True, slots=True)
class _WebpChunk:
    kind: bytes
    start: int
    end: int


def clean_webp(file: Ranges) -> Cleaned:
    """Keep the chunks that a decoder needs, and rewrite the list and the total length."""
    kept = Kept(file)
    riff = kept.add(file.at(0, 12))
    frames, turned, flags_at, flags, damage = 0, UPRIGHT, None, 0, None
    try:
        for chunk in _webp_chunks(file):
            if chunk.kind == b"VP8X":
                flags = file.number(chunk.start + 8, 1) & ~(_HAS_XMP | _HAS_EXIF)
                kept.keep(chunk.start, chunk.start + 8)
                flags_at = kept.add(bytes([flags]))
                kept.keep(chunk.start + 9, chunk.end)
                continue
            frames += chunk.kind == b"ANMF"
            if chunk.kind == b"EXIF" and turned == UPRIGHT:
                turned = _webp_orientation(file, chunk)
            if chunk.kind in _WEBP_CHUNKS:
                kept.keep(chunk.start, chunk.end)
    except Scattered:
        raise
    except Broken as error:
        damage = str(error)
    if turned != UPRIGHT and flags_at is not None:
        exif = orientation_alone(turned)
        kept.add(b"EXIF" + len(exif).to_bytes(4, "little") + exif)
        kept.replace(flags_at, bytes([flags | _HAS_EXIF]))
    if kept.size_bytes % 2:  # the last chunk lacks its padding
        kept.add(bytes(1))
    kept.replace(riff, b"RIFF" + (kept.size_bytes - 8).to_bytes(4, "little") + b"WEBP")
    if flags_at is None:  # the simple format has no place for the orientation
        turned = UPRIGHT
    return kept.cleaned(moves=frames > 1, damage=damage, orientation=turned)


def _webp_chunks(file: Ranges) -> Iterator[_WebpChunk]:
    """Yield the chunks that the file says it has, the last one too if it is cut off."""
    end, at = 8 + file.number(4, 4, "little"), 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        if at + 8 > file.size:
            raise Broken("it ends before the picture does")
        length = file.number(at + 4, 4, "little")
        chunk = _WebpChunk(file.at(at, 4), at, at + 8 + length + length % 2)
        yield chunk
        if at + 8 + length > file.size:
            raise Broken("it ends in the middle of the picture")
        at = chunk.end
    raise Broken("it has too many WebP chunks")


def _webp_orientation(file: Ranges, chunk: _WebpChunk) -> int:
    start = chunk.start + 8
    if file.at(start, min(len(_EXIF), chunk.end - start)) == _EXIF:
        start += len(_EXIF)
    return orientation(file, start, chunk.end)
