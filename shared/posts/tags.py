"""Lists, adds, changes and deletes an organization's tags."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.ids import OrganizationId, TagId, new_id
from shared.db.wire import constraint_of
from shared.organizations.queries import lock_organization
from shared.posts.errors import TagNotFound, TagTaken, TooManyTags
from shared.posts.schemas import TagOut, TagWrite
from shared.posts.tag_queries import ADD_TAG, CHANGE_TAG, COUNT_TAGS, DELETE_TAG, LIST_TAGS

MAX_TAGS = 1_000  # they are listed without pages


def list_tags(session: Session, organization_id: OrganizationId) -> list[TagOut]:
    """List the organization's tags by name, at most a thousand."""
    rows = LIST_TAGS.all(session, organization_id, limit=MAX_TAGS)
    return [TagOut.model_validate(row) for row in rows]


def add_tag(session: Session, actor: Actor, wanted: TagWrite) -> TagOut:
    """Add a tag.

    Raises:
        TagTaken: there is one of that name.
        TooManyTags: the organization has reached its limit.
    """
    organization_id = actor.organization
    lock_organization(session, organization_id)
    if COUNT_TAGS.one(session, organization_id).total >= MAX_TAGS:
        raise TooManyTags(MAX_TAGS)
    row = ADD_TAG.find(
        session, organization_id, tag_id=TagId(new_id()), name=wanted.name, color=wanted.color
    )
    if row is None:
        raise TagTaken(wanted.name)
    record(session, actor, Action.TAG_CREATED, row.id)
    return TagOut.model_validate(row)


def change_tag(session: Session, actor: Actor, tag_id: TagId, wanted: TagWrite) -> TagOut:
    """Rename or recolor a tag; its posts show the change.

    Raises:
        TagNotFound: there is none.
        TagTaken: there is another one of that name.
    """
    try:
        row = CHANGE_TAG.find(
            session, actor.organization, tag_id, name=wanted.name, color=wanted.color
        )
    except IntegrityError as error:
        if constraint_of(error) != "uq_tags_name":
            raise
        raise TagTaken(wanted.name) from error
    if row is None:
        raise TagNotFound
    record(session, actor, Action.TAG_UPDATED, tag_id)
    return TagOut.model_validate(row)


def delete_tag(session: Session, actor: Actor, tag_id: TagId) -> None:
    """Delete a tag and remove it from its posts.

    Raises:
        TagNotFound: there is none.
    """
    if not DELETE_TAG.run(session, actor.organization, tag_id):
        raise TagNotFound
    record(session, actor, Action.TAG_DELETED, tag_id)
