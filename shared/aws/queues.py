"""How messages get on a queue. SQS holds a message back for at most 900 seconds; longer waits are schedules."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.aws.clients import client
from shared.core.errors import Unavailable
from shared.core.log import with_correlation

MAX_DELAY_SECONDS = 900
_BATCH = 10


class MessagesNotTaken(Unavailable):
    """The queue refused some messages of a batch; `failed` are their indexes."""

    def __init__(self, failed: Sequence[int]) -> None:
        super().__init__("The queue did not take every message; they will be sent again.")
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Message:
    """What to put on a queue. `tenant` lets SQS serve quiet tenants first while one has a large backlog."""

    body: Mapping[str, Any]
    delay_seconds: int = 0
    tenant: str | None = None

    def as_request(self) -> dict[str, Any]:
        """Return the fields SQS wants, with the delay within its bounds."""
        request: dict[str, Any] = {
            "MessageBody": json.dumps(with_correlation(self.body), separators=(",", ":")),
            "DelaySeconds": min(max(self.delay_seconds, 0), MAX_DELAY_SECONDS),
        }
        if self.tenant:
            request["MessageGroupId"] = self.tenant
        return request


def send(queue_url: str, messages: Sequence[Message]) -> None:
    """Put messages on a queue, ten a request.

    Raises:
        MessagesNotTaken: some were refused; the others are on the queue.
    """
    failed: list[int] = []
    for start in range(0, len(messages), _BATCH):
        chunk = messages[start : start + _BATCH]
        entries = [
            {"Id": str(start + index), **message.as_request()}
            for index, message in enumerate(chunk)
        ]
        answer = client("sqs").send_message_batch(QueueUrl=queue_url, Entries=entries)
        failed += [int(entry["Id"]) for entry in answer.get("Failed", ())]
    if failed:
        raise MessagesNotTaken(failed)
