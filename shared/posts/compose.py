"""Composes posts: checks and stores a whole group or nothing, and then arms it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum, auto

from sqlalchemy.orm import Session

from shared.core.ids import ChannelId, GroupId, PostId, new_id
from shared.core.reach import Reach
from shared.core.unknown_fields import unknown_fields
from shared.organizations.idempotency import RequestKey, earlier_answer, keep_answer
from shared.posts.check import refuse_unknown_tags
from shared.posts.draft import PAST_GRACE, Composition, Thread, read_draft, refusal
from shared.posts.guards import is_out, require_editable, require_settled
from shared.posts.lifecycle import PostState, wire_state
from shared.posts.obstacles import Step, checked_at, sentence
from shared.posts.parts import TWINS_WITHIN, Author, StoredPart
from shared.posts.schemas import CreatedPost, PostDraft, WarningOut
from shared.posts.store import lock_threads
from shared.posts.timing import leaves_alone, timing_after
from shared.posts.write import Plan, Stored, Unknown, write
from shared.providers.registry import provider

SCOPE = "POST /posts"


class Grouping(Enum):
    """The group of new posts: one for the whole request, or one for each post."""

    TOGETHER = auto()
    APART = auto()


def compose(
    session: Session,
    author: Author,
    draft: PostDraft,
    *,
    key: str | None = None,
    grouping: Grouping = Grouping.TOGETHER,
    grace: timedelta = PAST_GRACE,
    unknown: Unknown = Unknown.REFUSED,
) -> list[CreatedPost]:
    """Store posts and arm them for their time.

    The answers are in the order of the draft's channels. With `key` the same request is carried out once.
    `grace` is how far in the past the date of an update may be; `unknown` says what happens to unknown settings.

    Raises:
        InvalidInput: a field was refused; nothing is stored.
        ChannelNotFound: the author does not see a channel.
        Conflict: a post that it replaces is being published or is published.
        KeyReused: the key was sent with another body before.
    """
    request = RequestKey(SCOPE, key, _hash(draft)) if key else None
    if request and (answer := earlier_answer(session, author.reach, request)):
        return [CreatedPost.model_validate(one) for one in json.loads(answer)]
    wanted = read_draft(draft)
    plans = _plans(session, author.reach, wanted, grouping, grace)
    refuse_unknown_tags(session, author.organization_id, draft.tags)
    written = write(session, author, plans, labels=wanted.labels, unknown=unknown)
    created, seen = [], set[tuple[ChannelId, str]]()
    for one in written:
        created.append(created_post(one, is_twin=one.twin_key in seen))
        seen.add(one.twin_key)
    if request:
        response = json.dumps([one.model_dump(mode="json", by_alias=True) for one in created])
        keep_answer(session, author.reach, request, status=201, response=response)
    return created


def created_post(
    stored: Stored, *, is_twin: bool = False, warnings: Sequence[WarningOut] = ()
) -> CreatedPost:
    """Describe a post that was stored, with what the member may want to look at.

    `is_twin`: the same request already contains the same post. `warnings` come before our own.
    """
    channel = stored.channel
    warnings = [*warnings]
    if stored.root.twin_id or is_twin:
        hours = TWINS_WITHIN // timedelta(hours=1)
        words = f"{channel.name} has a post with the same content within {hours} hours of this one."
        warnings.append(WarningOut(code="duplicate", message=words))
    for one in checked_at(Step.WARN):
        if one.holds(channel):
            words = sentence(one, Step.WARN, channel=channel.name)
            warnings.append(WarningOut(code=one.verdict, message=words))
    model, given = provider(channel.provider).spec.settings, dict(stored.plan.thread.settings)
    for name in unknown_fields(model, given):
        words = f"{channel.name} has no setting '{name}', so it was ignored."
        warnings.append(WarningOut(code="unknown_setting", message=words))
    return CreatedPost(
        post_id=stored.root.id,
        integration=channel.id,
        group=stored.plan.group_id,
        state=wire_state(stored.plan.state),
        review=stored.plan.review,
        warnings=warnings,
    )


def _plans(
    session: Session,
    reach: Reach,
    wanted: Composition,
    grouping: Grouping,
    grace: timedelta,
) -> list[Plan]:
    """Find and lock the post that each thread replaces."""
    ids = {thread.replaces for thread in wanted.threads if thread.replaces}
    groups = {thread.group for thread in wanted.threads if thread.group}
    stored = lock_threads(session, reach, ids=ids, groups=groups) if ids or groups else {}
    group_id, seen = GroupId(new_id()), set[PostId]()
    plans = []
    for thread in wanted.threads:
        before = _before(thread, stored)
        if before and wanted.republish and is_out(before):
            before = None
        if before and before[0].id in seen:
            words = "Another entry replaces the same post. Name each post once."
            raise refusal(thread.path("value.0.id"), "named_twice", words)
        seen |= {before[0].id} if before else set()
        own_group = GroupId(new_id()) if grouping is Grouping.APART else group_id
        if before is None:
            plans.append(_new(thread, wanted, own_group))
        else:
            _require_replaceable(session, reach, thread, wanted, before)
            plans.append(_replacement(thread, wanted, before, grace))
    return plans


def _before(
    thread: Thread, stored: Mapping[PostId, Sequence[StoredPart]]
) -> Sequence[StoredPart] | None:
    """Find the post by its id, or by its group and channel."""
    if thread.replaces and thread.replaces in stored:
        return stored[thread.replaces]
    for parts in stored.values():
        if (parts[0].group_id, parts[0].channel_id) == (thread.group, thread.channel_id):
            return parts
    return None


def _new(thread: Thread, wanted: Composition, group_id: GroupId) -> Plan:
    if wanted.type == "update":
        path = thread.path("value.0.id")
        raise refusal(
            path, "missing", "`id` is required to update a post. Send the id of the post."
        )
    state = PostState.DRAFT if wanted.type == "draft" else PostState.QUEUED
    return Plan(thread, state, wanted.publish_at, group_id, "composed")


def _require_replaceable(
    session: Session,
    reach: Reach,
    thread: Thread,
    wanted: Composition,
    before: Sequence[StoredPart],
) -> None:
    """Refuse to replace a post that is or may be published, unless only its content changes."""
    root = before[0]
    same_channel = thread.channel_id == root.channel_id
    if not (same_channel and leaves_alone(wanted.type, wanted.publish_at, root)):
        require_settled(session, reach, before)
    require_editable(before)


def _replacement(
    thread: Thread, wanted: Composition, before: Sequence[StoredPart], grace: timedelta
) -> Plan:
    root = before[0]
    if wanted.type == "update":
        after = timing_after("update", wanted.publish_at, root, grace=grace)
        return Plan(thread, after.state, after.publish_at, root.group_id, "edited", before)
    state = PostState.DRAFT if wanted.type == "draft" else PostState.QUEUED
    return Plan(
        thread,
        state,
        wanted.publish_at,
        root.group_id,
        "edited",
        before,
        withdraws=state is PostState.DRAFT,
    )


def _hash(draft: PostDraft) -> bytes:
    body = draft.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
