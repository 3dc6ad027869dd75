"""Feeds functions from queues: batches, partial failures and redrive, like Lambda's event source mappings.

A message that was not processed stays invisible until its visibility timeout ends. A message that was received too often
moves to the dead-letter queue at the next receive. Nothing is polled: the queue reports when a message is due.
Source: docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html, read 2026-11.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message

from local.aws import WatchedQueue, trace_header
from local.lineage import MOST_IN_A_CHAIN, continued
from local.system import REGION, QueueSource
from local.workers import FunctionPool, Outcome
from shared.core import clock

_LONGEST_WAIT_SECONDS = 5.0  # a safety net: a missed wake-up is delayed by at most this


class QueueFeed:
    """One event source mapping: passes due messages from a queue to a function's workers."""

    def __init__(self, source: QueueSource, queue: WatchedQueue, pool: FunctionPool) -> None:
        self._source, self._queue, self._pool = source, queue, pool
        self._most_at_once = min(source.max_concurrency or pool.size, pool.size)
        self._under_way: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._is_taking = False

    def wake(self) -> None:
        """Read the clock again, because it was moved."""
        self._woken.set()

    @property
    def is_busy(self) -> bool:
        """True if a message is due or is being processed."""
        due = self.next_moment()
        return self._is_taking or bool(self._under_way) or (due is not None and due <= clock.now())

    def next_moment(self) -> datetime | None:
        """Return when a message can next be received; None if there is none."""
        due = self._queue.first_due_ms()
        return None if due is None else datetime.fromtimestamp(due / 1000, UTC)

    async def run(self) -> None:
        """Feed the function until cancelled."""
        loop = asyncio.get_running_loop()
        self._queue.watch(lambda: loop.call_soon_threadsafe(self._woken.set))
        try:
            while True:
                self._woken.clear()
                if len(self._under_way) < self._most_at_once and (batch := await self._batch()):
                    task = asyncio.create_task(self._deliver(batch))
                    self._under_way.add(task)
                    self._is_taking = False
                    task.add_done_callback(self._delivered)
                else:
                    await self._wait()
        finally:
            for task in self._under_way:
                task.cancel()

    async def _batch(self) -> Sequence[Message]:
        """Receive the due messages. Wait for more only if the mapping has a batching window."""
        batch = self._queue.receive(self._source.batch_size)
        if batch and self._source.window_seconds:
            self._is_taking = True
            closes = time.monotonic() + self._source.window_seconds
            while (
                len(batch) < self._source.batch_size
                and (left := closes - time.monotonic()) > 0
                and not await self._quiet_for(left)
            ):
                self._woken.clear()
                batch += self._queue.receive(self._source.batch_size - len(batch))
        return batch

    async def _quiet_for(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(
                seconds
            ):  # Python 3.11's wait_for can lose a cancellation that coincides with the wake-up
                await self._woken.wait()
        except TimeoutError:
            return True
        return False

    async def _wait(self) -> None:
        """Wait until a message is due, one is added, or a worker is free."""
        seconds = _LONGEST_WAIT_SECONDS
        if len(self._under_way) < self._most_at_once:
            due = self._queue.next_due_ms()
            if due is not None:
                seconds = min(seconds, max(0.0, due / 1000 - clock.now().timestamp()))
        await self._quiet_for(seconds)

    async def _deliver(self, batch: Sequence[Message]) -> None:
        spec = self._pool.spec
        trace, times = continued(spec.name, map(trace_header, batch))
        if times > MOST_IN_A_CHAIN and not spec.may_recur:
            print(
                f"{spec.logical_id} has run {times - 1} times in one chain of messages, so Lambda would stop it here:"
                " its messages lead back to it and it has no RecursiveLoop: Allow.",
                flush=True,
            )
            return  # the messages are received again and end in the dead-letter queue
        event = {"Records": [_record(message, self._source.queue_arn) for message in batch]}
        outcome = await self._pool.invoke(json.dumps(event).encode(), trace=trace)
        failed = failed_messages(
            outcome, [message.id for message in batch], partial=self._source.reports_failures
        )
        for message in batch:
            # Invalid: its visibility timeout ended while it was processed, and it has been deleted since.
            if message.id not in failed and message.receipt_handle:
                with contextlib.suppress(ReceiptHandleIsInvalid):
                    self._queue.delete_message(message.receipt_handle)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()):
            raise error


def failed_messages(outcome: Outcome, ids: Sequence[str], *, partial: bool) -> frozenset[str]:
    """Read from a function's answer which messages of a batch were not processed.

    An empty or null answer means that all were processed. An unreadable answer, an empty or unknown identifier, or a
    failed function means that none was. Without `partial` (`ReportBatchItemFailures`) only the function's failure counts.
    """
    everything = frozenset(ids)
    if outcome.failed:
        return everything
    if not partial:
        return frozenset()
    try:
        answer = outcome.json()
    except ValueError:
        return everything
    if answer is None or answer == {}:
        return frozenset()
    if not isinstance(answer, dict) or not isinstance(
        answer.get("batchItemFailures", []), list | None
    ):
        return everything
    failures = answer.get("batchItemFailures") or []
    named: set[Any] = {
        failure.get("itemIdentifier") for failure in failures if isinstance(failure, dict)
    }
    is_readable = all(isinstance(failure, dict) for failure in failures) and named <= everything
    return frozenset(named) if is_readable else everything


def _record(message: Message, queue_arn: str) -> Mapping[str, Any]:
    """Write one message as a record of Lambda's event for a batch."""
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
    }
    if message.group_id:
        attributes["MessageGroupId"] = message.group_id
    if header := trace_header(message):
        attributes["AWSTraceHeader"] = header
    record: dict[str, Any] = {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {
            name: _attribute(value) for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }
    if message.message_attributes:
        record["md5OfMessageAttributes"] = message.attribute_md5
    return record


def _attribute(value: Mapping[str, Any]) -> Mapping[str, Any]:
    written: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    if "StringValue" in value:
        written["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        binary = value["BinaryValue"]
        written["binaryValue"] = (
            binary if isinstance(binary, str) else base64.b64encode(binary).decode()
        )
    return {**written, "dataType": value["DataType"]}
