"""Measures how long `make run` takes until the system is ready: the first time, on an existing home, and with many posts.

The posts are queued and armed. The system starts with them twice: after it was stopped, and after it was killed.
Processor time is that of the system and all its child processes until it is ready.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import Row, ratio
from local.database import connect

QUEUED_POSTS = 5_000
FIRST, SECOND = "first start, seconds", "second start, seconds"
QUEUED = f"start with {QUEUED_POSTS:,} queued posts, seconds"
KILLED = "the same after kill -9, seconds"
_ROOT = Path(__file__).parents[1]
_READY_TIMEOUT_SECONDS = 120.0
_STOP_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.02
# Fields of /proc/<pid>/stat after the program's name: the parent, and the times of the process and its ended children.
_PARENT, _TIMES = 1, slice(11, 15)


# Due over the next thirty days, the first in fifteen minutes, on all channels in turn.
_FILL = """
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, revision, generation, armed_revision, arm_count,
        creation_method)
    select made.id, channel.organization_id, channel.id, made.id, made.id, 0, 'queued', 'none',
        repeat('A post about something. ', 8), '[]', '{}', md5(n::text), due_at, 0, due_at, 1, 1, 1, 1, 'web'
    from (
        select n, gen_random_uuid() as id,
            now() + interval '15 minutes' + interval '30 days' * (n::float8 / cast(%s as integer)) as due_at
        from generate_series(1, cast(%s as integer)) as n
    ) made
    join (
        select id, organization_id, row_number() over (order by id) as number, count(*) over () as channels
        from channels where deleted_at is null
    ) channel on channel.number = made.n %% channel.channels + 1
"""


@dataclass(frozen=True, slots=True)
class Start:
    """How long it took until the system was ready, and the processor time of all its processes until then."""

    seconds: float
    cpu_seconds: float | None


def measure() -> list[Row]:
    """Start the system four times on the same home."""
    with tempfile.TemporaryDirectory(prefix="roost-start-") as folder:
        home = Path(folder) / "home"
        first = _start(home)
        second = _start(home, last=_fill)
        queued = _start(home, end=signal.SIGKILL)
        killed = _start(home)
    return [
        {"what": FIRST, "figure": round(first.seconds, 1)},
        {"what": SECOND, "figure": round(second.seconds, 1)},
        {"what": QUEUED, "figure": round(queued.seconds, 1)},
        {"what": KILLED, "figure": round(killed.seconds, 1)},
        {"what": "second / first", "figure": ratio(second.seconds, first.seconds)},
        {"what": "with queued posts / second", "figure": ratio(queued.seconds, second.seconds)},
        {"what": "second start, CPU seconds", "figure": _rounded(second.cpu_seconds)},
        {"what": "with queued posts, CPU seconds", "figure": _rounded(queued.cpu_seconds)},
    ]


def _start(
    home: Path,
    *,
    last: Callable[[str], None] | None = None,
    end: signal.Signals = signal.SIGINT,
) -> Start:
    """Start the system, wait until it has written its addresses, call the last argument with its database, and stop it."""
    details = home / "local.json"
    details.unlink(missing_ok=True)
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
        while not details.exists():
            if running.poll() is not None or time.perf_counter() - begin > _READY_TIMEOUT_SECONDS:
                raise RuntimeError("make run did not become ready")
            time.sleep(_POLL_SECONDS)
        taken = Start(time.perf_counter() - begin, _cpu_seconds(running.pid))
        if last:
            last(json.loads(details.read_text(encoding="utf-8"))["databaseUrl"])
        return taken
    finally:
        running.send_signal(end)
        running.wait(_STOP_TIMEOUT_SECONDS)


def _fill(database_url: str) -> None:
    with contextlib.closing(connect(database_url)) as connection:
        connection.cursor().execute(_FILL, (QUEUED_POSTS, QUEUED_POSTS))
        connection.commit()


def _cpu_seconds(root: int) -> float | None:
    """Return the processor time of a process and its children; None if the operating system does not show it (Linux does)."""
    ticks: dict[int, int] = {}
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            pid = int(path.parent.name)
            below.setdefault(int(fields[_PARENT]), []).append(pid)
            ticks[pid] = sum(map(int, fields[_TIMES]))
    if root not in ticks:
        return None
    found = [root]
    for pid in found:
        found += below.get(pid, [])
    return sum(ticks[pid] for pid in found) / os.sysconf("SC_CLK_TCK")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
