"""Sends a request to a webhook's address, and keeps the beginning of the answer."""

import functools
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from shared.core.log import log
from shared.core.net import AddressRefused, guarded_client
from shared.providers.http import retry_after
from shared.webhooks.retry import KEPT_CHARACTERS, Answer

LONGEST_REQUEST = timedelta(seconds=10)
MOST_BYTES = 64 * 1024
_BYTES_A_CHARACTER = 4


def as_json(body: Any) -> bytes:
    """Serialize a body."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send a message. Do not call this inside a transaction: it waits for another server."""
    try:
        with client().stream("POST", url, content=body, headers=_USUAL | dict(headers)) as response:
            wait = retry_after(response) if "retry-after" in response.headers else None
            return Answer(response.status_code, _beginning(response), retry_after=wait)
    except httpx.TimeoutException:
        seconds = LONGEST_REQUEST.total_seconds()
        return Answer(error=f"The server did not answer within {seconds:.0f} seconds.")
    except (AddressRefused, httpx.InvalidURL) as error:
        return Answer(error=f"The address cannot be used. {error}")
    except httpx.HTTPError as error:
        return Answer(error=f"The connection failed. {error}")


@functools.cache
def client() -> httpx.Client:
    """Return the process's client. It keeps connections: the next message often goes to the same server."""
    return guarded_client(max_bytes=MOST_BYTES, max_time=LONGEST_REQUEST)


def _beginning(response: httpx.Response) -> str:
    """Read the kept beginning of the answer. An interrupted answer is fine, because its status decides."""
    read = b""
    try:
        for chunk in response.iter_raw():
            read += chunk
            if len(read) >= KEPT_CHARACTERS * _BYTES_A_CHARACTER:
                break
    except httpx.HTTPError:
        log.info("webhook.answer_cut_off")
    return read.decode(errors="replace")


_USUAL = {"content-type": "application/json", "user-agent": "Roost-Webhooks/1"}
