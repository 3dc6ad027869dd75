"""The tools over the protocol: the official client lists and calls each, and what is no message is refused as one."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import boto3
import httpx2
import pytest
import respx
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from sqlalchemy import select
from sqlalchemy.orm import Session

from functions.apps.app import app as apps
from functions.mcp.app import app
from shared.apps.models import OAuthApp, OAuthGrant
from shared.channels.models import Channel
from shared.core.crypto import hash_secret
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization, Role
from shared.posts.lifecycle import PostState
from shared.posts.models import CreationMethod, Post
from shared.public_api import tools
from shared.web.mcp import METADATA_PATH
from tests.builders import a_channel, a_customer, a_member, a_post, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, by_key
from tests.loop import use_loop
from tests.shared.media.files import a_picture

pytestmark = pytest.mark.usefixtures("queues")

T = TypeVar("T")
MEDIA = "https://media.example"
NAMES = [
    "integrationList",
    "groupList",
    "integrationSchema",
    "triggerTool",
    "integrationSchedulePostTool",
    "postsListTool",
    "postSettingsTool",
    "uploadFromUrlTool",
]
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture
def program(session: Session, queues: None, member: Member, configure: Configure) -> Gateway:
    """Call the function with a key of the organization."""
    configure(MEDIA_PUBLIC_URL=MEDIA)
    return by_key(app, session, member)


@pytest.fixture
def elsewhere(configure: Configure) -> Iterator[respx.MockRouter]:
    """Answer for other people's servers."""
    boto3.client("s3").create_bucket(Bucket="media")
    queue = boto3.client("sqs").create_queue(QueueName="variants")["QueueUrl"]
    configure(MEDIA_BUCKET="media", MEDIA_PUBLIC_URL=MEDIA, VARIANTS_QUEUE_URL=queue)
    with respx.mock(assert_all_called=False) as router:
        router.get("https://pictures.example.com/beach.png").respond(content=a_picture(".png"))
        router.get("https://pictures.example.com/gone.png").respond(404)
        yield router


def talk(
    gateway: Gateway,
    work: Callable[[Client], Awaitable[T]],
    *,
    mode: str = "auto",
    path: str = "/mcp",
) -> T:
    """Let the official client talk to the function, as a program with the caller's headers."""

    async def run() -> T:
        transport = httpx2.ASGITransport(app=app)
        headers = dict(gateway.headers)
        async with httpx2.AsyncClient(transport=transport, headers=headers) as http:
            server = streamable_http_client(f"http://127.0.0.1:3000{path}", http_client=http)
            async with Client(server, mode=mode) as client:
                return await work(client)

    use_loop()
    return asyncio.get_event_loop().run_until_complete(run())


