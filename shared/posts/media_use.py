"""Which files of the media library posts still hold that may go out."""

import uuid

from sqlalchemy import Select, Uuid, cast, column, func, select, true

from shared.posts.lifecycle import PostState
from shared.posts.models import Post


def media_still_needed() -> Select[uuid.UUID]:
    """Select the ids of files in posts that are not published yet, of every organization; without NULLs.

    The partial index `ix_posts_unpublished_media` holds exactly these posts, which are few beside the published ones.
    """
    held = func.jsonb_array_elements(Post.media).table_valued(column("value"), name="held")
    media_id = cast(held.c.value.op("->>")("id"), Uuid)
    return (
        select(media_id)
        .select_from(Post)
        .join(held, true())
        .where(
            Post.state != PostState.PUBLISHED,
            Post.deleted_at.is_(None),
            func.jsonb_array_length(Post.media) > 0,
            media_id.is_not(None),
        )
    )
