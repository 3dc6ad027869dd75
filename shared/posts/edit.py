"""Changes a post before it is published (content, time, queued or draft), and copies posts.

Omitted fields stay unchanged. A change raises the revision, so that earlier schedules and messages do nothing. An edit
without a difference changes nothing and keeps the schedules and messages valid.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from shared.core.ids import GroupId, PostId, new_id
from shared.posts.check import refuse_unknown_tags
from shared.posts.compose import created_post
from shared.posts.draft import PAST_GRACE, Thread, labels_of, read_part, refusal, with_parts
from shared.posts.errors import TooLateToSchedule
from shared.posts.guards import living, lock_post, require_editable, require_settled
from shared.posts.lifecycle import PostState, Review
from shared.posts.parts import Author, StoredPart
from shared.posts.schemas import (
    CreatedPost,
    DateAction,
    Duplicate,
    PostEdit,
    PostType,
    StatusAction,
    WarningOut,
)
from shared.posts.thread_files import with_kept_details
from shared.posts.timing import leaves_alone, timing_after
from shared.posts.write import Plan, Stored, Unknown, thread_from, write


def edit(
    session: Session,
    author: Author,
    post_id: PostId,
    wanted: PostEdit,
    *,
    revision: int | None,
    grace: timedelta = PAST_GRACE,
    unknown: Unknown = Unknown.REFUSED,
) -> None:
    """Change a post: its parts, files, settings, channel, tags or time.

    `revision` is the one that the caller has read; None accepts any. A date may have passed up to `grace` ago; `unknown` says
    what happens to settings that the platform does not have.

    Raises:
        PostNotFound: there is none.
        InvalidInput: something was refused; nothing is changed.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.reach, post_id)
    root = before[0]
    thread = _overlaid(thread_from(before), wanted)
    stays = thread.channel_id == root.channel_id and leaves_alone(wanted.type, wanted.date, root)
    if not stays:
        require_settled(session, author.reach, before)
    require_editable(before, revision=revision)
    after = timing_after(wanted.type, wanted.date, root, grace=grace)
    plan = Plan(
        thread,
        after.state,
        after.publish_at,
        root.group_id,
        "edited",
        before,
        withdraws=wanted.type == "draft",
    )
    labels = labels_of(wanted.tags)
    refuse_unknown_tags(session, author.organization_id, wanted.tags)
    if labels is not None or not _is_there(plan, before):
        write(session, author, [plan], labels=labels, unknown=unknown)


def reschedule(
    session: Session,
    author: Author,
    post_id: PostId,
    date: datetime,
    action: DateAction,
    *,
    revision: int | None,
) -> Stored:
    """Move a post to another time. `schedule` also queues it, unless it is a draft; `update` only moves it.

    Raises:
        PostNotFound: there is none.
        TooLateToSchedule: the time has passed.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.reach, post_id)
    require_settled(session, author.reach, before)
    require_editable(before, revision=revision)
    root = before[0]
    stays = action == "update" or root.state is PostState.DRAFT
    try:
        after = timing_after("update" if stays else "schedule", date, root)
    except TooLateToSchedule as error:
        raise TooLateToSchedule("date", PAST_GRACE, takes_type=False) from error
    thread = thread_from(before)
    plan = Plan(thread, after.state, after.publish_at, root.group_id, "rescheduled", before)
    [stored] = write(session, author, [plan])
    return stored


def change_status(
    session: Session,
    author: Author,
    post_id: PostId,
    status: StatusAction,
    *,
    revision: int | None,
) -> Stored:
    """Queue a post for its time, or make it a draft again.

    Raises:
        PostNotFound: there is none.
        InvalidInput: the platform would refuse it as it is, or its time is over.
        Conflict: it is being published, was published, or has changed.
    """
    before = lock_post(session, author.reach, post_id)
    require_settled(session, author.reach, before)
    require_editable(before, revision=revision)
    root = before[0]
    after = timing_after(status, None, root)
    action = "cancelled" if after.state is PostState.DRAFT else "queued"
    thread = thread_from(before)
    plan = Plan(
        thread,
        after.state,
        after.publish_at,
        root.group_id,
        action,
        before,
        withdraws=status == "draft",
    )
    [stored] = write(session, author, [plan])
    return stored


def duplicate(session: Session, author: Author, post_id: PostId, wanted: Duplicate) -> CreatedPost:
    """Copy a post in any state, as a draft or queued for a new time.

    Without a date the copy is a draft, because the original's time is not reused. A copy of a post that may already be on
    its platform is a draft too.

    Raises:
        PostNotFound: there is none.
        InvalidInput: the platform would refuse it as it is, or the time is over.
    """
    before = lock_post(session, author.reach, post_id)
    root = replace(before[0], state=PostState.DRAFT)
    kind = wanted.type or ("schedule" if wanted.date else "draft")
    warnings = _warnings_of_copy(kind, wanted.date, before)
    after = timing_after("draft" if warnings else kind, wanted.date, root)
    group_id = root.group_id if wanted.same_group else GroupId(new_id())
    plan = Plan(thread_from(before), after.state, after.publish_at, group_id, "duplicated")
    [stored] = write(session, author, [plan])
    return created_post(stored, warnings=warnings)


def _warnings_of_copy(
    kind: PostType, date: datetime | None, original: Sequence[StoredPart]
) -> list[WarningOut]:
    """Return why a copy is a draft: because of its request or its original."""
    warnings = []
    if any(part.state is PostState.UNCONFIRMED for part in living(original)):
        words = (
            "The original may already be on its platform, so the copy is a draft. Check "
            "there before you queue it."
        )
        warnings.append(WarningOut(code="unconfirmed", message=words))
    if kind == "schedule" and date is None:
        words = "The copy is a draft, because no date was sent. Choose a time for it."
        warnings.append(WarningOut(code="no_date", message=words))
    return warnings


def _is_there(plan: Plan, before: Sequence[StoredPart]) -> bool:
    """Return whether the plan would change nothing, whatever body it was read from."""
    root, there = before[0], thread_from(before)
    wanted = with_kept_details(plan.thread, before)
    same = replace(wanted, prefix=there.prefix, short=there.short) == there
    same = same and not (plan.withdraws and root.review is Review.REQUESTED)
    return same and (plan.state, plan.publish_at) == (root.state, root.publish_at)


def _overlaid(thread: Thread, wanted: PostEdit) -> Thread:
    """Merge the request into the stored post."""
    if wanted.value is not None:
        thread = with_parts(thread, [read_part(part) for part in wanted.value])
    if wanted.content is not None or wanted.image is not None:
        if wanted.value is not None:
            raise refusal(
                "content",
                "said_twice",
                "`value` and `content` are both present. Send `value`, or `content` and `image`.",
            )
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
    """Change only the first part."""
    root, *replies = thread.parts
    sent = read_part(wanted.as_part())
    changed = replace(
        root,
        content=root.content if wanted.content is None else sent.content,
        media=root.media if wanted.image is None else sent.media,
    )
    return replace(thread, parts=[changed, *replies], short=True)
