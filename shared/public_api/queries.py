"""Which statements of its own the public API has: what it shows that nothing else asks for."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.db.types import AnyRow
from shared.posts.models import Post, Tag


def find_release(session: Session, organization_id: UUID, post_id: UUID) -> AnyRow | None:
    """Find where a post went out: its release, its channel and that one's platform; None if it did not."""
    return session.execute(
        select(
            Post.release_id,
            Post.release_url,
            Post.release_data,
            Post.channel_id,
            Channel.provider,
        )
        .join(Channel, Channel.id == Post.channel_id)
        .where(
            Post.organization_id == organization_id,
            Post.id == post_id,
            Post.release_id.is_not(None),
            Post.deleted_at.is_(None),
            Channel.deleted_at.is_(None),
        )
    ).one_or_none()


def find_tags(session: Session, organization_id: UUID, names: Collection[str]) -> set[str]:
    """Return those of the names that are tags of the organization."""
    known = select(Tag.name).where(
        Tag.organization_id == organization_id, Tag.name.in_(names), Tag.deleted_at.is_(None)
    )
    return set(session.scalars(known))
