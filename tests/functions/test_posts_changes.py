"""Changing posts over HTTP: editing, moving, cancelling, copying, the two ways out, tags, slots, and the history."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest
import respx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.aws.keys import seal
from shared.channels.models import Channel
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post, Revision
from shared.publishing.models import Attempt, AttemptState
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway
from tests.shared.channels.builders import set_up_platforms

pytestmark = pytest.mark.usefixtures("queues")
EDITABLE = [PostState.DRAFT, PostState.QUEUED, PostState.FAILED, PostState.UNCONFIRMED]
CLOSED = [
    (PostState.PUBLISHING, "post_is_publishing"),
    (PostState.PUBLISHED, "post_is_published"),
]
CHANGES = [
    ("PUT", "", {"content": "New"}),
    ("PUT", "/date", {"date": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}),
    ("PUT", "/status", {"status": "draft"}),
    ("DELETE", "", None),
]
LATER = (datetime.now(UTC) + timedelta(minutes=13)).replace(microsecond=0)


def waiting() -> int:
    """Count the messages on the publish queue, held back ones too."""
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=settings().publish_queue_url, AttributeNames=["All"]
    )["Attributes"]
    held_back = int(attributes["ApproximateNumberOfMessagesDelayed"])
    return int(attributes["ApproximateNumberOfMessages"]) + held_back


def a_thread(session: Session, channel: Channel, *states: PostState, **columns: Any) -> list[Post]:
    parts: list[Post] = []
    for state in states:
        parent = parts[-1] if parts else None
        parts.append(a_post(session, channel, state=state, parent=parent, **columns))
    return parts


class TestEveryChange:
    @pytest.mark.parametrize(("method", "path", "body"), CHANGES)
    @pytest.mark.parametrize("state", EDITABLE)
    def test_is_done_while_it_may_be(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        method: str,
        path: str,
        body: Any,
        state: PostState,
    ) -> None:
        post = a_post(session, channel, state=state)
        answer = caller.call(method, f"/posts/{post.id}{path}", body)
        if state is PostState.UNCONFIRMED and path:  # a move, see test_posts_timing.py
            assert answer.json["code"] == "unconfirmed"
            return
        assert answer.status == 200, answer.text
        session.refresh(post)
        assert post.revision == 2
        assert session.scalar(select(func.count()).select_from(Revision)) == 1

    @pytest.mark.parametrize(("method", "path", "body"), CHANGES)
    @pytest.mark.parametrize(("state", "code"), CLOSED)
    def test_is_refused_with_state_and_revision(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        method: str,
        path: str,
        body: Any,
        state: PostState,
        code: str,
    ) -> None:
        root, _ = a_thread(session, channel, state, PostState.QUEUED, revision=4)
        answer = caller.call(method, f"/posts/{root.id}{path}", body)
        assert (answer.status, answer.json["code"]) == (409, code)
        assert [(one["path"], one["code"]) for one in answer.json["errors"]] == [
            ("state", state),
            ("revision", "4"),
        ]
        session.refresh(root)
        assert root.revision == 4

    @pytest.mark.parametrize(("method", "path", "body"), CHANGES)
    def test_of_another_revision_is_refused(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        method: str,
        path: str,
        body: Any,
    ) -> None:
        post = a_post(session, channel, revision=2)
        address = f"/posts/{post.id}{path}"
        refused = caller.call(method, address, body, headers={"If-Match": '"1"'})
        assert (refused.status, refused.json["code"]) == (409, "post_changed")
        if body is not None:
            refused = caller.call(method, address, body | {"revision": 1})
            assert refused.json["code"] == "post_changed"
        assert caller.call(method, address, body, headers={"If-Match": "2"}).status == 200

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            *CHANGES,
            ("GET", "", None),
            ("GET", "/history", None),
            ("POST", "/duplicate", {}),
            ("POST", "/confirm", {"releaseUrl": "https://social.example/@ada/1"}),
            ("POST", "/resend", None),
        ],
    )
    def test_of_another_organization_is_not_found(
        self, session: Session, caller: Gateway, method: str, path: str, body: Any
    ) -> None:
        theirs = a_post(session, a_channel(session, an_organization(session)))
        assert caller.call(method, f"/posts/{theirs.id}{path}", body).status == 404
        assert caller.call(method, f"/posts/{new_id()}{path}", body).status == 404


class TestEdit:
    def test_a_thread_is_replaced_and_armed_anew(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root, reply, _ = a_thread(session, channel, *[PostState.QUEUED] * 3)
        root.armed_revision, root.enqueued_at = 1, datetime.now(UTC)
        session.flush()
        value = [{"content": "A"}, {"content": "B", "delay": 2}]
        with count_statements() as cost:
            read = caller.put(f"/posts/{root.id}", {"value": value, "date": LATER.isoformat()}).json
        assert cost.statements <= 7
        assert [part["id"] for part in read["posts"]] == [str(root.id), str(reply.id)]
        assert [part["content"] for part in read["posts"]] == ["A", "B"]
        assert [part["delay"] for part in read["posts"]] == [0, 2]
        assert read["revision"] == 2
        session.refresh(root)
        assert root.due_at == root.publish_at == LATER
        assert (root.armed_revision, root.arm_count) == (2, 2)
        assert waiting() == 1

    @pytest.mark.parametrize("state", EDITABLE)
    def test_of_nothing_changes_nothing(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState
    ) -> None:
        root, _ = a_thread(session, channel, state, state, revision=3, armed_revision=3)
        before = caller.get(f"/posts/{root.id}").json
        same = {
            "date": root.publish_at.isoformat(),
            "title": root.title,
            "settings": before["settings"],
            "integration": {"id": str(channel.id)},
            "value": [{"content": part["content"]} for part in before["posts"]],
        }
        for nothing in ({}, {"revision": 3}, {"content": before["posts"][0]["content"]}, same):
            answer = caller.put(f"/posts/{root.id}", nothing)
            assert (answer.status, answer.json) == (200, before)
        assert session.scalar(select(func.count()).select_from(Revision)) == 0
        assert waiting() == 0
        assert caller.put(f"/posts/{root.id}", {"revision": 2}).json["code"] == "post_changed"

    def test_of_tags_alone_is_a_change(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel)
        assert caller.put(f"/posts/{root.id}", {"tags": []}).json["revision"] == 2

    def test_a_middle_part_goes_and_the_chain_closes(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root, *_ = a_thread(session, channel, *[PostState.DRAFT] * 3)
        caller.put(f"/posts/{root.id}", {"value": [{"content": "1"}, {"content": "3"}]})
        session.expire_all()
        living = session.scalars(
            select(Post)
            .where(Post.root_id == root.id, Post.deleted_at.is_(None))
            .order_by(Post.position)
        ).all()
        assert [part.content for part in living] == ["1", "3"]
        assert living[1].parent_id == root.id

    def test_what_is_left_out_stays(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        media = a_media(session, organization)
        root = a_post(session, channel, title="T", media=[{"id": str(media.id), "alt": "A"}])
        media.deleted_at = datetime.now(UTC)  # it left the library; the post keeps it
        session.flush()
        read = caller.put(f"/posts/{root.id}", {"settings": {"visibility": "unlisted"}}).json
        assert read["title"] == "T"
        assert read["posts"][0]["content"] == "<p>Hello</p>"
        assert read["posts"][0]["image"][0]["alt"] == "A"
        assert read["settings"] == {"visibility": "unlisted", "__type": "mastodon"}

    def test_a_queued_post_is_held_to_the_limits(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel)
        answer = caller.put(f"/posts/{root.id}", {"value": [{"content": "x" * 501}]})
        assert answer.status == 422
        assert [one["path"] for one in answer.json["errors"]] == ["value.0.content"]
        answer = caller.put(f"/posts/{root.id}", {"content": "x" * 501})
        assert [one["path"] for one in answer.json["errors"]] == ["content"]
        session.refresh(root)
        assert (root.content, root.revision) == ("<p>Hello</p>", 1)

    def test_to_another_channel(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel)
        other = a_channel(session, organization)
        read = caller.put(f"/posts/{root.id}", {"integration": {"id": str(other.id)}}).json
        assert read["integration"] == str(other.id)
        theirs = a_channel(session, an_organization(session))
        answer = caller.put(f"/posts/{root.id}", {"integration": {"id": str(theirs.id)}})
        assert answer.status == 404

    def test_a_failed_post_that_is_queued_again_is_a_new_generation(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel, state=PostState.FAILED, error_message="No.")
        kept = caller.put(f"/posts/{root.id}", {"content": "Better"}).json
        assert (kept["code"], kept["posts"][0]["generation"]) == ("failed", 1)
        assert kept["posts"][0]["error"] == "No."
        sent = caller.put(f"/posts/{root.id}", {"type": "now"}).json
        assert (sent["code"], sent["posts"][0]["generation"]) == ("queued", 2)
        assert sent["posts"][0]["error"] is None

    def test_replies_of_an_unconfirmed_root_keep_waiting(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root, reply = a_thread(session, channel, PostState.UNCONFIRMED, PostState.QUEUED)
        answer = caller.put(f"/posts/{root.id}", {"title": "T"})
        assert (answer.status, answer.json["code"]) == (200, "unconfirmed"), answer.text
        session.refresh(reply)
        assert (reply.state, reply.revision) == (PostState.QUEUED, 2)


class TestDate:
    def test_schedule_queues_what_failed_and_leaves_drafts(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        failed = a_post(session, channel, state=PostState.FAILED)
        draft = a_post(session, channel, state=PostState.DRAFT)
        body = {"date": LATER.isoformat(), "action": "schedule"}
        assert caller.put(f"/posts/{failed.id}/date", body).json["code"] == "queued"
        assert caller.put(f"/posts/{draft.id}/date", body).json["code"] == "draft"

    def test_update_only_moves(self, session: Session, channel: Channel, caller: Gateway) -> None:
        failed = a_post(session, channel, state=PostState.FAILED)
        moved = caller.put(
            f"/posts/{failed.id}/date", {"date": LATER.isoformat(), "action": "update"}
        ).json
        assert moved["code"] == "failed"
        assert moved["publishDate"] == LATER.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def test_not_into_the_past(self, session: Session, channel: Channel, caller: Gateway) -> None:
        post = a_post(session, channel)
        answer = caller.put(f"/posts/{post.id}/date", {"date": "2020-01-01T00:00:00Z"})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "date")


class TestStatus:
    def test_back_and_forth(self, session: Session, channel: Channel, caller: Gateway) -> None:
        root, reply = a_thread(session, channel, PostState.QUEUED, PostState.QUEUED)
        cancelled = caller.put(f"/posts/{root.id}/status", {"status": "draft"}).json
        assert (cancelled["state"], cancelled["revision"]) == ("DRAFT", 2)
        session.expire_all()
        assert (root.due_at, reply.state) == (None, PostState.DRAFT)
        queued = caller.put(f"/posts/{root.id}/status", {"status": "schedule"}).json
        assert (queued["state"], queued["revision"]) == ("QUEUE", 3)
        session.expire_all()
        assert root.due_at == root.publish_at

    def test_an_unfinished_draft_is_not_queued(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        draft = a_post(session, channel, state=PostState.DRAFT, content="")
        answer = caller.put(f"/posts/{draft.id}/status", {"status": "schedule"})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "empty")


class TestDuplicate:
    def test_as_a_draft_whatever_became_of_it(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root, _ = a_thread(session, channel, PostState.PUBLISHED, PostState.FAILED)
        answer = caller.post(f"/posts/{root.id}/duplicate")
        assert answer.status == 201
        copy = caller.get(f"/posts/{answer.json['postId']}").json
        assert copy["code"] == "draft"
        assert [part["code"] for part in copy["posts"]] == ["draft", "draft"]
        assert copy["group"] != str(root.group_id)
        session.refresh(root)
        assert root.revision == 1

    def test_at_a_new_time(self, session: Session, channel: Channel, caller: Gateway) -> None:
        [composed] = caller.post(
            "/posts",
            {"content": "Hi", "publishDate": LATER.isoformat(), "integrationId": str(channel.id)},
        ).json
        created = caller.post(
            f"/posts/{composed['postId']}/duplicate", {"date": LATER.isoformat()}
        ).json
        assert [warning["code"] for warning in created["warnings"]] == ["duplicate"]
        copy = session.get_one(Post, created["postId"])
        assert (copy.state, copy.publish_at) == (PostState.QUEUED, LATER)


class TestConfirm:
    """Finding 1.1d: the server is asked whether that post is there and ours."""

    HOST = "https://social.example"
    URL = "https://social.example/@ada/1140"

    @pytest.fixture
    def channel(
        self, session: Session, queues: None, organization: Organization, configure: Configure
    ) -> Channel:
        set_up_platforms(configure)
        return a_channel(
            session,
            organization,
            provider="mastodon-custom",
            remote_id="7@social.example",
            username="ada@social.example",
            sealed_token=seal("token", Purpose.CHANNEL, organization.id),
            details=seal(
                json.dumps({"base": self.HOST, "clientId": "a", "clientSecret": "b"}),
                Purpose.CHANNEL,
                organization.id,
            ),
        )

    def status(self, url: str = URL, *, author: str = "7", id: str = "1140") -> dict[str, Any]:
        return {"id": id, "url": url, "uri": f"{url}#uri", "account": {"id": author}}

    def test_it_is_published_and_the_next_part_goes_on(
        self, session: Session, channel: Channel, caller: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.get(f"{self.HOST}/api/v1/statuses/1140").respond(json=self.status())
        root, reply = a_thread(
            session, channel, PostState.UNCONFIRMED, PostState.QUEUED, delay_seconds=60
        )
        read = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": self.URL}).json
        assert (read["code"], read["posts"][0]["releaseId"]) == ("published", "1140")
        session.refresh(reply)
        now: datetime = session.scalar(select(func.now()))  # type: ignore[assignment]
        assert reply.due_at == now + timedelta(seconds=60)
        assert reply.armed_revision == 1
        assert waiting() == 1

    @pytest.mark.parametrize(
        ("url", "id"),
        [
            ("https://social.example/@ada/statuses/01HZX3", "01HZX3"),  # GoToSocial
            ("https://social.example/notice/AbC-9", "AbC-9"),  # Pleroma
            ("https://social.example/p/ada/77", "77"),  # Pixelfed
            ("https://social.example/@ada@pets.example/posts/78/", "78"),  # Takahe
        ],
    )
    def test_addresses_of_other_software_name_a_post_too(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        respx_mock: respx.MockRouter,
        url: str,
        id: str,
    ) -> None:
        """Finding 1.1d: the post's own address was refused with "Copy it from there"."""
        respx_mock.get(f"{self.HOST}/api/v1/statuses/{id}").respond(json=self.status(url, id=id))
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        read = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": url}).json
        assert (read["posts"][0]["releaseId"], read["posts"][0]["releaseURL"]) == (id, url)

    def test_an_address_without_an_id_is_found_among_the_latest(
        self, session: Session, channel: Channel, caller: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        url = f"{self.HOST}/display/9f3c-77"
        respx_mock.get(url__regex=r".*/api/v1/statuses/.*").respond(404, json={"error": "no"})
        latest = [self.status(f"{self.HOST}/display/other"), self.status(url, id="5")]
        respx_mock.get(url__regex=r".*/accounts/7/statuses.*").respond(json=latest)
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        read = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": url}).json
        assert read["posts"][0]["releaseId"] == "5"

    @pytest.mark.parametrize(
        ("url", "there"),
        [
            ("https://social.example/@ada/1140", None),  # invented
            ("https://social.example/@bob/1140", "8"),
            ("https://social.example/@ada/1140", "8"),
            ("https://elsewhere.example/@ada/1140", "7"),
            ("", None),
            ("1140", None),
            ("https://[", None),
        ],
    )
    def test_only_a_post_that_is_there_and_ours_will_do(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        respx_mock: respx.MockRouter,
        url: str,
        there: str | None,
    ) -> None:
        """Finding 1.1d: an invented `/@name/<id>` was accepted."""
        answer = (
            httpx.Response(404, json={"error": "Record not found"})
            if there is None
            else httpx.Response(200, json=self.status(author=there))
        )
        respx_mock.route(url__regex=r".*/api/v1/statuses/.*").mock(answer)
        respx_mock.route(url__regex=r".*/accounts/7/statuses.*").respond(json=[])
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        refused = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": url})
        assert (refused.status, refused.json["errors"][0]["path"]) == (422, "releaseUrl")
        session.refresh(root)
        assert root.state is PostState.UNCONFIRMED

    def test_a_server_that_does_not_answer_leaves_it_open(
        self, session: Session, channel: Channel, caller: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.get(f"{self.HOST}/api/v1/statuses/1140").mock(side_effect=httpx.ReadTimeout)
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        answer = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": self.URL})
        assert (answer.status, answer.json["code"]) == (503, "cannot_check")
        assert "stays unchanged" in answer.json["detail"]
        session.refresh(root)
        assert root.state is PostState.UNCONFIRMED

    def test_what_a_reply_needs_to_name_it_is_kept(
        self,
        session: Session,
        queues: None,
        organization: Organization,
        configure: Configure,
        caller: Gateway,
        respx_mock: respx.MockRouter,
    ) -> None:
        """Finding 1.1d: the content id that the server named was dropped, unlike for a post that is published."""
        set_up_platforms(configure)
        channel = a_channel(
            session,
            organization,
            provider="bluesky",
            remote_id="did:plc:owls",
            sealed_token=seal("token", Purpose.CHANNEL, organization.id),
            details=seal(json.dumps({"base": self.HOST}), Purpose.CHANNEL, organization.id),
        )
        record = {"uri": "at://did:plc:owls/app.bsky.feed.post/3k", "cid": "bafy"}
        respx_mock.get(url__regex=r".*getRecord.*").respond(json=record | {"value": {}})
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        url = "https://bsky.app/profile/did:plc:owls/post/3k"
        read = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": url}).json
        assert read["posts"][0]["releaseId"] == record["uri"]
        session.refresh(root)
        assert root.release_data == {"cid": "bafy"}

    def test_no_two_posts_are_one(
        self, session: Session, channel: Channel, caller: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.get(f"{self.HOST}/api/v1/statuses/1140").respond(json=self.status())
        a_post(session, channel, state=PostState.PUBLISHED, release_id="1140")
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        answer = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": self.URL})
        assert (answer.status, answer.json["code"]) == (409, "release_taken")

    @pytest.mark.parametrize(
        "state", [state for state in PostState if state is not PostState.UNCONFIRMED]
    )
    def test_nothing_else_can_be(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState
    ) -> None:
        root = a_post(session, channel, state=state)
        answer = caller.post(f"/posts/{root.id}/confirm", {"releaseUrl": self.URL})
        assert (answer.status, answer.json["code"]) == (409, "not_waiting_for_you")


class TestResend:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            (PostState.FAILED, "was not published. It is sent now"),
            (PostState.UNCONFIRMED, "as another copy"),
        ],
    )
    def test_says_what_it_does(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        state: PostState,
        words: str,
    ) -> None:
        """Finding 1.1c: several copies were there, and `resend` made a further one without a word."""
        found = (
            "2 posts like it are there: https://owls.example/@ada/1, https://owls.example/@ada/2."
        )
        post = a_post(session, channel, state=state, error_message=found)
        assert caller.get(f"/posts/{post.id}").json["posts"][0]["error"] == found
        read = caller.post(f"/posts/{post.id}/resend").json
        assert (read["code"], words in read["resent"]) == ("queued", True)
        [part] = read["posts"]
        assert (part["error"], part["errorCode"]) == (None, None)  # of the sending before
        assert (found in read["resent"]) is (state is PostState.UNCONFIRMED)

    def test_with_what_failed_because_of_it(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        published, failed, after = a_thread(
            session, channel, PostState.PUBLISHED, PostState.FAILED, PostState.FAILED
        )
        after.error_code = "predecessor_failed"
        session.flush()
        read = caller.post(f"/posts/{failed.id}/resend").json
        assert [part["code"] for part in read["posts"]] == ["published", "queued", "queued"]
        assert [part["generation"] for part in read["posts"]] == [1, 2, 2]
        for part in (published, failed, after):
            session.refresh(part)
        assert failed.due_at == session.scalar(select(func.now()))
        assert after.due_at is None
        assert waiting() == 1

    def test_a_time_that_is_long_over_is_moved(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        now: datetime = session.scalar(select(func.now()))  # type: ignore[assignment]
        recent = a_post(
            session, channel, state=PostState.FAILED, publish_at=now - timedelta(hours=23)
        )
        old = a_post(session, channel, state=PostState.FAILED, publish_at=now - timedelta(hours=25))
        for post in (recent, old):
            assert caller.post(f"/posts/{post.id}/resend").status == 200
            session.refresh(post)
        assert recent.publish_at == now - timedelta(hours=23)
        assert old.publish_at == now

    def test_not_before_its_predecessor(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        _, reply = a_thread(session, channel, PostState.FAILED, PostState.FAILED)
        answer = caller.post(f"/posts/{reply.id}/resend")
        assert (answer.status, answer.json["code"]) == (409, "predecessor_first")

    @pytest.mark.parametrize(
        "state", [PostState.DRAFT, PostState.QUEUED, PostState.PUBLISHING, PostState.PUBLISHED]
    )
    def test_nothing_else_can_be(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState
    ) -> None:
        answer = caller.post(f"/posts/{a_post(session, channel, state=state).id}/resend")
        assert (answer.status, answer.json["code"]) == (409, "not_waiting_for_you")


class TestTags:
    def test_a_tags_life(self, session: Session, channel: Channel, caller: Gateway) -> None:
        tag = caller.post("/posts/tags", {"name": "news", "color": "#112233"})
        assert tag.status == 201
        assert caller.post("/posts/tags", {"name": "news", "color": "#112233"}).status == 409
        post = a_post(session, channel)
        unknown = caller.put(
            f"/posts/{post.id}", {"tags": [{"label": "news"}, {"label": "unknown"}]}
        )
        assert (unknown.status, unknown.json["errors"][0]["path"]) == (422, "tags.1")
        read = caller.put(f"/posts/{post.id}", {"tags": [{"label": "news"}]}).json
        assert [one["tag"]["name"] for one in read["tags"]] == ["news"]
        address = f"/posts/tags/{tag.json['id']}"
        assert caller.put(address, {"name": "News", "color": "#445566"}).status == 200
        assert caller.get("/posts/tags").json["tags"] == [
            {"id": tag.json["id"], "name": "News", "color": "#445566"}
        ]
        shown = caller.get("/posts/list", query={"tag": tag.json["id"]}).json["posts"]
        assert [one["id"] for one in shown] == [str(post.id)]
        assert caller.put(f"/posts/{post.id}", {"tags": []}).json["tags"] == []
        assert caller.delete(address).status == 200
        assert caller.delete(address).status == 404

    @pytest.mark.parametrize("path", ["/posts", "/posts/list"])
    def test_a_deleted_tag_finds_no_posts(
        self, session: Session, channel: Channel, caller: Gateway, path: str
    ) -> None:
        """The posts do not show it any more, so a list by it would hold posts that nothing explains."""
        tag = caller.post("/posts/tags", {"name": "news", "color": "#112233"}).json
        post = a_post(session, channel)
        caller.put(f"/posts/{post.id}", {"tags": [{"label": "news"}]})
        day = post.publish_at.date().isoformat()
        dates = {} if path == "/posts/list" else {"startDate": day, "endDate": day}

        def found() -> list[str]:
            listed = caller.get(path, query={"tag": tag["id"], **dates}).json["posts"]
            return [one["id"] for one in listed]

        assert found() == [str(post.id)]
        caller.delete(f"/posts/tags/{tag['id']}")
        assert found() == []

    def test_a_name_is_one_tags(self, session: Session, caller: Gateway) -> None:
        first = caller.post("/posts/tags", {"name": "a", "color": "#112233"}).json
        caller.post("/posts/tags", {"name": "b", "color": "#112233"})
        answer = caller.put(f"/posts/tags/{first['id']}", {"name": "b", "color": "#112233"})
        assert (answer.status, answer.json["code"]) == (409, "tag_taken")
        [problem] = answer.json["errors"]
        assert (problem["path"], problem["code"]) == ("name", "tag_taken")
        assert "'b'" in problem["message"]


class TestFindSlot:
    def test_the_first_that_is_free(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        channel = a_channel(session, organization, posting_times=[{"time": 600}], timezone="UTC")
        with count_statements() as cost:
            first = caller.get(f"/posts/find-slot/{channel.id}").json["date"]
        assert cost.statements == 2
        a_post(session, channel, publish_at=datetime.fromisoformat(first))
        second = caller.get(f"/posts/find-slot/{channel.id}").json["date"]
        assert datetime.fromisoformat(second) - datetime.fromisoformat(first) == timedelta(days=1)
        assert caller.get("/posts/find-slot").json["date"] == second

    def test_of_no_channel(self, session: Session, caller: Gateway) -> None:
        assert caller.get("/posts/find-slot").json["code"] == "no_slots"
        theirs = a_channel(session, an_organization(session))
        assert caller.get(f"/posts/find-slot/{theirs.id}").status == 404


class TestValid:
    def test_every_reason_and_nothing_written(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        x = a_channel(session, organization, provider="x")
        one = {"integration": {"id": str(channel.id)}, "value": [{"content": "Fine"}]}
        two = {
            "integration": {"id": str(x.id)},
            "value": [{"content": "x" * 281, "image": [{"id": "none"}]}],
            "settings": {"who_can_reply_post": 5},
        }
        answer = caller.post(
            "/posts/valid",
            {"type": "schedule", "date": "2020-01-01T00:00:00Z", "posts": [one, two]},
        )
        assert answer.status == 200, answer.text
        read = answer.json
        assert read["valid"] is False
        assert [one["path"] for one in read["errors"]] == ["date"]
        assert [post["valid"] for post in read["posts"]] == [True, False]
        assert read["posts"][1]["tooLong"]
        assert read["posts"][1]["maximumCharacters"] == 280
        found = {problem["path"] for problem in read["posts"][1]["errors"]}
        assert {"posts.1.value.0.image.0.id", "posts.1.value.0.content"} <= found
        assert any(path.startswith("posts.1.settings") for path in found)
        assert session.scalar(select(func.count()).select_from(Post)) == 0

    def test_short_links_are_not_asked_for(self, caller: Gateway) -> None:
        answer = caller.post("/posts/should-shortlink", {"messages": ["https://example.org"]})
        assert answer.json == {"ask": False}


class TestHistory:
    def test_changes_and_tries_newest_first(
        self, session: Session, member: Member, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel, state=PostState.FAILED)
        session.add(
            Attempt(
                organization_id=root.organization_id,
                post_id=root.id,
                root_id=root.id,
                channel_id=channel.id,
                revision=1,
                generation=1,
                number=1,
                state=AttemptState.REFUSED,
                lease_until=datetime.now(UTC),
                started_at=datetime.now(UTC) - timedelta(hours=1),
                finished_at=datetime.now(UTC),
                error_code="content_rejected",
                error_message="Duplicate.",
                evidence={"status": 422, "body": "{}", "host": "social.example"},
            )
        )
        session.flush()
        caller.put(f"/posts/{root.id}", {"content": "New"})
        with count_statements() as cost:
            history = caller.get(f"/posts/{root.id}/history").json["history"]
        assert cost.statements == 2
        change, attempt = history
        assert (change["kind"], change["action"]) == ("change", "edited")
        assert change["actor"] == {"id": str(member.user_id), "name": "Ada"}
        assert change["changes"] == {"value.0.content": ["<p>Hello</p>", "New"]}
        assert (attempt["kind"], attempt["action"]) == ("attempt", "refused")
        assert attempt["error"] == "Duplicate."
        assert attempt["answer"]["status"] == 422
        first = caller.get(f"/posts/{root.id}/history", query={"limit": 1}).json
        rest = caller.get(
            f"/posts/{root.id}/history", query={"limit": 1, "cursor": first["nextCursor"]}
        ).json
        assert [*first["history"], *rest["history"]] == history
        assert rest["nextCursor"] is None

    def test_names_fields_and_times_as_requests_do(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel, publish_at=LATER)
        later = LATER + timedelta(days=1)
        change = {
            "date": later.isoformat(),
            "value": [{"content": "<p>Hello</p>"}, {"content": "More", "delay": 1.5}],
        }
        caller.put(f"/posts/{root.id}", change)
        [event] = caller.get(f"/posts/{root.id}/history").json["history"]
        assert event["changes"]["publishDate"] == [clock.to_wire(LATER), clock.to_wire(later)]
        assert event["changes"]["value.1.delay"] == [None, 1.5]
        assert set(event["changes"]) == {
            "publishDate", "value.1.content", "value.1.image", "value.1.delay",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("before", "status", "states", "codes"),
        [
            (PostState.QUEUED, "draft", ["QUEUE", "DRAFT"], ["queued", "draft"]),
            (PostState.DRAFT, "schedule", ["DRAFT", "QUEUE"], ["draft", "queued"]),
            (PostState.FAILED, "draft", ["ERROR", "DRAFT"], ["failed", "draft"]),
        ],
    )
    def test_names_states_as_everywhere(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        before: PostState,
        status: str,
        states: list[str],
        codes: list[str],
    ) -> None:
        root = a_post(session, channel, state=before, publish_at=LATER)
        caller.put(f"/posts/{root.id}/status", {"status": status})
        [event] = caller.get(f"/posts/{root.id}/history").json["history"]
        assert event["changes"] == {"state": states, "code": codes}

    def test_names_the_states_of_parts_so_too(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel, state=PostState.UNCONFIRMED)
        caller.post(f"/posts/{root.id}/resend")
        [event] = caller.get(f"/posts/{root.id}/history").json["history"]
        assert event["changes"] == {
            "value.0.state": ["ERROR", "QUEUE"],
            "value.0.code": ["unconfirmed", "queued"],
        }

    def test_of_a_deleted_post(self, session: Session, channel: Channel, caller: Gateway) -> None:
        root = a_post(session, channel)
        assert caller.get(f"/posts/{root.id}/history").json["history"] == []
        caller.delete(f"/posts/{root.id}")
        [event] = caller.get(f"/posts/{root.id}/history").json["history"]
        assert event["action"] == "deleted"
