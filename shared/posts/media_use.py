"""Finds the files of posts that are not published yet."""

from shared.db.statement import sql

MEDIA_STILL_NEEDED = sql("""
    select (held.value->>'id')::uuid
    from posts p cross join lateral jsonb_array_elements(p.media) as held(value)
    where p.state <> 'published' and p.deleted_at is null and jsonb_array_length(p.media) > 0
        and (held.value->>'id')::uuid is not null
""")
"""Selects the ids of files in posts that are not published yet, of every organization; without nulls.

The partial index `ix_posts_unpublished_media` holds exactly these posts, which are few beside the published ones.
"""
