"""How posts are deleted: one on its channel, or everything that one compose action made."""

from uuid import UUID

from sqlalchemy.orm import Session

from shared.posts.errors import GroupNotFound
from shared.posts.queries import Author, delete_threads, lock_threads
from shared.posts.standing import lock_post, require_editable, require_writer
from shared.posts.write import disarm_old


def delete_post(
    session: Session, author: Author, post_id: UUID, *, revision: int | None = None
) -> None:
    """Delete a post with its replies.

    Raises:
        PostNotFound: there is none.
        Conflict: it is being published, was published, or has changed.
    """
    require_writer(author)
    parts = lock_post(session, author.organization_id, post_id)
    require_editable(parts, revision=revision)
    delete_threads(session, author, [post_id])
    disarm_old(session, parts)


def delete_group(session: Session, author: Author, group_id: UUID) -> list[UUID]:
    """Delete every post of a group and return their ids; none of them, if one cannot be deleted.

    Raises:
        GroupNotFound: there is none.
        Conflict: one of its posts is being published, or was published.
    """
    require_writer(author)
    threads = lock_threads(session, author.organization_id, groups=[group_id])
    if not threads:
        raise GroupNotFound
    for parts in threads.values():
        require_editable(parts)
    delete_threads(session, author, threads.keys())
    for parts in threads.values():
        disarm_old(session, parts)
    return list(threads)
