"""Does the command line that people already use, unmodified, do all it can against us, and is it then so?"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import RunningSystem
from tests.servers.conftest import statuses_on
from tests.shared.media.files import a_picture

FOLDER = Path(__file__).parent / "cli"
PROGRAM = FOLDER / "node_modules" / "postiz" / "dist" / "index.js"
PATIENCE = timedelta(seconds=40)
pytestmark = [pytest.mark.servers, pytest.mark.enable_socket]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    status: int
    output: str

    @property
    def json(self) -> Any:
        """The JSON that follows the command's own words."""
        start = re.search(r"^[\[{]", self.output, re.MULTILINE)
        assert start, self.output
        return json.JSONDecoder().raw_decode(self.output[start.start() :])[0]


@dataclass(frozen=True, slots=True)
class Cli:
    """The program, at home in a folder of its own."""

    home: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> Said:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout + done.stderr)

    def command(self, *arguments: str) -> list[str]:
        node = shutil.which("node")
        if node is None:
            pytest.fail("Node 20 or later is not installed")
        if not PROGRAM.exists():
            pytest.fail("The program is not installed: npm ci --prefix tests/servers/cli")
        return [node, str(PROGRAM), *arguments]


@pytest.fixture
def cli(system: RunningSystem, tmp_path: Path) -> Cli:
    """The program with the demo organization's key."""
    return _cli(system, tmp_path, POSTIZ_API_KEY=system.details["demo"]["apiKey"])


@pytest.fixture
def api(system: RunningSystem) -> Iterator[httpx.Client]:
    """Our own API, to see what we hold."""
    key = system.details["demo"]["apiKey"]
    with httpx.Client(
        base_url=system.details["url"], headers={"authorization": key}, timeout=30
    ) as client:
        yield client


@pytest.fixture
def channels(cli: Cli) -> list[str]:
    return [channel["id"] for channel in cli("integrations:list").json]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "square.png"
    path.write_bytes(a_picture(".png", width=64, height=64))
    return path


class TestChannels:
    def test_are_listed(self, cli: Cli) -> None:
        listed = cli("integrations:list").json
        assert [channel["identifier"] for channel in listed] == ["mastodon"] * 2
        assert all(channel["name"] and channel["disabled"] is False for channel in listed)

    def test_say_what_they_can_take(self, cli: Cli, channels: list[str]) -> None:
        output = cli("integrations:settings", channels[0]).json["output"]
        assert output["maxLength"] == 500
        assert output["settings"]["properties"]
        assert output["tools"] == []
        assert "500" in output["rules"]

    def test_unknown_tool_is_named(self, cli: Cli, channels: list[str]) -> None:
        said = cli("integrations:trigger", channels[0], "nothing", "-d", '{"a": "b"}')
        assert said.status != 0
        assert "Tool not found" in said.output


class TestPosts:
    def test_thread_goes_out(
        self, cli: Cli, system: RunningSystem, channels: list[str], picture: Path
    ) -> None:
        media = cli("upload", str(picture)).json
        due = datetime.now(UTC) + timedelta(seconds=3)
        made = cli(
            *("posts:create", "-s", due.isoformat(), "-i", channels[0]),
            *("-c", "Sent by a command", "-m", media["path"], "-c", "And this answers it"),
        ).json
        assert [post["integration"] for post in made] == [channels[0]]
        first, second = _wait_until(lambda: _statuses(system, "Sent by a command", 2))
        assert second["text"] == "And this answers it"
        assert second["in_reply_to_id"] == first["id"]
        assert len(first["media"]) == 1
        [post] = _wait_until(lambda: _listed(cli, made[0]["postId"], "PUBLISHED"))
        assert post["releaseURL"] == first["url"]
        assert post["creationMethod"] == "API"  # the program does not say that it is one

    def test_goes_to_several_channels_from_a_file(
        self, cli: Cli, system: RunningSystem, channels: list[str], tmp_path: Path
    ) -> None:
        body = {
            "type": "now",
            "date": datetime.now(UTC).isoformat(),
            "shortLink": False,
            "tags": [],
            "posts": [
                {
                    "integration": {"id": channel},
                    "value": [{"content": "<p>From a file</p>", "image": []}],
                    "settings": {"__type": "mastodon"},
                }
                for channel in channels
            ],
        }
        path = tmp_path / "posts.json"
        path.write_text(json.dumps(body))
        made = cli("posts:create", "--json", str(path)).json
        assert [post["integration"] for post in made] == channels
        statuses = _wait_until(lambda: _statuses(system, "From a file", 2))
        assert len({status["account"] for status in statuses}) == 2

    def test_draft_is_listed_and_deleted(
        self, cli: Cli, api: httpx.Client, channels: list[str]
    ) -> None:
        at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        [made] = cli("posts:create", "-t", "draft", "-s", at, "-i", channels[0], "-c", "Later").json
        [post] = _listed(cli, made["postId"], "DRAFT")
        assert post["content"] == "Later"
        assert post["integration"]["id"] == channels[0]
        assert api.get(f"/posts/{made['postId']}").json()["state"] == "DRAFT"
        assert cli("posts:delete", made["postId"]).status == 0
        assert _listed(cli, made["postId"], "DRAFT") == []
        assert api.get(f"/posts/{made['postId']}").status_code == 404

    def test_has_no_missing_release(self, cli: Cli, channels: list[str]) -> None:
        at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        [made] = cli("posts:create", "-t", "draft", "-s", at, "-i", channels[0], "-c", "Later").json
        assert cli("posts:missing", made["postId"]).json == []
        said = cli("posts:connect", made["postId"], "--release-id", "1")
        assert said.status != 0
        assert "API Error (400)" in said.output

    def test_too_long_is_refused_with_the_reason(self, cli: Cli, channels: list[str]) -> None:
        at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        said = cli("posts:create", "-s", at, "-i", channels[0], "-c", "long " * 200)
        assert said.status != 0
        assert "API Error (400)" in said.output
        assert "500" in said.output


