"""boto3 clients: created at first use, one of each per process, with short timeouts."""

import functools
import threading
from typing import Any

import boto3
from botocore.config import Config

from shared.core.config import settings

_making = (
    threading.Lock()
)  # boto3's default session cannot safely create clients in several threads

_TIMES = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)


def client(service: str) -> Any:
    """Return the process's client for an AWS service (`sqs`); its calls time out after some 10 s."""
    with _making:
        return _client(service)


@functools.cache
def _client(service: str) -> Any:
    return boto3.client(service, region_name=settings().aws_region, config=_TIMES)  # type: ignore[call-overload]
