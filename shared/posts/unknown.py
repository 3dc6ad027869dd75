"""Which settings and tags in a draft do not exist on its platform or in its organization?"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import OrganizationId
from shared.core.unknown_fields import unknown_field, unknown_fields
from shared.posts.draft import Thread
from shared.posts.schemas import TagIn
from shared.posts.tag_queries import FIND_TAGS
from shared.providers.registry import provider


def unknown_settings(
    thread: Thread, slug: str, *, kept: Mapping[str, Any] | None = None
) -> list[FieldProblem]:
    """List the settings that the platform does not have, except those that the post holds already as they are."""
    model = provider(slug).spec.settings
    kept = kept or {}
    sent = {
        name: value
        for name, value in thread.settings.items()
        if name not in kept or kept[name] != value
    }
    prefix = thread.path("settings.")
    return [unknown_field(model, path, prefix=prefix) for path in unknown_fields(model, sent)]


def refuse_unknown_tags(
    session: Session, organization_id: OrganizationId, tags: Sequence[TagIn] | None
) -> None:
    """Check that the organization has all tags.

    Raises:
        InvalidInput: it does not have some of them; each is named by its path.
    """
    if problems := unknown_tags(session, organization_id, tags):
        raise InvalidInput("Some tags do not exist.", problems=problems)


def unknown_tags(
    session: Session, organization_id: OrganizationId, tags: Sequence[TagIn] | None
) -> list[FieldProblem]:
    """List the tags that the organization does not have; runs no statement if the draft names none."""
    named = {
        number: label for number, tag in enumerate(tags or ()) if (label := tag.label or tag.value)
    }
    if not named:
        return []
    rows = FIND_TAGS.all(session, organization_id, names=list(set(named.values())))
    found = {row.name for row in rows}
    return [
        FieldProblem(
            f"tags.{number}",
            "unknown_tag",
            f"The tag {label!r} does not exist. Add it first, or leave it out.",
        )
        for number, label in named.items()
        if label not in found
    ]
