"""Answers as they leave the functions: packed, and not sent again to who has them."""

import asyncio
import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.channels.app import app as integrations
from functions.organizations.app import app as organizations
from functions.posts.app import app as posts
from functions.posts.app import handler
from functions.public_api.app import app as public_api
from shared.core.log import names_a_secret
from shared.organizations.models import Member
from shared.web import packing
from shared.web.edge import Edge
from shared.web.paths import Paths
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.gateway import as_member, by_key

START = datetime(2031, 3, 1, tzinfo=UTC)
RANGE = {"startDate": "2031-03-01", "endDate": "2031-03-31"}
PLAIN = {"accept-encoding": "identity"}


@pytest.fixture
def member(session: Session, aws: None) -> Member:
    organization = an_organization(session)
    channel = a_channel(session, organization, name="Ada")
    for number in range(5):
        a_post(session, channel, publish_at=START + timedelta(days=number), content="Hello " * 50)
    return a_member(session, organization)


class TestPacked:
    def test_gateway_gets_base64(self, session: Session, member: Member) -> None:
        """Everything between the function and the client takes it: Mangum, API Gateway, the local runtime."""
        headers = as_member(posts, session, member).headers
        event: dict[str, Any] = json.loads(Path("events/http_api_request.json").read_text())
        event |= {"rawPath": "/posts", "rawQueryString": "startDate=2031-03-01&endDate=2031-03-31"}
        event["headers"] |= headers
        event["requestContext"]["http"]["path"] = "/posts"
        answer = handler(event, None)
        assert answer["isBase64Encoded"] is True
        body = base64.b64decode(answer["body"])
        assert answer["headers"]["content-length"] == str(len(body))
        assert len(json.loads(gzip.decompress(body))["posts"]) == 5

    def test_both_forms_say_the_same(self, session: Session, member: Member) -> None:
        gateway = as_member(posts, session, member)
        packed = gateway.get("/posts", query=RANGE)
        plain = gateway.get("/posts", query=RANGE, headers=PLAIN)
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.text == plain.text
        assert packed.headers["etag"] == plain.headers["etag"]

    def test_existing_clients_get_what_they_ask_for(self, session: Session, member: Member) -> None:
        program = by_key(public_api, session, member)
        plain = program.get("/public/v1/posts", query=RANGE, headers={"accept-encoding": ""})
        assert "content-encoding" not in plain.headers
        assert program.get("/public/v1/posts", query=RANGE).json == plain.json

    def test_answer_to_head_is_that_to_get_without_its_body(
        self, session: Session, member: Member
    ) -> None:
        gateway = as_member(posts, session, member)
        read, head = (gateway.call(method, "/posts", query=RANGE) for method in ("GET", "HEAD"))
        assert not head.text
        for name in ("content-encoding", "content-length", "etag", "vary"):
            assert head.headers[name] == read.headers[name]

    def test_answer_too_large_to_send_is_refused(
        self, session: Session, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packing, "MAX_ANSWER_BYTES", 1_500)
        gateway = as_member(posts, session, member)
        refused = gateway.get("/posts", query=RANGE, headers=PLAIN)
        assert (refused.status, refused.json["code"]) == (422, "answer_too_large")
        assert gateway.get("/posts", query=RANGE).status == HTTPStatus.OK
        program = by_key(public_api, session, member)
        told = program.get("/public/v1/posts", query=RANGE, headers=PLAIN)
        assert (told.status, told.json["statusCode"]) == (400, 400)


def test_answer_made_piece_by_piece_is_left_alone() -> None:
    sent: list[Any] = []

    async def pieces(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"1" * 2000, "more_body": more})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    edge = Edge(pieces, paths=Paths(["/posts"], below_api=False), max_body_bytes=10)
    scope = {"type": "http", "method": "GET", "path": "/posts", "query_string": b"",
             "headers": [(b"accept-encoding", b"gzip")]}  # fmt: skip
    asyncio.run(edge(scope, receive, send))
    start, *bodies = sent
    assert b"content-encoding" not in dict(start["headers"])
    assert b"x-request-id" in dict(start["headers"])
    assert [one["body"] for one in bodies] == [b"1" * 2000] * 3


