"""How does the public API show one post? As in its list, and with all its parts."""

from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from shared.aws.storage import public_url
from shared.core.ids import OrganizationId
from shared.posts.errors import PostNotFound
from shared.posts.queries import FILES
from shared.public_api.list_posts import LISTED
from shared.public_api.post_schemas import PublicFile, PublicPartOut, PublicThread

_THREAD = text(f"""
    select {LISTED}, p.delay_seconds, p.error_message, p.created_at, p.updated_at, {FILES} as files
    from posts p join channels c on c.id = p.channel_id
    where p.organization_id = :organization_id and p.deleted_at is null and p.root_id = (
        select named.root_id from posts named
        where named.id = :post_id and named.organization_id = :organization_id and named.deleted_at is null)
    order by p.position
""")  # noqa: S608, only constants of two files


def show_post(session: Session, organization_id: OrganizationId, post_id: UUID) -> PublicThread:
    """Read a post with all its parts; any part's id names it.

    Raises:
        PostNotFound: there is none.
    """
    values = {"organization_id": organization_id, "post_id": post_id}
    rows = session.execute(_THREAD, values).mappings().all()
    if not rows:
        raise PostNotFound
    root = rows[0]
    error = {"error": root["error_message"]} if root["error_message"] else {}
    return PublicThread.model_validate({**root, **error, "value": [_part(row) for row in rows]})


def _part(row: RowMapping) -> PublicPartOut:
    return PublicPartOut(
        id=row["id"],
        content=row["content"],
        delay=row["delay_seconds"] / 60,
        image=[_file(file) for file in row["files"]],
        state=row["state"],
        release_url=row["releaseURL"],
        release_id=row["releaseId"],
        error=row["error_message"],
    )


def _file(file: dict[str, Any]) -> PublicFile:
    return PublicFile(
        id=file["id"],
        path=public_url(file["key"]) if file["key"] else None,
        alt=file["alt"],
        thumbnail=public_url(file["thumbnail"]) if file["thumbnail"] else None,
        thumbnail_timestamp=file["thumbnailTimestamp"],
    )
