"""Reads the media library: a file, pages of files, and files with their variants for posts."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId
from shared.core.page import Page, read_cursor, write_cursor
from shared.media import queries
from shared.media.errors import MediaNotFound
from shared.media.pick import MediaFile, StoredFile, StoredVariant
from shared.media.queries import FileRow, MediaRow
from shared.media.schemas import MediaFilter, MediaList, MediaOut

PAGES_OF = 18  # for the list by page number


def get_media(session: Session, organization_id: OrganizationId, media_id: MediaId) -> MediaRow:
    """Read a file of the library.

    Raises:
        MediaNotFound: there is none, it was deleted, or its upload is not complete.
    """
    found = queries.FIND_MEDIA.find(session, organization_id, media_id)
    if found is None:
        raise MediaNotFound
    return found


def get_upload(session: Session, organization_id: OrganizationId, media_id: MediaId) -> MediaRow:
    """Read a file, whatever the state of its upload.

    Raises:
        MediaNotFound: there is none.
    """
    found = queries.FIND_UPLOAD.find(session, organization_id, media_id)
    if found is None:
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
) -> Page[MediaRow]:
    """List the library, newest first."""
    before_time, before_id = _read_position(wanted.cursor) if wanted.cursor else (None, None)
    rows = queries.LIST_MEDIA.all(
        session,
        organization_id=organization_id,
        search=wanted.search or None,
        kind=wanted.kind,
        before_time=before_time,
        before_id=before_id,
        limit=wanted.limit + 1,
    )
    items, more = rows[: wanted.limit], len(rows) > wanted.limit
    last = items[-1] if more else None
    return Page(items, write_cursor(last.created_at.isoformat(), str(last.id)) if last else None)


def list_media_by_number(
    session: Session, organization_id: OrganizationId, wanted: MediaFilter, *, page: int
) -> tuple[int, Sequence[MediaRow]]:
    """Return the number of pages, and page `page` of the library, counted from 1."""
    rows = queries.LIST_MEDIA_BY_NUMBER.all(
        session,
        organization_id=organization_id,
        search=wanted.search or None,
        kind=wanted.kind,
        skipped=(page - 1) * PAGES_OF,
        limit=PAGES_OF,
    )
    return -(-rows[0].total // PAGES_OF), [row for row in rows if row.is_file]


def get_media_files(
    session: Session, organization_id: OrganizationId, ids: Sequence[MediaId]
) -> Sequence[MediaFile]:
    """Read completed files with their variants, in one statement.

    In no order; unknown ids are left out. Deleted files are included and marked.
    """
    copies: dict[MediaId, list[FileRow]] = {}
    for row in queries.FIND_FILES.all(session, organization_id, list(ids)):
        copies.setdefault(row.id, []).append(row)
    return [_file(rows) for rows in copies.values()]


def _file(rows: Sequence[FileRow]) -> MediaFile:
    """Combine the rows of one file."""
    media = rows[0]
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
                row.variant_name,
                StoredFile(
                    row.variant_key,
                    row.variant_content_type,
                    row.variant_size_bytes,
                    row.variant_width,
                    row.variant_height,
                ),
            )
            for row in rows
            if row.variant_name is not None
        ],
        alt=media.alt,
        thumbnail_key=media.thumbnail_key,
        variants_made=media.variants_made,
        is_deleted=media.is_deleted,
        moves=media.moves,
        damage=media.damage,
        turned=media.turned,
        is_examined=media.examined,
        thumbnail_at_ms=media.thumbnail_at_ms,
    )


def _read_position(cursor: str) -> tuple[datetime, MediaId]:
    created_at, media_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(created_at)), MediaId(UUID(media_id))
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error
