"""Whether a file that is built to be walked through for long is refused early, whatever its format."""

import struct
import zlib
from collections.abc import Callable

import pytest

from shared.core.ranges import MAX_LOOKS, Ranges, Scattered
from shared.media.clean import clean
from shared.media.errors import FileRefused
from tests.shared.media.files import a_file, a_picture, box

_GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 1_000, 1_000, 0, 0, 0)
_GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"


def gif_of_many_frames() -> bytes:
    return _GIF_HEAD + _GIF_FRAME * 60_000 + b";"


def gif_of_many_sub_blocks() -> bytes:
    return _GIF_HEAD + _GIF_FRAME[:11] + b"\x01a" * 4_100_000 + b"\x00;"


def jpeg_with_many_segments_between_scans() -> bytes:
    picture = a_picture(".jpg")
    scan = picture.index(b"\xff\xda")
    between = b"\xff\xda\x00\x02" + b"\xff\xe9\x00\x02" * 1_900
    return picture[:scan] + between * 100 + picture[scan:]


def png_whose_exif_chunks_share_a_directory() -> bytes:
    chunks = _png_chunk(b"eXIf", _exif_elsewhere(at=2_000)) * 40
    return _into_png(chunks + _png_chunk(b"prVt", b"\xff\xff\x00\x00" * 200_000))


def png_of_many_metadata() -> bytes:
    return _into_png((_png_chunk(b"tEXt", b"a") + _png_chunk(b"pHYs", bytes(9))) * 1_100)


def webp_whose_exif_chunks_share_a_directory() -> bytes:
    exif = _exif_elsewhere(at=1_000)
    chunks = (b"EXIF" + struct.pack("<I", len(exif)) + exif) * 40
    chunks += b"more" + struct.pack("<I", 800_000) + b"\xff\xff\x00\x00" * 200_000
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def tiff_of_many_strips() -> bytes:
    count = 300_000
    entries = [(256, 4, 1, 16), (257, 4, 1, 16), (273, 1, count, 200), (279, 1, count, 200)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    directory = struct.pack("<H", len(entries)) + directory + bytes(4)
    return b"II*\x00" + struct.pack("<I", 8) + directory + bytes(200 + count)


def avif_whose_extents_take_no_bytes() -> bytes:
    items = b"".join(struct.pack(">HHH", item, 0, 65_535) for item in range(1, 101))
    places = box(b"iloc", bytes(4) + bytes(2) + struct.pack(">H", 100) + items)
    return box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(4) + places)


def film_whose_boxes_are_searched_again_and_again() -> bytes:
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(12))
    inner = box(b"minf", box(b"stbl", box(b"stsd", bytes(8)))) * 900
    track = box(b"trak", box(b"tkhd", bytes(84)) + box(b"mdia", inner + handler))
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"mvhd", bytes(100)) + track)


_FILES = [
    ("image/gif", gif_of_many_frames),
    ("image/gif", gif_of_many_sub_blocks),
    ("image/jpeg", jpeg_with_many_segments_between_scans),
    ("image/png", png_whose_exif_chunks_share_a_directory),
    ("image/png", png_of_many_metadata),
    ("image/webp", webp_whose_exif_chunks_share_a_directory),
    ("image/tiff", tiff_of_many_strips),
    ("image/avif", avif_whose_extents_take_no_bytes),
    ("video/mp4", film_whose_boxes_are_searched_again_and_again),
]


@pytest.mark.parametrize(("content_type", "made"), _FILES, ids=[m.__name__ for _, m in _FILES])
def test_a_file_with_too_many_parts_is_refused(
    content_type: str, made: Callable[[], bytes]
) -> None:
    """A GIF of 2.27 million frames held the media function until it was stopped, and so could other formats."""
    with pytest.raises(FileRefused, match=r"too many|more than 50,000 GIF blocks"):
        clean(a_file(made()), content_type)


def test_a_long_animation_is_taken() -> None:
    assert clean(a_file(_GIF_HEAD + _GIF_FRAME * 20_000 + b";"), "image/gif").moves


def test_every_look_at_a_file_is_counted() -> None:
    file = Ranges(lambda start, length: bytes(length), 100)
    for _ in range(MAX_LOOKS):
        file.number(0, 1)
    with pytest.raises(Scattered, match="too many parts"):
        file.held(0)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _into_png(chunks: bytes) -> bytes:
    picture = a_picture(".png")
    end = picture.index(b"IEND") - 4
    return picture[:end] + chunks + picture[end:]


def _exif_elsewhere(*, at: int) -> bytes:
    """Exif data whose directory of 65,535 entries lies `at` bytes further on, where the file has 0xFF."""
    return b"MM\x00*" + struct.pack(">I", at - at % 4)
