"""The functions of the small system that the tests of the local runtime run."""

import functools
import json
import os
import time
from pathlib import Path
from typing import Any


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer with the event, the context's facts and the environment."""
    body = {
        "event": event,
        "requestId": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "remainingMs": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "environment": dict(os.environ),
        "pid": os.getpid(),
    }
    cookies = ["a=1; Path=/", "b=2"]
    return {
        "statusCode": 201,
        "headers": {"X-Kind": "echo"},
        "cookies": cookies,
        "body": json.dumps(body, ensure_ascii=False),
    }


def slow(_event: dict[str, Any], _context: Any) -> None:
    """Take longer than the function may."""
    time.sleep(60)


def make_ids(_event: dict[str, Any], _context: Any) -> list[str]:
    """Make ids as the product does, slowly enough for two workers to be busy at once."""
    import uuid_utils.compat

    time.sleep(0.2)
    return [str(uuid_utils.compat.uuid7()) for _ in range(10)]


def faulty(event: dict[str, Any], _context: Any) -> None:
    """Fail, or end the process, as told."""
    if event.get("exit"):
        os._exit(3)
    raise ValueError("as told")


def work(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Note each record; report those whose body says `fail`, and raise where one says `raise`."""
    bodies = [record["body"] for record in event["Records"]]
    _note(event)
    if "raise" in bodies:
        raise ValueError("as told")
    failures = [
        record["messageId"] for record in event["Records"] if record["body"].startswith("fail")
    ]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failures]}


@functools.cache
def _queues(endpoint: str) -> Any:
    import boto3

    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local-secret"}
    make: Any = boto3.client  # its overloads name every service
    return make("sqs", region_name="us-east-1", endpoint_url=endpoint, **keys)


def send_on(event: dict[str, Any], _context: Any) -> None:
    """Publish one part of a thread and send the message of the next, as `publish` does."""
    _note(event)
    left = int(event["Records"][0]["body"]) - 1
    if left:
        url = os.environ["OWN_URL"]
        _queues(url.rsplit("/", 2)[0]).send_message(QueueUrl=url, MessageBody=str(left))


def note(event: dict[str, Any], _context: Any) -> None:
    """Note the event."""
    _note(event)


def _note(event: dict[str, Any]) -> None:
    line = json.dumps(
        {"function": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "at": time.time(), "event": event}
    )
    with Path(os.environ["NOTES"]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
