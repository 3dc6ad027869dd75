"""What happens when two change a post at once, or a change meets the publisher: real transactions on real connections."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.ids import PostId
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.approval import ReviewStep, Right
from shared.posts.compose import compose
from shared.posts.delete import delete_post
from shared.posts.edit import edit
from shared.posts.errors import AlreadyDecided, PostChanged, PostIsPublishing
from shared.posts.lifecycle import PostState, Review
from shared.posts.models import Post, PostReview
from shared.posts.parts import Author
from shared.posts.review import Decider, review
from shared.posts.review_schemas import ReviewIn
from shared.posts.schemas import PostDraft, PostEdit
from shared.publishing.claim import claim
from tests.builders import a_channel, a_post, an_organization
from tests.conftest import Configure


@pytest.fixture(autouse=True)
def _aws(aws: None, committed: Engine, configure: Configure) -> None:
    sqs = boto3.client("sqs")
    configure(
        DATABASE_POOL_SIZE=8,
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
        SCHEDULE_GROUP="posts",
        SCHEDULE_TARGET_ARN="arn:aws:lambda:us-east-1:123456789012:function:prepare",
        SCHEDULE_ROLE_ARN="arn:aws:iam::123456789012:role/schedules",
        SCHEDULE_DEAD_LETTER_ARN="arn:aws:sqs:us-east-1:123456789012:dead",
    )
    boto3.client("scheduler").create_schedule_group(Name="posts")


@pytest.fixture
def post(committed: Engine) -> Post:
    """A post that is due, of two parts."""
    with unit_of_work() as session:
        channel = a_channel(session, an_organization(session))
        root = a_post(session, channel, publish_at=datetime.now(UTC) - timedelta(seconds=1))
        a_post(session, channel, parent=root)
    return root


@pytest.fixture
def another() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def author(post: Post) -> Author:
    return Author(Reach(post.organization_id), None, Role.OWNER)


def change(post: Post, content: str, revision: int | None = None) -> None:
    with unit_of_work() as session:
        edit(session, author(post), post.id, PostEdit(content=content), revision=revision)


def stored(post_id: PostId) -> Post:
    with unit_of_work() as session:
        return session.get_one(Post, post_id)


def waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.execute(
                text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
            ).scalar_one()
        )


def until_it_waits(engine: Engine, running: Future[None]) -> None:
    """Return once the other thread waits for our lock."""
    for _ in range(500):
        if waits_for_a_lock(engine):
            return
        if running.done():
            break
    raise AssertionError("it never waited")


class TestTwoEdits:
    def test_of_the_same_revision_one_wins(
        self, committed: Engine, post: Post, another: ThreadPoolExecutor
    ) -> None:
        with unit_of_work() as session:
            edit(session, author(post), post.id, PostEdit(content="First"), revision=1)
            second = another.submit(change, post, "Second", 1)
            until_it_waits(committed, second)
        with pytest.raises(PostChanged) as refused:
            second.result(timeout=20)
        assert refused.value.problems[1].code == "2"
        assert stored(post.id).content == "First"

    def test_of_any_revision_both_are_kept_in_turn(
        self, committed: Engine, post: Post, another: ThreadPoolExecutor
    ) -> None:
        with unit_of_work() as session:
            edit(session, author(post), post.id, PostEdit(content="First"), revision=None)
            second = another.submit(change, post, "Second")
            until_it_waits(committed, second)
        second.result(timeout=20)
        now = stored(post.id)
        assert (now.content, now.revision) == ("Second", 3)


class TestAgainstTheClaim:
    def test_a_change_finds_it_publishing(
        self, committed: Engine, post: Post, another: ThreadPoolExecutor
    ) -> None:
        with unit_of_work() as session:
            assert claim(post.id, 1, session=session) is not None
            late = another.submit(change, post, "Too late")
            until_it_waits(committed, late)
        with pytest.raises(PostIsPublishing):
            late.result(timeout=20)
        assert stored(post.id).content == "<p>Hello</p>"

    @pytest.mark.parametrize(
        "done",
        [
            lambda session, post: edit(
                session, author(post), post.id, PostEdit(content="New"), revision=None
            ),
            lambda session, post: delete_post(session, author(post), post.id),
        ],
    )
    def test_the_claim_finds_it_changed(
        self,
        committed: Engine,
        post: Post,
        another: ThreadPoolExecutor,
        done: Callable[[Session, Post], object],
    ) -> None:
        def try_to_claim() -> None:
            with unit_of_work() as session:
                assert claim(post.id, 1, session=session) is None

        with unit_of_work() as session:
            done(session, post)
            late = another.submit(try_to_claim)
            until_it_waits(committed, late)
        late.result(timeout=20)
        assert stored(post.id).state is PostState.QUEUED


class TestOneKeyTwice:
    def test_at_once_it_is_composed_once(
        self, committed: Engine, post: Post, another: ThreadPoolExecutor
    ) -> None:
        draft = PostDraft(type="draft", content="Hi", integration_id=post.channel_id)
        answers = []

        def again() -> None:
            with unit_of_work() as session:
                answers.append(compose(session, author(post), draft, key="k"))

        with unit_of_work() as session:
            answers.append(compose(session, author(post), draft, key="k"))
            second = another.submit(again)
            until_it_waits(committed, second)
        second.result(timeout=20)
        assert answers[0] == answers[1]
        with unit_of_work() as session:
            assert len(session.scalars(select(Post).where(Post.content == "Hi")).all()) == 1


class TestSchedules:
    def test_a_far_posts_schedule_is_replaced_with_it(self, post: Post) -> None:
        def names() -> list[str]:
            listed = boto3.client("scheduler").list_schedules(GroupName="posts")["Schedules"]
            return [one["Name"] for one in listed]

        later = datetime.now(UTC) + timedelta(days=2)
        draft = PostDraft(content="Far", integration_id=post.channel_id, date=later)
        with unit_of_work() as session:
            [created] = compose(session, author(post), draft)
        assert names() == [f"post-{created.post_id}-1-1"]
        assert settings().arm_threshold_seconds < 86_400
        far = stored(created.post_id)
        change(far, "Farther")
        assert names() == [f"post-{created.post_id}-2-2"]
        with unit_of_work() as session:
            delete_post(session, author(far), far.id)
        assert names() == []


class TestTwoDeciders:
    @pytest.fixture
    def waiting(self, committed: Engine) -> Post:
        """A post that waits for the team."""
        with unit_of_work() as session:
            channel = a_channel(session, an_organization(session))
            when = datetime.now(UTC) + timedelta(minutes=5)
            root = a_post(
                session,
                channel,
                state=PostState.DRAFT,
                review=Review.REQUESTED,
                publish_at=when,
            )
            session.add(
                PostReview(
                    organization_id=root.organization_id,
                    root_id=root.id,
                    step=ReviewStep.TEAM,
                    steps=["team"],
                    revision=1,
                )
            )
        return root

    @pytest.mark.parametrize(("first", "then"), [("approve", "decline"), ("decline", "approve")])
    def test_the_first_one_counts_and_the_other_sees_it(
        self, committed: Engine, waiting: Post, another: ThreadPoolExecutor, first: str, then: str
    ) -> None:
        with unit_of_work() as session:
            decide(session, waiting, first)
            second = another.submit(decide_alone, waiting, then)
            until_it_waits(committed, second)
        with pytest.raises(AlreadyDecided) as refused:
            second.result(timeout=20)
        assert f"{first}d" in refused.value.message
        now = stored(waiting.id)
        approved = first == "approve"
        assert now.state is (PostState.QUEUED if approved else PostState.DRAFT)
        assert now.review is (Review.APPROVED if approved else Review.DECLINED)

    def test_a_change_at_the_same_time_is_not_approved_unseen(
        self, committed: Engine, waiting: Post, another: ThreadPoolExecutor
    ) -> None:
        with unit_of_work() as session:
            edit(session, asking(waiting), waiting.id, PostEdit(content="New"), revision=None)
            second = another.submit(decide_alone, waiting, "approve")
            until_it_waits(committed, second)
        with pytest.raises(PostChanged):
            second.result(timeout=20)
        assert stored(waiting.id).review is Review.REQUESTED


def asking(post: Post) -> Author:
    return Author(Reach(post.organization_id), None, Role.MEMBER, right=Right(must_ask=True))


def decide(session: Session, post: Post, action: str) -> None:
    approver = replace(author(post), right=Right(may_approve=True))
    wanted = ReviewIn.model_validate({"action": action})
    review(session, Decider(approver, ReviewStep.TEAM), post.id, wanted, revision=1)


def decide_alone(post: Post, action: str) -> None:
    with unit_of_work() as session:
        decide(session, post, action)
