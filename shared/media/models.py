"""The tables of uploaded files and their converted copies. The bytes are in object storage under `key`."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import (
    ApiKeyId,
    CustomerId,
    GrantId,
    MediaId,
    OrganizationId,
    UserId,
    VariantId,
    new_id,
)
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import text_enum


class MediaState(StrEnum):
    """`uploading` until completed; `rejected` if the bytes may not be stored."""

    UPLOADING = "uploading"
    READY = "ready"
    REJECTED = "rejected"


class Media(Timestamps, SoftDelete, Base):
    """An uploaded file. Sizes in bytes, pixels and milliseconds; `content_type` was sniffed from the bytes.

    `moves`: a picture with more than one frame. `turned`: Exif rotates or mirrors it for display. `damage`: a clause
    that says what is wrong with the bytes, if anything. `examined`: the properties were read and the metadata removed under
    the current rules; a file stored under earlier rules is examined again before it is published.
    `variants_due_at` is when missing copies are requested again; None: a few minutes after the upload.

    `customers` are those of the channels that it was used on. Members who are limited to customers see the files of theirs, and
    what they uploaded themselves: `uploaded_with` is the API key or consent with which it was done.
    """

    __tablename__ = "media"
    __table_args__ = (
        UniqueConstraint("key"),
        Index(
            "ix_media_organization_id_created_at",
            "organization_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_media_without_variants",
            "updated_at",
            postgresql_where=text("not variants_made and state = 'ready' and deleted_at is null"),
        ),
        Index(
            "ix_media_unexamined",
            "updated_at",
            postgresql_where=text("not examined and state = 'ready' and deleted_at is null"),
        ),
        Index("ix_media_deleted", "deleted_at", postgresql_where=text("deleted_at is not null")),
        Index("ix_media_unfinished", "created_at", postgresql_where=text("state <> 'ready'")),
        Index(
            "ix_media_thumbnail_key",
            "thumbnail_key",
            postgresql_where=text("thumbnail_key is not null"),
        ),
        Index(  # the storage that an organization uses is counted from the index alone
            "ix_media_stored_bytes",
            "organization_id",
            postgresql_include=["size_bytes", "deleted_at"],
            postgresql_where=text("state <> 'rejected'"),
        ),
        Index(
            "ix_media_uploaded_by", "uploaded_by", postgresql_where=text("uploaded_by is not null")
        ),
        CheckConstraint("size_bytes >= 0", name="size_bytes_positive"),
    )

    id: Mapped[MediaId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    uploaded_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    uploaded_with: Mapped[ApiKeyId | GrantId | None] = mapped_column(Uuid())
    customers: Mapped[list[CustomerId]] = mapped_column(
        ARRAY(Uuid()), default=list, server_default=text("'{}'")
    )
    state: Mapped[MediaState] = mapped_column(text_enum(MediaState), default=MediaState.UPLOADING)
    key: Mapped[str]
    upload_id: Mapped[str | None]
    name: Mapped[str]
    original_name: Mapped[str]
    content_type: Mapped[str] = mapped_column(default="application/octet-stream")
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    width: Mapped[int | None]
    height: Mapped[int | None]
    duration_ms: Mapped[int | None]
    alt: Mapped[str | None]
    thumbnail_key: Mapped[str | None]
    thumbnail_at_ms: Mapped[int | None]
    variants_made: Mapped[bool] = mapped_column(default=False)
    variants_due_at: Mapped[datetime | None]
    moves: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    damage: Mapped[str | None]
    turned: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    examined: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class MediaVariant(Timestamps, Base):
    """A converted copy of a picture. `name` says which plan it fulfills (`jpeg-1000000`)."""

    __tablename__ = "media_variants"
    __table_args__ = (UniqueConstraint("media_id", "name"), UniqueConstraint("key"))

    id: Mapped[VariantId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    media_id: Mapped[MediaId] = mapped_column(ForeignKey("media.id", ondelete="CASCADE"))
    name: Mapped[str]
    key: Mapped[str]
    content_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
