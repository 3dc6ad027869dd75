"""Reads an uploaded file's type, size and length from a few ranges, and refuses files that may not be stored."""

from dataclasses import dataclass, replace

from shared.core.config import settings
from shared.core.formats.exif import ON_ITS_SIDE, UPRIGHT
from shared.core.ranges import Assembled, Broken, Ranges
from shared.media.clean import clean
from shared.media.errors import FileRefused
from shared.media.pictures import Picture, read_picture
from shared.media.sniff import HEAD_BYTES, is_video, sniff
from shared.media.videos import read_video

MAX_PIXELS = 40_000_000
# The memory for one decoder in the variants function, so that it stays under 256 MB: see its test.
MAX_DECODING_BYTES = 96 * 1024**2


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file's properties: size in bytes, pixels as displayed, length in milliseconds (None: a picture, or unknown).

    `orientation` is the picture's Exif orientation (1 to 8). `moves`: a picture with more than one frame. `damage` is a
    clause that says what is wrong; None: the file is complete.
    """

    content_type: str
    size_bytes: int
    width: int
    height: int
    duration_ms: int | None = None
    moves: bool = False
    damage: str | None = None
    orientation: int = UPRIGHT

    @property
    def turned(self) -> bool:
        """True if Exif's orientation rotates or mirrors the picture."""
        return self.orientation != UPRIGHT


@dataclass(frozen=True, slots=True)
class Examined:
    """An uploaded file: its properties without its metadata, and the content to store.

    `changed`: the content differs from the uploaded file.
    """

    info: FileInfo
    content: Assembled
    changed: bool


def examine(file: Ranges) -> Examined:
    """Read a file's properties and remove its metadata.

    Raises:
        FileRefused: as for `probe`, or the metadata cannot be removed.
    """
    info = probe(file)
    cleaned = clean(file, info.content_type)
    info = replace(
        info,
        size_bytes=cleaned.content.size_bytes,
        moves=cleaned.moves,
        damage=cleaned.damage,
    )
    if cleaned.orientation is not None:
        info = _turned(info, cleaned.orientation)
    return Examined(info, cleaned.content, cleaned.changed)


def _turned(info: FileInfo, orientation: int) -> FileInfo:
    """Return the properties with the orientation that the cleaner found, which the header reader may have missed."""
    if (orientation in ON_ITS_SIDE) != (info.orientation in ON_ITS_SIDE):
        info = replace(info, width=info.height, height=info.width)
    return replace(info, orientation=orientation)


def probe(file: Ranges) -> FileInfo:
    """Read a file's properties.

    Raises:
        FileRefused: its type may not be stored, or it is too large or damaged.
    """
    if not file.size:
        raise FileRefused("empty", "The file is empty. Choose another file.")
    try:
        content_type = sniff(file.at(0, min(HEAD_BYTES, file.size)))
        check_size(content_type, file.size)
        if is_video(content_type):
            video = read_video(file)
            return FileInfo(content_type, file.size, video.width, video.height, video.duration_ms)
        picture = read_picture(file, content_type)
    except Broken as error:
        raise FileRefused(
            "unreadable", f"The file cannot be read: {error}. Save a new copy and upload that."
        ) from error
    _check_pixels(picture, content_type)
    return FileInfo(
        content_type,
        file.size,
        picture.width,
        picture.height,
        orientation=picture.orientation,
    )


def max_bytes(content_type: str) -> int:
    """Return the maximum size in bytes of a file of a sniffed type."""
    limits = settings()
    video = is_video(content_type)
    return limits.media_max_video_bytes if video else limits.media_max_image_bytes


def check_size(content_type: str, size_bytes: int) -> None:
    """Check that a file is not too large for this installation.

    Raises:
        FileRefused: the file is too large.
    """
    limit = max_bytes(content_type)
    if size_bytes > limit:
        kind = "Videos" if is_video(content_type) else "Pictures"
        raise FileRefused(
            "too_large",
            f"{kind} can have at most {limit:,} bytes; this file has {size_bytes:,}. Upload a "
            "smaller one.",
            path="size",
        )


def _check_pixels(picture: Picture, content_type: str) -> None:
    pixels = picture.width * picture.height
    if pixels > MAX_PIXELS:
        raise FileRefused(
            "too_many_pixels",
            f"Pictures can have at most 40 megapixels; this one has {pixels / 1e6:.1f} "
            f"({picture.width} x {picture.height}). Save a smaller copy.",
        )
    if picture.decoding_bytes > MAX_DECODING_BYTES:
        possible = pixels * MAX_DECODING_BYTES / picture.decoding_bytes
        raise FileRefused(
            "too_many_pixels",
            f"A picture saved this way ({_way(content_type)}) may have at most {possible / 1e6:.1f} megapixels; this one "
            f"has {pixels / 1e6:.1f} ({picture.width} x {picture.height}). Save it smaller, or as a baseline JPEG.",
        )


def _way(content_type: str) -> str:
    return {"image/jpeg": "progressive JPEG", "image/png": "interlaced PNG"}.get(
        content_type, content_type.split("/")[1].upper()
    )
