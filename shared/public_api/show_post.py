"""Shows one post in the public API, as in its list and with all its parts."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from shared.aws.storage import public_url
from shared.channels.queries import IN_REACH
from shared.core.ids import PostId
from shared.core.reach import Reach
from shared.db.statement import Statement, sql
from shared.posts.errors import PostNotFound
from shared.posts.read_queries import FILES, WIRE_STATE, OnePost
from shared.public_api.list_posts import CHANNEL, LISTED
from shared.public_api.post_schemas import PublicFile, PublicPartOut, PublicThread


class PublicPart(NamedTuple):
    """A part. `listed` is the JSON of a `PublicPost`; the other fields are not in a list, or have another name there."""

    listed: dict[str, Any]
    id: PostId
    content: str
    state: str
    release_url: str | None
    release_id: str | None
    delay_seconds: int
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    files: list[dict[str, Any]]


_THREAD = Statement(
    "show_public_post",
    sql(
        """
        select (select to_json(one) from (select {listed}) one) as listed, p.id, p.content, {wire_state} as state,
            p.release_url, p.release_id, p.delay_seconds, p.error_message, p.created_at, p.updated_at, {files} as files
        from posts p {channel}
        where p.organization_id = :organization_id and p.deleted_at is null and {in_reach} and p.root_id = (
            select named.root_id from posts named
            where named.id = :post_id and named.organization_id = :organization_id and named.deleted_at is null)
        order by p.position
        """,
        listed=LISTED,
        channel=CHANNEL,
        wire_state=WIRE_STATE,
        files=FILES,
        in_reach=IN_REACH,
    ),
    params=OnePost,
    row=PublicPart,
)
"""Read a thread by the id of any of its parts, in order."""


def show_post(session: Session, reach: Reach, post_id: PostId) -> PublicThread:
    """Read a post with all its parts by any part's id.

    Raises:
        PostNotFound: there is none.
    """
    rows = _THREAD.all(session, *reach, post_id)
    if not rows:
        raise PostNotFound
    root = rows[0]
    error = {"error": root.error_message} if root.error_message else {}
    times = {"created_at": root.created_at, "updated_at": root.updated_at}
    parts = [_part(row) for row in rows]
    return PublicThread.model_validate({**root.listed, **times, **error, "value": parts})


def _part(row: PublicPart) -> PublicPartOut:
    return PublicPartOut(
        id=row.id,
        content=row.content,
        delay=row.delay_seconds / 60,
        image=[_file(file) for file in row.files],
        state=row.state,
        release_url=row.release_url,
        release_id=row.release_id,
        error=row.error_message,
    )


def _file(file: dict[str, Any]) -> PublicFile:
    return PublicFile(
        id=file["id"],
        path=public_url(file["key"]) if file["key"] else None,
        alt=file["alt"],
        thumbnail=public_url(file["thumbnail"]) if file["thumbnail"] else None,
        thumbnail_timestamp=file["thumbnailTimestamp"],
    )
