"""Sends messages to queues. SQS delays a message by at most 900 seconds; longer waits are schedules."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from shared.aws.clients import client
from shared.core import trace
from shared.core.errors import Unavailable
from shared.core.log import with_correlation

MAX_DELAY_SECONDS = 900
_BATCH = 10
_PARALLEL_REQUESTS = 8


class MessagesNotTaken(Unavailable):
    """The queue refused some messages of a batch; `failed` are their indexes."""

    def __init__(self, failed: Sequence[int]) -> None:
        super().__init__(
            "Some messages did not reach the queue. Wait a minute: Roost sends them "
            "again by itself."
        )
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a queue. `tenant` lets SQS serve quiet tenants first while one has a large backlog."""

    body: Mapping[str, Any]
    delay_seconds: int = 0
    tenant: str | None = None

    def as_request(self) -> dict[str, Any]:
        """Return the fields of the SQS request, with the delay within its limits."""
        request: dict[str, Any] = {
            "MessageBody": json.dumps(with_correlation(self.body), separators=(",", ":")),
            "DelaySeconds": min(max(self.delay_seconds, 0), MAX_DELAY_SECONDS),
        }
        if self.tenant:
            request["MessageGroupId"] = self.tenant
        if present := trace.header():
            request["MessageSystemAttributes"] = {
                "AWSTraceHeader": {"DataType": "String", "StringValue": present}
            }
        return request


def send(queue_url: str, messages: Sequence[Message]) -> None:
    """Send messages to a queue, ten per request, with several requests in parallel.

    Raises:
        MessagesNotTaken: some were refused; the others are in the queue.
    """
    starts = range(0, len(messages), _BATCH)
    if len(starts) <= 1:
        failed = _send_batch(queue_url, messages, 0) if messages else []
    else:
        with ThreadPoolExecutor(min(_PARALLEL_REQUESTS, len(starts))) as pool:
            requests = [
                pool.submit(copy_context().run, _send_batch, queue_url, messages, start)
                for start in starts
            ]
        failed = [index for request in requests for index in request.result()]
    if failed:
        raise MessagesNotTaken(failed)


def _send_batch(queue_url: str, messages: Sequence[Message], start: int) -> list[int]:
    """Send the ten messages from `start` on and return the indexes of those that were refused."""
    entries = [
        {"Id": str(index), **messages[index].as_request()}
        for index in range(start, min(start + _BATCH, len(messages)))
    ]
    answer = client("sqs").send_message_batch(QueueUrl=queue_url, Entries=entries)
    return [int(entry["Id"]) for entry in answer.get("Failed", ())]
