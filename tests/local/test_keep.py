"""What happens when a part beside the runtime ends by itself. Finding 8.1."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from local.keep import (
    LEAST_FREE_BYTES,
    MOST_RESTARTS,
    PartEnded,
    keep_aws,
    keep_database,
    watch_disk,
)
from local.postgres import PostgresFailed


class FakeDatabase:
    """A server that ends `ends` times, and then stays."""

    def __init__(self, *, ends: int, broken: bool = False) -> None:
        self.ends, self.broken = ends, broken
        self.starts = 0

    @property
    def has_ended(self) -> bool:
        return self.starts < self.ends

    def start(self) -> str:
        if self.broken:
            raise PostgresFailed("PostgreSQL did not start on /data.")
        self.starts += 1
        return "postgresql://"

    def last_lines(self) -> str:
        return "PANIC: could not write"


def keep(database: FakeDatabase) -> list[str]:
    """Watch over `database` until it stays up; return what was said."""
    said: list[str] = []

    async def scenario() -> None:
        watching = asyncio.create_task(keep_database(database, say=said.append, check_seconds=0))
        while not watching.done() and database.has_ended:
            await asyncio.sleep(0)
        if not watching.done() and not database.has_ended:
            for _ in range(50):
                await asyncio.sleep(0)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    asyncio.run(scenario())
    return said


class TestKeepDatabase:
    def test_one_that_ended_is_started_again_and_said(self) -> None:
        database = FakeDatabase(ends=1)
        said = keep(database)
        assert database.starts == 1
        assert said[0] == "PostgreSQL has ended. Starting it again."

    def test_one_that_keeps_ending_ends_the_system_with_its_log(self) -> None:
        database = FakeDatabase(ends=MOST_RESTARTS + 10)
        with pytest.raises(PartEnded, match=r"ended 6 times within 120 seconds.*\nPANIC"):
            keep(database)
        assert database.starts == MOST_RESTARTS

    def test_one_that_does_not_start_ends_the_system_with_the_reason(self) -> None:
        with pytest.raises(PartEnded, match=r"does not start again\. PostgreSQL did not start on"):
            keep(FakeDatabase(ends=1, broken=True))


class TestKeepAws:
    def test_it_ends_the_system_with_a_sentence(self) -> None:
        class Ended:
            has_ended = True

        with pytest.raises(PartEnded, match="Start Roost again; nothing is lost"):
            asyncio.run(keep_aws(Ended()))


class TestWatchDisk:
    """Finding 6.4."""

    def test_full_and_room_again_are_each_said_once(self, tmp_path: Path) -> None:
        free = iter([LEAST_FREE_BYTES, 5 * 1024**2, 4 * 1024**2, LEAST_FREE_BYTES])
        said: list[str] = []

        with pytest.raises(RuntimeError):  # the readings are used up
            asyncio.run(
                watch_disk(
                    tmp_path,
                    say=said.append,
                    free_bytes=lambda _folder: next(free),
                    check_seconds=0,
                )
            )

        assert [line.partition("(")[0] for line in said] == [
            f"The disk with {tmp_path} is nearly full ",
            "The disk has room again.",
        ]
