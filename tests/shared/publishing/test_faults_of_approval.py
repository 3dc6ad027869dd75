"""Approval meets publishing: somebody decides, changes or withdraws at every step of arming and claiming, or the process stops there.

Nothing undecided goes out, and nothing approved is lost: in the end each approved text is on the platform exactly once.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.core.errors import AppError
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.approval import ReviewStep, Right
from shared.posts.delete import delete_post
from shared.posts.edit import change_status, edit, reschedule
from shared.posts.lifecycle import PostState, Review
from shared.posts.models import Post, PostReview
from shared.posts.parts import Author
from shared.posts.resolve import resend
from shared.posts.review import Decider, review
from shared.posts.review_schemas import ReviewIn
from shared.posts.schemas import PostEdit
from shared.providers import registry
from shared.publishing.claim import claim
from tests.builders import a_channel, a_post, an_organization
from tests.shared.publishing.test_faults import reset
from tests.shared.publishing.world import Stopped, World

SOON = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _fake_rules(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what checks and writes posts know the fake platforms too."""
    for module in ("check", "guards", "thread_files"):
        monkeypatch.setattr(f"shared.posts.{module}.provider", registry.provider)


def a_waiting_post(world: World) -> Post:
    """Store a post that waits for the team."""
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        channel = a_channel(session, an_organization(session), provider="keyed")
        when = datetime.now(UTC) + SOON
        root = a_post(
            session, channel, state=PostState.DRAFT, review=Review.REQUESTED,
            publish_at=when, content="<p>one</p>",
        )  # fmt: skip
        session.add(
            PostReview(
                organization_id=root.organization_id, root_id=root.id, step=ReviewStep.TEAM,
                steps=["team"], revision=1,
            )
        )  # fmt: skip
    return root


def author(post: Post) -> Author:
    """Return a member whose posts wait for approval."""
    return Author(Reach(post.organization_id), None, Role.MEMBER, right=Right(must_ask=True))


def decide(session: Session, post: Post, action: str = "approve") -> None:
    """Decide on the revision that is stored."""
    revision = session.execute(
        text("select revision from posts where id = :id"), {"id": post.id}
    ).scalar_one()
    approver = replace(author(post), role=Role.OWNER, right=Right(may_approve=True))
    wanted = ReviewIn.model_validate({"action": action, "date": datetime.now(UTC) + SOON})
    review(session, Decider(approver, ReviewStep.TEAM), post.id, wanted, revision=revision)


Act = Callable[[Session, Post], object]


def moved(session: Session, post: Post) -> object:
    when = datetime.now(UTC) + timedelta(minutes=2)
    return reschedule(session, author(post), post.id, when, "schedule", revision=None)


def edited(session: Session, post: Post) -> None:
    wanted = PostEdit(content="undecided", type="schedule", date=datetime.now(UTC) + SOON)
    edit(session, author(post), post.id, wanted, revision=None)


def withdrawn(session: Session, post: Post) -> object:
    return change_status(session, author(post), post.id, "draft", revision=None)


DISTURBANCES: dict[str, Act] = {
    "edit": edited,
    "move": moved,
    "withdraw": withdrawn,
    "delete": lambda session, post: delete_post(session, author(post), post.id),
    "decline": lambda session, post: decide(session, post, "decline"),
    "resend": lambda session, post: resend(session, author(post), post.id),
}


def approve(post: Post) -> None:
    with contextlib.suppress(Stopped), unit_of_work() as session:
        decide(session, post)


def stored(world: World, post: Post) -> tuple[str, str, bool]:
    with world.engine.connect() as connection:
        row = connection.execute(
            text("select state, review, deleted_at is not null from posts where id = :id"),
            {"id": post.id},
        ).one()
    return row[0], row[1], row[2]


def disturb(world: World, post: Post, act: Act, step: int) -> None:
    """Let somebody else act at a step, in a transaction of their own. Inside our transactions they would have to wait."""
    tick = world.tick
    acted: list[str] = []

    def watched(moment: str) -> None:
        tick(moment)
        if len(world.ticks) > step and not acted and moment != "before a commit":
            acted.append(moment)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(alone).result(timeout=20)

    def alone() -> None:
        with (
            contextlib.suppress(AppError),
            Session(world.engine) as session,
            session.begin(),
        ):
            act(session, post)

    world.tick = watched  # type: ignore[method-assign]
    world.platform.around = watched
    try:
        approve(post)
        world.run()
    finally:
        world.tick = tick  # type: ignore[method-assign]
        world.platform.around = tick


def steps_of_way(world: World) -> int:
    post = a_waiting_post(world)
    approve(post)
    world.run()
    assert world.platform.texts() == ["one"]
    return len(world.ticks)


@pytest.mark.broad
class TestStoppedAtEveryStep:
    def test_what_was_approved_goes_out_and_nothing_else_does(self, world: World) -> None:
        for step in range(steps_of_way(world)):
            reset(world)
            world.stop_at = step
            post = a_waiting_post(world)
            approve(post)
            approved = stored(world, post)[1] == "approved"
            world.run()
            assert world.platform.texts() == (["one"] if approved else []), world.ticks[step]
            assert stored(world, post)[0] == ("published" if approved else "draft")


@pytest.mark.broad
class TestDisturbedAtEveryStep:
    @pytest.mark.parametrize("act", DISTURBANCES.values(), ids=DISTURBANCES)
    def test_nothing_undecided_goes_out_and_nothing_approved_is_lost(
        self, world: World, act: Act
    ) -> None:
        for step in range(steps_of_way(world)):
            reset(world)
            post = a_waiting_post(world)
            disturb(world, post, act, step)
            state, reviewed, deleted = stored(world, post)
            when = f"{world.ticks[step]}, step {step}: {state}, {reviewed}"
            texts = world.platform.texts()
            assert texts in ([], ["one"]), when
            assert (state == "published") == (texts == ["one"]), when
            if reviewed == "requested" and not deleted:
                approve(post)
                world.run()
                assert stored(world, post)[0] == "published", when
                assert len(world.platform.texts()) == 1, when


class TestNets:
    def test_a_message_that_is_on_its_queue_finds_nothing_to_send(self, world: World) -> None:
        post = a_waiting_post(world)
        approve(post)
        assert world.messages
        with unit_of_work() as session:
            edited(session, post)
        world.run(until=300)
        assert world.platform.requests == []
        assert stored(world, post) == ("draft", "requested", False)

    def test_the_claim_drops_what_is_not_approved(self, world: World) -> None:
        """The database refuses such a row, so its check is dropped here."""
        post = a_waiting_post(world)
        with Session(world.engine) as session, session.begin() as transaction:
            session.execute(text("alter table posts drop constraint ck_posts_queued_is_approved"))
            session.execute(
                text("update posts set state = 'queued', due_at = now() where id = :id"),
                {"id": post.id},
            )
            found = claim(post.id, 1, session=session)
            assert getattr(found, "obstacle", None) is not None
            assert found.obstacle.verdict == "not_approved"  # type: ignore[union-attr]
            transaction.rollback()
