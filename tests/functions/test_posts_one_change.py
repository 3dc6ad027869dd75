"""Edits of posts that change one thing alone: each is stored, and none is taken for an edit that changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.organizations.models import Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_media, a_post
from tests.functions.test_posts_changes import waiting
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("queues")
NOW = datetime.now(UTC).replace(microsecond=0)
SOON = NOW + timedelta(minutes=10)
DRAFT, QUEUED, FAILED = PostState.DRAFT, PostState.QUEUED, PostState.FAILED
OF_THE_STATE = [
    (DRAFT, "schedule", QUEUED),
    (QUEUED, "draft", DRAFT),
    (FAILED, "schedule", QUEUED),
    (FAILED, "draft", DRAFT),
]
OF_THE_CONTENT: list[tuple[str, Any, Any]] = [
    ("content", "<p>New</p>", "<p>New</p>"),
    ("title", "New", "New"),
    ("settings", {"visibility": "unlisted"}, {"visibility": "unlisted"}),
    ("publish_at", (SOON + timedelta(minutes=1)).isoformat(), SOON + timedelta(minutes=1)),
]


@pytest.mark.parametrize(("before", "kind", "after"), OF_THE_STATE)
@pytest.mark.parametrize("dated", [False, True])
def test_of_the_state_at_the_same_time(
    session: Session,
    channel: Channel,
    caller: Gateway,
    before: PostState,
    kind: str,
    after: PostState,
    dated: bool,
) -> None:
    """A post that is taken back to a draft at its old time would go out; one that is queued would not."""
    post = a_post(session, channel, state=before, publish_at=SOON)
    body = {"type": kind} | ({"date": SOON.isoformat()} if dated else {})
    answer = caller.put(f"/posts/{post.id}", body)
    assert (answer.status, answer.json["code"]) == (200, after)
    session.refresh(post)
    assert (post.state, post.revision, post.publish_at) == (after, 2, SOON)
    assert (post.due_at, waiting()) == ((SOON, 1) if after is QUEUED else (None, 0))


@pytest.mark.parametrize("state", [DRAFT, QUEUED])
@pytest.mark.parametrize(
    ("field", "sent", "stored"), OF_THE_CONTENT, ids=[field for field, *_ in OF_THE_CONTENT]
)
def test_of_one_field(
    session: Session,
    channel: Channel,
    caller: Gateway,
    state: PostState,
    field: str,
    sent: Any,
    stored: Any,
) -> None:
    post = a_post(session, channel, state=state, publish_at=SOON)
    name = {"publish_at": "date"}.get(field, field)
    assert caller.put(f"/posts/{post.id}", {name: sent}).status == 200
    session.refresh(post)
    assert (getattr(post, field), post.revision, post.state) == (stored, 2, state)


@pytest.mark.parametrize("state", [DRAFT, QUEUED])
def test_of_the_channel_a_file_or_a_delay(
    session: Session,
    organization: Organization,
    channel: Channel,
    caller: Gateway,
    state: PostState,
) -> None:
    root = a_post(session, channel, state=state, publish_at=SOON)
    reply = a_post(session, channel, state=state, parent=root)
    media, other = a_media(session, organization), a_channel(session, organization)
    first, second = {"content": root.content}, {"content": reply.content, "delay": 5}
    bodies: list[dict[str, Any]] = [
        {"value": [first, second]},
        {"value": [first, {**second, "image": [{"id": str(media.id)}]}]},
        {"integration": {"id": str(other.id)}},
    ]
    for revision, body in enumerate(bodies, start=2):
        assert caller.put(f"/posts/{root.id}", body).json["revision"] == revision, body
    parts: list[Post] = [root, reply]
    for part in parts:
        session.refresh(part)
        assert part.channel_id == other.id
    assert (reply.delay_seconds, [entry["id"] for entry in reply.media]) == (300, [str(media.id)])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"type": "schedule"}),
        ("", {"type": "schedule", "content": "Better"}),
        ("/status", {"status": "schedule"}),
    ],
)
def test_of_a_queued_post_that_is_overdue_keeps_it_queued(
    session: Session, channel: Channel, caller: Gateway, path: str, body: dict[str, str]
) -> None:
    """Its time was confirmed when it was queued. While a platform is paused, members still correct what waits."""
    when = NOW - timedelta(minutes=30)
    post = a_post(session, channel, publish_at=when)
    answer = caller.put(f"/posts/{post.id}{path}", body)
    assert (answer.status, answer.json["code"]) == (200, "queued"), answer.text
    session.refresh(post)
    assert (post.state, post.publish_at) == (QUEUED, when)


@pytest.mark.parametrize(
    ("state", "method", "path", "body"),
    [
        (QUEUED, "PUT", "", {"content": "Better"}),
        (QUEUED, "PUT", "", {"type": "now"}),
        (QUEUED, "PUT", "/date", {"date": (SOON + timedelta(minutes=1)).isoformat()}),
        (DRAFT, "PUT", "/status", {"status": "schedule"}),
        (FAILED, "POST", "/resend", None),
    ],
)
def test_what_is_to_be_armed_anew_is_not_armed_until_it_is(
    session: Session,
    channel: Channel,
    caller: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    state: PostState,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    """Finding 8.11: arming may fail after the commit, and the sweep finds only what is not marked as armed."""
    armed: dict[str, Any] = {"armed_revision": 1, "enqueued_at": NOW, "next_check_at": NOW}
    post = a_post(session, channel, state=state, publish_at=SOON, **armed)
    monkeypatch.setattr("shared.posts.hints.arm", lambda _parts: None)
    assert caller.call(method, f"/posts/{post.id}{path}", body).status == 200
    session.refresh(post)
    assert post.state is QUEUED
    assert (post.armed_revision, post.enqueued_at, post.next_check_at) == (None, None, None)
