"""Is an odd body refused before anything is done, or carried out and answered, by every route alike?"""

import json
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.apps.app import app as oauth
from functions.channels.app import app as integrations
from functions.identity.app import app as auth
from functions.mcp.app import app as mcp
from functions.posts.app import app as posts
from functions.public_api.app import app as public_api
from shared.channels.models import Channel
from shared.organizations.models import Member
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_post
from tests.functions.test_public_posts import body, entry
from tests.gateway import Answer, Gateway, as_member, by_key

pytestmark = pytest.mark.usefixtures("queues", "aws")

JSON = {"content-type": "application/json"}
BOM = b"\xef\xbb\xbf"
# What is put in the place of the text "odd" of a body.
UNREADABLE = [b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"']


def send(caller: Gateway, method: str, path: str, content: bytes) -> Answer:
    return caller.call(method, path, content=content, headers=JSON)


def bodies(session: Session, channel: Channel) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route of the public API that reads JSON, with a body that it takes."""
    post = a_post(session, channel, state=PostState.DRAFT)
    path = f"/public/v1/posts/{post.id}"
    return [
        ("POST", "/public/v1/posts", body(entry(channel, "Hello"))),
        ("PUT", path, {"content": "Now"}),
        ("PUT", f"{path}/settings", {"settings": {}}),
        ("PUT", f"{path}/status", {"status": "draft"}),
    ]


class TestPublicApi:
    def test_a_byte_order_mark_changes_nothing(
        self, session: Session, member: Member, channel: Channel
    ) -> None:
        """The post was stored and the answer was 500, so a client that repeated it posted twice."""
        program = by_key(public_api, session, member)
        for method, path, sent in bodies(session, channel):
            content = BOM + json.dumps(sent | {"other": 1}).encode()
            answer = send(program, method, path, content)
            assert answer.status in {200, 201}, (path, answer.text)
            assert "other: This field is unknown" in answer.headers["warning"]

    @pytest.mark.parametrize("odd", UNREADABLE)
    def test_what_one_parser_would_refuse_is_refused_before_anything_is_done(
        self, session: Session, member: Member, channel: Channel, odd: bytes
    ) -> None:
        """The commit came first, and the unknown field was read after it."""
        program = by_key(public_api, session, member)
        routes = bodies(session, channel)
        before = session.scalar(select(func.count()).select_from(Post))
        for method, path, sent in [*routes, ("POST", "/public/v1/upload-from-url", {"url": "x"})]:
            content = json.dumps(sent | {"other": "odd"}).encode().replace(b'"odd"', odd)
            answer = send(program, method, path, content)
            assert answer.status == 400, (path, answer.text)
        session.expire_all()
        assert session.scalar(select(func.count()).select_from(Post)) == before
        contents = session.scalars(select(Post.content)).all()
        assert not any("Now" in content for content in contents)


class TestOtherReaders:
    def test_each_takes_a_byte_order_mark(self, session: Session, member: Member) -> None:
        """`/oauth/token` and `/mcp` answered 400 to what the rest of the API took."""
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        asked = BOM + json.dumps(listed).encode()
        answer = send(by_key(mcp, session, member), "POST", "/mcp", asked)
        assert (answer.status, "result" in answer.json) == (200, True)
        token = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "nobody"}
        answer = send(Gateway(oauth), "POST", "/oauth/token", BOM + json.dumps(token).encode())
        assert answer.json["error"] == "invalid_client"

    @pytest.mark.parametrize("odd", UNREADABLE)
    def test_each_refuses_the_same(self, session: Session, member: Member, odd: bytes) -> None:
        for caller, path in (
            (by_key(mcp, session, member), "/mcp"),
            (Gateway(oauth), "/oauth/token"),
            (Gateway(oauth), "/oauth/register"),
            (Gateway(auth), "/auth/login"),
            (as_member(posts, session, member), "/posts/valid"),
        ):
            answer = send(caller, "POST", path, b'{"a":' + odd + b"}")
            assert answer.status in {400, 422}, (path, answer.text)


class TestContentType:
    def test_a_parameter_does_not_switch_the_checks_off(
        self, session: Session, member: Member, channel: Channel
    ) -> None:
        """Settings 900 deep were stored, and a NUL in UTF-16 was an error of the database."""
        program = by_key(public_api, session, member)
        headers = {"content-type": "application/json; x=x-www-form-urlencoded"}
        sent = json.dumps(body(entry(channel, settings={"a": "deep"})))
        deep = sent.replace('"deep"', "[" * 900 + "]" * 900).encode()
        answer = program.call("POST", "/public/v1/posts", content=deep, headers=headers)
        assert answer.status == 400
        nul = sent.replace("deep", "\\u0000").encode("utf-16")
        answer = program.call("POST", "/public/v1/posts", content=nul, headers=headers)
        assert answer.status == 400
        assert session.scalar(select(func.count()).select_from(Post)) == 0

    @pytest.mark.parametrize("kind", ["multipart/x+json", "multipart/form-data; x=json", "a/json"])
    def test_a_deep_body_of_an_odd_type_is_refused(self, session: Session, kind: str) -> None:
        """50,000 levels were an error without any credentials."""
        content = b"[" * 50_000 + b"]" * 50_000
        for path in ("/auth/login", "/auth/register", "/auth/forgot"):
            answer = Gateway(auth).call(
                "POST", path, content=content, headers={"content-type": kind}
            )
            assert (answer.status, answer.json["code"]) == (400, "unreadable"), path


class TestText:
    def test_channel_settings_with_half_of_a_pair_are_refused(
        self, session: Session, member: Member, channel: Channel
    ) -> None:
        path = f"/integrations/{channel.id}/settings"
        answer = as_member(integrations, session, member).post(
            path, {"additionalSettings": "a\ud800"}
        )
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "additionalSettings")
