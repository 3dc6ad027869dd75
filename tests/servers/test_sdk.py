"""Does the SDK that people already use, unmodified, do all it can against us?"""

import base64
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import RunningSystem
from tests.shared.media.files import a_picture

FOLDER = Path(__file__).parent / "sdk"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "@postiz" / "node").exists(),
        reason="the npm registry in use does not have @postiz/node; make test has its requests, recorded",
    ),
]


def call(system: RunningSystem, method: str, *arguments: Any) -> Any:
    """Call a method of the SDK in a process of its own; bytes are sent as they are."""
    node = shutil.which("node")
    assert node, "Node 20 or later is not installed"
    done = subprocess.run(
        [node, "call.mjs", method, json.dumps(arguments)],
        cwd=FOLDER,
        env={
            "PATH": os.environ["PATH"],
            "SDK_KEY": system.details["demo"]["apiKey"],
            "SDK_BASE": system.details["url"],
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_method(system: RunningSystem) -> None:
    channels = call(system, "integrations")
    assert [channel["identifier"] for channel in channels] == ["mastodon"] * 2

    picture = a_picture(".png", width=64, height=64)
    media = call(system, "upload", {"base64": base64.b64encode(picture).decode()}, "png")
    assert httpx.get(media["path"], timeout=10).content == picture

    later = datetime.now(UTC) + timedelta(days=3)
    part = {"content": "By the SDK", "image": [{"id": media["id"], "path": media["path"]}]}
    entry = {"integration": {"id": channels[0]["id"]}, "value": [part]}
    body = {
        "type": "schedule",
        "date": later.isoformat(),
        "shortLink": False,
        "tags": [],
        "posts": [entry],
    }
    [made] = call(system, "post", body)

    span = [later - timedelta(days=1), later + timedelta(days=1)]
    wanted = {"startDate": span[0].isoformat(), "endDate": span[1].isoformat()}
    listed = call(system, "postList", wanted)["posts"]
    assert [(post["id"], post["state"]) for post in listed] == [(made["postId"], "QUEUE")]

    assert call(system, "deletePost", made["postId"]) == {"id": made["postId"]}
    assert call(system, "postList", wanted)["posts"] == []
