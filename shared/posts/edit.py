"""How a post is changed before it is published: its content, its time, whether it is queued at all; and how it is copied.

Whatever is left out stays. A change raises the revision, so that schedules and messages of before do nothing; an edit
that asks for what is there already changes nothing, and leaves them be.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core.ids import new_id
from shared.posts.compose import created_post
from shared.posts.draft import Thread, labels_of, read_part, read_publish_at, refusal, with_parts
from shared.posts.lifecycle import PostState
from shared.posts.queries import Author, StoredPart
from shared.posts.schemas import (
    CreatedPost,
    DateAction,
    Duplicate,
    PostEdit,
    PostType,
    StatusAction,
)
from shared.posts.standing import lock_post, require_editable
from shared.posts.write import Plan, Stored, thread_from, write


def edit(
    session: Session, author: Author, post_id: UUID, wanted: PostEdit, *, revision: int | None
) -> None:
    """Change a post: its parts, files, settings, channel, tags or time.

    `revision` is the one the caller read; None: whichever it is.

    Raises:
        PostNotFound: there is none.
        InvalidInput: something was refused; nothing is changed.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.organization_id, post_id)
    require_editable(before, revision=revision)
    root = before[0]
    state, publish_at = _when(wanted.type, wanted.date, root.state, root.publish_at)
    thread = _overlaid(thread_from(before), wanted)
    plan = Plan(thread, state, publish_at, root.group_id, "edited", before)
    labels = labels_of(wanted.tags)
    if labels is not None or not _is_there(plan, before):
        write(session, author, [plan], labels=labels)


def reschedule(
    session: Session,
    author: Author,
    post_id: UUID,
    date: datetime,
    action: DateAction,
    *,
    revision: int | None,
) -> Stored:
    """Move a post to another time. `schedule` also queues it, unless it is a draft; `update` moves it and no more.

    Raises:
        PostNotFound: there is none.
        TooLateToSchedule: the time is over.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.organization_id, post_id)
    require_editable(before, revision=revision)
    root = before[0]
    stays = action == "update" or root.state is PostState.DRAFT
    state, publish_at = _when("update" if stays else "schedule", date, root.state, root.publish_at)
    plan = Plan(thread_from(before), state, publish_at, root.group_id, "rescheduled", before)
    [stored] = write(session, author, [plan])
    return stored


def change_status(
    session: Session,
    author: Author,
    post_id: UUID,
    status: StatusAction,
    *,
    revision: int | None,
) -> Stored:
    """Queue a post for its time, or take it back to a draft.

    Raises:
        PostNotFound: there is none.
        InvalidInput: the platform would refuse it as it is, or its time is over.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.organization_id, post_id)
    require_editable(before, revision=revision)
    root = before[0]
    state, publish_at = _when(status, None, root.state, root.publish_at)
    action = "cancelled" if state is PostState.DRAFT else "queued"
    plan = Plan(thread_from(before), state, publish_at, root.group_id, action, before)
    [stored] = write(session, author, [plan])
    return stored


def duplicate(session: Session, author: Author, post_id: UUID, wanted: Duplicate) -> CreatedPost:
    """Copy a post, whatever has become of it, as a draft or to be published at a new time.

    Raises:
        PostNotFound: there is none.
        InvalidInput: the platform would refuse it as it is, or the time is over.
    """
    before = lock_post(session, author.organization_id, post_id)
    root = before[0]
    kind = wanted.type or ("schedule" if wanted.date else "draft")
    state, publish_at = _when(kind, wanted.date, PostState.DRAFT, root.publish_at)
    group_id = root.group_id if wanted.same_group else new_id()
    plan = Plan(thread_from(before), state, publish_at, group_id, "duplicated")
    [stored] = write(session, author, [plan])
    return created_post(stored)


def _when(
    kind: PostType, date: datetime | None, state: PostState, publish_at: datetime
) -> tuple[PostState, datetime | None]:
    """Say in which state a post is afterwards, and when it is to be published; None: now."""
    match kind:
        case "now":
            return PostState.QUEUED, None
        case "schedule":
            return PostState.QUEUED, read_publish_at(date or publish_at, "date")
        case "draft":
            return PostState.DRAFT, date or publish_at
        case "update" if date and state is PostState.QUEUED:
            return state, read_publish_at(date, "date")
        case "update":
            return state, date or publish_at


def _is_there(plan: Plan, before: Sequence[StoredPart]) -> bool:
    """Say whether the post is already what the plan would make of it. Which body it was read from does not count."""
    root, there = before[0], thread_from(before)
    same = replace(plan.thread, prefix=there.prefix, short=there.short) == there
    return same and (plan.state, plan.publish_at) == (root.state, root.publish_at)


def _overlaid(thread: Thread, wanted: PostEdit) -> Thread:
    """Put what was sent over what is stored."""
    if wanted.value is not None:
        thread = with_parts(thread, [read_part(part) for part in wanted.value])
    if wanted.content is not None or wanted.image is not None:
        if wanted.value is not None:
            raise refusal("content", "said_twice", "Send `value`, or `content` and `image`.")
        thread = _with_root(thread, wanted)
    if wanted.settings is not None:
        settings = {key: value for key, value in wanted.settings.items() if key != "__type"}
        thread = replace(thread, settings=settings)
    if wanted.integration is not None:
        thread = replace(thread, channel_id=wanted.integration.id)
    if "title" in wanted.model_fields_set:
        thread = replace(thread, title=wanted.title)
    return thread


def _with_root(thread: Thread, wanted: PostEdit) -> Thread:
    """Change the first part alone."""
    root, *replies = thread.parts
    sent = read_part(wanted.as_part())
    changed = replace(
        root,
        content=root.content if wanted.content is None else sent.content,
        media=root.media if wanted.image is None else sent.media,
    )
    return replace(thread, parts=[changed, *replies], short=True)
