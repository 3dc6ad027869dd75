"""Finds the existing tags of a request. The others are left out, as the contract says, and listed in a warning."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.posts.draft import labels_of
from shared.posts.schemas import TagIn
from shared.posts.tag_queries import FIND_TAGS

T = TypeVar("T", bound=TagIn)


def known_tags(
    session: Session, organization_id: OrganizationId, tags: Sequence[T]
) -> tuple[list[T], list[str]]:
    """Return the tags that the organization has, and the names of those that it does not have."""
    names = labels_of(tags) or []
    known = {row.name for row in FIND_TAGS.all(session, organization_id, names)} if names else set()
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    return [tag for tag in tags if (tag.label or tag.value) in known], unknown
