"""Detects an uploaded file's type, makes its small copy, and draws avatars and headers."""

import colorsys
import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
}
CONTENT_TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}

# Mastodon's own limits (docs.joinmastodon.org/entities/Instance, example of 4.x, read 2026-11).
MAX_IMAGE_BYTES = 16 * 1024 * 1024
MAX_VIDEO_BYTES = 99 * 1024 * 1024
MAX_IMAGE_PIXELS = 33_177_600

SMALL = (640, 640)
_MOVING_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash")


class TooManyPixels(ValueError):
    """The picture is larger than the network accepts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded picture: its displayed size, and its small copy as JPEG."""

    width: int
    height: int
    small: bytes


def sniff(head: bytes) -> str | None:
    """Detect the type from the first bytes; None for types that the network does not accept."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _MOVING_BRANDS:
        return "video/mp4"
    if head[4:12] == b"ftypqt  ":
        return "video/quicktime"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"
    return None


def look_at(path: Path) -> Seen | None:
    """Decode the picture at `path`; None if it cannot be decoded completely.

    Raises:
        TooManyPixels: the picture is too large, so it was not decoded.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise TooManyPixels(f"{image.width}x{image.height} images are not supported")
            upright = ImageOps.exif_transpose(image)
            width, height = upright.size
            upright.thumbnail(SMALL)
            return Seen(width, height, _jpeg(upright))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels("Images of this size are not supported") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, TooManyPixels):
            raise
        return None


def _jpeg(image: Image.Image) -> bytes:
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image.convert("RGBA"), mask=image.convert("RGBA").getchannel("A"))
    out = io.BytesIO()
    paper.save(out, "JPEG", quality=82)
    return out.getvalue()


@lru_cache(maxsize=256)
def avatar(name: str) -> bytes:
    """Draw a PNG avatar that depends only on `name`: a mirrored pattern in a color."""
    digest = hashlib.sha256(name.encode()).digest()
    image = Image.new("RGB", (240, 240), _color(digest[0], lightness=0.90))
    draw = ImageDraw.Draw(image)
    ink = _color(digest[0], lightness=0.45)
    for cell in range(15):
        row, column = divmod(cell, 3)
        if digest[1 + cell] % 2:
            for x in {column, 4 - column}:
                left, top = 20 + x * 40, 20 + row * 40
                draw.rectangle((left, top, left + 39, top + 39), fill=ink)
    return _png(image)


@lru_cache(maxsize=256)
def header(name: str) -> bytes:
    """Draw the PNG banner of `name`: a gradient from its color."""
    digest = hashlib.sha256(name.encode()).digest()
    ends = Image.new("RGB", (2, 1))
    ends.putpixel((0, 0), _color(digest[0], lightness=0.62))
    ends.putpixel((1, 0), _color((digest[0] + 40) % 256, lightness=0.72))
    return _png(ends.resize((1500, 500), Image.Resampling.BILINEAR, box=(0.5, 0, 1.5, 1)))


@lru_cache(maxsize=1)
def film_still() -> bytes:
    """Draw the placeholder for videos, which the sandbox does not decode."""
    image = Image.new("RGB", (640, 360), (38, 40, 52))
    ImageDraw.Draw(image).polygon([(280, 130), (280, 230), (370, 180)], fill=(235, 236, 242))
    return _jpeg(image)


def _color(hue: int, *, lightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(hue / 256, lightness, 0.55)
    return round(red * 255), round(green * 255), round(blue * 255)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
