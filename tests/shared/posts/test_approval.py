"""Which posts wait for approval, whose, and which approvals a change leaves: one table, without a database."""

from dataclasses import dataclass

import pytest

from shared.organizations.models import Approval, ApprovedBy
from shared.posts.approval import (
    Differences,
    Passage,
    ReviewStatus,
    ReviewStep,
    Right,
    pass_gate,
)
from shared.posts.lifecycle import PostState, Review

TEAM, CLIENT = ReviewStep
NOBODY: frozenset[ReviewStep] = frozenset()
ORDINARY, ASKS, APPROVER = Right(), Right(must_ask=True), Right(may_approve=True)
NEW = ReviewStatus()
CONTENT = Differences(content=True, time=True)
TIME = Differences(content=False, time=True)
NOTHING = Differences(content=False, time=False)


@dataclass(frozen=True)
class Rule:
    approval: Approval = Approval.NONE
    approved_by: ApprovedBy = ApprovedBy.TEAM


NONE, OPTIONAL, REQUIRED = (Rule(approval) for approval in Approval)
BY_CLIENT = Rule(Approval.REQUIRED, ApprovedBy.CLIENT)
BY_BOTH = Rule(Approval.REQUIRED, ApprovedBy.TEAM_THEN_CLIENT)


def approved(*steps: ReviewStep) -> ReviewStatus:
    return ReviewStatus(Review.APPROVED, frozenset(steps), frozenset(steps))


def waiting(*steps: ReviewStep, given: frozenset[ReviewStep] = NOBODY) -> ReviewStatus:
    return ReviewStatus(Review.REQUESTED, frozenset(steps), given)


def queue(
    rule: Rule, right: Right, before: ReviewStatus = NEW, differences: Differences = CONTENT
) -> Passage:
    return pass_gate(PostState.QUEUED, rule, right, before, differences)


QUEUED = (PostState.QUEUED, Review.NONE, None)
CLEARED = (PostState.QUEUED, Review.APPROVED, None)
WAITS = (PostState.DRAFT, Review.REQUESTED, TEAM)
WAITS_FOR_CLIENT = (PostState.DRAFT, Review.REQUESTED, CLIENT)


def result(passage: Passage) -> tuple[PostState, Review, ReviewStep | None]:
    return passage.state, passage.review, passage.waits_for


class TestNewPosts:
    @pytest.mark.parametrize(
        ("rule", "right", "wanted"),
        [
            (NONE, ORDINARY, QUEUED),
            (NONE, APPROVER, QUEUED),
            (NONE, ASKS, WAITS),
            (NONE, Right(must_ask=True, may_approve=True), WAITS),
            (OPTIONAL, ORDINARY, QUEUED),
            (OPTIONAL, ASKS, WAITS),
            (REQUIRED, ORDINARY, WAITS),
            (REQUIRED, ASKS, WAITS),
            (REQUIRED, APPROVER, CLEARED),
            (BY_CLIENT, ORDINARY, WAITS_FOR_CLIENT),
            (BY_CLIENT, APPROVER, WAITS_FOR_CLIENT),
            (BY_BOTH, ORDINARY, WAITS),
            (BY_BOTH, APPROVER, WAITS_FOR_CLIENT),
            (Rule(Approval.NONE, ApprovedBy.CLIENT), ASKS, WAITS_FOR_CLIENT),
        ],
    )
    def test_wait_by_rule_and_right(
        self, rule: Rule, right: Right, wanted: tuple[PostState, Review, ReviewStep | None]
    ) -> None:
        assert result(queue(rule, right)) == wanted

    def test_an_approver_gives_the_step_of_the_team(self) -> None:
        assert queue(BY_BOTH, APPROVER).given == {TEAM}

    def test_a_draft_asks_for_nothing(self) -> None:
        draft = pass_gate(PostState.DRAFT, BY_BOTH, ASKS, NEW, CONTENT)
        assert result(draft) == (PostState.DRAFT, Review.NONE, None)


class TestChanges:
    @pytest.mark.parametrize(
        ("right", "before", "differences", "wanted"),
        [
            (ORDINARY, approved(TEAM), CONTENT, WAITS),
            (ORDINARY, approved(TEAM), TIME, WAITS),
            (ORDINARY, approved(TEAM), NOTHING, CLEARED),
            (APPROVER, approved(TEAM), CONTENT, CLEARED),
            (ASKS, approved(TEAM), TIME, WAITS),
            (ORDINARY, approved(CLIENT), CONTENT, WAITS_FOR_CLIENT),
            (APPROVER, approved(CLIENT), CONTENT, WAITS_FOR_CLIENT),
            (ORDINARY, approved(CLIENT), TIME, CLEARED),
            (APPROVER, approved(TEAM, CLIENT), CONTENT, WAITS_FOR_CLIENT),
            (APPROVER, approved(TEAM, CLIENT), TIME, CLEARED),
            (ORDINARY, approved(TEAM, CLIENT), CONTENT, WAITS),
            (ORDINARY, approved(TEAM, CLIENT), TIME, WAITS),
        ],
    )
    def test_void_the_approval_that_their_author_may_not_give(
        self,
        right: Right,
        before: ReviewStatus,
        differences: Differences,
        wanted: tuple[PostState, Review, ReviewStep | None],
    ) -> None:
        # The rule has been switched off meanwhile: the post keeps the stricter of both.
        assert result(queue(NONE, right, before, differences)) == wanted

    def test_a_stricter_rule_holds_for_what_waits_already(self) -> None:
        passage = queue(BY_BOTH, ORDINARY, waiting(TEAM), NOTHING)
        assert (passage.steps, passage.waits_for) == ((TEAM, CLIENT), TEAM)

    def test_and_a_weaker_one_does_not(self) -> None:
        before = waiting(TEAM, CLIENT, given=frozenset({TEAM}))
        assert result(queue(NONE, ORDINARY, before, NOTHING)) == WAITS_FOR_CLIENT

    def test_an_edit_in_review_stays_there(self) -> None:
        before = waiting(TEAM, CLIENT, given=frozenset({TEAM}))
        passage = pass_gate(PostState.DRAFT, BY_BOTH, ORDINARY, before, CONTENT)
        assert result(passage) == WAITS
        assert passage.kept == NOBODY

    def test_a_draft_that_is_withdrawn_waits_for_nobody(self) -> None:
        passage = pass_gate(
            PostState.DRAFT, REQUIRED, ORDINARY, waiting(TEAM), NOTHING, withdraws=True
        )
        assert result(passage) == (PostState.DRAFT, Review.NONE, None)

    def test_taking_an_approved_post_back_ends_its_approval(self) -> None:
        passage = pass_gate(PostState.DRAFT, REQUIRED, APPROVER, approved(TEAM), NOTHING)
        assert (passage.review, passage.kept) == (Review.NONE, NOBODY)

    def test_a_failed_post_waits_in_its_state(self) -> None:
        passage = pass_gate(PostState.FAILED, NONE, ASKS, NEW, CONTENT)
        assert result(passage) == (PostState.FAILED, Review.REQUESTED, TEAM)

    def test_unless_its_author_may_approve_it(self) -> None:
        passage = pass_gate(PostState.FAILED, REQUIRED, APPROVER, approved(TEAM), CONTENT)
        assert result(passage) == (PostState.FAILED, Review.APPROVED, None)

    def test_and_unchanged_it_keeps_its_review(self) -> None:
        passage = pass_gate(PostState.FAILED, NONE, ASKS, NEW, NOTHING)
        assert result(passage) == (PostState.FAILED, Review.NONE, None)
