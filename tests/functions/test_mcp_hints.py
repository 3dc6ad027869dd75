"""Do the tools do what their hints promise? Each is called twice, and every row of the database compared."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import respx
from mcp_types import ToolAnnotations
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.mcp.app import app
from shared.channels.models import Channel
from shared.db.base import Base
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from shared.public_api.tools import TOOLS
from tests.builders import a_channel, a_customer, a_post
from tests.conftest import Configure
from tests.functions.test_mcp import call, talk
from tests.gateway import Gateway, by_key
from tests.shared.media.files import a_picture

pytestmark = pytest.mark.usefixtures("queues")

PICTURE = "https://pictures.example.com/beach.png"
# What says that somebody called, whatever they called.
OF_THE_CALL = {"rate_limits", "api_keys"}
Rows = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class World:
    """What the calls are about."""

    channel: Channel
    page: Channel
    post: Post


@pytest.fixture
def world(session: Session, organization: Organization, channel: Channel) -> World:
    a_customer(session, organization)
    page = a_channel(session, organization, provider="linkedin-page")
    post = a_post(session, channel, settings={"visibility": "public"})
    return World(channel, page, post)


@pytest.fixture
def program(session: Session, queues: None, member: Member) -> Gateway:
    """Call the function with a key of the organization."""
    return by_key(app, session, member)


@pytest.fixture
def outside(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """List what was asked of servers that are not ours."""
    boto3.client("s3").create_bucket(Bucket="media")
    queue = boto3.client("sqs").create_queue(QueueName="variants")["QueueUrl"]
    configure(
        MEDIA_BUCKET="media", MEDIA_PUBLIC_URL="https://media.example", VARIANTS_QUEUE_URL=queue
    )
    asked: list[str] = []

    def ask(*_given: Any) -> Any:
        asked.append("platform")
        return {"found": True}

    def answer(_request: Any) -> Any:
        asked.append(PICTURE)
        return respx.MockResponse(200, content=a_picture(".png"))

    monkeypatch.setattr("shared.public_api.channels.ask", ask)
    with respx.mock(assert_all_called=False) as router:
        router.get(PICTURE).mock(side_effect=answer)
        yield asked


def _scheduling(world: World) -> dict[str, Any]:
    entry = {
        "integrationId": str(world.channel.id),
        "date": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "type": "schedule",
        "postsAndComments": [{"content": "<p>Hello</p>", "attachments": []}],
    }
    return {"socialPost": [entry]}


def _changing(world: World) -> dict[str, Any]:
    return {"id": str(world.post.id), "settings": [{"key": "visibility", "value": "private"}]}


def _asking(world: World) -> dict[str, Any]:
    data = [{"key": "url", "value": "https://www.linkedin.com/company/engines"}]
    return {"integrationId": str(world.page.id), "methodName": "company", "dataSchema": data}


CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "integrationList": lambda _: {},
    "groupList": lambda _: {},
    "integrationSchema": lambda _: {"platform": "mastodon"},
    "triggerTool": _asking,
    "integrationSchedulePostTool": _scheduling,
    "postsListTool": lambda _: {"startDate": "2020-01-01", "endDate": "2030-01-01"},
    "postSettingsTool": _changing,
    "uploadFromUrlTool": lambda _: {"url": PICTURE},
}


def rows(session: Session) -> Rows:
    """Read every row there is, but for those that say that somebody called."""
    found: Rows = {}
    for table in Base.metadata.sorted_tables:
        if table.name in OF_THE_CALL:
            continue
        key = ", ".join(f"'{column.name}', {column.name}" for column in table.primary_key)
        statement = text(
            f"select cast(jsonb_build_object({key}) as text) as key, cast(to_jsonb(t) as text) as row "
            f"from {table.name} t"
        )
        found |= {(table.name, one.key): one.row for one in session.execute(statement)}
    return found


def hints_of(program: Gateway) -> dict[str, ToolAnnotations]:
    listed = talk(program, lambda client: client.list_tools())
    return {tool.name: tool.annotations for tool in listed.tools if tool.annotations}


def goes_out(before: Rows, after: Rows) -> bool:
    """Return whether something was queued that was not: others will see it, and that cannot be undone."""
    new = [json.loads(row) for key, row in after.items() if key[0] == "posts" and key not in before]
    return any(row["state"] == PostState.QUEUED for row in new)


def test_every_tool_is_called() -> None:
    assert list(CALLS) == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("name", CALLS)
def test_hints_are_true(
    session: Session, world: World, program: Gateway, outside: list[str], name: str
) -> None:
    """Finding 2.17: a client that trusts the hints never overwrites or publishes unasked."""
    hints, arguments = hints_of(program)[name], CALLS[name](world)
    first = rows(session)
    result = call(program, name, arguments)
    assert not result.is_error, result.content
    assert "errors" not in json.dumps(result.structured_content)
    second = rows(session)
    call(program, name, arguments)
    third = rows(session)
    overwrites = any(second.get(key) != row for key, row in first.items())
    publishes = goes_out(first, second)
    assert hints.read_only_hint == (first == second)
    assert hints.destructive_hint == (overwrites or publishes)
    assert hints.idempotent_hint == (second == third)
    assert hints.open_world_hint == (bool(outside) or publishes)


def test_unknown_arguments_are_named(program: Gateway, world: World) -> None:
    """Finding 1.7: a model that misspells an argument reads so, and its picture is not lost in silence."""
    arguments = _scheduling(world)
    arguments["socialPost"][0]["postsAndComments"][0]["attachment"] = [PICTURE]
    result = call(program, "integrationSchedulePostTool", arguments)
    assert not result.is_error
    told = [one.text for one in result.content if one.type == "text"]
    assert told[1:] == [
        "Unknown arguments were ignored: socialPost.0.postsAndComments.0.attachment."
    ]
