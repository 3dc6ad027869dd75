"""Processes a batch of messages in parallel and reports exactly those that failed.

Lambda's contract: `batchItemFailures` names the messages that go back to the queue; the others are deleted.
"""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shared.core import trace
from shared.core.errors_report import report
from shared.core.log import correlated, log, note_given

Work = Callable[[Mapping[str, Any], float], None]
# The ids in a message, and their names in log lines.
_IDS = {
    "organizationId": "organization_id",
    "userId": "user_id",
    "partId": "part_id",
    "attemptId": "attempt_id",
    "mediaId": "media_id",
    "deliveryId": "delivery_id",
}
_SPARE_SECONDS = 3.0  # of the function's time, reserved for recording the outcome


def run_batch(
    event: Mapping[str, Any], context: Any, work: Work, *, parallel: int = 1
) -> dict[str, Any]:
    """Call `work(body, deadline)` for every message, `parallel` at a time; `deadline` is a `time.monotonic()` value.

    Returns:
        `{"batchItemFailures": [{"itemIdentifier": messageId}, ...]}`, in the order of the records.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _SPARE_SECONDS
    records = event["Records"]

    def done(record: Mapping[str, Any]) -> bool:
        return _done(record, deadline, work)

    if parallel == 1 or len(records) == 1:
        outcomes = [done(record) for record in records]
    else:
        with ThreadPoolExecutor(min(parallel, len(records))) as pool:
            outcomes = list(pool.map(done, records))
    failed = [record["messageId"] for record, ok in zip(records, outcomes, strict=True) if not ok]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _done(record: Mapping[str, Any], deadline: float, work: Work) -> bool:
    try:
        body: dict[str, Any] = dict(json.loads(record["body"]))
    except (ValueError, TypeError) as error:
        return _failed(record, error)
    attributes = record.get("attributes", {})
    with correlated(body.pop("correlationId", None)):
        note_given(attributes, {"MessageGroupId": "organization_id"})
        note_given(body, _IDS)
        try:
            with trace.continued(attributes.get("AWSTraceHeader")):
                work(body, deadline)
        except Exception as error:  # noqa: BLE001  the edge of the queue: the message returns to it, and the error is reported
            return _failed(record, error)
    return True


def _failed(record: Mapping[str, Any], error: Exception) -> bool:
    log.error("message.failed", exc_info=error, extra={"message_id": record["messageId"]})
    report(error, message_id=record["messageId"])
    return False
