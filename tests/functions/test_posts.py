"""Posts over HTTP: what is stored, what is refused and where, what it costs, and what goes on the queue."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.posts.app import app
from shared.channels.models import Channel
from shared.core import clock
from shared.core.config import settings
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization, Role
from shared.posts import read
from shared.posts.lifecycle import PostState
from shared.posts.models import Post, Revision, Tag
from shared.posts.schemas import PostDraft, PostEdit
from tests.builders import a_channel, a_media, a_member, a_post, an_organization
from tests.counting import count_statements
from tests.gateway import Gateway, as_member

pytestmark = pytest.mark.usefixtures("queues")


def soon(minutes: float = 5) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def entry(channel: Channel, *contents: str, **more: Any) -> dict[str, Any]:
    parts = [{"content": content, "image": []} for content in contents or ("<p>Hello</p>",)]
    return {"integration": {"id": str(channel.id)}, "value": parts, **more}


def body(*entries: dict[str, Any], type: str = "schedule", **more: Any) -> dict[str, Any]:
    return {"type": type, "date": soon(), "tags": [], "posts": list(entries), **more}


def compose(caller: Gateway, *entries: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = caller.post("/posts", body(*entries, **more))
    assert answer.status == 201, answer.text
    created: list[dict[str, Any]] = answer.json
    return created


def paths(answer: Any) -> list[str]:
    return [problem["path"] for problem in answer.json["errors"]]


class TestCompose:
    def test_a_thread_for_two_channels(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        other = a_channel(session, organization, provider="bluesky")
        first, second = compose(caller, entry(channel, "One", "Two", "Three"), entry(other, "One"))
        assert first["integration"] == str(channel.id)
        assert second["integration"] == str(other.id)
        assert first["group"] == second["group"]
        parts = session.scalars(
            select(Post).where(Post.channel_id == channel.id).order_by(Post.position)
        ).all()
        assert [part.content for part in parts] == ["One", "Two", "Three"]
        assert [part.parent_id for part in parts] == [None, parts[0].id, parts[1].id]
        assert {part.root_id for part in parts} == {parts[0].id}
        assert [part.due_at is None for part in parts] == [False, True, True]
        assert {part.state for part in parts} == {PostState.QUEUED}
        assert {part.revision for part in parts} == {1}

    def test_the_near_root_is_on_the_queue_and_marked(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel, "One", "Two"))
        attributes = boto3.client("sqs").get_queue_attributes(
            QueueUrl=settings().publish_queue_url,
            AttributeNames=["ApproximateNumberOfMessagesDelayed"],
        )["Attributes"]
        assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
        post = session.get_one(Post, created["postId"], populate_existing=True)
        assert post.armed_revision == 1
        assert post.enqueued_at is not None

    def test_statements_do_not_grow(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        media = a_media(session, organization)
        many = [entry(a_channel(session, organization), *["Part"] * 10) for _ in range(5)]
        for each in many:
            each["value"][0]["image"] = [{"id": str(media.id)}]
        with count_statements() as cost:
            compose(caller, *many)
        assert cost.statements <= 6, cost.sql
        with count_statements() as cost:
            assert (
                caller.post("/posts", body(entry(channel)), headers={"Idempotency-Key": "a"}).status
                == 201
            )
        assert cost.statements <= 8, cost.sql

    def test_the_short_form(self, session: Session, channel: Channel, caller: Gateway) -> None:
        answer = caller.post(
            "/posts",
            {
                "content": "Hi",
                "publishDate": soon(),
                "integrationId": str(channel.id),
                "title": "T",
            },
        )
        assert answer.status == 201
        post = session.get_one(Post, answer.json[0]["postId"])
        assert (post.content, post.title, post.state) == ("Hi", "T", PostState.QUEUED)

    def test_now_is_the_databases(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel), type="now", date="2001-01-01T00:00:00Z")
        post = session.get_one(Post, created["postId"])
        assert post.due_at == post.publish_at == session.scalar(select(func.now()))

    def test_a_draft_may_be_incomplete(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel, ""), type="draft", date=None)
        post = session.get_one(Post, created["postId"])
        assert (post.state, post.due_at) == (PostState.DRAFT, None)

    def test_files_are_named_by_id_or_address(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        media_id = new_id()
        a_media(session, organization, id=media_id, key=f"files/{organization.id}/{media_id}/a.png")
        one = entry(channel, "One", "Two")
        one["value"][0]["image"] = [{"id": str(media_id), "alt": "A goose"}]
        address = f"https://media.example/files/{organization.id}/{media_id}/a.png"
        one["value"][1]["image"] = [{"id": "whatever", "path": address}]
        [created] = compose(caller, one)
        read = caller.get(f"/posts/{created['postId']}").json
        assert [part["image"][0]["id"] for part in read["posts"]] == [str(media_id)] * 2
        assert read["posts"][0]["image"][0]["alt"] == "A goose"
        assert read["posts"][0]["image"][0]["path"].endswith("/a.png")

    def test_the_same_key_repeats_the_answer(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        sent, key = body(entry(channel)), {"Idempotency-Key": "k-1"}
        first = caller.post("/posts", sent, headers=key)
        second = caller.post("/posts", sent, headers=key)
        assert first.json == second.json
        assert session.scalar(select(func.count()).select_from(Post)) == 1
        third = caller.post("/posts", sent | {"type": "draft"}, headers=key)
        assert (third.status, third.json["code"]) == (409, "idempotency_key_reused")

    def test_a_twin_within_a_day_is_mentioned(self, channel: Channel, caller: Gateway) -> None:
        assert compose(caller, entry(channel, "<p>Same</p>"))[0]["warnings"] == []
        [created] = compose(caller, entry(channel, "same "), date=soon(60 * 23))
        assert [warning["code"] for warning in created["warnings"]] == ["duplicate"]
        assert compose(caller, entry(channel, "Same"), date=soon(60 * 48))[0]["warnings"] == []

    def test_the_same_on_another_channel_is_no_twin(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        """To say the same in several places is what most posts are for."""
        compose(caller, entry(channel, "Same"))
        other = a_channel(session, organization)
        assert compose(caller, entry(other, "Same"))[0]["warnings"] == []
        theirs = a_channel(session, an_organization(session))
        a_post(session, theirs, content="Same")
        third = a_channel(session, organization)
        assert compose(caller, entry(third, "Same"))[0]["warnings"] == []

    def test_a_twin_in_the_same_request_is_mentioned(
        self, channel: Channel, caller: Gateway
    ) -> None:
        entries = [entry(channel, words) for words in ("Same", "Other", "same ")]
        warned = [[each["code"] for each in one["warnings"]] for one in compose(caller, *entries)]
        assert warned == [[], [], ["duplicate"]]

    def test_the_documents_examples_are_carried_out(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        composed, edited = (
            example
            for model in (PostDraft, PostEdit)
            for example in model.model_json_schema()["examples"]
        )
        composed["date"] = edited["date"] = soon()
        composed["posts"][0]["integration"]["id"] = str(channel.id)
        [file] = composed["posts"][0]["value"][0]["image"]
        file["id"] = str(a_media(session, organization).id)
        [tag] = composed["tags"]
        session.add(Tag(organization_id=organization.id, name=tag["value"], color="#2f6f4f"))
        session.flush()
        answer = caller.post("/posts", composed)
        assert answer.status == 201, answer.text
        edited["revision"] = 1
        changed = caller.put(f"/posts/{answer.json[0]['postId']}", edited)
        assert changed.status == 200, changed.text
        assert [part["content"] for part in changed.json["posts"]] == ["<p>Good evening</p>"]

    def test_content_is_sanitized(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel, "<p onclick=x>Hi<script>alert(1)</script></p>"))
        assert session.get_one(Post, created["postId"]).content == "<p>Hi</p>"

    def test_what_it_did_is_history(
        self, session: Session, member: Member, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel))
        [revision] = session.scalars(select(Revision)).all()
        assert str(revision.root_id) == created["postId"]
        assert (revision.action, revision.actor_id) == ("composed", member.user_id)


class TestRefusals:
    def test_each_refusal_names_its_field(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        off = a_channel(session, organization, disabled=True)
        answer = caller.post(
            "/posts", body(entry(channel, "Fine", "x" * 501), entry(off), entry(channel, " "))
        )
        assert answer.status == 422
        assert paths(answer) == [
            "posts.0.value.1.content",
            "posts.1.integration.id",
            "posts.2.value.0.content",
        ]
        assert session.scalar(select(func.count()).select_from(Post)) == 0

    def test_paths_of_the_short_form(self, channel: Channel, caller: Gateway) -> None:
        short = {"content": "x" * 501, "publishDate": soon(), "integrationId": str(channel.id)}
        assert paths(caller.post("/posts", short)) == ["content"]
        assert paths(caller.post("/posts", short | {"integrationId": str(new_id())})) == [
            "integrationId"
        ]
        assert paths(caller.post("/posts", {"content": "x"})) == ["publishDate"]
        assert paths(caller.post("/posts", {"content": "x", "type": "now"})) == ["integrationId"]

    def test_empty_body_is_asked_for_the_usual_form(
        self, channel: Channel, caller: Gateway
    ) -> None:
        assert paths(caller.post("/posts", {})) == ["date"]
        assert paths(caller.post("/posts", {"date": soon()})) == ["posts"]
        assert paths(caller.post("/posts", {"type": "now"})) == ["posts"]

    @pytest.mark.parametrize(
        ("change", "path", "code"),
        [
            ({"date": "2020-01-01T00:00:00Z"}, "date", "date_in_the_past"),
            ({"date": "9999-12-31T23:59:59Z"}, "date", "date_too_far"),
            ({"date": None}, "date", "missing"),
            ({"date": 5}, "date", "invalid_time"),
            ({"posts": []}, "posts", "too_short"),
            ({"type": "later"}, "type", "literal_error"),
            ({"type": "update"}, "posts.0.value.0.id", "missing"),
        ],
    )
    def test_a_field(
        self, channel: Channel, caller: Gateway, change: dict[str, Any], path: str, code: str
    ) -> None:
        answer = caller.post("/posts", body(entry(channel)) | change)
        assert answer.status == 422
        assert [(p["path"], p["code"]) for p in answer.json["errors"]] == [(path, code)]

    @pytest.mark.parametrize("settings", ['{"a": NaN}', '{"a": "\\ud800"}', "[]", '"x"'])
    def test_settings_that_cannot_be_stored(
        self, channel: Channel, caller: Gateway, settings: str
    ) -> None:
        text = (
            f'{{"type": "draft", "posts": [{{"integration": {{"id": "{channel.id}"}}, '
            f'"settings": {settings}, "value": [{{"content": "x"}}]}}]}}'
        )
        answer = caller.call("POST", "/posts", text=text)
        assert answer.status in {400, 422}, answer.text

    def test_a_file_that_is_not_ours(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        theirs = a_media(session, an_organization(session))
        gone = a_media(session, session.get_one(Organization, channel.organization_id))
        gone.deleted_at = datetime.now(UTC)
        session.flush()
        one = entry(channel)
        one["value"][0]["image"] = [{"id": str(theirs.id)}, {"id": str(gone.id)}, {"id": "x"}]
        one["value"][0]["image"].pop()
        answer = caller.post("/posts", body(one, type="draft"))
        assert paths(answer) == ["posts.0.value.0.image.0.id", "posts.0.value.0.image.1.id"]
        one["value"][0]["image"] = [{"id": "x"}]
        assert paths(caller.post("/posts", body(one))) == ["posts.0.value.0.image.0.id"]

    def test_a_channel_that_is_not_ours(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        theirs = a_channel(session, an_organization(session))
        answer = caller.post("/posts", body(entry(channel), entry(theirs)))
        assert answer.status == 404
        assert paths(answer) == ["posts.1.integration.id"]

    def test_too_many_parts(self, channel: Channel, caller: Gateway) -> None:
        answer = caller.post("/posts", body(*[entry(channel, *["x"] * 501)] * 2))
        assert answer.json["errors"][0]["code"] == "too_many_parts"

    def test_viewers_may_not(self, session: Session, organization: Organization) -> None:
        viewer = as_member(app, session, a_member(session, organization, role=Role.VIEWER))
        assert viewer.post("/posts", {}).status == 403


class TestReplace:
    def test_by_group_and_channel(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel, "One", "Two", "Three"))
        [again] = compose(caller, entry(channel, "1", "2", group=created["group"]), type="draft")
        assert again["postId"] == created["postId"]
        assert again["group"] == created["group"]
        read = caller.get(f"/posts/{created['postId']}").json
        assert [part["content"] for part in read["posts"]] == ["1", "2"]
        assert (read["revision"], read["code"]) == (2, "draft")
        compose(caller, entry(channel, "1", "2", "3", group=created["group"]))
        read = caller.get(f"/posts/{created['postId']}").json
        assert [part["content"] for part in read["posts"]] == ["1", "2", "3"]
        assert [part["generation"] for part in read["posts"]] == [1, 1, 2]

    def test_update_keeps_state_and_time(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.DRAFT)
        one = entry(channel, "New")
        one["value"][0]["id"] = str(post.id)
        compose(caller, one, type="update", date=None)
        session.refresh(post)
        assert (post.content, post.state, post.revision) == ("New", PostState.DRAFT, 2)

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (PostState.PUBLISHING, "post_is_publishing"),
            (PostState.PUBLISHED, "post_is_published"),
        ],
    )
    def test_not_what_is_out(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState, code: str
    ) -> None:
        post = a_post(session, channel, state=state)
        answer = caller.post("/posts", body(entry(channel, group=str(post.group_id))))
        assert (answer.status, answer.json["code"]) == (409, code)


class TestRead:
    def test_the_calendar_in_one_statement_beside_the_context(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        when = datetime(2026, 3, 29, 10, tzinfo=UTC)
        root = a_post(session, channel, publish_at=when)
        a_post(session, channel, parent=root)
        a_post(session, channel, publish_at=when + timedelta(days=40))
        a_post(session, channel, publish_at=when, deleted_at=func.now())
        a_post(session, a_channel(session, an_organization(session)), publish_at=when)
        with count_statements() as cost:
            answer = caller.get(
                "/posts", query={"startDate": "2026-03-29", "endDate": "2026-03-29"}
            )
        assert cost.statements == 2
        [shown] = answer.json["posts"]
        assert shown["id"] == str(root.id)
        assert shown["publishDate"] == "2026-03-29T10:00:00.000Z"
        assert (shown["state"], shown["code"]) == ("QUEUE", "queued")
        assert shown["integration"]["providerIdentifier"] == "mastodon"

    def test_a_calendar_that_is_too_long_leads_to_the_rest(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        when = datetime(2026, 3, 29, 10, tzinfo=UTC)
        posts = [a_post(session, channel, publish_at=when + timedelta(hours=n)) for n in range(3)]
        query = {"startDate": "2026-03-29", "endDate": "2026-03-29"}
        whole = caller.get("/posts", query=query)
        assert "link" not in whole.headers
        assert whole.headers["content-type"] == "application/json"
        monkeypatch.setattr(read, "MAX_RANGE_POSTS", 2)
        first = caller.get("/posts", query=query)
        address, relation = first.headers["link"].split("; ")
        assert relation == 'rel="next"'
        rest = caller.get("/posts", query=dict(parse_qsl(urlsplit(address.strip("<>")).query)))
        assert first.json["posts"] + rest.json["posts"] == whole.json["posts"]
        assert [post["id"] for post in whole.json["posts"]] == [str(post.id) for post in posts]

    def test_a_thread_in_one_statement(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel)
        reply = a_post(session, channel, parent=root, delay_seconds=90)
        with count_statements() as cost:
            read = caller.get(f"/posts/{reply.id}").json
        assert cost.statements == 2
        assert read["id"] == str(root.id)
        assert [part["id"] for part in read["posts"]] == [str(root.id), str(reply.id)]
        assert read["posts"][1]["delay"] == 1.5
        assert read["settings"] == {"__type": "mastodon"}

    @pytest.mark.parametrize(("minutes", "is_late"), [(4, False), (6, True)])
    def test_late_after_five_minutes(
        self, session: Session, channel: Channel, caller: Gateway, minutes: int, is_late: bool
    ) -> None:
        root = a_post(session, channel, publish_at=clock.now() - timedelta(minutes=minutes))
        [shown] = caller.get("/posts/list").json["posts"]
        assert shown["late"] is is_late
        assert caller.get(f"/posts/{root.id}").json["posts"][0]["late"] is is_late

    @pytest.mark.parametrize(
        ("published", "delay", "is_late"),
        [(None, 0, False), (64, 60, False), (66, 60, True)],
    )
    def test_a_reply_is_late_by_its_own_time(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        published: int | None,
        delay: int,
        is_late: bool,
    ) -> None:
        """`published`: minutes since the root was; None: it is not, so the reply has no time yet."""
        day_ago = clock.now() - timedelta(days=1)
        out = clock.now() - timedelta(minutes=published) if published else None
        state = PostState.PUBLISHED if published else PostState.QUEUED
        root = a_post(session, channel, state=state, publish_at=day_ago, published_at=out)
        reply = a_post(session, channel, parent=root, delay_seconds=delay * 60)
        shown = caller.get(f"/posts/{reply.id}").json["posts"][1]
        assert shown["late"] is is_late

    def test_pages(self, session: Session, channel: Channel, caller: Gateway) -> None:
        posts = [
            a_post(session, channel, publish_at=datetime(2026, 5, d, tzinfo=UTC)) for d in (1, 2, 3)
        ]
        first = caller.get("/posts/list", query={"limit": 2}).json
        rest = caller.get("/posts/list", query={"limit": 2, "cursor": first["nextCursor"]}).json
        shown = [post["id"] for post in first["posts"] + rest["posts"]]
        assert shown == [str(post.id) for post in reversed(posts)]
        assert rest["nextCursor"] is None

    def test_a_group(self, session: Session, channel: Channel, caller: Gateway) -> None:
        one = a_post(session, channel)
        a_post(session, channel, parent=one)
        two = a_post(session, channel, group_id=one.group_id)
        read = caller.get(f"/posts/group/{one.group_id}").json
        assert {post["id"] for post in read["posts"]} == {str(one.id), str(two.id)}
        assert sorted(len(post["posts"]) for post in read["posts"]) == [1, 2]


class TestDelete:
    def test_a_post_and_its_replies(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel)
        reply = a_post(session, channel, parent=root)
        other = a_post(session, channel, group_id=root.group_id)
        answer = caller.delete(f"/posts/{root.id}")
        assert answer.json == {"id": str(root.id)}
        for part in (root, reply, other):
            session.refresh(part)
        assert root.deleted_at
        assert reply.deleted_at
        assert not other.deleted_at
        assert root.revision == 2
        assert caller.get(f"/posts/{root.id}").status == 404
        assert caller.delete(f"/posts/{root.id}").status == 404

    def test_a_group(self, session: Session, channel: Channel, caller: Gateway) -> None:
        one = a_post(session, channel)
        two = a_post(session, channel, group_id=one.group_id)
        answer = caller.delete(f"/posts/group/{one.group_id}")
        assert set(answer.json["posts"]) == {str(one.id), str(two.id)}
        assert caller.get(f"/posts/group/{one.group_id}").status == 404

    def test_only_at_the_revision_that_was_read(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        root = a_post(session, channel, revision=3)
        refused = caller.delete(f"/posts/{root.id}", headers={"If-Match": '"2"'})
        assert (refused.status, refused.json["code"]) == (409, "post_changed")
        assert caller.delete(f"/posts/{root.id}", headers={"If-Match": "3"}).status == 200

    def test_not_by_a_replys_id(self, session: Session, channel: Channel, caller: Gateway) -> None:
        reply = a_post(session, channel, parent=a_post(session, channel))
        assert caller.delete(f"/posts/{reply.id}").json["code"] == "reply_not_post"
