"""Watches the supporting processes: restarts one that ended and reports it, or stops with an explanation."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from local.postgres import PostgresFailed

CHECK_SECONDS = 0.5
MOST_RESTARTS = 5
WITHIN_SECONDS = 120.0
LEAST_FREE_BYTES = 200 * 1024**2
DISK_CHECK_SECONDS = 10.0


class PartEnded(Exception):
    """A part of the system ended and could not be restarted; the message says which one and what to do."""


class Database(Protocol):
    """The part of `EmbeddedPostgres` that this module uses."""

    @property
    def has_ended(self) -> bool: ...
    def start(self) -> str: ...
    def last_lines(self) -> str: ...


class Aws(Protocol):
    """The part of `LocalAws` that this module uses."""

    @property
    def has_ended(self) -> bool: ...


async def keep_database(
    postgres: Database,
    *,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
    check_seconds: float = CHECK_SECONDS,
) -> None:
    """Restart PostgreSQL whenever it has ended. Its address stays, so functions reconnect by themselves.

    Raises:
        PartEnded: it ended too often or cannot be restarted.
    """
    restarts: list[float] = []
    while True:
        await asyncio.sleep(check_seconds)
        if not postgres.has_ended:
            continue
        restarts = [at for at in restarts if time.monotonic() - at < WITHIN_SECONDS]
        if len(restarts) >= MOST_RESTARTS:
            raise PartEnded(
                f"PostgreSQL ended {MOST_RESTARTS + 1} times within {WITHIN_SECONDS:.0f} seconds. Its log ends:\n"
                f"{postgres.last_lines()}"
            )
        restarts.append(time.monotonic())
        say("PostgreSQL has ended. Starting it again.")
        try:
            await asyncio.to_thread(postgres.start)
        except PostgresFailed as failure:
            raise PartEnded(
                f"PostgreSQL has ended and does not start again. {failure}"
            ) from failure
        say("PostgreSQL is running again.")


async def keep_aws(aws: Aws, *, check_seconds: float = CHECK_SECONDS) -> None:
    """Stop when the stand-in for AWS's services has ended, because only a start rebuilds its memory.

    Raises:
        PartEnded: it has ended.
    """
    while not aws.has_ended:
        await asyncio.sleep(check_seconds)
    raise PartEnded(
        "The stand-in for AWS's services has ended. Start Roost again; nothing is lost."
    )


async def watch_disk(
    folder: Path,
    *,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    check_seconds: float = DISK_CHECK_SECONDS,
) -> None:
    """Report when the data's disk is nearly full, and when it has room again."""
    low = False
    while True:
        free = free_bytes(folder)
        if free < LEAST_FREE_BYTES and not low:
            say(
                f"The disk with {folder} is nearly full ({free // 1024**2} MB left). Free some space: "
                "uploads, new posts and logs cannot be stored on a full disk."
            )
        elif low and free >= LEAST_FREE_BYTES:
            say("The disk has room again.")
        low = free < LEAST_FREE_BYTES
        await asyncio.sleep(check_seconds)
