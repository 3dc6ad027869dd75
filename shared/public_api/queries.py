"""The public API's own statements, for data that no other feature reads."""

from typing import Any, NamedTuple

from shared.channels.queries import IN_REACH
from shared.core.ids import ChannelId, CustomerId, OrganizationId, PostId
from shared.db.statement import Statement, sql


class OnePost(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    post_id: PostId


class ReleaseRow(NamedTuple):
    release_id: str
    release_url: str | None
    release_data: dict[str, Any] | None
    channel_id: ChannelId
    provider: str


FIND_RELEASE = Statement(
    "find_release",
    sql(
        """
        select p.release_id, p.release_url, p.release_data, p.channel_id, c.provider
        from posts p join channels c on c.id = p.channel_id
        where p.organization_id = :organization_id and p.id = :post_id and p.release_id is not null
            and p.deleted_at is null and c.deleted_at is null and {in_reach}
        """,
        in_reach=IN_REACH,
    ),
    params=OnePost,
    row=ReleaseRow,
)
"""Find a post's release, its channel and platform; no row: it is not published, or the post or channel is deleted."""
