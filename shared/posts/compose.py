"""What happens when a member composes: the whole group is checked and stored at once, or nothing is; then it is armed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.channels.queries import ChannelFacts, get_channels
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId, new_id
from shared.media.queries import get_media_files
from shared.posts.check import Files, check_thread, media_ids, missing_files
from shared.posts.draft import Composition, Thread, read_draft, refusal
from shared.posts.errors import PostChanged
from shared.posts.idempotency import RequestKey, earlier_answer, keep_answer
from shared.posts.lifecycle import PostState
from shared.posts.queries import (
    Author,
    Change,
    NewPart,
    StoredPart,
    WrittenRoot,
    lock_threads,
    write_threads,
)
from shared.posts.schedule import arm_after_commit, disarm_after_commit
from shared.posts.schemas import CreatedPost, PostDraft, WarningOut
from shared.posts.standing import living, require_editable

SCOPE = "POST /posts"


@dataclass(frozen=True, slots=True)
class Placed:
    """A thread, the channel it is for, and what it takes the place of: None for a new post."""

    thread: Thread
    channel: ChannelFacts
    before: Sequence[StoredPart] | None = None

    @property
    def kept_files(self) -> set[str]:
        """The files that the post held before."""
        return {str(entry["id"]) for part in self.before or () for entry in part.media}


def compose(
    session: Session, author: Author, draft: PostDraft, *, key: str | None = None
) -> list[CreatedPost]:
    """Store a group of posts and have them published when their time comes.

    The answers are in the order of the draft's channels. With `key` the same request is carried out once.

    Raises:
        InvalidInput: something in it was refused; nothing is stored.
        ChannelNotFound: a channel is not the organization's.
        Conflict: a post that it replaces is being published, or was.
        KeyReused: the key came with another body before.
    """
    request = RequestKey(SCOPE, key, _hash(draft)) if key else None
    if request and (answer := earlier_answer(session, author.organization_id, request)):
        return [CreatedPost.model_validate(one) for one in json.loads(answer)]
    wanted = read_draft(draft)
    placed = _place(session, author.organization_id, wanted)
    files = read_files(session, author.organization_id, wanted.threads)
    _refuse(placed, files, is_draft=wanted.type == "draft")
    created = _store(session, author, wanted, placed)
    if request:
        response = json.dumps([one.model_dump(mode="json", by_alias=True) for one in created])
        keep_answer(session, author.organization_id, request, status=201, response=response)
    return created


def read_channels(
    session: Session, organization_id: OrganizationId, threads: Sequence[Thread]
) -> Mapping[UUID, ChannelFacts]:
    """Read the channels of threads.

    Raises:
        ChannelNotFound: one is not the organization's; `errors` says where it is named.
    """
    try:
        return get_channels(session, organization_id, {thread.channel_id for thread in threads})
    except ChannelsNotFound as error:
        refused = ChannelNotFound()
        refused.problems = tuple(
            FieldProblem(thread.path("integration.id"), refused.code, refused.message)
            for thread in threads
            if thread.channel_id in error.ids
        )
        raise refused from error


def read_files(
    session: Session, organization_id: OrganizationId, threads: Sequence[Thread]
) -> Files:
    """Read the files of threads; no statement where there are none."""
    ids = [MediaId(media_id) for media_id in media_ids(threads)]
    return {file.id: file for file in get_media_files(session, organization_id, ids)} if ids else {}


def rows_of(
    thread: Thread,
    *,
    before: Sequence[StoredPart] | None,
    group_id: UUID,
    state: PostState,
    publish_at: datetime | None,
) -> list[NewPart]:
    """Make the rows of a thread. A part keeps the id that its position had; a state of its own only while it may."""
    known = [part.id for part in before or ()]
    ids = [*known[: len(thread.parts)], *(new_id() for _ in thread.parts[len(known) :])]
    revision = before[0].revision + 1 if before else 1
    return [
        NewPart(
            id=ids[position],
            channel_id=thread.channel_id,
            group_id=group_id,
            root_id=ids[0],
            parent_id=ids[position - 1] if position else None,
            position=position,
            state=state,
            content=part.content,
            media=part.media,
            settings={} if position else thread.settings,
            title=None if position else thread.title,
            content_hash=part.content_hash,
            publish_at=publish_at,
            delay_seconds=part.delay_seconds,
            revision=revision,
        )
        for position, part in enumerate(thread.parts)
    ]


def changes_of(before: Sequence[StoredPart], rows: Sequence[NewPart]) -> dict[str, Any]:
    """List what differs: `{field: [before, after]}`, fields of parts as `value.1.content`."""
    old = {part.position: part for part in living(before)}
    new = {part.position: part for part in rows}
    found: dict[str, Any] = {}
    for name in ("channel_id", "state", "settings", "title", "publish_at"):
        pair = [_plain(getattr(old[0], name)), _plain(getattr(new[0], name))]
        if pair[0] != pair[1]:
            found[name] = pair
    for position in sorted({*old, *new}):
        for name in ("content", "media", "delay_seconds"):
            pair = [_plain(getattr(side.get(position), name, None)) for side in (old, new)]
            if pair[0] != pair[1]:
                found[f"value.{position}.{name}"] = pair
    return found


def disarm_old(session: Session, before: Sequence[StoredPart]) -> None:
    """Take off the schedule that a queued root has, once the change is committed."""
    root = before[0]
    has_schedule = root.armed_revision == root.revision and root.enqueued_at is None
    if root.state is PostState.QUEUED and has_schedule:
        disarm_after_commit(session, root.id, root.revision, root.arm_count)


def _place(session: Session, organization_id: OrganizationId, wanted: Composition) -> list[Placed]:
    """Find the channel of each thread, and the post that it replaces."""
    channels = read_channels(session, organization_id, wanted.threads)
    ids = {thread.replaces for thread in wanted.threads if thread.replaces}
    groups = {thread.group for thread in wanted.threads if thread.group}
    stored = lock_threads(session, organization_id, ids=ids, groups=groups) if ids or groups else {}
    placed = [
        Placed(thread, channels[thread.channel_id], _before(thread, stored))
        for thread in wanted.threads
    ]
    _refuse_doubles(placed)
    for one in placed:
        if one.before:
            require_editable(one.before)
        elif wanted.type == "update":
            raise refusal(
                one.thread.path("value.0.id"), "missing", "Name the post that is to be updated."
            )
    return placed


def _before(
    thread: Thread, stored: Mapping[UUID, Sequence[StoredPart]]
) -> Sequence[StoredPart] | None:
    if thread.replaces and thread.replaces in stored:
        return stored[thread.replaces]
    in_group = (
        parts
        for parts in stored.values()
        if thread.group
        and (parts[0].group_id, parts[0].channel_id) == (thread.group, thread.channel_id)
    )
    return next(in_group, None)


def _refuse_doubles(placed: Sequence[Placed]) -> None:
    seen: set[UUID] = set()
    for one in placed:
        if one.before is None:
            continue
        if one.before[0].id in seen:
            raise refusal(
                one.thread.path("value.0.id"), "named_twice", "Another entry replaces this post."
            )
        seen.add(one.before[0].id)


def _refuse(placed: Sequence[Placed], files: Files, *, is_draft: bool) -> None:
    problems = [
        problem
        for one in placed
        for problem in (
            missing_files(one.thread, files, kept=one.kept_files)
            if is_draft
            else check_thread(one.thread, one.channel, files, kept=one.kept_files)
        )
    ]
    if problems:
        raise InvalidInput("Some fields were refused.", problems=problems)


def _store(
    session: Session, author: Author, wanted: Composition, placed: Sequence[Placed]
) -> list[CreatedPost]:
    group_id = new_id()
    threads = [_rows(one, wanted, group_id) for one in placed]
    written = write_threads(
        session,
        author,
        [row for rows in threads for row in rows],
        [_change(one, rows) for one, rows in zip(placed, threads, strict=True)],
        labels=wanted.labels,
    )
    if written is None:  # the rows are locked, so only a broken promise of the statement leads here
        busy = next(one.before for one in placed if one.before)
        raise PostChanged(busy[0].state, busy[0].revision)
    armable = [root.armable(author.organization_id) for root in written.values()]
    arm_after_commit(session, [one for one in armable if one])
    for one in placed:
        if one.before:
            disarm_old(session, one.before)
    return [
        _created(one, rows, written[rows[0].id]) for one, rows in zip(placed, threads, strict=True)
    ]


def _rows(one: Placed, wanted: Composition, group_id: UUID) -> list[NewPart]:
    state = PostState.DRAFT if wanted.type == "draft" else PostState.QUEUED
    publish_at = wanted.publish_at
    if one.before and wanted.type == "update":
        state = one.before[0].state
        publish_at = publish_at or one.before[0].publish_at
    return rows_of(
        one.thread,
        before=one.before,
        group_id=one.before[0].group_id if one.before else group_id,
        state=state,
        publish_at=publish_at,
    )


def _change(one: Placed, rows: Sequence[NewPart]) -> Change:
    changes = changes_of(one.before, rows) if one.before else {}
    action = "edited" if one.before else "composed"
    return Change(rows[0].id, rows[0].revision, action, changes)


def _created(one: Placed, rows: Sequence[NewPart], root: WrittenRoot) -> CreatedPost:
    warnings = []
    if root.twin_id:
        words = f"{one.channel.name} has a post with the same content within 24 hours of this one."
        warnings.append(WarningOut(code="duplicate", message=words))
    if one.channel.disconnected_at:
        words = (
            f"{one.channel.name} is no longer connected. Connect it again before the post's time."
        )
        warnings.append(WarningOut(code="channel_disconnected", message=words))
    return CreatedPost(
        post_id=root.id,
        integration=one.channel.id,
        group=rows[0].group_id,
        warnings=warnings,
    )


def _hash(draft: PostDraft) -> bytes:
    body = draft.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
