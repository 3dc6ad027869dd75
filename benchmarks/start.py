"""How long does `make run` take until the whole system is ready: the first time, and on a home that it knows?"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Row, ratio

FIRST, SECOND = "first start, seconds", "second start, seconds"
_ROOT = Path(__file__).parents[1]
_READY_TIMEOUT_SECONDS = 120.0
_STOP_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.02


def measure() -> list[Row]:
    """Start the system twice on the same home."""
    with tempfile.TemporaryDirectory(prefix="roost-start-") as folder:
        home = Path(folder) / "home"
        first, second = _start(home), _start(home)
    return [
        {"what": FIRST, "figure": round(first, 1)},
        {"what": SECOND, "figure": round(second, 1)},
        {"what": "second / first", "figure": ratio(second, first)},
    ]


def _start(home: Path) -> float:
    """Start it, wait until it has written down its addresses, stop it; the seconds until then."""
    told = home / "local.json"
    told.unlink(missing_ok=True)
    environment = os.environ | {"PORT": str(_free_port()), "ROOST_HOME": str(home)}
    begin = time.perf_counter()
    running = subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not told.exists():
            if running.poll() is not None or time.perf_counter() - begin > _READY_TIMEOUT_SECONDS:
                raise RuntimeError("make run did not get ready")
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - begin
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(_STOP_TIMEOUT_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
