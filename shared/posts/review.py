"""Requests, withdraws and decides the approval of posts.

A decision names the revision that was seen. Of several decisions at the same time the first counts, because each locks the
root; the others are refused with it. The last approval queues the post.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Entry, entries_json
from shared.channels.queries import get_channels
from shared.core import clock
from shared.core.errors import AppError
from shared.core.ids import ChangeId, GroupId, PostId, new_id
from shared.core.reach import Reach
from shared.db.statement import to_json
from shared.organizations.models import Approval
from shared.posts import review_queries as queries
from shared.posts.approval import ReviewOutcome, ReviewStep, Right, in_order, steps_of
from shared.posts.draft import read_publish_at, refusal
from shared.posts.errors import (
    AlreadyDecided,
    ApprovalIsOff,
    GroupNotFound,
    MayNotDecide,
    NotInReview,
    PostChanged,
    ReviewIsOverdue,
)
from shared.posts.guards import lock_post, require_editable, require_settled
from shared.posts.lifecycle import PostState, Review, wire_state
from shared.posts.parts import Author, StoredPart
from shared.posts.review_schemas import (
    DecidedPost,
    GroupReviewIn,
    ReviewIn,
    ReviewOut,
    ReviewsOut,
    WaitingPost,
)
from shared.posts.store import lock_threads
from shared.posts.timing import timing_after
from shared.posts.write import Plan, thread_from, write, write_approved


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, and for whom; `step` None: they may not decide."""

    author: Author
    step: ReviewStep | None


@dataclass(frozen=True, slots=True)
class _Decision:
    approves: bool
    revision: int
    date: datetime | None
    note: str | None


def review(
    session: Session, decider: Decider, post_id: PostId, wanted: ReviewIn, *, revision: int | None
) -> ReviewOut:
    """Carry out one action of a post's review. `revision` is the one that the caller has seen; a decision needs it.

    Raises:
        PostNotFound: there is none.
        InvalidInput: a decision names no revision, or the platform would refuse the post.
        MayNotDecide: somebody else decides on the step that the post waits for.
        Conflict: the post is not in review, was decided on, has changed, or its time has passed.
    """
    if wanted.action in {"approve", "decline"}:
        if revision is None:
            words = "`revision` is required. Send the revision of the post that you have seen."
            raise refusal("revision", "missing", words)
        decision = _Decision(wanted.action == "approve", revision, wanted.date, wanted.note)
        _decide(session, decider, lock_post(session, decider.author.reach, post_id), decision)
    elif wanted.action == "request":
        _request(session, decider.author, post_id, wanted, revision)
    else:
        _withdraw(session, decider.author, post_id, wanted, revision)
    root = lock_post(session, decider.author.reach, post_id)[0]
    return _review_of(root)


def review_group(
    session: Session, decider: Decider, group_id: GroupId, wanted: GroupReviewIn
) -> list[DecidedPost]:
    """Decide on posts of a group; each gets its own answer, in the order of the request.

    Raises:
        GroupNotFound: there is none.
    """
    author = decider.author
    threads = lock_threads(session, author.reach, groups=[group_id])
    if not threads:
        raise GroupNotFound
    answers = []
    for post in wanted.posts:
        decision = _Decision(wanted.action == "approve", post.revision, wanted.date, wanted.note)
        try:
            with session.begin_nested():
                if post.id not in threads:
                    raise NotInReview
                _decide(session, decider, threads[post.id], decision)
            root = lock_post(session, author.reach, post.id)[0]
            answers.append(DecidedPost(id=post.id, status=200, review=_review_of(root)))
        except AppError as error:
            answers.append(
                DecidedPost(id=post.id, status=error.status, code=error.code, error=error.message)
            )
    return answers


def list_reviews(
    session: Session, reach: Reach, step: ReviewStep | None, *, most: int
) -> ReviewsOut:
    """List the posts that wait for approval, earliest first; `step` is the one that the caller decides on."""
    rows = queries.LIST_WAITING.all(session, *reach, most)
    return ReviewsOut(
        reviews=[
            WaitingPost(
                **{**row._asdict(), "steps": list(row.steps)},
                is_yours=row.step == step,
            )
            for row in rows
        ]
    )


