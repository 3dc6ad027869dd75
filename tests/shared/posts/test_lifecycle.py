"""Which moves a part may make, and by whose hand: the table of the design, spelled out once more."""

import itertools

import pytest

from shared.posts.lifecycle import Hand, PostState, may_move, wire_state

DRAFT, QUEUED, PUBLISHING, PUBLISHED, FAILED, UNCONFIRMED = PostState
BY_MEMBER = {
    (DRAFT, QUEUED),
    (QUEUED, DRAFT),
    (FAILED, QUEUED),
    (FAILED, DRAFT),
    (UNCONFIRMED, QUEUED),
    (UNCONFIRMED, DRAFT),
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

    def test_what_is_published_stays(self) -> None:
        for after, hand in itertools.product(PostState, Hand):
            assert not may_move(PUBLISHED, after, by=hand)


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
