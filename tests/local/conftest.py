"""A small system, described by `system/template.yaml`, brought up piece by piece as a test needs it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.aws import LocalAws
from local.mailbox import Mailbox
from local.queues import QueueFeed
from local.schedules import Timers
from local.starters import Executor, Starter
from local.system import System
from local.template import read_system
from local.workers import FunctionPool, LogBook

TEMPLATE = Path(__file__).parent / "system" / "template.yaml"
SmallAws = tuple[LocalAws, System, Mailbox]
AWS_KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local-secret"}


def aws_client(aws: LocalAws, service: str) -> Any:
    """Make a client as a function has it."""
    make: Any = boto3.client  # its overloads name every service
    return make(service, region_name="us-east-1", endpoint_url=aws.endpoint, **AWS_KEYS)


@dataclass(frozen=True)
class Running:
    """What is up: `notes` is where the functions write down what they were given."""

    system: System
    aws: LocalAws
    mailbox: Mailbox
    pools: Mapping[str, FunctionPool]
    timers: Timers
    notes: Path

    def noted(self, function: str) -> list[dict[str, Any]]:
        """What a function was given so far: `at` (Unix seconds) and `event`."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [note for note in map(json.loads, lines) if note["function"].endswith(function)]

    async def until(self, holds: Callable[[], object], *, seconds: float = 8) -> None:
        """Wait until something holds.

        Raises:
            AssertionError: it did not, in time.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come true in time"
            await asyncio.sleep(0.005)


def read_small_system(aws_endpoint: str = "http://127.0.0.1:1", **environment: str) -> System:
    """Read the small template with what it needs here."""
    return read_system(
        TEMPLATE,
        parameters={"Stage": "local"},
        environment={"DATABASE_HOST": "", **environment},
        aws_endpoint=aws_endpoint,
    )


@pytest.fixture
def small_aws(tmp_path: Path) -> Iterator[SmallAws]:
    """The small system's AWS, without functions."""
    mailbox = Mailbox(tmp_path / "mails")
    aws = LocalAws(tmp_path, mailbox)
    system = read_small_system(aws.endpoint)
    aws.create(system)
    yield aws, system, mailbox
    aws.close()


@contextlib.asynccontextmanager
async def running(
    home: Path, *, starter: Starter | None = None, size: int = 2
) -> AsyncIterator[Running]:
    """Bring the small system up: functions, queues and schedules."""
    mailbox = Mailbox(home / "mails")
    aws = LocalAws(home, mailbox)
    notes = home / "notes"
    system = read_small_system(aws.endpoint, NOTES=str(notes))
    aws.create(system)
    starter = starter or Executor()
    log_book = LogBook(home / "logs")
    pools = {
        name: FunctionPool(spec, size=size, starter=starter, log_book=log_book)
        for name, spec in system.functions.items()
    }
    timers = Timers(aws, system, pools)
    feeds = [
        QueueFeed(source, aws.queue(source.queue_arn), pools[source.function])
        for source in system.sources
    ]
    tasks = [
        asyncio.create_task(timers.run()),
        *(asyncio.create_task(feed.run()) for feed in feeds),
    ]
    try:
        await asyncio.sleep(0)  # lets them begin to listen
        yield Running(system, aws, mailbox, pools, timers, notes)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in pools.values():
            await pool.close()
        await starter.close()
        aws.close()
