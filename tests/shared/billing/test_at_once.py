"""Fifty requests at once for the last posts of a month, and two whose statements interleave: never one too many, and none lost.

Levels, such as channels, are tested in `test_levels_at_once.py`.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from shared.billing.errors import PlanUsedUp
from shared.billing.models import Usage
from shared.billing.plans import Allowances, Plan
from shared.billing.sections import Section
from shared.billing.usage import take
from shared.core.ids import ChannelId, OrganizationId, PostId
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.compose import compose
from shared.posts.delete import delete_post
from shared.posts.edit import change_status
from shared.posts.models import Post
from shared.posts.parts import Author
from shared.posts.schemas import ChannelPostIn, IntegrationIn, PartIn, PostDraft, StatusAction
from tests.builders import a_channel, an_organization
from tests.conftest import Configure

AT_ONCE = 50
MONTH = date(2026, 12, 1)
STANDARD = Allowances(Plan.STANDARD, MONTH)


@pytest.fixture(autouse=True)
def _queues(aws: None, committed: Engine, configure: Configure) -> None:
    sqs = boto3.client("sqs")
    configure(
        BILLING="on",
        DATABASE_POOL_SIZE=AT_ONCE,
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
    )


@pytest.fixture
def channel(committed: Engine) -> tuple[OrganizationId, ChannelId]:
    """A channel of an organization that has used 390 of its 400 posts."""
    with unit_of_work() as session:
        organization = an_organization(session, plan="standard")
        session.add(
            Usage(
                organization_id=organization.id,
                section=Section.POSTS_PER_MONTH,
                period_start=MONTH,
                used=390,
            )
        )
        return organization.id, a_channel(session, organization).id


def used(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalars(select(Usage.used)).one()


def stored(engine: Engine) -> int:
    with Session(engine) as session:
        counted = select(func.count()).where(Post.counted_period == MONTH)
        return session.scalars(counted).one()


def a_draft(channel_id: ChannelId, *, type: str = "schedule", number: int = 0) -> PostDraft:
    part = PartIn(content=f"Post {number}")
    entry = ChannelPostIn(integration=IntegrationIn(id=channel_id), value=[part])
    date = datetime.now(UTC) + timedelta(minutes=13)
    return PostDraft.model_validate({"type": type, "date": date, "posts": [entry]})


def at_once(work: Callable[[int], object]) -> Counter[str]:
    """Do `work` fifty times at once; count how it ended."""

    def one(number: int) -> str:
        try:
            work(number)
        except PlanUsedUp:
            return "refused"
        return "done"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, range(AT_ONCE)))


def wait_for_a_lock(engine: Engine, running: Future[Any]) -> None:
    """Wait until the other connection waits for a lock."""
    waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    while not running.done():
        with engine.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return


class TestFiftyAtOnce:
    def test_composing_takes_the_last_ten_places_and_no_more(
        self, committed: Engine, channel: tuple[OrganizationId, ChannelId]
    ) -> None:
        author = Author(Reach(channel[0]), None, Role.OWNER, allowances=STANDARD)

        def work(number: int) -> None:
            with unit_of_work() as session:
                compose(session, author, a_draft(channel[1], number=number))

        assert at_once(work) == {"done": 10, "refused": 40}
        assert (used(committed), stored(committed)) == (400, 10)

    def test_several_kinds_of_request_at_once(
        self, committed: Engine, channel: tuple[OrganizationId, ChannelId]
    ) -> None:
        """Queue, take back and delete the same ten posts: what is counted is what holds a count."""
        author = Author(Reach(channel[0]), None, Role.OWNER, allowances=STANDARD)
        posts: list[PostId] = []
        for number in range(10):
            with unit_of_work() as session:
                draft = a_draft(channel[1], type="draft", number=number)
                [created] = compose(session, author, draft)
                posts.append(created.post_id)

        def work(number: int) -> None:
            post = posts[number % 10]
            with unit_of_work() as session:
                if number % 5 == 4:
                    delete_post(session, author, post)
                else:
                    status: StatusAction = "draft" if number % 5 == 2 else "schedule"
                    change_status(session, author, post, status, revision=None)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            ended = [pool.submit(work, number) for number in range(AT_ONCE)]
        unexpected = [one.exception() for one in ended if one.exception()]
        assert {type(error).__name__ for error in unexpected} <= {"PostNotFound", "PostChanged"}
        assert used(committed) == 390 + stored(committed) <= 400

    def test_the_first_of_a_month_is_counted_once(self, committed: Engine) -> None:
        """No counter is there yet: all of them insert it."""
        with unit_of_work() as session:
            organization_id = an_organization(session, plan="standard").id

        def work(_number: int) -> None:
            with unit_of_work() as session:
                take(session, organization_id, STANDARD, Section.POSTS_PER_MONTH, times=10)

        assert at_once(work) == {"done": 40, "refused": 10}
        assert used(committed) == 400


class TestTwoConnections:
    def test_the_second_waits_and_sees_the_first(
        self, committed: Engine, channel: tuple[OrganizationId, ChannelId]
    ) -> None:
        with ThreadPoolExecutor(1) as other:
            with unit_of_work() as session:
                take(session, channel[0], STANDARD, Section.POSTS_PER_MONTH, times=10)
                second = other.submit(self._take, channel[0])
                wait_for_a_lock(committed, second)
            with pytest.raises(PlanUsedUp) as refused:
                second.result()
        assert refused.value.details["used"] == 400
        assert used(committed) == 400

    def test_what_the_first_takes_back_is_there_for_the_second(
        self, committed: Engine, channel: tuple[OrganizationId, ChannelId]
    ) -> None:
        with ThreadPoolExecutor(1) as other:
            with pytest.raises(InterruptedError), unit_of_work() as session:
                take(session, channel[0], STANDARD, Section.POSTS_PER_MONTH, times=10)
                second = other.submit(self._take, channel[0])
                wait_for_a_lock(committed, second)
                raise InterruptedError
            assert second.result() == MONTH
        assert used(committed) == 391

    @staticmethod
    def _take(organization_id: OrganizationId) -> date | None:
        with unit_of_work() as session:
            return take(session, organization_id, STANDARD, Section.POSTS_PER_MONTH)
