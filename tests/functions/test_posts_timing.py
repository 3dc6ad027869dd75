"""Posts over HTTP: what may be queued without a date, and what may be done with a post that may be out already."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from functions.public_api.app import app as public_app
from shared.channels.models import Channel
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_post
from tests.functions.test_posts_changes import a_thread, waiting
from tests.gateway import Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")
NOW = datetime.now(UTC).replace(microsecond=0)
LATER = (NOW + timedelta(minutes=13)).isoformat()


def ago(**units: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**units)


def entry(channel: Channel, **more: Any) -> dict[str, Any]:
    return {"integration": {"id": str(channel.id)}, "value": [{"content": "New"}], **more}


class TestTimeIsOver:
    @pytest.mark.parametrize(
        "over", [timedelta(seconds=1), timedelta(minutes=4), timedelta(days=9)]
    )
    @pytest.mark.parametrize("state", [PostState.DRAFT, PostState.FAILED])
    @pytest.mark.parametrize(
        ("path", "body"), [("/status", {"status": "schedule"}), ("", {"type": "schedule"})]
    )
    def test_nothing_is_queued_for_a_time_that_it_had_before(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        state: PostState,
        over: timedelta,
        path: str,
        body: dict[str, Any],
    ) -> None:
        """Finding 1.15: a draft of four minutes ago went out at once."""
        post = a_post(session, channel, state=state, publish_at=NOW - over)
        answer = caller.put(f"/posts/{post.id}{path}", body)
        assert (answer.status, answer.json["code"]) == (409, "time_is_over")
        session.refresh(post)
        assert (post.state, post.revision, waiting()) == (state, 1, 0)

    def test_a_date_in_the_request_is_the_confirmation(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.15: five minutes ago at most."""
        post = a_post(session, channel, state=PostState.DRAFT, publish_at=ago(days=1))
        late = {"type": "schedule", "date": ago(minutes=6).isoformat()}
        assert caller.put(f"/posts/{post.id}", late).status == 422
        just = {"type": "schedule", "date": ago(minutes=3).isoformat()}
        assert caller.put(f"/posts/{post.id}", just).json["code"] == "queued"
        assert waiting() == 1

    def test_a_queued_post_that_is_overdue_can_be_edited(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        post = a_post(session, channel, publish_at=ago(minutes=30))
        shown = caller.get(f"/posts/{post.id}").json["publishDate"]
        answer = caller.put(f"/posts/{post.id}", {"content": "Better", "date": shown})
        assert (answer.status, answer.json["code"]) == (200, "queued")

    @pytest.mark.parametrize("date", ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"])
    def test_a_draft_is_not_moved_out_of_all_bounds(
        self, session: Session, channel: Channel, caller: Gateway, date: str
    ) -> None:
        """Finding 1.15: a draft could be moved to the year 1 or 9999."""
        post = a_post(session, channel, state=PostState.DRAFT)
        answers = [
            caller.put(f"/posts/{post.id}", {"date": date}),
            caller.put(f"/posts/{post.id}/date", {"date": date}),
            caller.post(f"/posts/{post.id}/duplicate", {"type": "draft", "date": date}),
            caller.post("/posts", {"type": "draft", "date": date, "posts": [entry(channel)]}),
        ]
        assert [answer.json["errors"][0]["code"] for answer in answers] == ["date_too_far"] * 4

    def test_remedy_is_one_that_the_route_takes(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Moving a post has no `type`, and its refusal recommended to send one."""
        post = a_post(session, channel)
        date = ago(days=1).isoformat()
        moved = caller.put(f"/posts/{post.id}/date", {"date": date})
        edited = caller.put(f"/posts/{post.id}", {"date": date, "type": "schedule"})
        assert moved.json["errors"][0]["message"].endswith("ago. Choose a later one.")
        assert edited.json["errors"][0]["message"].endswith("or send type `now`.")

    def test_an_update_by_composing_is_held_to_the_same(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.15, sibling: `type: update` moved a queued post to any past time, and it went out."""
        post = a_post(session, channel)
        one = entry(channel)
        one["value"][0]["id"] = str(post.id)
        body = {"type": "update", "date": ago(days=300).isoformat(), "posts": [one]}
        answer = caller.post("/posts", body)
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "date_in_the_past")

    def test_resend_needs_no_date(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.FAILED, publish_at=ago(days=3))
        assert caller.post(f"/posts/{post.id}/resend").json["code"] == "queued"


class TestPublicDoor:
    @pytest.fixture
    def program(self, session: Session, queues: None, member: Member) -> Gateway:
        return by_key(public_app, session, member)

    def test_a_date_of_today_goes_out_at_once(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 1.15: a day ago at most on the public API; the post goes out at once."""
        post = a_post(session, channel, state=PostState.DRAFT, publish_at=ago(days=3))
        address = f"/public/v1/posts/{post.id}"
        late = program.put(address, {"type": "schedule", "date": ago(hours=25).isoformat()})
        assert late.status == 400
        assert "24 hours" in late.text
        today = program.put(address, {"type": "schedule", "date": ago(hours=20).isoformat()})
        assert today.status == 200, today.text
        session.refresh(post)
        assert post.state is PostState.QUEUED
        assert post.publish_at > ago(minutes=5)

    def test_a_status_for_a_time_that_is_over(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 1.15."""
        post = a_post(session, channel, state=PostState.DRAFT, publish_at=ago(minutes=4))
        answer = program.put(f"/public/v1/posts/{post.id}/status", {"status": "schedule"})
        assert answer.status == 409
        assert "has passed" in answer.text

    def test_a_group_that_holds_an_unconfirmed_post_is_not_replaced(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 1.16: replacing a group queued the post that may be out already."""
        post = a_post(session, channel, state=PostState.UNCONFIRMED)
        one = entry(channel, group=str(post.group_id), settings={})
        body = {"type": "schedule", "date": LATER, "shortLink": False, "tags": [], "posts": [one]}
        answer = program.post("/public/v1/posts", body)
        assert answer.status == 409, answer.text
        session.refresh(post)
        assert (post.state, waiting()) == (PostState.UNCONFIRMED, 0)


class TestCopies:
    def test_without_a_date_it_is_a_draft_and_says_so(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.3: the copy took the original's past time and went out at once."""
        post = a_post(session, channel, state=PostState.PUBLISHED, publish_at=ago(minutes=1))
        answer = caller.post(f"/posts/{post.id}/duplicate", {"type": "schedule"})
        assert answer.status == 201
        assert "no_date" in [one["code"] for one in answer.json["warnings"]]
        copy = session.get_one(Post, answer.json["postId"])
        assert (copy.state, copy.due_at, waiting()) == (PostState.DRAFT, None, 0)
        queued = caller.put(f"/posts/{copy.id}/status", {"status": "schedule"})
        assert (queued.status, queued.json["code"]) == (409, "time_is_over")

    @pytest.mark.parametrize("body", [{}, {"type": "now"}, {"type": "schedule", "date": LATER}])
    def test_of_an_unconfirmed_post_is_a_draft_and_says_so(
        self, session: Session, channel: Channel, caller: Gateway, body: dict[str, Any]
    ) -> None:
        """Finding 1.16: a copy of what may be out already must not go out unasked."""
        root, _ = a_thread(session, channel, PostState.PUBLISHED, PostState.UNCONFIRMED)
        answer = caller.post(f"/posts/{root.id}/duplicate", body)
        assert "unconfirmed" in [one["code"] for one in answer.json["warnings"]]
        copy = session.get_one(Post, answer.json["postId"])
        assert (copy.state, waiting()) == (PostState.DRAFT, 0)


class TestUnconfirmed:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/date", {"date": LATER}),
            ("/date", {"date": LATER, "action": "update"}),
            ("/status", {"status": "schedule"}),
            ("/status", {"status": "draft"}),
            ("", {"type": "schedule", "date": LATER}),
            ("", {"type": "schedule"}),
            ("", {"type": "now"}),
            ("", {"type": "draft"}),
            ("", {"date": LATER}),
            ("", {"integration": {"id": "another"}}),
        ],
    )
    @pytest.mark.parametrize("of_reply", [False, True])
    def test_is_not_queued_moved_or_taken_back(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        path: str,
        body: dict[str, Any],
        of_reply: bool,
        organization: Organization,
    ) -> None:
        """Finding 1.16: dragging the post in a calendar published it a second time."""
        states = [PostState.PUBLISHED] * of_reply + [PostState.UNCONFIRMED]
        root = a_thread(session, channel, *states)[0]
        if "integration" in body:
            body = {"integration": {"id": str(a_channel(session, organization).id)}}
        answer = caller.put(f"/posts/{root.id}{path}", body)
        assert (answer.status, answer.json["code"]) == (409, "unconfirmed")
        assert "Mastodon, on the account ada" in answer.json["detail"]
        session.refresh(root)
        assert (root.revision, waiting()) == (1, 0)

    @pytest.mark.parametrize("named_by", ["id", "group"])
    @pytest.mark.parametrize("type", ["schedule", "now", "draft", "update"])
    def test_is_not_replaced(
        self, session: Session, channel: Channel, caller: Gateway, named_by: str, type: str
    ) -> None:
        """Finding 1.16."""
        post = a_post(session, channel, state=PostState.UNCONFIRMED)
        one = entry(channel, group=str(post.group_id) if named_by == "group" else str(new_id()))
        one["value"][0]["id"] = str(post.id) if named_by == "id" else None
        answer = caller.post("/posts", {"type": type, "date": LATER, "posts": [one]})
        assert (answer.status, answer.json["code"]) == (409, "unconfirmed")
        session.refresh(post)
        assert (post.revision, waiting()) == (1, 0)

    def test_an_edit_that_leaves_state_and_time_alone_is_done(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.16: also where the client sends back the time that it was shown, in milliseconds."""
        exact = datetime(2026, 11, 1, 9, 30, 0, 123456, tzinfo=UTC)
        post = a_post(session, channel, state=PostState.UNCONFIRMED, publish_at=exact)
        shown = caller.get(f"/posts/{post.id}").json["publishDate"]
        answer = caller.put(f"/posts/{post.id}", {"content": "Better", "date": shown})
        assert (answer.status, answer.json["code"]) == (200, "unconfirmed")
        session.refresh(post)
        assert (post.content, post.publish_at) == ("Better", exact)

    def test_can_be_deleted(self, session: Session, channel: Channel, caller: Gateway) -> None:
        post = a_post(session, channel, state=PostState.UNCONFIRMED)
        assert caller.delete(f"/posts/{post.id}").status == 200


class TestTheRestOfAThread:
    def test_is_deleted_by_its_first_part(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.12: a thread that is out in part and stuck could not be repaired."""
        states = [PostState.PUBLISHED, PostState.FAILED, PostState.FAILED]
        root, second, third = a_thread(session, channel, *states)
        refused = caller.delete(f"/posts/{root.id}")
        assert (refused.status, refused.json["code"]) == (409, "post_is_published")
        assert caller.delete(f"/posts/{second.id}").status == 200
        session.expire_all()
        assert [part.deleted_at is None for part in (root, second, third)] == [True, False, False]
        [event] = caller.get(f"/posts/{root.id}/history").json["history"]
        assert event["action"] == "rest_deleted"

    def test_a_reply_of_a_post_that_is_not_out_names_its_post(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        _, reply = a_thread(session, channel, PostState.QUEUED, PostState.QUEUED)
        assert caller.delete(f"/posts/{reply.id}").json["code"] == "reply_not_post"

    def test_a_part_that_is_out_stays(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        states = [PostState.PUBLISHED, PostState.FAILED, PostState.PUBLISHED]
        _, second, _ = a_thread(session, channel, *states)
        assert caller.delete(f"/posts/{second.id}").json["code"] == "post_is_published"
