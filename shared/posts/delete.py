"""Deletes a post, the rest of a partly published thread, or a whole group."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from shared.core.ids import GroupId, PostId
from shared.posts.errors import GroupNotFound, PostNotFound, ReplyNotPost
from shared.posts.guards import (
    is_out,
    living,
    lock_thread,
    require_editable,
    require_rest_editable,
    require_writer,
)
from shared.posts.parts import Author, StoredPart
from shared.posts.store import delete_rest, delete_threads, lock_threads
from shared.posts.write import disarm_old


def delete_post(
    session: Session, author: Author, post_id: PostId, *, revision: int | None = None
) -> None:
    """Delete a post with its replies, or, by a reply's id, the rest of a partly published post.

    Raises:
        PostNotFound: there is none.
        ReplyNotPost: the id is a reply's, and no part of its post is published.
        Conflict: it is being published, was published, or has changed.
    """
    require_writer(author)
    parts = lock_thread(session, author.reach, post_id)
    if parts[0].id != post_id:
        _delete_rest(session, author, parts, post_id, revision)
        return
    require_editable(parts, revision=revision)
    delete_threads(session, author, [parts[0]])
    disarm_old(session, parts)


def delete_group(session: Session, author: Author, group_id: GroupId) -> list[PostId]:
    """Delete every post of a group that the author sees and return their ids; none of them, if one cannot be deleted.

    Raises:
        GroupNotFound: there is none.
        Conflict: one of its posts is being published, or was published.
    """
    require_writer(author)
    threads = lock_threads(session, author.reach, groups=[group_id])
    if not threads:
        raise GroupNotFound
    for parts in threads.values():
        require_editable(parts)
    delete_threads(session, author, [parts[0] for parts in threads.values()])
    for parts in threads.values():
        disarm_old(session, parts)
    return list(threads)


def _delete_rest(
    session: Session,
    author: Author,
    parts: Sequence[StoredPart],
    part_id: PostId,
    revision: int | None,
) -> None:
    root = parts[0]
    if not is_out(parts):
        raise ReplyNotPost(root.id)
    first = next((part for part in living(parts) if part.id == part_id), None)
    if first is None:
        raise PostNotFound
    require_rest_editable(parts, first, revision=revision)
    delete_rest(session, author, root, position=first.position)
