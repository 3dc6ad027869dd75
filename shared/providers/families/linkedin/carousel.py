"""Makes a LinkedIn carousel: pictures become the pages of one document, which is uploaded while it is assembled.

Source: marketing/community-management/shares/documents-api on learn.microsoft.com/en-us/linkedin, read 2026-11: "The file
size cannot exceed 100MB and 300 pages"; it names no limit for a title. The minimum of two pictures is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from shared.core.formats.jpeg import Jpeg, read_jpeg
from shared.core.formats.pdf import pdf_of
from shared.core.ranges import Assembled, Broken, Ranges
from shared.providers.base import DraftPart, OutgoingMedia, OutgoingPost, Processing, Staged
from shared.providers.errors import FieldRefused, MediaRejected
from shared.providers.families.linkedin.media import upload_document, wait_for
from shared.providers.http import Api
from shared.providers.spec import ImageRules
from shared.providers.uploads import is_time_short, read_range
from shared.providers.variants import needed_variant

MIN_PAGES = 2
MAX_PAGES = 300
MAX_BYTES = 100_000_000  # MB, not MiB, to be safe
PAGE_TYPE = "image/jpeg"  # the type that a PDF contains unchanged


def check_pages(root: DraftPart, rules: ImageRules) -> Iterator[FieldRefused]:
    """List refusals of a post's files as a carousel, in addition to the table's."""
    path = "value.0.image"
    count = sum(not media.is_video for media in root.media)
    if count < MIN_PAGES:
        yield FieldRefused(
            path,
            "too_few_media",
            f"A carousel is made of at least {MIN_PAGES} pictures; there are {count}. Add some, or switch it off.",
            {"limit": MIN_PAGES, "actual": count},
        )
    # The sizes of variants are not known yet.
    as_they_are = [
        media.size_bytes
        for media in root.media
        if media.content_type == PAGE_TYPE and needed_variant(media, rules) is None
    ]
    if sum(as_they_are) > MAX_BYTES:
        yield FieldRefused(
            path, "too_large", _too_large(sum(as_they_are)), {"limit": MAX_BYTES, "actual": sum(as_they_are)}
        )  # fmt: skip


def stage_carousel(
    api: Api, post: OutgoingPost, progress: Mapping[str, Any], *, title: str
) -> Staged | Processing:
    """Upload the pictures as one document and wait until LinkedIn has made its pages.

    Raises:
        MediaRejected: a picture is damaged, or the document is larger than LinkedIn accepts.
    """
    if progress.get("urns"):
        return wait_for(api, progress["urns"], progress)
    if is_time_short(api):
        return Processing({}, after=timedelta(0))
    urn = upload_document(api, document_of(api, post.media, title), "application/pdf")
    return Processing({"urns": [urn]}, after=timedelta(0))  # stored before anything else can fail


def document_of(api: Api, pictures: Sequence[OutgoingMedia], title: str) -> Assembled:
    """Build the document; only the header of each picture is read.

    Raises:
        MediaRejected: as `stage_carousel`.
    """
    pages = [_page(api, number, picture) for number, picture in enumerate(pictures, 1)]
    try:
        document = pdf_of(pages, title=title)
    except Broken as error:
        raise MediaRejected(f"The carousel cannot be created: {error}.") from error
    if document.size_bytes > MAX_BYTES:
        raise MediaRejected(_too_large(document.size_bytes))
    return document


def _page(api: Api, number: int, picture: OutgoingMedia) -> Jpeg:
    try:
        return read_jpeg(Ranges(partial(read_range, api, picture), picture.size_bytes))
    except Broken as error:
        raise MediaRejected(f"Picture {number} of the carousel is damaged: {error}.") from error


def _too_large(size: int) -> str:
    return (
        f"LinkedIn allows carousels of at most {MAX_BYTES // 1_000_000} MB; the pictures have "
        f"{size / 1_000_000:.1f} MB together. Take fewer or smaller ones."
    )
