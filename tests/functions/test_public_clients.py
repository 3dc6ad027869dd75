"""Do the programs that people already use get what they read? Their requests as each of them sends them.

Sources: npm `postiz` 2.1.0 (its own code), npm `@postiz/node` 1.0.8, `n8n-nodes-postiz` 0.2.17, and the WordPress plugin
"Social Publisher for Postiz"; read 2026-11.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.aws.keys import seal
from shared.channels.models import Channel
from shared.core.crypto import Purpose
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import CreationMethod, Post, Tag
from tests.builders import a_channel, a_media, a_post
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, by_key
from tests.shared.channels.builders import set_up_platforms

pytestmark = pytest.mark.usefixtures("queues")

POSTS = "/public/v1/posts"
MEDIA = "https://media.example"
TOMORROW = datetime.now(UTC) + timedelta(days=1)
# What each of them sends with every request, beside the key.
CLI = {"content-type": "application/json", "accept": "*/*", "user-agent": "node-fetch"}
SDK = {"content-type": "application/json", "accept": "*/*", "user-agent": "node"}
N8N = {
    "accept": "application/json,text/html,application/xhtml+xml,*/*",
    "user-agent": "axios/1.8.3",
}
WORDPRESS = {
    "content-type": "application/json",
    "accept": "application/json",
    "user-agent": "WordPress/6.8",
}


@dataclass(frozen=True, slots=True)
class World:
    """What the requests are about: `{channel}`, `{page}`, `{post}`, `{file}` in them stand for these."""

    channel: Channel
    page: Channel
    post: Post
    published: Post
    file: str

    def fill(self, written: str) -> str:
        names = {
            "channel": self.channel.id, "page": self.page.id, "post": self.post.id, "published": self.published.id,
            "file": self.file, "day": f"{TOMORROW:%Y-%m-%d}",
        }  # fmt: skip
        for name, value in names.items():
            written = written.replace(f"{{{name}}}", str(value))
        return written


@pytest.fixture
def world(session: Session, organization: Organization, configure: Configure) -> World:
    set_up_platforms(configure)
    configure(MEDIA_PUBLIC_URL=MEDIA)
    session.add(Tag(organization_id=organization.id, name="news", color="#2f6f4f"))
    media = a_media(session, organization)
    channel = a_channel(session, organization)
    token = seal("token", Purpose.CHANNEL, organization.id)
    page = a_channel(session, organization, provider="linkedin-page", sealed_token=token)
    return World(
        channel=channel,
        page=page,
        post=a_post(session, channel),
        published=a_post(session, page, state=PostState.PUBLISHED, release_id="missing"),
        file=f"{MEDIA}/files/{organization.id}/{media.id}/0f3a.png",
    )


Check = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, and what its sender does with the answer."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any = None
    check: Check = lambda _: None
    stored: Mapping[str, Any] = field(default_factory=dict)


def is_created(answer: Any) -> None:
    """Read what the WordPress plugin reads; the others print it."""
    for one in answer:
        assert isinstance(one["postId"], str)
        assert isinstance(one["integration"], str)


def lists_posts(answer: Any) -> None:
    assert isinstance(answer["posts"], list)


def is_something(answer: Any) -> None:
    """Accept what the WordPress plugin does: an array, or an object without `error`."""
    assert isinstance(answer, list | dict)
    assert not (isinstance(answer, dict) and "error" in answer and answer["error"])


RANGE = "startDate={day}T00:00:00.000Z&endDate={day}T23:59:59.999Z"
REQUESTS = [
    Sent("cli posts:create", "POST", POSTS, CLI, {
        "type": "schedule", "date": "{day}T10:00:00Z", "shortLink": True, "tags": [],
        "posts": [
            {"integration": {"id": "{channel}"}, "value": [{"content": "Hello", "image": [], "delay": 0}]},
            {"integration": {"id": "{page}"}, "value": [{"content": "Hello", "image": [], "delay": 0}]},
        ],
    }, is_created, {"state": PostState.QUEUED, "content": "Hello"}),
    Sent("cli posts:create with comments, media and settings", "POST", POSTS, CLI, {
        "type": "draft", "date": "{day}T10:00:00.000+02:00", "shortLink": True, "tags": [],
        "posts": [{
            "integration": {"id": "{channel}"}, "settings": {"who_can_reply_post": "everyone"},
            "value": [
                {"content": "One", "image": [{"id": "x8f2k1", "path": "{file}"}], "delay": 5},
                {"content": "Two", "image": [], "delay": 5},
            ],
        }],
    }, is_created, {"state": PostState.DRAFT, "delay_seconds": 0}),
    Sent("cli posts:create --json", "POST", POSTS, CLI, {
        "type": "schedule", "creationMethod": "CLI", "date": "{day}T10:00:00Z", "shortLink": False, "inter": 0,
        "tags": [{"value": "news", "label": "news"}],
        "posts": [{
            "integration": {"id": "{channel}"}, "settings": {"__type": "x"},
            "value": [{"content": "<p>Hello <strong>there</strong></p>", "image": []}],
        }],
    }, is_created, {"creation_method": CreationMethod.CLI}),
    Sent("cli posts:list", "GET", f"{POSTS}?{RANGE}", CLI, check=lists_posts),
    Sent("cli posts:delete", "DELETE", f"{POSTS}/{{post}}", CLI, check=is_something),
    Sent("cli posts:missing", "GET", f"{POSTS}/{{published}}/missing", CLI, check=is_something),
    Sent("cli posts:connect", "PUT", f"{POSTS}/{{published}}/release-id", CLI,
         {"releaseId": "urn:li:activity:7321987"}, is_something),
    Sent("sdk post", "POST", POSTS, SDK, {
        "type": "now", "date": "{day}T10:00:00.000Z", "shortLink": False, "order": "", "tags": [],
        "posts": [{
            "integration": {"id": "{channel}"}, "group": "q1w2e3r4", "settings": {"__type": "mastodon"},
            "value": [{"id": "q9", "content": "Hello", "image": [{"id": "1", "path": "{file}"}]}],
        }],
    }, is_created, {"state": PostState.QUEUED}),
    Sent("sdk postList", "GET", f"{POSTS}?{RANGE}&customer=", SDK, check=lists_posts),
    Sent("sdk deletePost", "DELETE", f"{POSTS}/{{post}}", SDK, check=is_something),
    Sent("n8n createPost", "POST", POSTS, N8N, {
        "type": "schedule", "shortLink": True, "date": "{day}T10:00:00",
        "tags": [{"value": "news", "label": "news"}],
        "posts": [{
            "integration": {"id": "{channel}"}, "group": "",
            "value": [{"content": "Hello", "id": "", "image": [{"id": "", "path": "{file}"}]}],
            "settings": {"__type": "mastodon", "unheard_of": ""},
        }],
    }, is_created, {"state": PostState.QUEUED}),
    Sent("n8n createPost now", "POST", POSTS, N8N, {
        "type": "now", "shortLink": False, "date": "{day}T10:00:00.000+00:00", "tags": [],
        "posts": [{
            "integration": {"id": "{channel}"}, "group": "", "settings": {},
            "value": [{"content": "Hello", "id": "", "image": []}],
        }],
    }, is_created, {"state": PostState.QUEUED}),
    Sent("n8n getPosts", "GET", f"{POSTS}?{RANGE}", N8N, check=lists_posts),
    Sent("n8n deletePost", "DELETE", f"{POSTS}/{{post}}", N8N, check=is_something),
    Sent("wordpress schedule", "POST", POSTS, WORDPRESS, {
        "type": "schedule", "date": "{day}T10:00:00Z", "shortLink": False, "tags": [],
        "posts": [{
            "integration": {"id": "{page}"}, "settings": {"__type": "linkedin"},
            "value": [{"content": "Hello", "image": [{"id": "7", "path": "{file}"}]}],
        }],
    }, is_created, {"state": PostState.QUEUED}),
    Sent("wordpress now", "POST", POSTS, WORDPRESS, {
        "type": "now", "date": "{day}T10:00:00Z", "shortLink": False, "tags": [],
        "posts": [{
            "integration": {"id": "{channel}"}, "settings": {"__type": "mastodon"},
            "value": [{"content": "Hello", "image": []}],
        }],
    }, is_created, {"state": PostState.QUEUED}),
    Sent("wordpress looks at the post", "GET", f"{POSTS}/{{post}}", WORDPRESS, check=lambda answer: answer["id"]),
]  # fmt: skip


@pytest.fixture
def answer_to(session: Session, member: Member, world: World) -> Callable[[Sent], Answer]:
    """Send a request of theirs."""
    program = by_key(app, session, member)

    def send(sent: Sent) -> Answer:
        path, _, query = world.fill(sent.path).partition("?")
        text = None if sent.body is None else world.fill(json.dumps(sent.body))
        headers = {**program.headers, **sent.headers}
        return Gateway(app, headers).call(sent.method, path, query=query, text=text)

    return send


@pytest.mark.parametrize("sent", REQUESTS, ids=lambda sent: sent.name)
def test_they_get_what_they_read(
    session: Session, answer_to: Callable[[Sent], Answer], sent: Sent
) -> None:
    answer = answer_to(sent)
    assert answer.status == (201 if sent.method == "POST" else 200), answer.text
    sent.check(answer.json)
    if sent.stored:
        post = session.get_one(Post, answer.json[0]["postId"])
        assert {name: getattr(post, name) for name in sent.stored} == sent.stored
