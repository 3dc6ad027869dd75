"""Changes a file's description, and removes files from the library."""

import uuid
from typing import Any

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.storage import key_of
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId
from shared.db.statement import to_json
from shared.media import queries
from shared.media.errors import MediaNotFound
from shared.media.library import get_media
from shared.media.models import MediaState
from shared.media.queries import MediaRow
from shared.media.schemas import MediaEdit


class ThumbnailNotFound(InvalidInput):
    """The thumbnail is not a picture in the library."""

    code = "thumbnail_not_found"

    def __init__(self) -> None:
        message = "The thumbnail must be a picture in the library. Send its id or address."
        super().__init__(message, problems=[FieldProblem("thumbnail", "not_found", message)])


def edit_media(session: Session, actor: Actor, media_id: MediaId, edit: MediaEdit) -> MediaRow:
    """Change the fields that were given; the others stay unchanged.

    Raises:
        MediaNotFound: there is no such file.
        ThumbnailNotFound: the thumbnail is not a picture in the library.
    """
    given, organization_id = edit.model_fields_set, actor.organization
    values: dict[str, Any] = {}
    if edit.name is not None:  # a file always has a name
        values["name"] = edit.name
    if "alt" in given:
        values["alt"] = edit.alt or None
    if "thumbnail_timestamp" in given:
        values["thumbnail_at_ms"] = edit.thumbnail_timestamp
    if "thumbnail" in given:
        values["thumbnail_key"] = _thumbnail_key(session, organization_id, edit.thumbnail)
    if not values:
        return get_media(session, organization_id, media_id)
    changed = queries.CHANGE_MEDIA.find(session, organization_id, media_id, to_json(values))
    if changed is None:
        raise MediaNotFound
    record(session, actor, Action.MEDIA_UPDATED, media_id)
    return changed


def delete_media(session: Session, actor: Actor, media_id: MediaId) -> None:
    """Remove a file from the library. Its bytes stay until no waiting post needs them (`sweep.py`).

    Raises:
        MediaNotFound: there is no such file.
    """
    if queries.MARK_DELETED.find(session, actor.organization, media_id, MediaState.READY) is None:
        raise MediaNotFound
    record(session, actor, Action.MEDIA_DELETED, media_id)


def _thumbnail_key(
    session: Session, organization_id: OrganizationId, named: str | None
) -> str | None:
    if not named:
        return None
    try:
        media_id, key = MediaId(uuid.UUID(named)), None
    except ValueError:
        media_id, key = None, key_of(named)
    if media_id is None and key is None:
        raise ThumbnailNotFound
    found = queries.FIND_PICTURE.find(session, organization_id, media_id=media_id, key=key)
    if found is None:
        raise ThumbnailNotFound
    return found.key
