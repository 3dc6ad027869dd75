"""The states of a part, and who may move it between them. `MOVES` lists every allowed move.

Use cases check their moves against it, the conditions of statements are made from it, and the test database refuses an
INSERT, an UPDATE or a deletion that it does not list.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, Literal

from shared.db.statement import Sql, literals


class PostState(StrEnum):
    """The state of a part."""

    DRAFT = "draft"
    QUEUED = "queued"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"


class Review(StrEnum):
    """Whether another member must approve a post first. Independent of the state."""

    NONE = "none"
    REQUESTED = "requested"
    APPROVED = "approved"
    DECLINED = "declined"


CLEARED = (Review.NONE, Review.APPROVED)
"""The reviews of posts that may be queued and sent."""


class Hand(StrEnum):
    """Who moves a part to another state."""

    MEMBER = "member"
    PUBLISHER = "publisher"
    SWEEP = "sweep"


_MEMBER, _PUBLISHER, _SWEEP = (frozenset({hand}) for hand in Hand)

ABSENT: Final = None
"""The state of a part that is not stored yet or was deleted. An edit that restores a deleted part stores it again."""

State = PostState | None

MOVES: Mapping[tuple[State, State], frozenset[Hand]] = {
    (ABSENT, PostState.DRAFT): _MEMBER,
    (ABSENT, PostState.QUEUED): _MEMBER,
    (ABSENT, PostState.FAILED): _MEMBER,  # a part added to a thread that failed
    (PostState.DRAFT, ABSENT): _MEMBER,
    (PostState.QUEUED, ABSENT): _MEMBER,
    (PostState.FAILED, ABSENT): _MEMBER,
    (PostState.UNCONFIRMED, ABSENT): _MEMBER,
    (PostState.DRAFT, PostState.QUEUED): _MEMBER,
    (PostState.QUEUED, PostState.DRAFT): _MEMBER,
    (PostState.QUEUED, PostState.PUBLISHING): _PUBLISHER,  # claimed
    # Channel disabled, plan ended, too late, the part before it failed; the sweep: the part before it was deleted.
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


def may_move(before: State, after: State, *, by: Hand) -> bool:
    """Return whether `by` may move a part from one state to the other."""
    return by in MOVES.get((before, after), ())


def sources(after: State, *, by: Hand) -> tuple[PostState, ...]:
    """Return the states from which `by` may move a stored part to `after`."""
    return tuple(before for before in PostState if may_move(before, after, by=by))


def where_may_become(
    after: State, *, by: Hand, only: PostState | None = None, state: str = "posts.state"
) -> Sql:
    """Return the SQL condition under which `by` may move a stored part to `after`.

    `only` restricts the states that it may come from; `state` is the column.
    """
    before = [one for one in sources(after, by=by) if only in (None, one)]
    return Sql(f"{state} in ({in_sql(before)})" if before else "false")


def where_may_move(before: str, after: str, *, by: Hand) -> Sql:
    """Return the SQL condition that `by` may make the move between two states; '' stands for `ABSENT`."""
    pairs = [
        f"('{old or ''}', '{new or ''}')" for (old, new), hands in MOVES.items() if by in hands
    ]
    return Sql(f"({before}, {after}) in ({', '.join(pairs)})")


def in_sql(states: Iterable[PostState]) -> Sql:
    """Return states as the list of an SQL `in`."""
    return literals(*states)


CLOSED = tuple(state for state in PostState if not may_move(state, ABSENT, by=Hand.MEMBER))
"""Being published, or published: no member changes or deletes it."""

NOT_SENT = (PostState.DRAFT, PostState.QUEUED, PostState.FAILED)
"""The states of posts that are certainly not on their platform, so that deleting one gives its count back."""

RESENDABLE = tuple(
    state for state in sources(PostState.QUEUED, by=Hand.MEMBER) if state is not PostState.DRAFT
)
"""The states from which a member can resend a part."""


WireState = Literal["DRAFT", "QUEUE", "PUBLISHED", "ERROR"]


def wire_state(state: PostState) -> WireState:
    """Return the state's wire name: QUEUE also for publishing, ERROR also for unconfirmed, which has its own code."""
    return _WIRE[state]


_WIRE: dict[PostState, WireState] = {
    PostState.DRAFT: "DRAFT",
    PostState.QUEUED: "QUEUE",
    PostState.PUBLISHING: "QUEUE",
    PostState.PUBLISHED: "PUBLISHED",
    PostState.FAILED: "ERROR",
    PostState.UNCONFIRMED: "ERROR",
}