def _request(
    session: Session, author: Author, post_id: PostId, wanted: ReviewIn, revision: int | None
) -> None:
    before = lock_post(session, author.reach, post_id)
    require_settled(session, author.reach, before)
    require_editable(before, revision=revision)
    root = before[0]
    channel = get_channels(session, author.reach, {root.channel_id})[root.channel_id]
    if channel.approval is Approval.NONE and not author.right.must_ask:
        raise ApprovalIsOff(root.state, root.revision)
    after = timing_after("schedule", wanted.date, root)
    plan = Plan(
        thread_from(before),
        after.state,
        after.publish_at,
        root.group_id,
        "review_requested",
        before,
        note=wanted.note,
    )
    write(session, replace(author, right=Right(must_ask=True)), [plan])


def _withdraw(
    session: Session, author: Author, post_id: PostId, wanted: ReviewIn, revision: int | None
) -> None:
    before = lock_post(session, author.reach, post_id)
    require_editable(before, revision=revision)
    root = before[0]
    if root.review is not Review.REQUESTED:
        raise NotInReview
    plan = Plan(
        thread_from(before),
        PostState.DRAFT,
        root.publish_at,
        root.group_id,
        "review_withdrawn",
        before,
        withdraws=True,
        note=wanted.note,
    )
    write(session, author, [plan])


def _decide(
    session: Session, decider: Decider, before: Sequence[StoredPart], decision: _Decision
) -> None:
    root, author = before[0], decider.author
    if root.waits_for is None:
        raise _decided(session, author.reach, root)
    if root.waits_for != decider.step:
        raise MayNotDecide(root.waits_for)
    if root.revision != decision.revision:
        raise PostChanged(root.state, root.revision)
    require_editable(before)
    if not decision.approves:
        _record(session, author, root, decision, ReviewOutcome.DECLINED)
        return
    channel = get_channels(session, author.reach, {root.channel_id})[root.channel_id]
    needed = root.review_status.steps | set(steps_of(channel))
    missing = in_order(needed - root.review_status.approved - {ReviewStep(root.waits_for)})
    publish_at: datetime | None = root.publish_at
    if decision.date is not None:
        publish_at = read_publish_at(decision.date, "date")
    elif root.publish_at <= clock.now():
        raise ReviewIsOverdue(root.publish_at, root.state, root.revision)
    if missing:
        _record(
            session, author, root, decision, ReviewOutcome.APPROVED, steps=needed, then=missing[0]
        )
        return
    _record(session, author, root, decision, ReviewOutcome.APPROVED, steps=needed)
    plan = Plan(
        thread_from(before),
        PostState.QUEUED,
        publish_at,
        root.group_id,
        "approved",
        before,
        note=decision.note,
    )
    write_approved(session, author, plan)


def _record(
    session: Session,
    author: Author,
    root: StoredPart,
    decision: _Decision,
    outcome: ReviewOutcome,
    *,
    steps: Sequence[ReviewStep] | frozenset[ReviewStep] = (),
    then: ReviewStep | None = None,
) -> None:
    """Store a decision. The history of the last approval is written with the post."""
    is_last = outcome is ReviewOutcome.APPROVED and then is None
    action = Action.POST_APPROVED if outcome is ReviewOutcome.APPROVED else Action.POST_DECLINED
    changes: dict[str, Any] = {"step": [None, root.waits_for]}
    if outcome is ReviewOutcome.DECLINED:
        changes["review"] = [Review.REQUESTED, Review.DECLINED]
    if decision.note:
        changes["note"] = [None, decision.note]
    entries = [] if is_last else [Entry(action, root.id, after={"review": outcome})]
    queries.DECIDE.one(
        session,
        organization_id=author.organization_id,
        root_id=root.id,
        outcome=outcome,
        user_id=author.user_id,
        link_id=author.actor.link_id,
        note=decision.note,
        steps=list(in_order(steps)),
        then=then,
        date=decision.date if then else None,
        change_id=None if is_last else ChangeId(new_id()),
        action=action.removeprefix("post."),
        changes=to_json(changes),
        audit=entries_json(author.actor, *entries),
    )


def _decided(session: Session, reach: Reach, root: StoredPart) -> AppError:
    """Return the refusal of a decision that comes too late, with the one that counts."""
    last = queries.LAST_DECISION.find(session, reach.organization_id, root.id)
    if last is None:
        return NotInReview()
    return AlreadyDecided(
        last.outcome, last.decided_by or "The client", last.decided_at, root.state, root.revision
    )


def _review_of(root: StoredPart) -> ReviewOut:
    return ReviewOut(
        id=root.id,
        state=wire_state(root.state),
        code=root.state.value,
        revision=root.revision,
        review=root.review,
        waits_for=ReviewStep(root.waits_for) if root.waits_for else None,
        publish_date=root.publish_at,
    )
