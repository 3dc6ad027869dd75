"""Which moves a part may make, and by whose hand: the table of the design, spelled out once more.

That each of them is needed, behavior tests show: the test database refuses what the table does not list.
"""

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from shared.posts.lifecycle import MOVES, Hand, PostState, may_move, wire_state
from tests.builders import a_channel, a_post, an_organization

DRAFT, QUEUED, PUBLISHING, PUBLISHED, FAILED, UNCONFIRMED = PostState
BY_MEMBER = {
    (DRAFT, QUEUED),
    (QUEUED, DRAFT),
    (FAILED, QUEUED),
    (FAILED, DRAFT),
    (UNCONFIRMED, QUEUED),
    (UNCONFIRMED, PUBLISHED),
}
BY_SWEEP = {
    (QUEUED, FAILED),
    (QUEUED, PUBLISHED),
    (FAILED, PUBLISHED),
    (UNCONFIRMED, PUBLISHED),
}
BY_PUBLISHER = {
    (QUEUED, PUBLISHING),
    (QUEUED, FAILED),
    (PUBLISHING, QUEUED),
    (PUBLISHING, PUBLISHED),
    (PUBLISHING, FAILED),
    (PUBLISHING, UNCONFIRMED),
}


class TestMayMove:
    @pytest.mark.parametrize(("before", "after"), list(itertools.product(PostState, PostState)))
    def test_each_pair(self, before: PostState, after: PostState) -> None:
        assert may_move(before, after, by=Hand.MEMBER) is ((before, after) in BY_MEMBER)
        assert may_move(before, after, by=Hand.PUBLISHER) is ((before, after) in BY_PUBLISHER)
        assert may_move(before, after, by=Hand.SWEEP) is ((before, after) in BY_SWEEP)

    def test_what_is_published_stays(self) -> None:
        for after, hand in itertools.product(PostState, Hand):
            assert not may_move(PUBLISHED, after, by=hand)


class TestTheDatabase:
    @pytest.mark.parametrize(("before", "after"), list(itertools.product(PostState, PostState)))
    def test_refuses_what_is_not_listed(
        self, session: Session, before: PostState, after: PostState
    ) -> None:
        """Section 9 of the findings: "nothing else changes a state" was false; two rows could go unnoticed."""
        post = a_post(session, a_channel(session, an_organization(session)), state=before)
        change = text("update posts set state = :after, published_at = now() where id = :id")
        values = {"after": after, "id": post.id}
        if before is after or (before, after) in MOVES:
            session.execute(change, values)
        else:
            with pytest.raises(ProgrammingError, match=f"{before} cannot become {after}"):
                session.execute(change, values)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (DRAFT, "DRAFT"),
        (QUEUED, "QUEUE"),
        (PUBLISHING, "QUEUE"),
        (PUBLISHED, "PUBLISHED"),
        (FAILED, "ERROR"),
        (UNCONFIRMED, "ERROR"),
    ],
)
def test_names_on_the_wire(state: PostState, name: str) -> None:
    assert wire_state(state) == name
