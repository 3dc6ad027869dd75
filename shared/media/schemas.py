"""Request and response schemas of files."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from shared.aws.storage import MAX_PARTS, public_url
from shared.core.cleaning import clean_name
from shared.core.ids import MediaId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.media.queries import MediaRow
from shared.media.sniff import is_video

MAX_URLS = 100  # signed in one answer


class Kind(StrEnum):
    """A filter of the library: the part of a type before the slash."""

    IMAGE = "image"
    VIDEO = "video"


MAX_NAME = 255


def file_name(given: str) -> str:
    """Return the last part of a path as a clean one-line name, which is shown but never used as a path."""
    return clean_name(re.split(r"[/\\]", given)[-1], max_length=MAX_NAME) or "file"


FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(file_name)
]
AltText = Annotated[str, StringConstraints(max_length=5_000)]


class NewUpload(RequestModel):
    """A file to upload. Its type is detected from its bytes later; `contentType` only allows an early refusal."""

    name: FileName = Field(examples=["beach.jpg"])
    size: int = Field(gt=0, le=5 * 1024**4, description="Bytes.", examples=[2_483_112])
    content_type: str | None = Field(default=None, max_length=255, examples=["image/jpeg"])


class PartUrl(WireModel):
    """The address to PUT one part to, without other headers. Its `ETag` is needed at completion."""

    number: int
    url: str


class UploadStarted(WireModel):
    """A started upload. Every part has `partSize` bytes; the last one has the rest."""

    id: MediaId
    upload_id: str
    part_size: int
    part_count: int
    parts: list[PartUrl] = Field(description=f"The first {MAX_URLS} parts; request the others.")
    expires_at: WireTime = Field(description="When the addresses expire; then request new ones.")


class WantedParts(RequestModel):
    """Parts whose addresses are requested, again or for the first time."""

    numbers: list[Annotated[int, Field(ge=1, le=MAX_PARTS)]] = Field(
        min_length=1, max_length=MAX_URLS, examples=[[101, 102]]
    )


class PartUrls(WireModel):
    """Addresses of parts."""

    parts: list[PartUrl]
    expires_at: WireTime


class UploadedPartIn(RequestModel):
    """An uploaded part with the storage's `ETag`."""

    number: int = Field(ge=1, le=MAX_PARTS)
    etag: str = Field(
        max_length=255,
        pattern=r'^"?[A-Za-z0-9+/=._-]+"?$',
        examples=['"9bb58f26192e4ba00f01e2e7b136bbd8"'],
    )


class CompletedUpload(RequestModel):
    """All parts of an upload, in any order."""

    parts: list[UploadedPartIn] = Field(min_length=1, max_length=MAX_PARTS)


class MediaOut(WireModel):
    """A file of the library. Sizes are in bytes, pixels as displayed, and milliseconds."""

    id: MediaId
    name: str
    original_name: str
    path: str = Field(description="Public address of the file.")
    type: Kind
    content_type: str
    file_size: int
    width: int | None
    height: int | None
    duration: int | None = Field(description="Milliseconds; null for pictures.")
    alt: str | None
    thumbnail: str | None = Field(description="Public address of its thumbnail.")
    thumbnail_timestamp: int | None = Field(description="Milliseconds into a video.")
    moves: bool = Field(description="Whether it is an animated picture.")
    damage: str | None = Field(description="Why posts cannot use the file; null if they can.")
    variants_made: bool = Field(description="Whether the variants for platforms are ready.")
    created_at: WireTime
    updated_at: WireTime

    @classmethod
    def of(cls, media: MediaRow) -> "MediaOut":
        """Convert a row."""
        return cls(
            id=media.id,
            name=media.name,
            original_name=media.original_name,
            path=public_url(media.key),
            type=Kind.VIDEO if is_video(media.content_type) else Kind.IMAGE,
            content_type=media.content_type,
            file_size=media.size_bytes,
            width=media.width,
            height=media.height,
            duration=media.duration_ms,
            alt=media.alt,
            thumbnail=public_url(media.thumbnail_key) if media.thumbnail_key else None,
            thumbnail_timestamp=media.thumbnail_at_ms,
            moves=media.moves,
            damage=media.damage,
            variants_made=media.variants_made,
            created_at=media.created_at,
            updated_at=media.updated_at,
        )


class MediaList(WireModel):
    """One page of the library, newest first. `pages` is present only if a page was requested by number."""

    results: list[MediaOut]
    next_cursor: str | None = None
    pages: int | None = None


class StorageOut(WireModel):
    """The storage that an organization's files and uploads use, in bytes."""

    used: int = Field(examples=[2_483_112])
    limit: int | None = Field(description="Null: no limit.", examples=[107_374_182_400])


class MediaRemoved(WireModel):
    """The removed file."""

    id: MediaId


class MediaFilter(RequestModel):
    """A filter of the library."""

    search: str = Field(default="", max_length=255, description="Part of the name.")
    kind: Kind | None = None
    cursor: str | None = Field(default=None, max_length=500, description="From `nextCursor`.")
    limit: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE)
    page: int | None = Field(
        default=None, ge=1, le=100_000, description="Instead of a cursor: 18 files a page."
    )


class MediaEdit(RequestModel):
    """A file's description. A field that is left out stays unchanged; null clears it."""

    name: FileName | None = None
    alt: AltText | None = Field(
        default=None, description="What the picture shows, for people who cannot see it."
    )
    thumbnail: str | None = Field(
        default=None,
        max_length=2_000,
        description="Id or public address of a picture of the library.",
    )
    thumbnail_timestamp: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Milliseconds into the video, for platforms that use a frame of the video.",
    )


class MediaInformation(MediaEdit):
    """The same with the file's id in the body."""

    id: MediaId
