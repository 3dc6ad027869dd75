"""Decides whether a post may be queued, or waits for approval first. Pure.

The rule is that of the channel's customer, or else of the organization. A step is approved by somebody of the team, or by the
client. An approval is of a revision: `pass_gate` decides which approvals a change leaves.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.organizations.models import Approval, ApprovedBy
from shared.posts.lifecycle import PostState, Review


class ReviewStep(StrEnum):
    """Who approves."""

    TEAM = "team"
    CLIENT = "client"


class ReviewOutcome(StrEnum):
    """How a step ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class ApprovalRule(Protocol):
    """Whether posts of a channel wait for approval, and whose."""

    @property
    def approval(self) -> Approval:
        """Whether they wait."""

    @property
    def approved_by(self) -> ApprovedBy:
        """Who approves."""


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Where a stored post stands: its review, the steps of its request, and those that are approved."""

    review: Review = Review.NONE
    steps: frozenset[ReviewStep] = frozenset()
    approved: frozenset[ReviewStep] = frozenset()


@dataclass(frozen=True, slots=True)
class Right:
    """An author's right. `must_ask`: what they schedule waits for approval. `may_approve`: they decide for the team."""

    must_ask: bool = False
    may_approve: bool = False

    @property
    def decides(self) -> bool:
        """Return whether scheduling a post approves it for the team."""
        return self.may_approve and not self.must_ask


@dataclass(frozen=True, slots=True)
class Differences:
    """What a change changes: the content (text, files, settings, channel), the time, both or neither."""

    content: bool
    time: bool

    def __bool__(self) -> bool:
        """Return whether it changes anything that was approved."""
        return self.content or self.time


@dataclass(frozen=True, slots=True)
class Passage:
    """The result of the gate: the state and review of the post, the approvals that it keeps and gets, and the step that it waits for.

    `steps` are all steps that it needs.
    """

    state: PostState
    review: Review
    steps: tuple[ReviewStep, ...] = ()
    kept: frozenset[ReviewStep] = frozenset()
    given: frozenset[ReviewStep] = frozenset()
    waits_for: ReviewStep | None = None


_STEPS = {
    ApprovedBy.TEAM: (ReviewStep.TEAM,),
    ApprovedBy.CLIENT: (ReviewStep.CLIENT,),
    ApprovedBy.TEAM_THEN_CLIENT: (ReviewStep.TEAM, ReviewStep.CLIENT),
}


def steps_of(rule: ApprovalRule, *, must_ask: bool = False) -> tuple[ReviewStep, ...]:
    """Return the steps that a post needs before it is queued, in order; empty if it needs none."""
    waits = must_ask or rule.approval is Approval.REQUIRED
    return _STEPS[rule.approved_by] if waits else ()


def in_order(steps: Collection[ReviewStep]) -> tuple[ReviewStep, ...]:
    """Sort steps."""
    return tuple(step for step in ReviewStep if step in steps)


def pass_gate(
    asked: PostState,
    rule: ApprovalRule,
    right: Right,
    before: ReviewStatus,
    differences: Differences,
    *,
    withdraws: bool = False,
) -> Passage:
    """Decide on a post that is stored in the state `asked`.

    A post in review, or approved, keeps the stricter of its own steps and the rule's. A change voids the team's approval, unless
    its author decides for the team; a change of the content voids the client's in any case. `withdraws`: a draft leaves
    the review.
    """
    needed = set(steps_of(rule, must_ask=right.must_ask))
    if before.review in (Review.REQUESTED, Review.APPROVED):
        needed |= before.steps
    kept = before.approved & frozenset(needed)
    if differences and not right.decides:
        kept -= {ReviewStep.TEAM}
    if differences.content or (differences and right.must_ask):
        kept -= {ReviewStep.CLIENT}
    decides = right.decides and asked is not PostState.DRAFT
    given = frozenset({ReviewStep.TEAM}) & needed - kept if decides else frozenset()
    missing = in_order(needed - kept - given)
    steps = in_order(needed)
    if asked is PostState.DRAFT and (withdraws or before.review is Review.APPROVED):
        return Passage(asked, Review.NONE)
    if asked is PostState.DRAFT and before.review is not Review.REQUESTED:
        return Passage(asked, before.review)
    if not missing:
        return Passage(asked, Review.APPROVED if needed else Review.NONE, steps, kept, given)
    if asked is PostState.QUEUED:
        asked = PostState.DRAFT
    elif not (differences or before.review is Review.REQUESTED):
        return Passage(asked, before.review, steps, kept)
    return Passage(asked, Review.REQUESTED, steps, kept, given, waits_for=missing[0])
