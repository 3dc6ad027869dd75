"""What happens when two members change the same posts at the same moment, each on a connection of their own.

The first use case runs up to its commit, the second starts and waits for a lock or finishes, then the first commits.
Whatever the pair, threads stay whole: positions without gaps, each part after its predecessor, and nothing queued that
nothing will send.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import boto3
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.core.errors import AppError, Conflict, InvalidInput, NotFound
from shared.core.ids import ChannelId, GroupId, PostId, new_id
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.compose import compose
from shared.posts.delete import delete_group, delete_post
from shared.posts.edit import change_status, duplicate, edit, reschedule
from shared.posts.lifecycle import PostState
from shared.posts.parts import Author
from shared.posts.resolve import confirm, resend
from shared.posts.schemas import (
    ChannelPostIn,
    Duplicate,
    IntegrationIn,
    PartIn,
    PostDraft,
    PostEdit,
)
from shared.posts.store import delete_posts_of_channel
from shared.providers.base import Released
from tests.builders import a_channel, a_post, an_organization
from tests.conftest import Configure

SOON = datetime.now(UTC) + timedelta(minutes=13)
LATER = SOON + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _aws(aws: None, committed: Engine, configure: Configure) -> None:
    sqs = boto3.client("sqs")
    configure(
        DATABASE_POOL_SIZE=8,
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
    )


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@dataclass
class Scene:
    """A group of two posts on two channels; `root` has one part, its sibling two."""

    author: Author
    channel: ChannelId
    sibling_channel: ChannelId
    group: GroupId
    root: PostId
    sibling: PostId
    released: list[int] = field(default_factory=lambda: [1000])


def a_scene(state: PostState) -> Scene:
    with unit_of_work() as session:
        organization = an_organization(session)
        channels = [
            a_channel(session, organization, remote_id=f"{new_id()}@social.example")
            for _ in range(2)
        ]
        group = GroupId(new_id())
        roots = [
            a_post(session, channel, state=state, group_id=group, publish_at=SOON)
            for channel in channels
        ]
        follows = PostState.QUEUED if state is PostState.UNCONFIRMED else state
        a_post(session, channels[1], state=follows, parent=roots[1])
        author = Author(Reach(organization.id), None, Role.OWNER)
        return Scene(author, channels[0].id, channels[1].id, group, roots[0].id, roots[1].id)


UseCase = Callable[[Session, Scene], object]


def _edit(session: Session, at: Scene, *contents: str) -> None:
    value = [PartIn(content=content) for content in contents]
    edit(session, at.author, at.root, PostEdit(value=value), revision=None)


def _draft(at: Scene, *contents: str, **named: Any) -> PostDraft:
    part = [PartIn(content=content) for content in contents]
    part[0].id = named.pop("replaces", None)
    entry = ChannelPostIn(integration=IntegrationIn(id=at.channel), value=part, **named)
    return PostDraft(type="schedule", date=LATER, posts=[entry])


USE_CASES: dict[str, UseCase] = {
    "lengthen": lambda session, at: _edit(session, at, "1", "2", "3", "4"),
    "lengthen a little": lambda session, at: _edit(session, at, "A", "B"),
    "shorten": lambda session, at: _edit(session, at, "Only"),
    "edit to now": lambda session, at: edit(
        session, at.author, at.root, PostEdit(type="now"), revision=None
    ),
    "to another channel": lambda session, at: edit(
        session,
        at.author,
        at.root,
        PostEdit(integration=IntegrationIn(id=at.sibling_channel)),
        revision=None,
    ),
    "reschedule": lambda session, at: reschedule(
        session, at.author, at.root, LATER, "schedule", revision=None
    ),
    "cancel": lambda session, at: change_status(
        session, at.author, at.root, "draft", revision=None
    ),
    "queue": lambda session, at: change_status(
        session, at.author, at.root, "schedule", revision=None
    ),
    "delete": lambda session, at: delete_post(session, at.author, at.root),
    "delete the group": lambda session, at: delete_group(session, at.author, at.group),
    "copy into the group": lambda session, at: duplicate(
        session, at.author, at.root, Duplicate(date=LATER, same_group=True)
    ),
    "replace by id": lambda session, at: compose(
        session, at.author, _draft(at, "R", "S", "T", replaces=str(at.root))
    ),
    "replace by group": lambda session, at: compose(
        session, at.author, _draft(at, "G", "H", group=str(at.group))
    ),
    "resend": lambda session, at: resend(session, at.author, at.root),
    "confirm": lambda session, at: confirm(
        session, at.author, at.root, Released(str(at.released[0]), "https://social.example/@ada/1")
    ),
    "delete the channel's posts": lambda session, at: delete_posts_of_channel(
        session, at.author, at.channel
    ),
}


T = TypeVar("T")


def run_alone(use_case: Callable[[Session, T], object], at: T) -> AppError | None:
    """Run a use case in a transaction of its own; return how it was refused, None: it was done."""
    try:
        with unit_of_work() as session:
            use_case(session, at)
    except AppError as error:
        return error
    return None


def run_at_once(
    engine: Engine,
    other: ThreadPoolExecutor,
    first: Callable[[Session, T], object],
    second: Callable[[Session, T], object],
    at: T,
) -> tuple[AppError | None, AppError | None]:
    """Run `first` up to its commit, then start `second` and let it come as far as it can, then commit."""
    running: list[Future[AppError | None]] = []
    refused = None
    try:
        with unit_of_work() as session:
            first(session, at)
            running.append(other.submit(partial(run_alone, second, at)))
            _until_it_waits(engine, running[0])
    except AppError as error:
        refused = error
    if not running:
        return refused, run_alone(second, at)
    return refused, running[0].result(timeout=20)


def _until_it_waits(engine: Engine, running: Future[Any]) -> None:
    waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    while not running.done():
        with engine.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return


BROKEN = text("""
    select p.root_id, p.position, p.state, p.due_at from posts p
    left join posts q on q.root_id = p.root_id and q.position = p.position - 1 and q.deleted_at is null
    join posts r on r.id = p.root_id
    where p.deleted_at is null and (
        r.deleted_at is not null
        or (p.position > 0 and (q.id is null or p.parent_id is distinct from q.id))
        or p.channel_id <> r.channel_id or p.group_id <> r.group_id
        or (p.state = 'queued' and p.position = 0 and p.due_at is null)
        or (p.state = 'queued' and p.position > 0 and p.due_at is null and q.state in ('published', 'failed', 'draft')))
