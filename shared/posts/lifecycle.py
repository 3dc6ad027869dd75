"""Which states may a part move between, and who may move it? `MOVES` is the law.

Use cases check their moves against it, statements are built from it, and the test database refuses an UPDATE that it
does not list. A new part may begin in any state of its thread; a deleted one that an edit brings back begins anew.
"""

from collections.abc import Iterable, Mapping
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
    SWEEP = "sweep"


_MEMBER, _PUBLISHER, _SWEEP = (frozenset({hand}) for hand in Hand)

MOVES: Mapping[tuple[PostState, PostState], frozenset[Hand]] = {
    (PostState.DRAFT, PostState.QUEUED): _MEMBER,
    (PostState.QUEUED, PostState.DRAFT): _MEMBER,
    (PostState.QUEUED, PostState.PUBLISHING): _PUBLISHER,  # claimed
    # Channel disabled, plan ended, too late, the part before it failed; the sweep: the part before it is gone.
    (PostState.QUEUED, PostState.FAILED): _PUBLISHER | _SWEEP,
    (PostState.QUEUED, PostState.PUBLISHED): _SWEEP,  # its release came late
    (PostState.PUBLISHING, PostState.QUEUED): _PUBLISHER,  # nothing was created; again at `due_at`
    (PostState.PUBLISHING, PostState.PUBLISHED): _PUBLISHER,
    (PostState.PUBLISHING, PostState.FAILED): _PUBLISHER,
    (PostState.PUBLISHING, PostState.UNCONFIRMED): _PUBLISHER,
    (PostState.FAILED, PostState.QUEUED): _MEMBER,  # a new generation
    (PostState.FAILED, PostState.DRAFT): _MEMBER,
    (PostState.FAILED, PostState.PUBLISHED): _SWEEP,  # its release came late
    (PostState.UNCONFIRMED, PostState.QUEUED): _MEMBER,  # resent: "it is not there"
    # Confirmed: "it is there, here is its address"; the sweep: its release came late.
    (PostState.UNCONFIRMED, PostState.PUBLISHED): _MEMBER | _SWEEP,
}


def may_move(before: PostState, after: PostState, *, by: Hand) -> bool:
    """Return whether `by` may move a part from one state to the other."""
    return by in MOVES.get((before, after), ())


def sources(after: PostState, *, by: Hand) -> tuple[PostState, ...]:
    """Return the states from which `by` may move a part to `after`."""
    return tuple(before for before in PostState if may_move(before, after, by=by))


def in_sql(states: Iterable[PostState]) -> str:
    """Write states as the list of an SQL `in`."""
    return ", ".join(f"'{state}'" for state in states)


CLOSED = (PostState.PUBLISHING, PostState.PUBLISHED)
"""Being published, or published: no member changes or deletes it."""

RESENDABLE = tuple(
    state for state in sources(PostState.QUEUED, by=Hand.MEMBER) if state is not PostState.DRAFT
)
"""What a member may send again."""


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
