"""Where boto3 clients come from: made at first use, one of each per process, with short time limits."""

import functools
import threading
from typing import Any

import boto3
from botocore.config import Config

from shared.core.config import settings

_making = (
    threading.Lock()
)  # boto3's default session is not safe to make clients from in several threads

_TIMES = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)


def client(service: str) -> Any:
    """Return the process's client of an AWS service (`sqs`); its calls give up after some 10 s."""
    with _making:
        return _client(service)


@functools.cache
def _client(service: str) -> Any:
    return boto3.client(service, region_name=settings().aws_region, config=_TIMES)  # type: ignore[call-overload]
