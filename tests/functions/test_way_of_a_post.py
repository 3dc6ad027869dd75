"""The files that a post goes through, from the request to its release, and the page that lists them."""

import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import boto3
import httpx
import pytest
from sqlalchemy.orm import Session

from functions.posts.app import app
from functions.publish import app as publish
from shared.core.ids import PostId
from tests.builders import a_channel, a_member, an_organization
from tests.conftest import Configure
from tests.functions.test_publish import Context, event
from tests.gateway import Gateway, as_member
from tests.shared.publishing.conftest import world as world_of_publishing
from tests.shared.publishing.world import World

ROOT = Path(__file__).parents[2]
OURS = (f"{ROOT}/shared/", f"{ROOT}/functions/")
STATEMENTS = {
    "shared/posts/queries.py",
    "shared/publishing/claim_queries.py",
    "shared/publishing/record_queries.py",
}
world = world_of_publishing


@contextmanager
def files_run(begin: str) -> Iterator[set[str]]:
    """Collect the files of ours whose functions run, from the first call of the one named `begin` on."""
    seen: set[str] = set()
    began = False

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal began
        code = frame.f_code
        began = began or code.co_name == begin
        if began and event == "call" and code.co_filename.startswith(OURS):
            seen.add(str(Path(code.co_filename).relative_to(ROOT)))

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture
def x(world: World, aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as X does; every post has an id of its own."""
    ids = itertools.count(10**15)

    def behave(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"data": {"id": str(next(ids))}})

    monkeypatch.setattr(world.platform, "behave", behave)
    configure(PROVIDERS_SECRET_NAME="providers")
    keys = {"X_API_KEY": "key", "X_API_SECRET": "secret"}
    boto3.client("secretsmanager").create_secret(Name="providers", SecretString=json.dumps(keys))


def publish_a_post(world: World, caller: Gateway, channel_id: str) -> None:
    """Compose a post that is due in a second, and hand its message to the function a second later."""
    at = datetime.now(UTC) + timedelta(seconds=1)
    text = f"<p>Hi at {at:%H:%M:%S.%f}</p>"  # a text that was read before is remembered
    entry = {"integration": {"id": channel_id}, "value": [{"content": text, "image": []}]}
    body = {"type": "schedule", "date": at.isoformat(), "tags": [], "posts": [entry]}
    answer = caller.post("/posts", body)
    assert answer.status == 201, answer.text
    [root] = answer.json
    [held] = world.messages
    world.messages.clear()
    world.pass_time(2)
    batch = event("publish_batch")
    record = {**batch["Records"][0], "body": json.dumps(held.body)}
    assert publish.handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    assert world.states(PostId(UUID(root["postId"]))) == ["published"]


@pytest.fixture(scope="module")
def section() -> str:
    return (
        (ROOT / "docs" / "architecture.md")
        .read_text()
        .split("## A post's way")[1]
        .split("\n## ")[0]
    )


def on_the_way(section: str) -> list[str]:
    """List the files that the page has a line for."""
    lines = section.split("```")[1].splitlines()
    return [path(line.split()[0]) for line in lines if line.strip() and "──" not in line]


def passed_through(section: str) -> set[str]:
    """List the files that the page names below, each in its folder's item or with its folder."""
    sentence, *items = section.split("One function each")[1].split("\n- ")
    found = {path(name) for name in re.findall(r"`([a-z]+/\w+\.py)`", sentence)}
    for item in items:
        folder, *names = re.findall(r"`([^`]+)`", item.split("\n\n")[0])
        found |= {path(folder + name) for name in names}
    return found


def path(named: str) -> str:
    return named if named.startswith("functions/") else f"shared/{named}"


def test_the_page_names_the_files_that_a_post_goes_through(
    world: World, x: None, section: str
) -> None:
    """A module of statements has no function that could run; the page names those that `STATEMENTS` lists."""
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        member = a_member(session, organization := an_organization(session))
        details = b'{"tokenSecret": "hidden"}'
        channel = a_channel(session, organization, provider="x", details=details)
        caller = as_member(app, session, member)
    publish_a_post(
        world, caller, str(channel.id)
    )  # what is remembered afterwards does not run again
    with files_run("create_posts") as seen:
        publish_a_post(world, caller, str(channel.id))
    assert seen | STATEMENTS == {*on_the_way(section), *passed_through(section)}


def test_it_is_read_in_thirty_files(section: str) -> None:
    files = on_the_way(section)
    assert len(files) == len(set(files)) <= 30
    assert not passed_through(section) & set(files)


def test_the_shapes_are_where_the_page_says() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = page.split("## The shapes of a part")[1].split("\n## ")[0].splitlines()
    shapes = [row.split(" | ")[:2] for row in rows if row.startswith("| `")]
    assert len(shapes) == 13
    for names, file in shapes:
        source = (ROOT / path(file.strip("`"))).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^class {name}\b", source, re.MULTILINE), (name, file)
