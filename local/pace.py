"""Measures how slow this machine is right now: the slowest response to a request that needs no database."""

import threading
import time
from types import TracebackType

import httpx

_EVERY_SECONDS = 0.25
_TIMEOUT_SECONDS = 30.0


class Pace:
    """Asks an address every quarter of a second until the block ends, and keeps the longest wait.

    `with Pace(f"{url}/health") as pace: ...; pace.slowest_seconds`
    """

    def __init__(self, address: str) -> None:
        self.slowest_seconds = 0.0
        self._address = address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="pace", daemon=True)

    def __enter__(self) -> "Pace":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(_TIMEOUT_SECONDS)

    def _measure(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_SECONDS) as client:
            client.get(self._address)  # the first request may start the function
            while not self._ended.wait(_EVERY_SECONDS):
                began = time.monotonic()
                client.get(self._address)
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