class TestNotSentAgain:
    @pytest.mark.parametrize(
        ("app", "path", "query"),
        [
            (posts, "/posts", RANGE),
            (posts, "/posts/list", {}),
            (integrations, "/integrations", {}),
            (organizations, "/notifications", {}),
            (organizations, "/notifications/list", {}),
        ],
    )
    def test_who_has_a_list_is_told_so(
        self, session: Session, member: Member, app: Any, path: str, query: dict[str, str]
    ) -> None:
        gateway = as_member(app, session, member)
        gateway.get(path, query=query)  # the first look marks notifications as read
        first = gateway.get(path, query=query)
        again = gateway.get(path, query=query, headers={"if-none-match": first.headers["etag"]})
        assert (again.status, again.text) == (304, "")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == "no-store"
        assert again.headers["x-request-id"]

    @pytest.mark.parametrize(
        "change",
        [
            "update posts set content = 'Bye' where publish_at = '2031-03-02'",
            "update posts set deleted_at = now() where publish_at = '2031-03-02'",
            "update posts set publish_at = '2031-04-02' where publish_at = '2031-03-02'",
            "update channels set name = 'Grace'",
            "update channels set picture_url = 'https://media.example/a.png'",
        ],
    )
    def test_no_change_is_hidden(self, session: Session, member: Member, change: str) -> None:
        """Also one that leaves every time of a change as it was, in a row of another table too."""
        gateway = as_member(posts, session, member)
        first = gateway.get("/posts", query=RANGE)
        session.execute(text(change))
        again = gateway.get("/posts", query=RANGE, headers={"if-none-match": first.headers["etag"]})
        assert again.status == 200
        assert again.text != first.text

    def test_one_post_has_a_revision_instead(self, session: Session, member: Member) -> None:
        gateway = as_member(posts, session, member)
        (post_id, *_) = [post["id"] for post in gateway.get("/posts", query=RANGE).json["posts"]]
        assert "etag" not in gateway.get(f"/posts/{post_id}").headers

    def test_pages_of_other_origins_may_read_the_tag(
        self, session: Session, member: Member
    ) -> None:
        gateway = as_member(posts, session, member)
        answer = gateway.get("/posts", query=RANGE, headers={"origin": "https://console.example"})
        assert "etag" in answer.headers["access-control-expose-headers"]


# Fields of answers to GET whose names look like a secret's, and what they hold.
NO_SECRETS = {
    "hasSecret": "whether there is one",
    "apiKeyId": "an id",
    "password": "whether there is one",
    "authorization_endpoint": "our address",
    "authorization_response_iss_parameter_supported": "true",
    "authorization_servers": "our address",
    "token_endpoint": "our address",
    "token_endpoint_auth_methods_supported": "words of a standard",
    "tokenExpiresAt": "a time",
}


def _fields(schema: Any, document: dict[str, Any], seen: set[str]) -> set[str]:
    """Return the names of all fields below a schema of the document."""
    if isinstance(schema, list):
        return set().union(*(_fields(one, document, seen) for one in schema))
    if not isinstance(schema, dict):
        return set()
    names = set(schema.get("properties", {}))
    reference = schema.get("$ref")
    if reference and reference not in seen:
        seen.add(reference)
        names |= _fields(
            document["components"]["schemas"][reference.rpartition("/")[2]], document, seen
        )
    return names.union(*(_fields(one, document, seen) for one in schema.values()))


def test_no_answer_to_a_read_holds_a_secret() -> None:
    """What is packed must not mix a secret with what others may choose: its length would tell it (BREACH)."""
    document = json.loads(Path("docs/openapi.json").read_text())
    found: dict[str, str] = {}
    for path, methods in document["paths"].items():
        for answer in methods.get("get", {}).get("responses", {}).values():
            for kind in answer.get("content", {}).values():
                names = _fields(kind.get("schema", {}), document, set())
                found |= {name: path for name in names if names_a_secret(name)}
    assert found.keys() == NO_SECRETS.keys(), found
