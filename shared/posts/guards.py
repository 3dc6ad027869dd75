"""May this post be changed, by this member, now? Asked of its locked rows, so that the answer holds until the commit."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound
from shared.channels.queries import get_channel
from shared.core.ids import OrganizationId
from shared.organizations.models import Role
from shared.posts.errors import (
    MayNotCompose,
    MoveForbidden,
    PostChanged,
    PostIsPublished,
    PostIsPublishing,
    PostNotFound,
    ReplyNotPost,
    Unconfirmed,
)
from shared.posts.lifecycle import Hand, PostState, may_move
from shared.posts.parts import Author, StoredPart
from shared.posts.store import lock_threads
from shared.providers.registry import provider


def require_writer(author: Author) -> None:
    """Refuse a member who may only read.

    Raises:
        MayNotCompose: the role does not allow it.
    """
    if author.role is Role.VIEWER:
        raise MayNotCompose


def living(parts: Sequence[StoredPart]) -> list[StoredPart]:
    """Leave out the replies that were deleted."""
    return [part for part in parts if not part.is_deleted]


def is_out(parts: Sequence[StoredPart]) -> bool:
    """Return whether a part is on the platform already."""
    return any(part.state is PostState.PUBLISHED for part in living(parts))


def lock_post(
    session: Session, organization_id: OrganizationId, post_id: UUID
) -> Sequence[StoredPart]:
    """Lock a post with all its parts.

    Raises:
        PostNotFound: there is none.
        ReplyNotPost: the id is a reply's.
    """
    parts = lock_thread(session, organization_id, post_id)
    if parts[0].id != post_id:
        raise ReplyNotPost(parts[0].id)
    return parts


def lock_thread(
    session: Session, organization_id: OrganizationId, part_id: UUID
) -> Sequence[StoredPart]:
    """Lock the post that any of its parts' ids names, with all its parts.

    Raises:
        PostNotFound: there is none.
    """
    threads = lock_threads(session, organization_id, ids=[part_id])
    if not threads:
        raise PostNotFound
    [parts] = threads.values()
    return parts


def require_editable(parts: Sequence[StoredPart], *, revision: int | None = None) -> None:
    """Refuse a change of what is being published or was, or of what the caller has not seen.

    `revision` is the one the caller read; None: whichever it is.

    Raises:
        PostIsPublishing: a part is on its way.
        PostIsPublished: a part is on the platform.
        PostChanged: it is at another revision.
    """
    root, states = parts[0], {part.state for part in living(parts)}
    if PostState.PUBLISHING in states:
        raise PostIsPublishing(root.revision)
    if is_out(parts):
        raise PostIsPublished(root.revision)
    if revision is not None and revision != root.revision:
        raise PostChanged(root.state, root.revision)


def require_settled(
    session: Session, organization_id: OrganizationId, parts: Sequence[StoredPart]
) -> None:
    """Refuse to queue, reschedule or cancel a post that may be on its platform.

    Raises:
        Unconfirmed: nobody knows of a part whether it is there.
    """
    for part in living(parts):
        if part.state is PostState.UNCONFIRMED:
            raise Unconfirmed(_account(session, organization_id, part), parts[0].revision)


def require_move(before: PostState, after: PostState, revision: int) -> None:
    """Refuse a move that no member may make.

    Raises:
        MoveForbidden: `lifecycle.MOVES` does not list it.
    """
    if before is not after and not may_move(before, after, by=Hand.MEMBER):
        raise MoveForbidden(before, after, revision)


def _account(session: Session, organization_id: OrganizationId, part: StoredPart) -> str:
    """Name the account on which to look for a part."""
    try:
        channel = get_channel(session, organization_id, part.channel_id)
    except ChannelNotFound:
        return "its platform, whose channel was deleted"
    platform = provider(channel.provider).spec.name
    return f"{platform}, on the account {channel.username or channel.name}"


def require_rest_editable(
    parts: Sequence[StoredPart], first: StoredPart, *, revision: int | None
) -> None:
    """Refuse a change of a thread from one part on where that part, or one after it, is being published or was.

    Raises:
        PostIsPublishing: one is on its way.
        PostIsPublished: one is on the platform.
        PostChanged: the post is at another revision.
    """
    rest = [part for part in living(parts) if part.position >= first.position]
    require_editable([replace(rest[0], revision=parts[0].revision), *rest[1:]], revision=revision)
