"""Removes metadata about location, people and devices from an uploaded file.

Files are not decoded for this, so the picture itself does not change. The same pass over the file finds out whether it
is animated and whether it is complete.
"""

from collections.abc import Callable

from shared.core.ranges import Broken, Ranges
from shared.media.clean_boxes import clean_avif, clean_mp4
from shared.media.clean_pictures import clean_bmp, clean_gif, clean_jpeg, clean_png, clean_webp
from shared.media.clean_tiff import clean_tiff
from shared.media.errors import FileRefused
from shared.media.pieces import Cleaned
from shared.media.sniff import is_video

_PICTURE_WINDOW = 1024**2  # pictures are read in full, up to 50 MiB by default
_FILM_WINDOW = 64 * 1024  # of videos only the headers of boxes
_FILM_READS = 1_000  # a few seconds of requests

_CLEANERS: dict[str, Callable[[Ranges], Cleaned]] = {
    "image/jpeg": clean_jpeg,
    "image/png": clean_png,
    "image/gif": clean_gif,
    "image/webp": clean_webp,
    "image/avif": clean_avif,
    "image/bmp": clean_bmp,
    "image/tiff": clean_tiff,
    "video/mp4": clean_mp4,
}


def clean(file: Ranges, content_type: str) -> Cleaned:
    """Remove the metadata from a file of a sniffed type.

    Raises:
        FileRefused: its structure is too broken to remove all of the metadata.
    """
    if is_video(content_type):
        walked = file.walk(window=_FILM_WINDOW, max_reads=_FILM_READS)
    else:
        walked = file.walk(window=_PICTURE_WINDOW)
    try:
        return _CLEANERS[content_type](walked)
    except Broken as error:
        raise FileRefused(
            "unreadable", f"The file cannot be read: {error}. Save a new copy and upload that."
        ) from error
