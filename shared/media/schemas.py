"""What the routes of files take and answer."""

import re
import uuid
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from shared.aws.storage import MAX_PARTS, public_url
from shared.core.cleaning import clean_name
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.media.queries import MediaRow
from shared.media.sniff import is_video

MAX_URLS = 100  # signed in one answer


class Kind(StrEnum):
    """What a member filters the library by; the word before the slash of a type."""

    IMAGE = "image"
    VIDEO = "video"


MAX_NAME = 255


def file_name(given: str) -> str:
    """Return the last part of a path as a clean name on one line: it is shown, and never used as a path."""
    return clean_name(re.split(r"[/\\]", given)[-1], max_length=MAX_NAME) or "file"


FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(file_name)
]
AltText = Annotated[str, StringConstraints(max_length=5_000)]


class NewUpload(RequestModel):
    """A file about to be uploaded. Its type is read from its bytes later; `contentType` only spares a vain upload."""

    name: FileName = Field(examples=["beach.jpg"])
    size: int = Field(gt=0, le=5 * 1024**4, description="Bytes.", examples=[2_483_112])
    content_type: str | None = Field(default=None, max_length=255, examples=["image/jpeg"])


class PartUrl(WireModel):
    """Where to PUT one part: exactly its bytes, no other headers. The answer's `ETag` is needed at completion."""

    number: int
    url: str


class UploadStarted(WireModel):
    """An upload that has begun. Every part has `partSize` bytes, the last one what is left."""

    id: uuid.UUID
    upload_id: str
    part_size: int
    part_count: int
    parts: list[PartUrl] = Field(description=f"The first {MAX_URLS} parts; ask for others.")
    expires_at: WireTime = Field(description="When the addresses stop working; ask for new ones.")


class WantedParts(RequestModel):
    """Parts whose addresses are needed, again or for the first time."""

    numbers: list[Annotated[int, Field(ge=1, le=MAX_PARTS)]] = Field(
        min_length=1, max_length=MAX_URLS, examples=[[101, 102]]
    )


class PartUrls(WireModel):
    """Addresses of parts."""

    parts: list[PartUrl]
    expires_at: WireTime


class UploadedPartIn(RequestModel):
    """A part that the storage has, with the `ETag` it answered."""

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
    """A file of the library. Sizes in bytes, pixels as shown, and milliseconds."""

    id: uuid.UUID
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
    thumbnail: str | None = Field(description="Public address of a small picture of it.")
    thumbnail_timestamp: int | None = Field(description="Milliseconds into a video.")
    moves: bool = Field(description="Whether it is a picture of several frames.")
    damage: str | None = Field(description="Why posts cannot use the file; null: nothing is wrong.")
    variants_made: bool = Field(description="Whether the copies that platforms need are ready.")
    created_at: WireTime
    updated_at: WireTime

    @classmethod
    def of(cls, media: MediaRow) -> "MediaOut":
        """Show a row."""
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
    """One page of the library, newest first. `pages` is only there when a page was asked for by its number."""

    results: list[MediaOut]
    next_cursor: str | None = None
    pages: int | None = None


class StorageOut(WireModel):
    """How much of an organization's storage its files and uploads take, in bytes."""

    used: int = Field(examples=[2_483_112])
    limit: int | None = Field(description="Null: there is none.", examples=[107_374_182_400])


class MediaRemoved(WireModel):
    """What is gone."""

    id: uuid.UUID


class MediaFilter(RequestModel):
    """Which files of the library are wanted."""

    search: str = Field(default="", max_length=255, description="Part of the name.")
    kind: Kind | None = None
    cursor: str | None = Field(default=None, max_length=500, description="From `nextCursor`.")
    limit: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE)
    page: int | None = Field(
        default=None, ge=1, le=100_000, description="Instead of a cursor: 18 files a page."
    )


class MediaEdit(RequestModel):
    """How members describe a file. A field that is left out stays; null clears it."""

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
        description="Milliseconds into the video, for platforms that take the picture from there.",
    )


class MediaInformation(MediaEdit):
    """The same for a file that is named in the body."""

    id: uuid.UUID
