"""Which labels an organization has for its posts, and how they are changed."""

from uuid import UUID

from sqlalchemy import Update, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.db.wire import constraint_of
from shared.organizations.queries import lock_organization
from shared.posts.errors import TagNotFound, TagTaken, TooManyTags
from shared.posts.models import Tag
from shared.posts.schemas import TagOut, TagWrite

MAX_TAGS = 1_000  # they are listed without pages
_SHOWN = (Tag.id, Tag.name, Tag.color)


def list_tags(session: Session, organization_id: OrganizationId) -> list[TagOut]:
    """List the organization's tags by name, at most a thousand."""
    rows = session.execute(
        select(*_SHOWN)
        .where(Tag.organization_id == organization_id, Tag.deleted_at.is_(None))
        .order_by(Tag.name)
        .limit(MAX_TAGS)
    )
    return [TagOut.model_validate(row) for row in rows]


def add_tag(session: Session, organization_id: OrganizationId, wanted: TagWrite) -> TagOut:
    """Add a tag.

    Raises:
        TagTaken: there is one of that name.
        TooManyTags: there are as many as there may be.
    """
    lock_organization(session, organization_id)
    held = select(func.count()).where(
        Tag.organization_id == organization_id, Tag.deleted_at.is_(None)
    )
    if (session.scalar(held) or 0) >= MAX_TAGS:
        raise TooManyTags(MAX_TAGS)
    row = session.execute(
        insert(Tag)
        .values(organization_id=organization_id, name=wanted.name, color=wanted.color)
        .on_conflict_do_nothing(
            index_elements=[Tag.organization_id, Tag.name], index_where=Tag.deleted_at.is_(None)
        )
        .returning(*_SHOWN)
    ).one_or_none()
    if row is None:
        raise TagTaken(wanted.name)
    return TagOut.model_validate(row)


def change_tag(
    session: Session, organization_id: OrganizationId, tag_id: UUID, wanted: TagWrite
) -> TagOut:
    """Rename or recolor a tag; posts that carry it show it so.

    Raises:
        TagNotFound: there is none.
        TagTaken: there is another one of that name.
    """
    try:
        row = session.execute(
            _one(organization_id, tag_id)
            .values(name=wanted.name, color=wanted.color)
            .returning(*_SHOWN)
        ).one_or_none()
    except IntegrityError as error:
        if constraint_of(error) != "uq_tags_name":
            raise
        raise TagTaken(wanted.name) from error
    if row is None:
        raise TagNotFound
    return TagOut.model_validate(row)


def delete_tag(session: Session, organization_id: OrganizationId, tag_id: UUID) -> None:
    """Delete a tag; posts lose it.

    Raises:
        TagNotFound: there is none.
    """
    row = session.execute(
        _one(organization_id, tag_id).values(deleted_at=func.now()).returning(Tag.id)
    ).one_or_none()
    if row is None:
        raise TagNotFound


def _one(organization_id: OrganizationId, tag_id: UUID) -> Update:
    return update(Tag).where(
        Tag.organization_id == organization_id, Tag.id == tag_id, Tag.deleted_at.is_(None)
    )
