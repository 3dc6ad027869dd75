"""Which statements of its own the public API has: what it shows that nothing else asks for."""

from typing import Any, NamedTuple
from uuid import UUID

from shared.core.ids import OrganizationId
from shared.db.statement import Statement, sql


class OnePost(NamedTuple):
    organization_id: OrganizationId
    post_id: UUID


class ReleaseRow(NamedTuple):
    release_id: str
    release_url: str | None
    release_data: dict[str, Any] | None
    channel_id: UUID
    provider: str


FIND_RELEASE = Statement(
    "find_release",
    sql("""
        select p.release_id, p.release_url, p.release_data, p.channel_id, c.provider
        from posts p join channels c on c.id = p.channel_id
        where p.organization_id = :organization_id and p.id = :post_id and p.release_id is not null
            and p.deleted_at is null and c.deleted_at is null
    """),
    params=OnePost,
    row=ReleaseRow,
)
"""Find where a post went out: its release, its channel and the channel's platform; no row: it did not, or either is deleted."""
