"""A stop while the demo account is made: its requests fail because nobody answers them any more."""

import asyncio
from pathlib import Path

import httpx
import pytest

from local import runtime
from local.runtime import _seeded, _StoppedEarly
from local.seed import SeedContext

CONTEXT = SeedContext(Path(), "http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1")


def seeding(monkeypatch: pytest.MonkeyPatch, *, stopped: bool) -> None:
    def refused(_: SeedContext) -> None:
        raise httpx.ConnectError("Connection refused")

    async def run() -> None:
        stop = asyncio.Event()
        if stopped:
            stop.set()
        await _seeded(CONTEXT, stop)

    monkeypatch.setattr(runtime, "seed", refused)
    asyncio.run(run())


def test_it_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the last seconds of a start ended in a traceback of httpx."""
    with pytest.raises(_StoppedEarly):
        seeding(monkeypatch, stopped=True)


def test_without_a_stop_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(httpx.ConnectError):
        seeding(monkeypatch, stopped=False)
