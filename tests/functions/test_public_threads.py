"""Threads and groups through the public API: what a request that names only some of a thread's parts leaves alone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.channels.models import Channel
from shared.core import clock
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_media, a_post
from tests.counting import count_statements
from tests.gateway import Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")

POSTS = "/public/v1/posts"


@pytest.fixture
def program(session: Session, queues: None, member: Member) -> Gateway:
    """Call the public API with a key of the organization."""
    return by_key(app, session, member)


@pytest.fixture
def thread(session: Session, organization: Organization, channel: Channel) -> list[Post]:
    """Store a queued post with two replies, of which the first has a picture and waits for five minutes."""
    media = a_media(session, organization)
    root = a_post(session, channel, content="Root")
    first = a_post(
        session, channel, parent=root, content="First", delay_seconds=300,
        media=[{"id": str(media.id), "alt": "An owl"}],
    )  # fmt: skip
    return [root, first, a_post(session, channel, parent=first, content="Second")]


def part(content: str, of: Post | None = None) -> dict[str, Any]:
    return {"content": content, "id": str(of.id) if of else "", "image": []}


def body(channel: Channel, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    entry = {"integration": {"id": str(channel.id)}, "value": list(parts), **more}
    date = clock.to_wire(datetime.now(UTC) + timedelta(minutes=5))
    return {"type": "schedule", "date": date, "shortLink": False, "tags": [], "posts": [entry]}


def contents(session: Session, root: Post) -> list[str]:
    session.expire_all()
    living = select(Post).where(Post.root_id == root.id, Post.deleted_at.is_(None))
    return [post.content for post in session.scalars(living.order_by(Post.position))]


class TestReplaced:
    """Finding 1.4: replies that a request does not name are not deleted by it."""

    @pytest.mark.parametrize("group", [None, "", "q1w2e3", str(UUID(int=7))])
    def test_replies_that_are_not_named_stay(
        self,
        session: Session,
        channel: Channel,
        thread: list[Post],
        program: Gateway,
        group: str | None,
    ) -> None:
        answer = program.post(POSTS, body(channel, part("Now", thread[0]), group=group))
        assert answer.status == 201, answer.text
        assert [one["postId"] for one in answer.json] == [str(thread[0].id)]
        assert contents(session, thread[0]) == ["Now", "First", "Second"]
        first = session.get_one(Post, thread[1].id)
        assert (first.delay_seconds, first.media[0]["alt"]) == (300, "An owl")
        assert first.state is PostState.QUEUED

    def test_the_group_that_holds_them_names_the_whole_thread(
        self, session: Session, channel: Channel, thread: list[Post], program: Gateway
    ) -> None:
        group = str(thread[0].group_id)
        answer = program.post(POSTS, body(channel, part("Now", thread[0]), group=group))
        assert answer.status == 201
        assert contents(session, thread[0]) == ["Now"]

    def test_a_new_part_comes_behind_those_that_stay(
        self, session: Session, channel: Channel, thread: list[Post], program: Gateway
    ) -> None:
        sent = [part("Root", thread[0]), part("2nd", thread[2]), part("Third")]
        assert program.post(POSTS, body(channel, *sent)).status == 201
        assert contents(session, thread[0]) == ["Root", "First", "2nd", "Third"]

    def test_a_reply_is_replaced_alone(
        self, session: Session, channel: Channel, thread: list[Post], program: Gateway
    ) -> None:
        answer = program.post(POSTS, body(channel, part("2nd", thread[2])))
        assert [one["postId"] for one in answer.json] == [str(thread[0].id)]
        assert contents(session, thread[0]) == ["Root", "First", "2nd"]

    def test_a_refused_part_is_named_as_it_was_sent(
        self, channel: Channel, thread: list[Post], program: Gateway
    ) -> None:
        sent = [part("Root", thread[0]), part("x" * 501)]
        answer = program.post(POSTS, body(channel, *sent))
        assert answer.status == 400
        assert [one["path"] for one in answer.json["errors"]] == ["posts.0.value.1.content"]

    def test_a_part_that_stays_may_be_what_is_refused(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        root = a_post(session, channel, state=PostState.DRAFT)
        a_post(session, channel, parent=root, content="x" * 501, state=PostState.DRAFT)
        answer = program.post(POSTS, body(channel, part("Now", root)))
        assert answer.status == 400
        [problem] = answer.json["errors"]
        assert problem["path"] == "posts.0.value"
        assert problem["message"].startswith("Part 2 of the post, which this request keeps: ")

    def test_an_id_twice(self, channel: Channel, thread: list[Post], program: Gateway) -> None:
        answer = program.post(POSTS, body(channel, part("1", thread[0]), part("2", thread[0])))
        assert answer.status == 400
        assert [one["path"] for one in answer.json["errors"]] == ["posts.0.value.1.id"]

    def test_what_is_out_is_copied_without_them(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        root = a_post(session, channel, state=PostState.PUBLISHED, release_id="1")
        a_post(session, channel, parent=root, state=PostState.PUBLISHED, release_id="2")
        again = body(channel, part("Once more", root)) | {"republish": True}
        [made] = program.post(POSTS, again).json
        assert made["postId"] != str(root.id)
        assert contents(session, session.get_one(Post, UUID(made["postId"]))) == ["Once more"]

    def test_it_costs_two_statements_more(
        self, channel: Channel, thread: list[Post], program: Gateway
    ) -> None:
        program.post(POSTS, body(channel, part("Warm")))
        with count_statements() as cost:
            assert program.post(POSTS, body(channel, part("Now", thread[0]))).status == 201
        assert cost.statements <= 9  # the thread is locked and read


class TestEdited:
    """Finding 1.4 by `PUT`: what is sent changes and the rest stays."""

    @pytest.mark.parametrize("named", [True, False])
    def test_replies_that_are_not_named_stay(
        self, session: Session, thread: list[Post], program: Gateway, named: bool
    ) -> None:
        sent = {"value": [part("Now", thread[0] if named else None)]}
        answer = program.put(f"{POSTS}/{thread[0].id}", sent)
        assert answer.status == 200, answer.text
        assert [one["content"] for one in answer.json["value"]] == ["Now", "First", "Second"]
        assert answer.json["value"][1]["image"][0]["alt"] == "An owl"

    def test_a_reply_alone(self, thread: list[Post], program: Gateway) -> None:
        sent = {"value": [part("1st", thread[1])]}
        answer = program.put(f"{POSTS}/{thread[0].id}", sent)
        assert [one["content"] for one in answer.json["value"]] == ["Root", "1st", "Second"]

    def test_its_group_replaces_all(self, thread: list[Post], program: Gateway) -> None:
        sent = {"value": [part("Now", thread[0])], "group": str(thread[0].group_id)}
        answer = program.put(f"{POSTS}/{thread[0].id}", sent)
        assert [one["content"] for one in answer.json["value"]] == ["Now"]

    def test_what_was_read_can_be_sent_back(self, thread: list[Post], program: Gateway) -> None:
        """Whoever sends back what `GET` answered, less one part, names the group and so removes it."""
        read = program.get(f"{POSTS}/{thread[0].id}").json
        sent = {
            "group": read["group"],
            "value": [read["value"][0], read["value"][2] | {"image": []}],
        }
        sent["value"] = [{"id": one["id"], "content": one["content"]} for one in sent["value"]]
        answer = program.put(f"{POSTS}/{thread[0].id}", sent)
        assert [one["content"] for one in answer.json["value"]] == ["Root", "Second"]


class TestGroups:
    """Finding 1.5: on this wire each entry of `posts[]` is a group of its own."""

    def test_each_entry_is_one(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        sent = body(channel, part("One"))
        sent["posts"] += body(a_channel(session, organization), part("Two"))["posts"]
        first, second = program.post(POSTS, sent).json
        groups = [session.get_one(Post, UUID(one["postId"])).group_id for one in (first, second)]
        assert groups[0] != groups[1]
        assert program.delete(f"{POSTS}/group/{groups[0]}").status == 200
        left = program.get(POSTS, query={"startDate": "2020-01-01", "endDate": "2099-01-01"}).json
        assert [(one["id"], one["group"]) for one in left["posts"]] == [
            (second["postId"], str(groups[1]))
        ]

    def test_a_post_that_is_updated_keeps_its_group(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, group_id=new_id())
        program.post(POSTS, body(channel, part("Now", post)))
        session.expire_all()
        assert program.get(f"{POSTS}/{post.id}").json["group"] == str(post.group_id)

    def test_posts_of_one_group_that_are_there_already_are_deleted_together(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel)
        other = a_post(session, a_channel(session, organization), group_id=post.group_id)
        assert program.delete(f"{POSTS}/group/{post.group_id}").status == 200
        assert contents(session, post) == contents(session, other) == []
