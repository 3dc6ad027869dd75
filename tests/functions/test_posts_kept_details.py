"""Whether a file's alternative text and cover survive edits that send the file without them, on both wires."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.channels.models import Channel
from shared.media.models import Media
from shared.organizations.models import Member, Organization
from shared.posts.models import Post
from tests.builders import a_channel, a_media, a_post
from tests.gateway import Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")

MEDIA = "https://media.example"
DETAILS = {"alt": "An owl", "thumbnailTimestamp": 2_500}

Change = Callable[[Post, list[dict[str, Any]]], Any]


@pytest.fixture
def owl(session: Session, organization: Organization) -> Media:
    return a_media(session, organization)


@pytest.fixture
def post(session: Session, channel: Channel, owl: Media) -> Post:
    return a_post(session, channel, content="Root", media=[{"id": str(owl.id), **DETAILS}])


def on_our_own(caller: Gateway, channel: Channel) -> dict[str, Change]:
    def short(post: Post, image: list[dict[str, Any]]) -> Any:
        return caller.put(f"/posts/{post.id}", {"content": "New", "image": image})

    def whole(post: Post, image: list[dict[str, Any]]) -> Any:
        value = [{"content": "New", "image": image}]
        return caller.put(f"/posts/{post.id}", {"value": value})

    def replaced(post: Post, image: list[dict[str, Any]]) -> Any:
        part = {"id": str(post.id), "content": "New", "image": image}
        entry = {"integration": {"id": str(channel.id)}, "value": [part]}
        return caller.post("/posts", {"type": "update", "posts": [entry]})

    return {"short": short, "whole": whole, "replaced": replaced}


def on_the_public_one(program: Gateway, channel: Channel) -> dict[str, Change]:
    def with_path(image: list[dict[str, Any]]) -> list[dict[str, Any]]:
        path = f"{MEDIA}/files/{channel.organization_id}"
        return [{**one, "path": f"{path}/{one['id']}/0123.png"} for one in image]

    def edited(post: Post, image: list[dict[str, Any]]) -> Any:
        value = [{"content": "New", "id": str(post.id), "image": with_path(image)}]
        return program.put(f"/public/v1/posts/{post.id}", {"value": value})

    def replaced(post: Post, image: list[dict[str, Any]]) -> Any:
        part = {"id": str(post.id), "content": "New", "image": with_path(image)}
        entry = {"integration": {"id": str(channel.id)}, "value": [part]}
        body = {"type": "draft", "shortLink": False, "tags": [], "posts": [entry]}
        body["date"] = "2026-12-01T10:00:00.000Z"
        return program.post("/public/v1/posts", body)

    return {"edited": edited, "replaced": replaced}


@pytest.mark.parametrize(
    ("wire", "way"),
    [
        ("own", "short"),
        ("own", "whole"),
        ("own", "replaced"),
        ("public", "edited"),
        ("public", "replaced"),
    ],
)
@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ({}, DETAILS),
        ({"alt": "A barn owl"}, {**DETAILS, "alt": "A barn owl"}),
        ({"alt": None}, {"thumbnailTimestamp": 2_500}),
        ({"alt": ""}, {"thumbnailTimestamp": 2_500}),
        ({"thumbnailTimestamp": None}, {"alt": "An owl"}),
        ({"thumbnailTimestamp": 0}, {**DETAILS, "thumbnailTimestamp": 0}),
        ({"alt": None, "thumbnailTimestamp": None}, {}),
    ],
)
def test_what_an_edit_leaves_out_of_a_file_stays(
    session: Session,
    channel: Channel,
    member: Member,
    caller: Gateway,
    post: Post,
    owl: Media,
    wire: str,
    way: str,
    sent: dict[str, Any],
    left: dict[str, Any],
) -> None:
    """An edit that sent the same file without `alt`, as published clients do, erased its alternative text."""
    ways = (
        on_our_own(caller, channel)
        if wire == "own"
        else on_the_public_one(by_key(app, session, member), channel)
    )
    answer = ways[way](post, [{"id": str(owl.id), **sent}])
    assert answer.status in {200, 201}, answer.text
    session.refresh(post)
    assert (post.content, post.media) == ("New", [{"id": str(owl.id), **left}])


def test_a_file_that_moves_to_another_part_takes_its_details_along(
    session: Session, channel: Channel, caller: Gateway, post: Post, owl: Media
) -> None:
    value = [{"content": "Root"}, {"content": "Reply", "image": [{"id": str(owl.id)}]}]
    read = caller.put(f"/posts/{post.id}", {"value": value}).json
    reply = session.get_one(Post, read["posts"][1]["id"])
    assert reply.media == [{"id": str(owl.id), **DETAILS}]


def test_a_part_without_the_text_takes_none_from_another_part(
    session: Session, channel: Channel, caller: Gateway, post: Post, owl: Media
) -> None:
    reply = a_post(session, channel, parent=post, media=[{"id": str(owl.id)}])
    caller.put(f"/posts/{post.id}", {"content": "New"})
    session.refresh(reply)
    assert reply.media == [{"id": str(owl.id)}]


def test_a_file_shown_twice_keeps_both_texts(
    session: Session, channel: Channel, caller: Gateway, owl: Media
) -> None:
    twice = [{"id": str(owl.id), "alt": alt} for alt in ("Left", "Right")]
    post = a_post(session, channel, media=twice)
    caller.put(f"/posts/{post.id}", {"content": "New", "image": [{"id": str(owl.id)}] * 2})
    session.refresh(post)
    assert post.media == twice


def test_an_edit_that_only_leaves_out_changes_nothing(
    caller: Gateway, post: Post, owl: Media
) -> None:
    image = [{"id": str(owl.id)}]
    assert caller.put(f"/posts/{post.id}", {"image": image}).json["revision"] == 1


def test_a_new_post_has_what_it_says(
    session: Session, channel: Channel, caller: Gateway, owl: Media
) -> None:
    image = [{"id": str(owl.id), "alt": None, "thumbnailTimestamp": None}]
    entry = {"integration": {"id": str(channel.id)}, "value": [{"content": "a", "image": image}]}
    [made] = caller.post("/posts", {"type": "draft", "posts": [entry]}).json
    assert session.get_one(Post, made["postId"]).media == [{"id": str(owl.id)}]


@pytest.mark.parametrize(
    ("sent", "alt"), [({}, "A cover"), ({"alt": "New"}, "New"), ({"alt": None}, None)]
)
def test_the_file_of_a_setting_keeps_its_text_too(
    session: Session,
    organization: Organization,
    caller: Gateway,
    owl: Media,
    sent: dict[str, Any],
    alt: str | None,
) -> None:
    account = a_channel(session, organization, provider="x")
    article = {
        "post_type": "article",
        "article_title": "Owls",
        "article_status": "published",
        "article_cover": {"id": str(owl.id), "alt": "A cover"},
    }
    cover = {"id": str(owl.id), "alt": "A cover", "setting": "article_cover"}
    post = a_post(session, account, settings=article, media=[cover])
    changed = {**article, "article_cover": {"id": str(owl.id), **sent}}
    answer = caller.put(f"/posts/{post.id}", {"settings": changed, "content": "New"})
    assert answer.status == 200, answer.text
    session.refresh(post)
    [entry] = post.media
    assert (entry.get("alt"), post.settings["article_cover"].get("alt")) == (alt, alt)
