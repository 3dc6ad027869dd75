"""Files for tests of media: pictures that libvips and Pillow write, and MP4s put together box by box."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import pyvips
from PIL import Image

from shared.core.ranges import Ranges


def a_picture(
    suffix: str = ".jpg",
    *,
    width: int = 64,
    height: int = 48,
    orientation: int = 1,
    alpha: bool = False,
    **save: Any,
) -> bytes:
    """A picture with some noise, so that its size depends on the quality; it says nothing but how it is turned."""
    image = noise(width, height)
    if alpha:
        image = image.bandjoin(128)
    if orientation != 1:
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    says = {"keep": "none"} if orientation == 1 else {}
    return bytes(image.write_to_buffer(suffix, **says | save))


def noise(width: int, height: int) -> pyvips.Image:
    """Colored noise, made row by row."""
    band = pyvips.Image.gaussnoise(width, height, sigma=40, mean=128, seed=1)
    return band.bandjoin([band.flipver(), band.fliphor()]).cast("uchar").copy(interpretation="srgb")


def an_animation(suffix: str = ".gif", *, frames: int = 3, size: int = 32) -> bytes:
    """A picture that moves; Pillow writes PNGs of that kind too."""
    shown = [Image.new("RGB", (size, size), (80 * index, 0, 0)) for index in range(frames)]
    written = io.BytesIO()
    shown[0].save(
        written, suffix.removeprefix("."), save_all=True, append_images=shown[1:], duration=100
    )
    return written.getvalue()


def a_bitmap(*, width: int = 63, height: int = 40, mode: str = "RGB") -> bytes:
    written = io.BytesIO()
    picture = Image.frombytes("RGB", (width, height), noise(width, height).write_to_memory())
    picture.convert(mode).save(written, "bmp")
    return written.getvalue()


SECRET = b"+51.5074-000.1278/ Ada Lovelace SN-4711"
"""What every file of `with_metadata` says of place, person and device."""


def with_metadata(suffix: str, *, orientation: int = 1) -> bytes:
    """A picture with a color profile, and `SECRET` wherever its type has a place for it."""
    picture = noise(64, 48).copy()
    picture.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    picture.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>")
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", f"{SECRET.decode()} (x, ASCII)")
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Make", f"{SECRET.decode()} (x, ASCII)")
    if suffix in {".jpg", ".tif"}:
        picture.set_type(pyvips.GValue.blob_type, "iptc-data", b"Photoshop 3.0\x00" + SECRET)
    if suffix == ".png":
        picture.set_type(pyvips.GValue.gstr_type, "png-comment-0-Author", SECRET.decode())
    content = bytes(picture.write_to_buffer(suffix, profile="p3"))
    assert SECRET in content, "libvips wrote no metadata"
    return content


def an_mp4(
    *,
    width: int = 1280,
    height: int = 720,
    duration_ms: int | None = 12_345,
    turned: bool = False,
    media_bytes: int = 1_000,
    moov_last: bool = False,
    fragments: Sequence[int] = (),
    sound_only: bool = False,
    large_sizes: bool = False,
    brand: bytes = b"isom",
    in_moov: bytes = b"",
    in_track: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """A film without frames. `fragments`: the lengths in ms that an index lists, with none in the header."""
    kind = b"ftyp", brand + bytes(4) + brand
    matrix = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30) if turned else (
        struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    )  # fmt: skip
    size = struct.pack(">II", width << 16, height << 16)
    picture = a_track(b"vide", size, matrix, more=in_track)
    sound = a_track(b"soun", bytes(8), matrix)
    length = 0 if fragments or duration_ms is None else duration_ms
    header = box(b"mvhd", bytes(12) + struct.pack(">II", 1000, length) + bytes(80))
    moov = box(b"moov", header + sound + (b"" if sound_only else picture) + in_moov)
    mdat = box(b"mdat", bytes(media_bytes), large=large_sizes)
    index = b""
    if fragments:
        entries = b"".join(struct.pack(">III", 100, lasting, 0) for lasting in fragments)
        start = bytes(4) + struct.pack(">IIIIHH", 1, 1000, 0, 0, 0, len(fragments))
        index = box(b"sidx", start + entries)
    rest = mdat + moov if moov_last else moov + index + mdat
    return box(*kind) + rest + behind


def a_file(content: bytes) -> Ranges:
    """Put bytes behind ranges."""
    return Ranges(lambda start, length: content[start : start + length], len(content))


def a_metadata_track(
    offsets: Sequence[int],
    sizes: Sequence[int],
    groups: Sequence[tuple[int, int]],
    *,
    wide: bool = False,
    handler: bytes = b"meta",
    number: int = 9,
) -> bytes:
    """A track of metadata whose samples lie at `offsets`. `groups`: from which chunk on how many samples each holds."""
    places = struct.pack(f">II{len(offsets)}{'Q' if wide else 'I'}", 0, len(offsets), *offsets)
    same = len(set(sizes)) == 1
    lengths = struct.pack(">III", 0, sizes[0] if same else 0, len(sizes))
    if not same:
        lengths += struct.pack(f">{len(sizes)}I", *sizes)
    held = b"".join(struct.pack(">III", first, samples, 1) for first, samples in groups)
    table = box(b"stsz", lengths) + box(b"stsc", struct.pack(">II", 0, len(groups)) + held)
    table += box(b"co64" if wide else b"stco", places)
    header = box(b"tkhd", bytes(12) + struct.pack(">I", number) + bytes(68))
    handled = box(b"hdlr", bytes(8) + handler + bytes(12))
    media = box(b"mdhd", bytes(24)) + handled + box(b"minf", box(b"stbl", table))
    return box(b"trak", header + box(b"mdia", media))


def with_samples(
    samples: Sequence[tuple[int, bytes]],
    groups: Sequence[tuple[int, int]],
    *,
    chunks: Sequence[int] | None = None,
    media_bytes: int = 100_000,
    moov_last: bool = False,
    **track: Any,
) -> bytes:
    """A film with a track of metadata whose samples are written at places in `mdat`; by default each is a chunk."""
    sizes = [len(content) for _, content in samples]
    inside = list(chunks) if chunks is not None else [at for at, _ in samples]

    def film(start: int) -> bytes:
        places = [start + at for at in inside]
        in_moov = a_metadata_track(places, sizes, groups, **track)
        return an_mp4(media_bytes=media_bytes, moov_last=moov_last, in_moov=in_moov)

    start = film(100).index(b"mdat") + 4
    content = bytearray(film(start).replace(bytes(media_bytes), b"\x55" * media_bytes))
    for at, sample in samples:
        content[start + at : start + at + len(sample)] = sample
    return bytes(content)


def a_track(
    handler: bytes,
    size: bytes = bytes(8),
    matrix: bytes = bytes(36),
    *,
    name: bytes = b"",
    table: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """One track; `name` is that of what wrote it, `table` what stands in its table of samples."""
    header = box(b"tkhd", bytes(40) + matrix + size)
    handled = box(b"hdlr", bytes(8) + handler + bytes(12) + name)
    samples = box(b"minf", box(b"stbl", table)) if table else b""
    return box(b"trak", header + box(b"mdia", box(b"mdhd", bytes(24)) + handled + samples) + more)


def box(kind: bytes, content: bytes, *, large: bool = False) -> bytes:
    """One box of an ISO media file."""
    if large:
        return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
    return struct.pack(">I4s", len(content) + 8, kind) + content
