"""Bodies with fields that do not exist: our own API refuses them by path, wherever they are, and changes nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.identity.app import app as auth_app
from functions.media.app import app as media_app
from functions.posts.app import app as posts_app
from shared.access.policy import POLICY
from shared.channels.models import Channel
from shared.organizations.models import Member, Organization
from shared.posts.models import Post, Tag
from shared.web.deps import refuse_unknown_fields, refuse_unknown_parameters
from shared.web.routing import Route
from tests.builders import a_post
from tests.gateway import Answer, Gateway, as_member

pytestmark = pytest.mark.usefixtures("queues")
SOON = (datetime.now(UTC) + timedelta(minutes=13)).isoformat()


def refused(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 422, answer.text
    return [(one["path"], one["code"]) for one in answer.json["errors"]]


def a_body(channel: Channel, **more: Any) -> dict[str, Any]:
    part = {"content": "Hello", **more.pop("part", {})}
    one = {"integration": {"id": str(channel.id)}, "value": [part], **more.pop("entry", {})}
    return {"type": "schedule", "date": SOON, "posts": [one], **more}


CASES = [
    ({"part": {"images": []}}, "posts.0.value.0.images", "image"),
    ({"part": {"image": [{"ids": "x"}]}}, "posts.0.value.0.image.0.ids", "id"),
    ({"entry": {"setting": {}}}, "posts.0.setting", "settings"),
    ({"dates": SOON}, "dates", "date"),
    ({"tags": [{"lable": "x"}]}, "tags.0.lable", "label"),
    ({"entry": {"settings": {"visibilty": "public"}}}, "posts.0.settings.visibilty", "visibility"),
]


class TestComposing:
    @pytest.mark.parametrize("path", ["/posts", "/posts/valid"])
    @pytest.mark.parametrize(("more", "where", "meant"), CASES)
    def test_is_refused_by_path(
        self,
        session: Session,
        channel: Channel,
        caller: Gateway,
        path: str,
        more: dict[str, Any],
        where: str,
        meant: str,
    ) -> None:
        """Finding 1.7: `images` for `image` lost the picture without a word."""
        answer = caller.post(path, a_body(channel, **more))
        found = answer.json.get("errors", [])
        if answer.status == 200:  # a dry run lists what is of one channel there
            assert answer.json["valid"] is False
            found = answer.json["posts"][0]["errors"]
        assert [(one["path"], one["code"]) for one in found] == [(where, "unknown_field")]
        assert f"`{meant}`" in found[0]["message"]
        assert session.scalar(select(func.count()).select_from(Post)) == 0

    def test_drafts_too(self, channel: Channel, caller: Gateway) -> None:
        body = a_body(channel, entry={"settings": {"visibilty": "public"}}, type="draft")
        assert refused(caller.post("/posts", body)) == [
            ("posts.0.settings.visibilty", "unknown_field")
        ]

    def test_what_is_missing_is_named_with_it(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """`when` for `date` was answered by "leave it out" alone."""
        answer = caller.put(f"/posts/{a_post(session, channel).id}/date", {"when": "tomorrow"})
        assert refused(answer) == [("when", "unknown_field"), ("date", "missing")]


class TestTags:
    def test_one_that_does_not_exist_is_refused(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        """Finding 1.7: a tag that does not exist was left out without a word."""
        session.add(Tag(organization_id=organization.id, name="news", color="#2f6f4f"))
        session.flush()
        tags = [{"value": "news"}, {"label": "nwes"}]
        assert refused(caller.post("/posts", a_body(channel, tags=tags))) == [
            ("tags.1", "unknown_tag")
        ]
        dry = caller.post("/posts/valid", a_body(channel, tags=tags)).json
        assert (dry["valid"], [one["path"] for one in dry["errors"]]) == (False, ["tags.1"])
        post = a_post(session, channel)
        assert refused(caller.put(f"/posts/{post.id}", {"tags": tags})) == [
            ("tags.1", "unknown_tag")
        ]


class TestEditing:
    def test_is_refused_by_path(self, session: Session, channel: Channel, caller: Gateway) -> None:
        """Finding 1.7: `PUT {"text": ...}` was answered 200 and changed nothing."""
        post = a_post(session, channel)
        for body, path in (
            ({"text": "New"}, "text"),
            ({"value": [{"content": "New", "images": []}]}, "value.0.images"),
            ({"settings": {"visibilty": "public"}}, "settings.visibilty"),
        ):
            assert refused(caller.put(f"/posts/{post.id}", body)) == [(path, "unknown_field")]
        assert refused(caller.put(f"/posts/{post.id}/date", {"date": SOON, "actoin": "update"}))
        assert refused(caller.post(f"/posts/{post.id}/duplicate", {"group": True}))

    def test_settings_that_the_post_holds_already_stay(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        """They came through the public API, which keeps what it does not know."""
        post = a_post(session, channel, settings={"theirs": 1, "visibility": "public"})
        shown = caller.get(f"/posts/{post.id}").json["settings"]
        answer = caller.put(f"/posts/{post.id}", {"settings": {**shown, "visibility": "unlisted"}})
        assert answer.status == 200, answer.text


class TestParameters:
    @pytest.mark.parametrize(
        ("path", "unknown", "words"),
        [
            ("/posts/list?sate=DRAFT", "sate", "Did you mean `state`?"),
            ("/posts/list?limit=5&channels=x", "channels", "Did you mean `channel`?"),
            ("/posts/tags?page=2", "page", "Leave it out."),
            ("/posts?startDate=2026-01-01&endDate=2026-01-31&enddate=1", "enddate", "`endDate`"),
        ],
    )
    def test_that_a_route_does_not_read_are_refused(
        self, caller: Gateway, path: str, unknown: str, words: str
    ) -> None:
        """Finding 1.7, sibling: a mistyped filter was ignored, and the list showed everything."""
        route, _, query = path.partition("?")
        answer = caller.get(route, query=query)
        assert refused(answer) == [(unknown, "unknown_parameter")]
        assert words in answer.json["errors"][0]["message"]

    def test_of_a_model_are_known(self, session: Session, member: Member) -> None:
        """The library's filter is a model, and so are its parameters."""
        media = as_member(media_app, session, member)
        assert media.get("/media", query="search=cat&kind=image&limit=5").status == 200
        assert refused(media.get("/media", query="serach=cat")) == [("serach", "unknown_parameter")]

    def test_of_links_that_others_extend_are_left_alone(self, session: Session) -> None:
        """Mail programs and platforms add parameters to the links that lead to public pages."""
        answer = Gateway(auth_app).get("/auth/can-register", query="utm_source=mail")
        assert answer.status == 200


def _routes() -> Iterator[tuple[str, APIRoute]]:
    for route in posts_app.routes:
        if isinstance(route, APIRoute):
            yield f"{sorted(route.methods or ())[0]} {route.path}", route


class TestEveryRoute:
    def test_of_our_own_api_looks(self) -> None:
        """Finding 1.7, siblings: every body of the canonical API, not only those of posts."""
        checked = 0
        for name, route in _routes():
            assert isinstance(route, Route)
            assert name in POLICY
            assert {refuse_unknown_fields, refuse_unknown_parameters} <= set(route.checks), name
            checked += 1
        assert checked > 20
