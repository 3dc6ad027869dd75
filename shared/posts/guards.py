"""Checks on locked rows whether a member may change a post now, so that the result is valid until the commit."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound
from shared.channels.queries import get_channel
from shared.core.ids import PostId
from shared.core.reach import Reach
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
    """Refuse a member who can only read.

    Raises:
        MayNotCompose: the role does not allow it.
    """
    if author.role is Role.VIEWER:
        raise MayNotCompose


def living(parts: Sequence[StoredPart]) -> list[StoredPart]:
    """Leave out deleted replies."""
    return [part for part in parts if not part.is_deleted]


def is_out(parts: Sequence[StoredPart]) -> bool:
    """Return whether a part is already on the platform."""
    return any(part.state is PostState.PUBLISHED for part in living(parts))


def lock_post(session: Session, reach: Reach, post_id: PostId) -> Sequence[StoredPart]:
    """Lock a post with all its parts.

    Raises:
        PostNotFound: there is none.
        ReplyNotPost: the id is a reply's.
    """
    parts = lock_thread(session, reach, post_id)
    if parts[0].id != post_id:
        raise ReplyNotPost(parts[0].id)
    return parts


def lock_thread(session: Session, reach: Reach, part_id: PostId) -> Sequence[StoredPart]:
    """Lock a post by the id of any of its parts, with all its parts.

    Raises:
        PostNotFound: there is none.
    """
    threads = lock_threads(session, reach, ids=[part_id])
    if not threads:
        raise PostNotFound
    [parts] = threads.values()
    return parts


def require_editable(parts: Sequence[StoredPart], *, revision: int | None = None) -> None:
    """Refuse a change of a post that is being published, is published, or has changed since the caller read it.

    `revision` is the one that the caller has read; None accepts any.

    Raises:
        PostIsPublishing: a part is being published.
        PostIsPublished: a part is on the platform.
        PostChanged: the post has another revision.
    """
    root, states = parts[0], {part.state for part in living(parts)}
    if PostState.PUBLISHING in states:
        raise PostIsPublishing(root.revision)
    if is_out(parts):
        raise PostIsPublished(root.revision)
    if revision is not None and revision != root.revision:
        raise PostChanged(root.state, root.revision)


def require_settled(session: Session, reach: Reach, parts: Sequence[StoredPart]) -> None:
    """Refuse to queue, reschedule or cancel a post that may be on its platform.

    Raises:
        Unconfirmed: a part may be on the platform.
    """
    for part in living(parts):
        if part.state is PostState.UNCONFIRMED:
            raise Unconfirmed(_account(session, reach, part), parts[0].revision)


def require_move(before: PostState, after: PostState, revision: int) -> None:
    """Refuse a move that no member may make.

    Raises:
        MoveForbidden: `lifecycle.MOVES` does not list it.
    """
    if before is not after and not may_move(before, after, by=Hand.MEMBER):
        raise MoveForbidden(before, after, revision)


def _account(session: Session, reach: Reach, part: StoredPart) -> str:
    """Return the account on which to look for a part."""
    try:
        channel = get_channel(session, reach, part.channel_id)
    except ChannelNotFound:
        return "its platform, whose channel was deleted"
    platform = provider(channel.provider).spec.name
    return f"{platform}, on the account {channel.username or channel.name}"


def require_rest_editable(
    parts: Sequence[StoredPart], first: StoredPart, *, revision: int | None
) -> None:
    """Refuse a change of a thread from a part on, if that part or a later one is being published or is published.

    Raises:
        PostIsPublishing: one is being published.
        PostIsPublished: one is on the platform.
        PostChanged: the post is at another revision.
    """
    rest = [part for part in living(parts) if part.position >= first.position]
    require_editable([replace(rest[0], revision=parts[0].revision), *rest[1:]], revision=revision)