class TestAnalytics:
    def test_are_empty_where_a_platform_has_none(self, cli: Cli, channels: list[str]) -> None:
        assert cli("analytics:platform", channels[0], "-d", "30").json == []
        at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        [made] = cli("posts:create", "-t", "draft", "-s", at, "-i", channels[0], "-c", "Later").json
        assert cli("analytics:post", made["postId"]).json == []


class TestUpload:
    def test_what_it_sends_is_in_the_library(
        self, cli: Cli, api: httpx.Client, picture: Path
    ) -> None:
        media = cli("upload", str(picture)).json
        assert media["path"].endswith(".png")
        assert httpx.get(media["path"], timeout=10).content == picture.read_bytes()
        assert api.get(f"/media/{media['id']}").status_code == 200

    def test_type_that_nobody_shows_is_refused(self, cli: Cli, tmp_path: Path) -> None:
        drawing = tmp_path / "drawing.svg"
        drawing.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        said = cli("upload", str(drawing))
        assert said.status != 0
        assert "Unsupported file type." in said.output


class TestAuthentication:
    def test_key_is_verified(self, cli: Cli) -> None:
        assert "2 integration(s) connected" in cli("auth:status").output

    def test_wrong_key_is_told(self, system: RunningSystem, tmp_path: Path) -> None:
        stranger = _cli(system, tmp_path, POSTIZ_API_KEY="roost_nobody")
        assert "expired or invalid" in stranger("auth:status").output
        assert "Invalid API key" in stranger("integrations:list").output

    def test_device_is_let_in_by_a_member(self, system: RunningSystem, tmp_path: Path) -> None:
        cli = _cli(system, tmp_path, POSTIZ_AUTH_SERVER=system.details["url"])
        with subprocess.Popen(
            cli.command("auth:login"), env=cli.environment, stdout=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stdout is not None
            code = next(
                found[0]
                for line in waiting.stdout
                if (found := re.search(r"[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}", line))
            )
            _approve(system, code)
            rest, _ = waiting.communicate(timeout=30)
        assert "Successfully authenticated" in rest
        assert "2 integration(s) connected" in cli("auth:status").output
        assert len(cli("integrations:list").json) == 2
        assert "removed" in cli("auth:logout").output
        assert "No authentication found" in cli("integrations:list").output


def _cli(system: RunningSystem, home: Path, **settings: str) -> Cli:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "POSTIZ_API_URL": system.details["url"],
        **settings,
    }
    return Cli(home, environment)


def _approve(system: RunningSystem, code: str) -> None:
    """Let the device in, as the member does who is logged in in a browser."""
    demo = system.details["demo"]
    on_our_page = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=system.details["url"], timeout=30, headers=on_our_page) as browser:
        who = {"provider": "LOCAL", "email": demo["email"], "password": demo["password"]}
        browser.post("/auth/login", json=who).raise_for_status()
        browser.post("/device/approve", json={"code": code, "approve": True}).raise_for_status()


def _statuses(system: RunningSystem, text: str, count: int) -> list[dict[str, Any]]:
    """Return the statuses of the network from the oldest with `text` on, if there are `count`."""
    shown = statuses_on(system)
    begins = [number for number, status in enumerate(shown) if status["text"] == text]
    found = shown[begins[0] :] if begins else []
    return found if len(found) == count else []


def _listed(cli: Cli, post_id: str, state: str) -> list[dict[str, Any]]:
    posts = cli("posts:list").json["posts"]
    return [post for post in posts if post["id"] == post_id and post["state"] == state]


def _wait_until(look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Look again and again until there is something."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.5)
    return found