""")


def broken_parts(engine: Engine) -> list[Any]:
    """List the parts of which a thread is no longer whole, or which nothing will send."""
    with engine.connect() as connection:
        return list(connection.execute(BROKEN).all())


# Every pair of these is tried on posts of that state.
WAYS_OUT = ["lengthen", "replace by group", "queue", "delete the group", "resend", "confirm"]
PAIRED = {
    "queued": [name for name in USE_CASES if name not in {"queue", "resend", "confirm"}],
    "failed": [name for name in WAYS_OUT if name != "confirm"],
    "unconfirmed": WAYS_OUT,
}


@pytest.mark.parametrize(
    ("state", "first"), [(state, first) for state, names in PAIRED.items() for first in names]
)
class TestTwoAtOnce:
    def test_threads_stay_whole(
        self, committed: Engine, other: ThreadPoolExecutor, first: str, state: str
    ) -> None:
        """Finding 1.12: two edits at once left parts that nothing would ever send."""
        for second in PAIRED[state]:
            at = a_scene(PostState(state))
            answers = run_at_once(committed, other, USE_CASES[first], USE_CASES[second], at)
            assert not broken_parts(committed), (first, second)
            for answer in answers:
                assert answer is None or isinstance(answer, Conflict | NotFound | InvalidInput), (
                    first,
                    second,
                    answer,
                )


class TestTwoThatLengthen:
    def test_both_are_kept_in_turn_and_every_part_can_be_reached(
        self, committed: Engine, other: ThreadPoolExecutor
    ) -> None:
        """Finding 1.12: two tabs save a post that grows from one part to four."""
        at = a_scene(PostState.QUEUED)
        answers = run_at_once(
            committed,
            other,
            USE_CASES["lengthen"],
            lambda session, at: _edit(session, at, "A", "B", "C", "D"),
            at,
        )
        assert answers == (None, None)
        with committed.connect() as connection:
            parts = connection.execute(
                text(
                    "select id, parent_id, position, revision from posts "
                    "where root_id = :root and deleted_at is null order by position"
                ),
                {"root": at.root},
            ).all()
        assert [part.position for part in parts] == [0, 1, 2, 3]
        assert [part.parent_id for part in parts] == [None, *(part.id for part in parts[:-1])]
        assert {part.revision for part in parts} == {3}


class TestGroupsNamedInAnyOrder:
    def test_twelve_who_edit_one_group_never_deadlock(self, committed: Engine) -> None:
        """Finding 1.17: 8 of 12 clients that named a group's channels in different order deadlocked."""
        with unit_of_work() as session:
            organization = an_organization(session)
            group = GroupId(new_id())
            channels = [a_channel(session, organization) for _ in range(6)]
            for channel in channels:
                a_post(session, channel, group_id=group, publish_at=SOON)
            author = Author(Reach(organization.id), None, Role.OWNER)
            ids = [channel.id for channel in channels]
        deadlocks = _deadlocks(committed)

        def replace_all(number: int) -> None:
            order = random.Random(number).sample(ids, len(ids))
            posts = [
                ChannelPostIn(
                    integration=IntegrationIn(id=channel_id),
                    group=str(group),
                    value=[PartIn(content=f"By {number}")],
                )
                for channel_id in order
            ]
            with unit_of_work() as session:
                compose(session, author, PostDraft(type="schedule", date=LATER, posts=posts))

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(replace_all, number) for number in range(36)]:
                done.result(timeout=60)
        assert _deadlocks(committed) == deadlocks
        with committed.connect() as connection:
            told = connection.execute(text("select distinct content from posts")).scalars().all()
        assert len(told) == 1


def _deadlocks(engine: Engine) -> int:
    with engine.connect() as connection:
        connection.execute(text("select pg_stat_force_next_flush()"))
        return int(
            connection.execute(
                text("select deadlocks from pg_stat_database where datname = current_database()")
            ).scalar_one()
        )
