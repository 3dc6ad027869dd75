"""The whole system, running as a developer starts it, for tests of other people's programs."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import RunningSystem


@pytest.fixture(scope="package")
def system() -> Iterator[RunningSystem]:
    # As root the database runs as a user who cannot pass through pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="roost-servers-", ignore_cleanup_errors=True) as home:
        running = RunningSystem(Path(home))
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.end(signal.SIGINT)


def statuses_on(system: RunningSystem) -> list[dict[str, Any]]:
    """Return what the sandbox network shows, the oldest first."""
    shown = httpx.get(f"{system.details['sandboxUrl']}/_statuses", timeout=10).json()["statuses"]
    return sorted(shown, key=lambda status: str(status["created_at"]))
