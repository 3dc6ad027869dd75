"""JPEGs for tests of headers and documents, written by Pillow."""

import io
from typing import Any

from PIL import Image, ImageCms

from shared.core.formats.jpeg import Jpeg, read_jpeg
from shared.core.ranges import Ranges

CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))  # from left to right, then below
CAMERA = "The camera of somebody"


def a_jpeg(
    width: int = 60, height: int = 40, *, mode: str = "RGB", orientation: int = 1, **save: Any
) -> bytes:
    """A picture of four colors, one in each corner, with Exif data."""
    image = Image.new("RGB", (width, height))
    for index, color in enumerate(CORNERS):
        left, top = (index % 2) * width // 2, (index // 2) * height // 2
        image.paste(color, (left, top, left + width // 2, top + height // 2))
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = orientation, CAMERA
    written = io.BytesIO()
    image.convert(mode).save(written, "JPEG", **{"exif": exif, "quality": 95} | save)
    return written.getvalue()


def a_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read(content: bytes) -> Jpeg:
    return read_jpeg(ranges(content))


def ranges(content: bytes) -> Ranges:
    return Ranges(lambda start, length: content[start : start + length], len(content))