def call(gateway: Gateway, tool: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
    return talk(gateway, lambda client: client.call_tool(tool, arguments or {}))


def output(gateway: Gateway, tool: str, arguments: dict[str, Any] | None = None) -> Any:
    """Return the data of a call; the client has held it against the tool's schema."""
    result = call(gateway, tool, arguments)
    assert not result.is_error, result.content
    told = result.content[0]
    assert told.type == "text"
    assert json.loads(told.text) == result.structured_content
    return result.structured_content


def failure(result: CallToolResult) -> str:
    assert result.is_error
    told = result.content[0]
    assert told.type == "text"
    return told.text


def soon() -> str:
    return (datetime.now(UTC) + timedelta(minutes=5)).isoformat()


def entry(channel: Channel, *contents: str, **more: Any) -> dict[str, Any]:
    parts = [{"content": content, "attachments": []} for content in contents or ("<p>Hello</p>",)]
    return {
        "integrationId": str(channel.id), "isPremium": False, "date": soon(), "shortLink": False, "type": "schedule",
        "postsAndComments": parts, "settings": [], **more,
    }  # fmt: skip


def schedule(gateway: Gateway, *entries: dict[str, Any]) -> Any:
    return output(gateway, "integrationSchedulePostTool", {"socialPost": list(entries)})["output"]


def posts(session: Session) -> list[Post]:
    session.expire_all()
    return list(session.scalars(select(Post).order_by(Post.publish_at, Post.position)))


class TestProtocol:
    @pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
    def test_the_official_client_lists_every_tool(self, program: Gateway, mode: str) -> None:
        listed = talk(program, lambda client: client.list_tools(), mode=mode)
        assert [tool.name for tool in listed.tools] == NAMES
        for tool in listed.tools:
            assert tool.description
            assert tool.input_schema["type"] == "object"
            assert tool.output_schema
            assert tool.output_schema["type"] == "object"

    def test_the_key_may_be_in_the_address(self, program: Gateway) -> None:
        bare = Gateway(app)
        path = f"/mcp/{program.headers['authorization']}"
        listed = talk(bare, lambda client: client.list_tools(), path=path)
        assert len(listed.tools) == len(NAMES)

    def test_a_bearer_will_do(self, program: Gateway) -> None:
        bearer = Gateway(app, {"authorization": f"Bearer {program.headers['authorization']}"})
        assert bearer.post("/mcp", LIST).status == 200

    def test_an_unknown_key_in_the_address(self, session: Session) -> None:
        answer = Gateway(app).post("/mcp/nobody", LIST)
        assert (answer.status, answer.text) == (400, "Invalid API Key")

    @pytest.mark.parametrize("authorization", [None, "nobody", "Bearer pos_nobody"])
    def test_without_a_valid_key_it_says_where_to_get_a_token(
        self, session: Session, authorization: str | None, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        headers = {"authorization": authorization} if authorization else {}
        answer = Gateway(app, headers).post("/mcp", LIST)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            f'Bearer resource_metadata="https://roost.example{METADATA_PATH}"'
        )
        assert answer.json["error"]["message"]

    def test_the_document_says_how(self, session: Session, configure: Configure) -> None:
        configure(PUBLIC_URL="https://roost.example")
        told = Gateway(apps).get(METADATA_PATH).json
        assert told["resource"] == "https://roost.example/mcp"
        assert told["authorization_servers"]

    @pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
    def test_there_are_neither_streams_nor_sessions(self, program: Gateway, method: str) -> None:
        answer = program.call(method, "/mcp", headers={"accept": "text/event-stream"})
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"

    @pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/json"])
    def test_the_answer_is_json_whatever_is_accepted(self, program: Gateway, accept: str) -> None:
        answer = program.post("/mcp", LIST, headers={"accept": accept})
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-ratelimit-limit"] == "300"
        assert "mcp-session-id" not in answer.headers

    def test_a_notification_is_taken(self, program: Gateway) -> None:
        answer = program.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (answer.status, answer.text) == (202, "")

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", -32700),
            ("{", -32700),
            ("[" * 100_000, -32700),
            ('{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"a": 1e999}}', None),
            ("[]", -32600),
            ("7", -32600),
            ("{}", -32600),
            ('{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}', -32600),
            ('{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}', -32600),
            ('{"jsonrpc": "2.0", "id": 1, "method": 5}', -32600),
            ('{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []}', -32600),
            ('{"jsonrpc": "2.0", "id": 1, "method": "nothing/at_all"}', -32601),
            ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', -32602),
            ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}', -32602),
            ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "\\u0000"}}', -32600),
            (" " * 2_200_000, -32600),
        ],
    )  # fmt: skip
    def test_what_is_no_message_is_an_error_of_the_protocol(
        self, program: Gateway, text: str, code: int | None
    ) -> None:
        answer = program.post("/mcp", text=text)
        assert answer.status < 500
        assert answer.json["jsonrpc"] == "2.0"
        if code is not None:
            assert answer.json["error"]["code"] == code
        assert "pydantic" not in answer.text

    def test_a_version_that_nobody_knows_is_refused(self, program: Gateway) -> None:
        answer = program.post("/mcp", LIST, headers={"mcp-protocol-version": "1999-01-01"})
        assert answer.status == 400
        assert answer.json["error"]

    def test_a_page_of_another_site_is_refused(
        self, program: Gateway, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example", CORS_ORIGINS="https://app.example")
        for origin, status in {
            "https://evil.example": 403,
            "null": 403,
            "https://roost.example": 200,
            "https://app.example": 200,
        }.items():
            answer = program.post("/mcp", LIST, headers={"origin": origin})
            assert (origin, answer.status) == (origin, status)

    def test_who_calls_too_often_is_told_when_to_come_back(
        self, program: Gateway, configure: Configure
    ) -> None:
        configure(RATE_LIMITS=json.dumps({"mcp": 1}))
        program.post("/mcp", LIST)
        answer = program.post("/mcp", LIST)
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json["error"]["code"] == -32600

    def test_nothing_runs_on_after_the_answer(self, program: Gateway) -> None:
        program.post("/mcp", LIST)
        program.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert not asyncio.all_tasks(asyncio.get_event_loop())

    def test_a_key_in_the_address_is_not_written_down(
        self, program: Gateway, monkeypatch: pytest.MonkeyPatch, log_lines: io.StringIO
    ) -> None:
        def broken(*_given: Any, **_named: Any) -> Any:
            raise RuntimeError("broken")

        monkeypatch.setattr("shared.web.mcp.StreamableHTTPSessionManager", broken)
        key = program.headers["authorization"]
        answer = Gateway(app).post(f"/mcp/{key}", LIST)
        assert answer.status == 500
        assert answer.json["error"]["code"] == -32603
        assert "/mcp/[redacted]" in log_lines.getvalue()
        assert key not in log_lines.getvalue()

    def test_what_nobody_expected_is_told_without_details(
        self, program: Gateway, monkeypatch: pytest.MonkeyPatch, log_lines: io.StringIO
    ) -> None:
        def broken(*_given: Any, **_named: Any) -> Any:
            raise RuntimeError("the secret of the house")

        monkeypatch.setattr(tools, "read_only", broken)
        told = failure(call(program, "integrationList"))
        assert "Incident: " in told
        assert "secret" not in told
        assert "the secret of the house" in log_lines.getvalue()


class TestLists:
    def test_channels(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        theirs = a_channel(
            session, organization, provider="bluesky", customer_id=customer.id, disabled=True,
            picture_url="https://pictures.example.com/ada.png",
        )  # fmt: skip
        a_channel(session, an_organization(session))
        first, second = output(program, "integrationList")["output"]
        assert first == {
            "id": str(channel.id), "name": "Ada", "picture": None, "platform": "mastodon", "disabled": False,
            "display": "ada", "type": "social",
        }  # fmt: skip
        assert second == {
            "id": str(theirs.id), "name": "Ada", "picture": "https://pictures.example.com/ada.png",
            "platform": "bluesky", "disabled": True, "display": "ada", "type": "social",
            "customer": {"id": str(customer.id), "name": customer.name},
        }  # fmt: skip
        of_customer = output(program, "integrationList", {"group": str(customer.id)})["output"]
        assert [one["id"] for one in of_customer] == [str(theirs.id)]
        assert output(program, "integrationList", {"group": "nobody"}) == {"output": []}

    def test_groups(self, session: Session, organization: Organization, program: Gateway) -> None:
        customer = a_customer(session, organization)
        a_customer(session, an_organization(session))
        assert output(program, "groupList") == {
            "output": [{"id": str(customer.id), "name": customer.name}]
        }

    def test_posts(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, settings={"visibility": "public"})
        a_post(session, a_channel(session, an_organization(session)))
        now = datetime.now(UTC)
        wanted = {"startDate": now.isoformat(), "endDate": (now + timedelta(days=1)).isoformat()}
        (listed,) = output(program, "postsListTool", wanted)["output"]["posts"]
        assert json.loads(listed.pop("settings")) == {"visibility": "public", "__type": "mastodon"}
        assert listed.pop("publishDate").endswith("Z")
        assert listed == {
            "id": str(post.id), "state": "QUEUE", "content": "<p>Hello</p>", "group": str(post.group_id),
            "integrationId": str(channel.id), "platform": "mastodon", "integrationName": "Ada",
        }  # fmt: skip
        nobodys = {**wanted, "customer": str(new_id())}
        assert output(program, "postsListTool", nobodys) == {"output": {"posts": []}}

    def test_too_many_posts_for_one_answer(
        self, channel: Channel, session: Session, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_post(session, channel)
        monkeypatch.setattr(tools, "MAX_LIST_CHARACTERS", 100)
        now = datetime.now(UTC)
        wanted = {"startDate": now.isoformat(), "endDate": (now + timedelta(days=1)).isoformat()}
        assert "Request a shorter one" in failure(call(program, "postsListTool", wanted))

    def test_the_arguments_that_are_refused_are_named(self, program: Gateway) -> None:
        told = failure(call(program, "postsListTool", {"startDate": "soon"}))
        assert told.startswith("startDate: This is not a time. ")
        assert "endDate: " in told

    def test_a_list_costs_the_caller_and_one_statement(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        asked = {"name": "integrationList", "arguments": {}}
        with count_statements() as counted:
            answer = program.post("/mcp", {**LIST, "method": "tools/call", "params": asked})
        assert answer.json["result"]["structuredContent"]["output"]
        assert counted.statements == 2


class TestPlatforms:
    def test_what_a_platform_takes(self, program: Gateway) -> None:
        told = output(program, "integrationSchema", {"platform": "x", "isPremium": False})["output"]
        assert told["maxLength"] == 280
        assert told["settings"]["properties"]["who_can_reply_post"]
        assert told["rules"]
        premium = output(program, "integrationSchema", {"platform": "x", "isPremium": True})
        assert premium["output"]["maxLength"] == 4_000

    def test_a_platform_that_is_not_here(self, program: Gateway) -> None:
        """Finding 5.6: a length of 0 without an error is not the truth about a platform that is not here."""
        told = failure(call(program, "integrationSchema", {"platform": "myspace"}))
        assert told == (
            "The platform 'myspace' is not available here. Use one that integrationList returns."
        )

    def test_a_tool_of_the_platform(
        self, session: Session, organization: Organization, program: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        channel = a_channel(session, organization, provider="linkedin-page")
        asked = []

        def answered(*given: Any) -> Any:
            asked.append(given)
            return {"found": "urn:li:organization:1"}

        monkeypatch.setattr("shared.public_api.channels.ask", answered)
        told = output(
            program,
            "triggerTool",
            {
                "integrationId": str(channel.id),
                "methodName": "company",
                "dataSchema": [{"key": "url", "value": "https://www.linkedin.com/company/engines"}],
            },
        )
        assert told == {"output": {"found": "urn:li:organization:1"}}
        assert [given[1] for given in asked] == [channel.id]

    @pytest.mark.parametrize("theirs", [True, False])
    def test_a_tool_or_channel_that_is_not_there(
        self, session: Session, channel: Channel, program: Gateway, theirs: bool
    ) -> None:
        if theirs:
            channel = a_channel(session, an_organization(session))
        wanted = {"integrationId": str(channel.id), "methodName": "company", "dataSchema": []}
        told = failure(call(program, "triggerTool", wanted))
        assert told == (
            ("This channel does not exist. It may be deleted, or belong to another organization.")
            if theirs
            else "Tool not found"
        )


class TestSchedule:
    def test_a_thread_and_a_draft(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        other = a_channel(session, organization, provider="bluesky")
        due = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
        later = due.astimezone(timezone(timedelta(hours=2))).isoformat()
        created = schedule(
            program,
            entry(
                channel, "<p>One</p>", "<p>Two</p>", date=later,
                settings=[{"key": "visibility", "value": "unlisted"}],
            ),
            entry(other, "<p>Draft</p>", type="draft", isPremium=True, date="2030-01-15T10:30:00"),
        )  # fmt: skip
        first, second, draft = posts(session)
        assert created == [
            {"postId": str(first.id), "integration": str(channel.id)},
            {"postId": str(draft.id), "integration": str(other.id)},
        ]
        assert (first.state, first.content) == (PostState.QUEUED, "<p>One</p>")
        assert first.settings["visibility"] == "unlisted"
        assert first.publish_at == due
        assert (second.root_id, second.content) == (first.id, "<p>Two</p>")
        assert draft.state is PostState.DRAFT
        assert draft.publish_at == datetime(2030, 1, 15, 10, 30, tzinfo=UTC)
        assert draft.group_id != first.group_id
        assert {post.creation_method for post in (first, second, draft)} == {CreationMethod.MCP}

    def test_now_goes_out_at_once(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        schedule(program, entry(channel, type="now", date="2020-01-01T00:00:00Z"))
        (post,) = posts(session)
        assert post.state is PostState.QUEUED
        assert post.due_at is not None
        assert post.due_at <= datetime.now(UTC) + timedelta(seconds=1)

    def test_it_costs_what_composing_does(self, channel: Channel, program: Gateway) -> None:
        asked = {"name": "schedulePostTool", "arguments": {"socialPost": [entry(channel)]}}
        with count_statements() as counted:
            answer = program.post("/mcp", {**LIST, "method": "tools/call", "params": asked})
        assert answer.json["result"]["structuredContent"]["output"][0]["postId"]
        assert counted.statements <= 8

    def test_its_id_is_a_name_too(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        told = output(program, "schedulePostTool", {"socialPost": [entry(channel)]})
        assert told["output"][0]["postId"] == str(posts(session)[0].id)

    def test_attachments_are_taken_into_the_library(
        self, session: Session, channel: Channel, program: Gateway, elsewhere: respx.MockRouter
    ) -> None:
        wanted = entry(channel)
        wanted["postsAndComments"][0]["attachments"] = ["https://pictures.example.com/beach.png"]
        created = schedule(program, wanted)
        assert created[0]["postId"]
        (post,) = posts(session)
        assert len(post.media) == 1

    def test_an_attachment_that_cannot_be_fetched(
        self, session: Session, channel: Channel, program: Gateway, elsewhere: respx.MockRouter
    ) -> None:
        wanted = entry(channel)
        wanted["postsAndComments"][0]["attachments"] = ["https://pictures.example.com/gone.png"]
        told = schedule(program, entry(channel), wanted)
        where = "socialPost.1.postsAndComments.0.attachments.0"
        assert told["errors"].startswith(f"{where}: Failed to fetch URL")
        assert posts(session) == []

    def test_an_attachment_that_is_no_file(self, channel: Channel, program: Gateway) -> None:
        wanted = entry(channel)
        wanted["postsAndComments"][0]["attachments"] = ["https://pictures.example.com/page"]
        told = schedule(program, wanted)["errors"]
        assert told.startswith("socialPost.0.postsAndComments.0.attachments.0: ")

    def test_all_is_stored_or_nothing(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        told = schedule(program, entry(channel), entry(channel, "x" * 100_000))
        assert told["errors"].startswith("Ada (mastodon): ")
        assert posts(session) == []

    def test_an_empty_draft(self, session: Session, channel: Channel, program: Gateway) -> None:
        told = schedule(program, entry(channel, "<p> </p>", type="draft"))
        assert told["errors"].startswith("Ada (mastodon): ")
        assert posts(session) == []

    @pytest.mark.parametrize("named", ["theirs", "nobody's", "no id"])
    def test_a_channel_that_is_not_there(
        self, session: Session, channel: Channel, program: Gateway, named: str
    ) -> None:
        theirs = a_channel(session, an_organization(session))
        ids = {"theirs": str(theirs.id), "nobody's": str(new_id()), "no id": "first"}
        wanted = entry(channel, integrationId=ids[named])
        told = schedule(program, entry(channel), wanted)["errors"]
        assert told.startswith("socialPost.1.integrationId: ")
        assert posts(session) == []

    def test_the_arguments_that_are_refused_are_named(
        self, channel: Channel, program: Gateway
    ) -> None:
        told = schedule(program, entry(channel, type="later", date="soon", postsAndComments=[]))
        for field in ("date", "type", "postsAndComments"):
            assert f"socialPost.0.{field}: " in told["errors"]

    def test_a_key_that_only_reads_does_not_write(
        self, session: Session, member: Member, channel: Channel, program: Gateway
    ) -> None:
        reader = by_key(app, session, member, scopes=["read"])
        assert len(output(reader, "integrationList")["output"]) == 1
        assert schedule(reader, entry(channel)) == {
            "errors": ("This API key is read-only. Use a key with the `write` scope.")
        }
        assert output(reader, "uploadFromUrlTool", {"url": "https://a.example/a.png"}) == {
            "error": "This API key is read-only. Use a key with the `write` scope."
        }
        assert posts(session) == []

    def test_a_consent_of_a_viewer_does_not_write(
        self, session: Session, organization: Organization, channel: Channel, queues: None
    ) -> None:
        viewer = a_member(session, organization, a_user(session), role=Role.VIEWER)
        gateway = by_grant(session, viewer)
        assert len(output(gateway, "integrationList")["output"]) == 1
        told = schedule(gateway, entry(channel))
        assert told == {
            "errors": (
                "This requires the role member or higher. Ask an admin of your organization."
            )
        }
        assert posts(session) == []


class TestSettings:
    def test_they_are_put_over_those_there_are(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, settings={"visibility": "public"})
        wanted = {"id": str(post.id), "settings": [{"key": "visibility", "value": "private"}]}
        told = output(program, "postSettingsTool", wanted)["output"]
        assert told["postId"] == str(post.id)
        assert told["publishDate"] == post.publish_at.strftime("%Y-%m-%dT%H:%M:%S")
        session.refresh(post)
        assert post.settings["visibility"] == "private"

    def test_what_the_platform_would_refuse(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel)
        wanted = {"id": str(post.id), "settings": [{"key": "visibility", "value": "hidden"}]}
        assert output(program, "postSettingsTool", wanted)["output"]["errors"]

    @pytest.mark.parametrize("named", ["theirs", "no id"])
    def test_a_post_that_is_not_there(self, session: Session, program: Gateway, named: str) -> None:
        theirs = a_post(session, a_channel(session, an_organization(session)))
        ids = {"theirs": str(theirs.id), "no id": "first"}
        wanted = {"id": ids[named], "settings": [{"key": "visibility", "value": "private"}]}
        assert output(program, "postSettingsTool", wanted)["output"]["errors"]
        session.refresh(theirs)
        assert "visibility" not in theirs.settings


class TestUpload:
    def test_a_file(self, program: Gateway, elsewhere: respx.MockRouter) -> None:
        wanted = {"url": "https://pictures.example.com/beach.png"}
        told = output(program, "uploadFromUrlTool", wanted)
        assert set(told) == {"id", "path"}
        assert told["path"].startswith(f"{MEDIA}/")

    @pytest.mark.parametrize(
        "url", ["https://pictures.example.com/gone.png", "http://169.254.169.254/a.png", "beach"]
    )
    def test_one_that_is_not_taken(
        self, program: Gateway, elsewhere: respx.MockRouter, url: str
    ) -> None:
        told = output(program, "uploadFromUrlTool", {"url": url})
        assert set(told) == {"error"}
        assert told["error"]


def by_grant(session: Session, member: Member) -> Gateway:
    """Return a program that got a token by the member's consent."""
    token = f"pos_{new_id()}"
    program = OAuthApp(
        id=new_id(), organization_id=member.organization_id, client_id=f"pca_{new_id()}", name="Planner",
        redirect_uris=["https://planner.example/"],
    )  # fmt: skip
    session.add(program)
    session.flush()
    session.add(
        OAuthGrant(
            id=new_id(), app_id=program.id, organization_id=member.organization_id, user_id=member.user_id,
            token_hash=hash_secret(token), scopes=["mcp:read", "mcp:write"],
        )
    )  # fmt: skip
    session.flush()
    return Gateway(app, {"authorization": f"Bearer {token}"})
