"""What is cleaned up for members: bytes of deleted files, uploads that never ended, copies that were never made.

Files that were stored under earlier rules are examined again. It runs for all organizations at once, on a schedule.
Nothing here knows about posts: the caller says which files are still needed.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from shared.aws import storage
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.db.session import after_commit, read_only, unit_of_work
from shared.media.keys import thumbnail_key
from shared.media.models import Media, MediaState, MediaVariant
from shared.media.variants import request_variants

# Long enough to ask for a file back, and for an attempt that is under way to end.
_DELETED_FILES_STAY = timedelta(days=30)
# The bucket's lifecycle rule ends uploads after two days.
_UPLOADS_STAY = timedelta(days=3)
# Longer than the function that makes copies may run: its worker was killed, or the message was lost. A file that kills its
# worker each time is requested less and less often.
VARIANTS_TAKE = timedelta(minutes=3)
_PAUSE_SHARE = 2
_NEXT: ColumnElement[Any] = literal_column(
    f"now() + greatest(interval '{VARIANTS_TAKE.seconds} seconds', (now() - media.updated_at) / {_PAUSE_SHARE})"
)
_VARIANTS_GIVE_UP = timedelta(days=1)
_PAGE = 200
# About a minute's work for the function that makes copies, so that new uploads hardly wait.
_EXAMINED_AN_HOUR = 500


def remove_unneeded_files(needed: Select[uuid.UUID]) -> int:
    """Remove the bytes and rows of files that nobody can reach anymore; return how many files.

    `needed` selects the ids of files in posts that may still be published. Objects are removed first, then their rows: a
    crash in between leaves rows that the next call finds again.
    """
    with read_only() as session:
        files = session.execute(_unneeded(needed)).all()
    if not files:
        return 0
    for media, copies in files:
        for key in _keys(media, copies):
            storage.delete(key)
    with unit_of_work() as session:
        session.execute(delete(Media).where(Media.id.in_([media.id for media, _ in files])))
    log.info("media.removed", extra={"count": len(files)})
    return len(files)


def request_missing_variants() -> int:
    """Request missing copies again that should exist by now; return how many files lack them."""
    due = (
        select(Media.id)
        .where(
            Media.state == MediaState.READY,
            Media.variants_made.is_(False),
            Media.deleted_at.is_(None),
            Media.updated_at < func.now() - VARIANTS_TAKE,
            Media.updated_at > func.now() - _VARIANTS_GIVE_UP,
            or_(Media.variants_due_at.is_(None), Media.variants_due_at <= func.now()),
        )
        .order_by(Media.updated_at)
        .limit(_PAGE)
        .with_for_update(skip_locked=True)
    )
    with unit_of_work() as session:
        files = session.execute(
            update(Media)
            .where(Media.id.in_(due))
            .values(variants_due_at=_NEXT, updated_at=Media.updated_at)
            .returning(Media.organization_id, Media.id)
        ).all()
    request_variants((OrganizationId(owner), MediaId(media_id)) for owner, media_id in files)
    return len(files)


def request_examinations() -> int:
    """Request the examination of a page of files that were stored under earlier rules; return how many.

    The most recently requested ones come last, so that a file that cannot be examined does not hold up others.
    """
    page = (
        select(Media.id)
        .where(
            Media.examined.is_(False), Media.state == MediaState.READY, Media.deleted_at.is_(None)
        )
        .order_by(Media.updated_at)
        .limit(_EXAMINED_AN_HOUR)
    )
    with unit_of_work() as session:
        files = session.execute(
            update(Media)
            .where(Media.id.in_(page))
            .values(updated_at=func.now())
            .returning(Media.organization_id, Media.id)
            .execution_options(synchronize_session=False)
        ).all()
        ids = [(OrganizationId(owner), MediaId(media_id)) for owner, media_id in files]
        after_commit(session, partial(request_variants, ids))
    return len(files)


def _unneeded(needed: Select[uuid.UUID]) -> Select[Media, list[str] | None]:
    """Select a page of such files, each with the keys of its copies."""
    other = aliased(Media)
    is_thumbnail_elsewhere = (
        select(other.id)
        .where(other.thumbnail_key == Media.key, other.id != Media.id, other.deleted_at.is_(None))
        .exists()
    )
    is_forgotten = and_(
        Media.deleted_at < func.now() - _DELETED_FILES_STAY,
        Media.id.not_in(needed),
        ~is_thumbnail_elsewhere,
    )
    never_ended = and_(
        Media.state != MediaState.READY, Media.created_at < func.now() - _UPLOADS_STAY
    )
    copies = select(func.array_agg(MediaVariant.key)).where(MediaVariant.media_id == Media.id)
    return (
        select(Media, copies.scalar_subquery()).where(or_(is_forgotten, never_ended)).limit(_PAGE)
    )


def _keys(media: Media, copies: Sequence[str] | None) -> list[str]:
    thumbnail = [thumbnail_key(media.key)] if media.state is MediaState.READY else []
    return [media.key, *thumbnail, *(copies or ())]
