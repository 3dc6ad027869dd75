"""Which statements read and write files. Each belongs to one organization."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId, UserId
from shared.core.page import Page, read_cursor, write_cursor
from shared.media.errors import MediaNotFound
from shared.media.models import Media, MediaState, MediaVariant
from shared.media.pick import MediaFile, StoredFile, StoredVariant
from shared.media.schemas import Kind, MediaFilter, MediaList, MediaOut

PAGES_OF = 18  # of the list that is asked for by page number


def add_upload(
    session: Session,
    organization_id: OrganizationId,
    *,
    media_id: uuid.UUID,
    uploaded_by: UserId | None,
    key: str,
    upload_id: str | None,
    name: str,
    size_bytes: int,
) -> None:
    """Add a file whose bytes are on their way."""
    session.execute(
        insert(Media).values(
            id=media_id,
            organization_id=organization_id,
            uploaded_by=uploaded_by,
            key=key,
            upload_id=upload_id,
            name=name,
            original_name=name,
            size_bytes=size_bytes,
        )
    )


def get_media(session: Session, organization_id: OrganizationId, media_id: MediaId) -> Media:
    """Read a file of the library.

    Raises:
        MediaNotFound: there is none, it was deleted, or its upload is not complete.
    """
    found = session.scalar(select(Media).where(*_in_library(organization_id), Media.id == media_id))
    if found is None:
        raise MediaNotFound
    return found


def get_upload(session: Session, organization_id: OrganizationId, media_id: MediaId) -> Media:
    """Read a file whatever has become of its upload.

    Raises:
        MediaNotFound: there is none.
    """
    found = session.scalar(
        select(Media).where(Media.organization_id == organization_id, Media.id == media_id)
    )
    if found is None or found.deleted_at is not None:
        raise MediaNotFound
    return found


def list_library(
    session: Session, organization_id: OrganizationId, wanted: MediaFilter
) -> MediaList:
    """Read one page of the library in the requested form: by cursor, or by number."""
    if wanted.page is not None:
        pages, found = list_media_by_number(session, organization_id, wanted, page=wanted.page)
        return MediaList(results=[MediaOut.of(media) for media in found], pages=pages)
    page = list_media(session, organization_id, wanted)
    return MediaList(
        results=[MediaOut.of(media) for media in page.items], next_cursor=page.next_cursor
    )


def list_media(
    session: Session, organization_id: OrganizationId, wanted: MediaFilter
) -> Page[Media]:
    """List the library, newest first."""
    statement = _listed(organization_id, wanted).limit(wanted.limit + 1)
    if wanted.cursor:
        created_at, media_id = _read_position(wanted.cursor)
        statement = statement.where(tuple_(Media.created_at, Media.id) < (created_at, media_id))
    rows = session.scalars(statement).all()
    items, more = rows[: wanted.limit], len(rows) > wanted.limit
    last = items[-1] if more else None
    return Page(items, write_cursor(last.created_at.isoformat(), str(last.id)) if last else None)


def list_media_by_number(
    session: Session, organization_id: OrganizationId, wanted: MediaFilter, *, page: int
) -> tuple[int, Sequence[Media]]:
    """List page number `page`, counted from 1, of the library; first how many pages there are."""
    matching = _listed(organization_id, wanted)
    total = select(func.count()).select_from(matching.order_by(None).subquery()).scalar_subquery()
    shown = matching.limit(PAGES_OF).offset((page - 1) * PAGES_OF).subquery()
    # The count comes even when the page is past the end: it is the left side of the join.
    counted = select(total.label("total")).subquery()
    rows = session.execute(
        select(counted.c.total, Media)
        .select_from(counted)
        .outerjoin(shown, onclause=true())
        .outerjoin(Media, Media.id == shown.c.id)
        .order_by(shown.c.created_at.desc(), shown.c.id.desc())
    ).all()
    found = [media for _, media in rows if media is not None]
    return -(-rows[0][0] // PAGES_OF), found


def get_media_files(
    session: Session, organization_id: OrganizationId, ids: Sequence[MediaId]
) -> Sequence[MediaFile]:
    """Read completed files with their copies, in one statement.

    In no order; ids that name nothing in this organization are left out. Deleted files are among them, marked, because
    a post that was composed before still goes out with them: a new composition must refuse them.
    """
    rows = session.execute(
        select(Media, MediaVariant)
        .outerjoin(
            MediaVariant,
            (MediaVariant.media_id == Media.id)
            & (MediaVariant.organization_id == Media.organization_id),
        )
        .where(
            Media.organization_id == organization_id,
            Media.id.in_(ids),
            Media.state == MediaState.READY,
        )
    ).all()
    variants: dict[uuid.UUID, list[MediaVariant]] = {}
    files: dict[uuid.UUID, Media] = {}
    for media, joined in rows:
        variant: MediaVariant | None = joined  # an outer join: None where there is no copy
        files[media.id] = media
        variants.setdefault(media.id, []).extend([] if variant is None else [variant])
    return [as_file(media, variants[media.id]) for media in files.values()]


def as_file(media: Media, variants: Sequence[MediaVariant]) -> MediaFile:
    """Combine a row with its copies."""
    return MediaFile(
        id=media.id,
        name=media.name,
        original=StoredFile(
            key=media.key,
            content_type=media.content_type,
            size_bytes=media.size_bytes,
            width=media.width,
            height=media.height,
            duration_ms=media.duration_ms,
        ),
        variants=[
            StoredVariant(
                v.name, StoredFile(v.key, v.content_type, v.size_bytes, v.width, v.height)
            )
            for v in variants
        ],
        alt=media.alt,
        thumbnail_key=media.thumbnail_key,
        variants_made=media.variants_made,
        is_deleted=media.deleted_at is not None,
        moves=media.moves,
        damage=media.damage,
        turned=media.turned,
        is_examined=media.examined,
        thumbnail_at_ms=media.thumbnail_at_ms,
    )


def finish_upload(
    session: Session, organization_id: OrganizationId, media_id: MediaId, values: Mapping[str, Any]
) -> Media | None:
    """End an upload with its result; None: it has already ended."""
    return session.scalar(
        update(Media)
        .where(
            Media.organization_id == organization_id,
            Media.id == media_id,
            Media.state == MediaState.UPLOADING,
            Media.deleted_at.is_(None),
        )
        .values(upload_id=None, **values)
        .returning(Media)
        .execution_options(populate_existing=True)
    )


def find_key(
    session: Session,
    organization_id: OrganizationId,
    *,
    media_id: uuid.UUID | None,
    key: str | None,
) -> str | None:
    """Find the object key of a library picture, given its id or its key."""
    return session.scalar(
        select(Media.key).where(
            *_in_library(organization_id),
            Media.id == media_id if media_id else Media.key == key,
            _of_kind(Kind.IMAGE),
        )
    )


def change_media(
    session: Session, organization_id: OrganizationId, media_id: MediaId, values: Mapping[str, Any]
) -> Media:
    """Change a file's description.

    Raises:
        MediaNotFound: there is none.
    """
    changed = session.scalar(
        update(Media)
        .where(*_in_library(organization_id), Media.id == media_id)
        .values(**values)
        .returning(Media)
        .execution_options(populate_existing=True)
    )
    if changed is None:
        raise MediaNotFound
    return changed


def mark_deleted(
    session: Session, organization_id: OrganizationId, media_id: MediaId, state: MediaState
) -> Media | None:
    """Mark a file in `state` deleted; None: there is none."""
    return session.scalar(
        update(Media)
        .where(
            Media.organization_id == organization_id,
            Media.id == media_id,
            Media.state == state,
            Media.deleted_at.is_(None),
        )
        .values(deleted_at=func.now())
        .returning(Media)
        .execution_options(populate_existing=True)
    )


def keep_variants(
    session: Session,
    organization_id: OrganizationId,
    media_id: MediaId,
    made: Sequence[StoredVariant],
    *,
    thumbnail_key: str | None,
    damage: str | None,
) -> bool:
    """Record the copies that were made or the damage that was found, and that the copies are complete; False: it is gone.

    A member's own thumbnail stays. Copies that another delivery of the message recorded are identical.
    """
    kept = session.scalar(
        update(Media)
        .where(Media.organization_id == organization_id, Media.id == media_id)
        .values(
            variants_made=True,
            thumbnail_key=func.coalesce(Media.thumbnail_key, thumbnail_key),
            damage=func.coalesce(Media.damage, damage),
        )
        .returning(Media.id)
    )
    if kept is None:
        return False
    if made:
        session.execute(
            insert(MediaVariant)
            .values(
                [
                    {
                        "organization_id": organization_id,
                        "media_id": media_id,
                        "name": variant.name,
                        "key": variant.file.key,
                        "content_type": variant.file.content_type,
                        "size_bytes": variant.file.size_bytes,
                        "width": variant.file.width,
                        "height": variant.file.height,
                    }
                    for variant in made
                ]
            )
            .on_conflict_do_nothing(index_elements=["media_id", "name"])
        )
    return True


def record_examination(
    session: Session,
    organization_id: OrganizationId,
    media_id: MediaId,
    values: Mapping[str, Any],
    *,
    damage: str | None,
) -> None:
    """Record what examining a stored file again found. Damage that was known before stays."""
    session.execute(
        update(Media)
        .where(Media.organization_id == organization_id, Media.id == media_id)
        .values(examined=True, damage=func.coalesce(Media.damage, damage), **values)
    )


def _in_library(organization_id: OrganizationId) -> tuple[ColumnElement[bool], ...]:
    return (
        Media.organization_id == organization_id,
        Media.state == MediaState.READY,
        Media.deleted_at.is_(None),
    )


def _listed(organization_id: OrganizationId, wanted: MediaFilter) -> Select[Media]:
    statement = (
        select(Media)
        .where(*_in_library(organization_id))
        .order_by(Media.created_at.desc(), Media.id.desc())
    )
    if wanted.search:
        # Not LIKE: for a rare word the planner would then read every organization's files at once, instead of walking
        # through this one's by their index.
        word = func.lower(wanted.search)
        statement = statement.where(
            or_(
                func.strpos(func.lower(Media.name), word) > 0,
                func.strpos(func.lower(Media.original_name), word) > 0,
            )
        )
    return statement.where(_of_kind(wanted.kind)) if wanted.kind else statement


def _of_kind(kind: Kind) -> ColumnElement[bool]:
    return Media.content_type.startswith(f"{kind}/")


def _read_position(cursor: str) -> tuple[datetime, uuid.UUID]:
    created_at, media_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(created_at)), uuid.UUID(media_id)
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error
