"""Does the official client of the Model Context Protocol find its way on the running system, by a real connection?"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.running import RunningSystem
from tests.servers.conftest import statuses_on

PATIENCE = timedelta(seconds=40)
pytestmark = [pytest.mark.servers, pytest.mark.enable_socket]


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
    headers = {"authorization": f"Bearer {system.details['demo']['apiKey']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        server = streamable_http_client(f"{system.details['url']}/mcp", http_client=http)
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
    return [status for status in statuses_on(system) if text.lower() in status["text"].lower()]
