"""Does the official client of the Model Context Protocol find its way on the running system, by a real connection?"""

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.running import RunningSystem

PATIENCE = timedelta(seconds=40)
pytestmark = [pytest.mark.servers, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    # As root the database runs as a user who cannot pass through pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="roost-mcp-", ignore_cleanup_errors=True) as home:
        running = RunningSystem(Path(home))
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.end(signal.SIGINT)


def test_a_thread_goes_out_that_a_tool_scheduled(system: RunningSystem) -> None:
    asyncio.run(_schedule(system))
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while len(found := _statuses(system, "Sent by a tool")) < 2:
        assert time.monotonic() < deadline, system.said()
        time.sleep(0.2)
    first, second = found
    assert second["text"] == "And this answers it, sent by a tool"
    assert second["in_reply_to_id"] == first["id"]


async def _schedule(system: RunningSystem) -> None:
    headers = {"authorization": f"Bearer {system.facts['demo']['apiKey']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        server = streamable_http_client(f"{system.facts['url']}/mcp", http_client=http)
        async with Client(server) as client:
            channels = await client.call_tool("integrationList", {})
            channel = channels.structured_content["output"][0]
            wanted = {
                "integrationId": channel["id"],
                "isPremium": False,
                "date": datetime.now(UTC).isoformat(),
                "shortLink": False,
                "type": "now",
                "postsAndComments": [
                    {"content": "<p>Sent by a tool</p>", "attachments": []},
                    {"content": "<p>And this answers it, sent by a tool</p>", "attachments": []},
                ],
                "settings": [{"key": "visibility", "value": "public"}],
            }
            done = await client.call_tool("integrationSchedulePostTool", {"socialPost": [wanted]})
            assert done.structured_content["output"][0]["integration"] == channel["id"]


def _statuses(system: RunningSystem, text: str) -> list[dict[str, Any]]:
    """Return the statuses of the network that say it, the oldest first."""
    shown = httpx.get(f"{system.facts['sandboxUrl']}/_statuses", timeout=10).json()["statuses"]
    shown.sort(key=lambda status: status["created_at"])
    return [status for status in shown if text.lower() in status["text"].lower()]
