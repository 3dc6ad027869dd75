"""How a part's state may move, and by whose hand. Nothing else changes `posts.state`."""

from enum import StrEnum
from typing import Literal


class PostState(StrEnum):
    """Where a part stands."""

    DRAFT = "draft"
    QUEUED = "queued"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"


class Review(StrEnum):
    """Whether somebody else must agree first. Beside the state, not one of them."""

    NONE = "none"
    REQUESTED = "requested"
    APPROVED = "approved"
    DECLINED = "declined"


class Hand(StrEnum):
    """Who moves a state."""

    MEMBER = "member"
    PUBLISHER = "publisher"


MOVES: dict[tuple[PostState, PostState], Hand] = {
    (PostState.DRAFT, PostState.QUEUED): Hand.MEMBER,
    (PostState.QUEUED, PostState.DRAFT): Hand.MEMBER,
    (PostState.QUEUED, PostState.PUBLISHING): Hand.PUBLISHER,  # claimed
    (PostState.QUEUED, PostState.FAILED): Hand.PUBLISHER,  # channel disabled, plan ended, too late
    (
        PostState.PUBLISHING,
        PostState.QUEUED,
    ): Hand.PUBLISHER,  # nothing was created; again at `due_at`
    (PostState.PUBLISHING, PostState.PUBLISHED): Hand.PUBLISHER,
    (PostState.PUBLISHING, PostState.FAILED): Hand.PUBLISHER,
    (PostState.PUBLISHING, PostState.UNCONFIRMED): Hand.PUBLISHER,
    (PostState.FAILED, PostState.QUEUED): Hand.MEMBER,  # a new generation
    (PostState.UNCONFIRMED, PostState.QUEUED): Hand.MEMBER,  # "it is not there: send it again"
    (PostState.UNCONFIRMED, PostState.PUBLISHED): Hand.MEMBER,  # "it is there: here is its address"
    (PostState.FAILED, PostState.DRAFT): Hand.MEMBER,
    (PostState.UNCONFIRMED, PostState.DRAFT): Hand.MEMBER,
}


def may_move(before: PostState, after: PostState, *, by: Hand) -> bool:
    """Say whether `by` may move a part from one state to the other."""
    return MOVES.get((before, after)) is by


WireState = Literal["DRAFT", "QUEUE", "PUBLISHED", "ERROR"]


def wire_state(state: PostState) -> WireState:
    """Return the state's name in JSON: publishing shows as QUEUE, unconfirmed as ERROR with a code of its own."""
    return _WIRE[state]


_WIRE: dict[PostState, WireState] = {
    PostState.DRAFT: "DRAFT",
    PostState.QUEUED: "QUEUE",
    PostState.PUBLISHING: "QUEUE",
    PostState.PUBLISHED: "PUBLISHED",
    PostState.FAILED: "ERROR",
    PostState.UNCONFIRMED: "ERROR",
}
