"""Checks the health of this process and of its dependencies."""

import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from datetime import timedelta
from typing import Literal

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared.aws.ready import ask_queue, ask_storage
from shared.core import clock
from shared.core.errors import Unavailable
from shared.core.log import log
from shared.core.wire import WireModel, WireTime
from shared.db.session import unit_of_work

_PATIENCE = timedelta(seconds=5)
_STARTED = time.monotonic()
REMEMBERED = timedelta(seconds=3)
"""How long an answer about the dependencies is reused."""


class Memory(WireModel):
    rss: int = Field(description="Bytes of this process in memory, now.")
    peak: int = Field(description="Bytes, at most until now.")


class Health(WireModel):
    status: Literal["ok"] = "ok"
    timestamp: WireTime
    uptime: float = Field(description="Seconds since this process started.")
    memory: Memory


State = Literal["ok", "failing"]


class Dependencies(WireModel):
    database: State
    queue: State
    storage: State


class Readiness(WireModel):
    status: State
    dependencies: Dependencies


_last: tuple[float, Readiness] | None = None


def health() -> Health:
    """Report that this process is alive. Checks nothing else."""
    return Health(
        timestamp=clock.now(), uptime=round(time.monotonic() - _STARTED, 3), memory=_memory()
    )


def readiness() -> Readiness:
    """Check all dependencies in parallel, for at most five seconds; the result is reused for `REMEMBERED`.

    The route is public and has no rate limit, so most requests are answered from memory.
    """
    global _last
    now = time.monotonic()
    if _last is None or now - _last[0] >= REMEMBERED.total_seconds():
        _last = now, _ask_all()
    return _last[1]


def forget_readiness() -> None:
    """Check again at the next request."""
    global _last
    _last = None


def _ask_all() -> Readiness:
    checks: dict[str, Callable[[], None]] = {
        "database": _ask_database,
        "queue": ask_queue,
        "storage": ask_storage,
    }
    pool = ThreadPoolExecutor(max_workers=len(checks))
    answers = {name: pool.submit(ask) for name, ask in checks.items()}
    until = time.monotonic() + _PATIENCE.total_seconds()
    states: dict[str, State] = {}
    for name, answer in answers.items():
        try:
            answer.result(timeout=max(0.0, until - time.monotonic()))
            states[name] = "ok"
        except (Unavailable, SQLAlchemyError, TookTooLong) as error:
            log.warning("dependency.failing", extra={"dependency": name, "reason": repr(error)})
            states[name] = "failing"
    pool.shutdown(wait=False, cancel_futures=True)
    ready = all(state == "ok" for state in states.values())
    return Readiness(
        status="ok" if ready else "failing", dependencies=Dependencies.model_validate(states)
    )


def _ask_database() -> None:
    """Write to the disk in a transaction that is rolled back, because a full disk and a demoted writer still answer reads."""
    with unit_of_work() as session:
        session.execute(text("create temporary table ready on commit drop as select 1 as n"))


def _memory() -> Memory:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    try:
        with open("/proc/self/statm") as statm:  # noqa: PTH123  three system calls instead of a path object
            rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:  # not Linux
        rss = peak_bytes
    return Memory(
        rss=rss, peak=max(rss, peak_bytes)
    )  # the system updates the peak only occasionally
