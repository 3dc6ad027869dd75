"""Converts pictures as a stream of rows from the decoder to the encoder, so that memory use stays low.

libvips decodes only as many pixels as the result needs (JPEG and WebP can be read at a half, a quarter or an eighth),
applies the camera's orientation, converts the colors to sRGB, and writes no metadata, so that the place where a picture
was taken is not published.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyvips

from shared.providers.variants import VariantPlan

T = TypeVar("T")

_BEST_QUALITY = 92
_LEAST_QUALITY = (
    72  # below this, blocks become visible, and fewer pixels look better than worse ones
)
_GUESSES = 3
_AIMED_AT, _CLOSE_ENOUGH = 0.97, 0.9
_PLAIN, _PROFILE = frozenset({"srgb", "b-w"}), "icc-profile-data"
_SHRINK_MARGIN = 0.95
_LEAST_SHRINK = 0.9
_WEBP_EFFORT = 2  # of 6: half the time of the usual 4, for a few percent more bytes
_WHITE = [255, 255, 255]

# One picture at a time: libvips's cache would keep decoded pictures, and each of its threads holds its own rows.
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)
# Decoders that are not hardened against untrusted files are switched off.
pyvips.block_untrusted_set(True)
# Plain rows need no decoder; only `_bitmap` and `Decoded` ask for them.
pyvips.operation_block_set("VipsForeignLoadRaw", False)


class Unreadable(Exception):
    """The decoder failed: the file is damaged, whatever its header says."""


class WillNotFit(Exception):
    """Even a very small copy is larger than the plan allows."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A file that was written."""

    path: Path
    size_bytes: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that was decoded once: plain rows in a file, upright and in sRGB."""

    path: Path
    width: int
    height: int
    bands: int

    def opened(self, width: int, height: int) -> pyvips.Image:
        """Open it at no more than this size. Only the rows that are needed are read."""
        rows = pyvips.Image.rawload(
            str(self.path), self.width, self.height, self.bands, access="sequential"
        )
        image = rows.copy(interpretation="srgb" if self.bands > 2 else "b-w")
        if width >= self.width and height >= self.height:
            return image
        return image.thumbnail_image(width, height=height, size="down")


def decode(source: Path, to: Path, *, width: int, height: int) -> Decoded:
    """Decode a picture at no more than this size, and write its rows to `to`: every copy is made from them.

    Raises:
        Unreadable: the picture is damaged.
    """
    image = _reading(lambda: _opened(source, width, height))
    _reading(lambda: image.rawsave(str(to)))
    return Decoded(to, image.width, image.height, image.bands)


def convert(picture: Decoded, plan: VariantPlan, to: Path) -> Converted:
    """Write the copy of a picture that `plan` describes, losing no more than its limits require.

    Quality is reduced first, down to where the loss becomes visible, then the number of pixels.

    Raises:
        Unreadable: the picture cannot be written.
        WillNotFit: `max_bytes` is too small for any copy.
    """
    width, height = plan.width, plan.height
    while True:
        made = _best_at(picture, plan, to, width, height)
        if plan.max_bytes is None or made.size_bytes <= plan.max_bytes:
            return made
        if max(width, height) < 16:
            raise WillNotFit
        shrink = min(math.sqrt(plan.max_bytes / made.size_bytes) * _SHRINK_MARGIN, _LEAST_SHRINK)
        width, height = max(1, int(made.width * shrink)), max(1, int(made.height * shrink))


def _best_at(picture: Decoded, plan: VariantPlan, to: Path, width: int, height: int) -> Converted:
    """Write at the best quality within the limit, or at the lowest quality if none is.

    The size grows about exponentially with the quality, so the next guess is interpolated between two known ones.
    """

    def at(quality: int) -> Converted:
        return _write(picture, plan.content_type, to, width, height, quality)

    limit = plan.max_bytes
    best = at(_BEST_QUALITY)
    if limit is None or best.size_bytes <= limit or plan.content_type == "image/png":
        return best  # PNG has no quality to give
    made = at(_LEAST_QUALITY)
    if made.size_bytes > limit:
        return made
    good, bad = (_LEAST_QUALITY, made.size_bytes), (_BEST_QUALITY, best.size_bytes)
    written = _LEAST_QUALITY
    for _ in range(_GUESSES):
        if good[1] >= limit * _CLOSE_ENOUGH or bad[0] - good[0] <= 1:
            break
        written = _guess(good, bad, limit)
        made = at(written)
        if made.size_bytes <= limit:
            good = written, made.size_bytes
        else:
            bad = written, made.size_bytes
    return made if written == good[0] else at(good[0])


def _guess(good: tuple[int, int], bad: tuple[int, int], limit: int) -> int:
    """Return the quality between two, each with its size in bytes, that should come just below `limit`."""
    aimed = math.log(limit * _AIMED_AT)
    least, most = math.log(good[1]), math.log(bad[1])
    share = max(0.0, (aimed - least) / (most - least))
    return min(max(int(good[0] + share * (bad[0] - good[0])), good[0] + 1), bad[0] - 1)


def _write(
    picture: Decoded, content_type: str, to: Path, width: int, height: int, quality: int
) -> Converted:
    image = _reading(lambda: picture.opened(width, height))
    write = {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[content_type]
    _reading(lambda: write(image, to, quality))
    return Converted(to, to.stat().st_size, image.width, image.height)


def _opened(source: Path, width: int, height: int) -> pyvips.Image:
    """Open a picture at no more than this size, upright and in sRGB. Nothing is decoded yet.

    Colors are converted only if the picture is not clearly in sRGB, because converting takes longer than everything else.
    """
    if (bitmap := _bitmap(source)) is not None:
        return bitmap.thumbnail_image(width, height=height, size="down")
    header = pyvips.Image.new_from_file(str(source))
    is_plain = header.interpretation in _PLAIN and header.get_typeof(_PROFILE) == 0
    colors = {} if is_plain and header.format == "uchar" else {"export_profile": "srgb"}
    return pyvips.Image.thumbnail(
        str(source), width, height=height, size="down", fail_on="truncated", **colors
    )


def _jpeg(image: pyvips.Image, to: Path, quality: int) -> None:
    if image.hasalpha():
        image = image.flatten(background=_WHITE[: image.bands - 1])
    # Neither progressive nor with optimized tables: both would hold the whole picture until the end.
    image.jpegsave(str(to), Q=quality, keep="none")


def _png(image: pyvips.Image, to: Path, _quality: int) -> None:
    image.pngsave(str(to), keep="none")


def _webp(image: pyvips.Image, to: Path, quality: int) -> None:
    image.webpsave(str(to), Q=quality, keep="none", effort=_WEBP_EFFORT)


def _bitmap(source: Path) -> pyvips.Image | None:
    """Open an uncompressed BMP, which libvips does not support: rows of blue, green and red, usually from the bottom up.

    Source: learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapinfoheader, read 2026-11. None: it is not a BMP.
    """
    with source.open("rb") as file:
        head = file.read(34)
    if head[:2] != b"BM":
        return None
    start, width = int.from_bytes(head[10:14], "little"), int.from_bytes(head[18:22], "little")
    height = int.from_bytes(head[22:26], "little", signed=True)
    pixel = int.from_bytes(head[28:30], "little") // 8
    row = (width * pixel + 3) // 4 * 4
    rows = pyvips.Image.rawload(str(source), row, abs(height), 1, offset=start)
    padded = rows.embed(0, 0, width * pixel + pixel, abs(height))
    channels = [
        padded.crop(channel, 0, width * pixel, abs(height)).subsample(pixel, 1)
        for channel in (2, 1, 0)
    ]
    image = channels[0].bandjoin(channels[1:]).copy(interpretation="srgb")
    return image.flipver() if height > 0 else image


def _reading(work: Callable[[], T]) -> T:
    try:
        return work()
    except pyvips.Error as error:
        raise Unreadable(str(error).strip().splitlines()[-1]) from error
