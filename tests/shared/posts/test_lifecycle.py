"""Which moves a part may make, and by whose hand: the table of the design, spelled out once more.

That each of them is needed, behavior tests show: the test database refuses what the table does not list.
"""

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.core.ids import new_id
from shared.posts.lifecycle import (
    ABSENT,
    MOVES,
    Hand,
    PostState,
    State,
    may_move,
    where_may_become,
    where_may_move,
    wire_state,
)
from tests.builders import a_channel, a_post, an_organization

DRAFT, QUEUED, PUBLISHING, PUBLISHED, FAILED, UNCONFIRMED = PostState
STATES: tuple[State, ...] = (ABSENT, *PostState)
BY_MEMBER = {
    (ABSENT, DRAFT),
    (ABSENT, QUEUED),
    (ABSENT, FAILED),
    (DRAFT, ABSENT),
    (QUEUED, ABSENT),
    (FAILED, ABSENT),
    (UNCONFIRMED, ABSENT),
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
    @pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
    def test_each_pair(self, before: State, after: State) -> None:
        assert may_move(before, after, by=Hand.MEMBER) is ((before, after) in BY_MEMBER)
        assert may_move(before, after, by=Hand.PUBLISHER) is ((before, after) in BY_PUBLISHER)
        assert may_move(before, after, by=Hand.SWEEP) is ((before, after) in BY_SWEEP)

    def test_what_is_published_stays(self) -> None:
        for after, hand in itertools.product(STATES, Hand):
            assert not may_move(PUBLISHED, after, by=hand)


class TestConditions:
    """The conditions of statements, asked of PostgreSQL."""

    @pytest.mark.parametrize("hand", Hand)
    def test_are_those_of_the_table(self, session: Session, hand: Hand) -> None:
        for before, after in itertools.product(PostState, STATES):
            listed = may_move(before, after, by=hand)
            one = where_may_become(after, by=hand, state=f"'{before}'")
            both = where_may_move(f"'{before}'", f"'{after or ''}'", by=hand)
            assert session.execute(text(f"select {one}, {both}")).one() == (listed, listed)

    def test_one_state_alone(self) -> None:
        condition = where_may_become(FAILED, by=Hand.PUBLISHER, only=QUEUED)
        assert condition == "posts.state in ('queued')"
        assert where_may_become(FAILED, by=Hand.PUBLISHER, only=DRAFT) == "false"


class TestTheDatabase:
    @pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
    def test_refuses_what_is_not_listed(
        self, session: Session, before: State, after: State
    ) -> None:
        """Section 9 of the findings: "nothing else changes a state" was false; two rows could go unnoticed."""
        channel = a_channel(session, an_organization(session))
        if before is after or (before, after) in MOVES:
            _move(session, channel, before, after)
        else:
            message = f"{before or ''} cannot become {after or ''}"
            with pytest.raises(ProgrammingError, match=message):
                _move(session, channel, before, after)


def _move(session: Session, channel: Channel, before: State, after: State) -> None:
    old = a_post(session, channel, state=before or FAILED)
    values = {"id": old.id, "new": new_id(), "before": before or FAILED, "after": after}
    if before is ABSENT:
        session.execute(text("delete from posts where id = :id"), values)
        if after is not ABSENT:
            session.execute(
                _INSERT, values | {"channel": channel.id, "owner": channel.organization_id}
            )
    elif after is ABSENT:
        session.execute(text("update posts set deleted_at = now() where id = :id"), values)
    else:
        session.execute(
            text("update posts set state = :after, published_at = now() where id = :id"), values
        )


_INSERT = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, published_at, delay_seconds, revision, generation, arm_count,
        creation_method)
    values (:new, :owner, :channel, :new, :new, 0, :after, 'none', '', '[]', '{}', '', now(), now(), 0, 1, 1, 1, 'web')
""")


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
