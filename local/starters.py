"""Starts worker processes: forked from a prepared process, or executed where forking is not safe."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local.zygote import PACKET_BYTES

ROOT = Path(__file__).resolve().parent.parent
_END_SECONDS = 3.0


class WorkerNotStarted(Exception):
    """A worker process could not be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program of a worker. `environment` is complete: nothing else is inherited."""

    handler: str
    paths: Sequence[str]
    environment: Mapping[str, str]


class Starter(Protocol):
    """Starts worker processes and ends them."""

    async def start(self, program: Program, channel: socket.socket, log: int) -> int:
        """Start a worker that owns copies of `channel` and `log`; return its process id."""

    async def end(self, pid: int) -> None:
        """Kill a worker of this starter; do nothing if it has ended."""

    async def close(self) -> None:
        """End every worker and the starter's own processes."""


def make_starter() -> Starter:
    """Choose a starter: fork on Linux; execute elsewhere (macOS system libraries do not survive a fork) or if ROOST_WORKERS=exec."""
    return (
        ForkServer()
        if sys.platform == "linux" and os.environ.get("ROOST_WORKERS") != "exec"
        else Executor()
    )


class _Life:
    """A pipe whose write end only this process holds. It closes when this process ends for any reason."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def close(self) -> None:
        os.close(self._write_end)
        os.close(self.read_end)


class ForkServer:
    """Workers forked from `local.zygote`, which has already imported the libraries."""

    def __init__(self) -> None:
        self._life = _Life()
        self._one_at_a_time = asyncio.Lock()
        self._launch()

    def _launch(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        given = json.dumps({"control": theirs.fileno(), "life": self._life.read_end})
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-m", "local.zygote", given],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._life.read_end),
                start_new_session=True,  # Ctrl-C is for the supervisor, which then ends its workers in order
            )

    async def start(self, program: Program, channel: socket.socket, log: int) -> int:
        """Request a fork. The first request waits until the libraries are imported."""
        request = {
            "do": "start",
            "handler": program.handler,
            "paths": list(program.paths),
            "environment": dict(program.environment),
        }
        reply = await self._ask(request, [channel.fileno(), log])
        return int(reply["pid"])

    async def end(self, pid: int) -> None:
        """Have the zygote kill a worker: only the parent knows whether the process id is still the worker's."""
        with contextlib.suppress(WorkerNotStarted):
            await self._ask({"do": "end", "pid": pid}, [])

    async def close(self) -> None:
        """Close the control socket: the zygote kills its workers and ends."""
        self._control.close()
        try:
            await asyncio.to_thread(self._process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._life.close()

    async def _ask(self, request: Mapping[str, object], descriptors: list[int]) -> dict[str, int]:
        """Send a request to the zygote. If it has ended, and its workers with it, restart it once."""
        async with self._one_at_a_time:
            for _ in range(2):
                if self._process.poll() is not None:
                    self._control.close()
                    self._launch()
                try:
                    socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
                    loop = asyncio.get_running_loop()
                    answer = await loop.sock_recv(self._control, PACKET_BYTES)
                except OSError:
                    answer = b""
                if answer:
                    reply: dict[str, int] = json.loads(answer)
                    return reply
                await asyncio.to_thread(self._end_zygote)
        raise WorkerNotStarted("the process from which workers are forked ends repeatedly")

    def _end_zygote(self) -> None:
        self._process.kill()
        self._process.wait()


class Executor:
    """Workers that each start their own interpreter: slower, but without inherited state."""

    def __init__(self) -> None:
        self._life = _Life()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    async def start(self, program: Program, channel: socket.socket, log: int) -> int:
        """Start `python -m local.worker`."""
        given = {
            "channel": channel.fileno(),
            "life": self._life.read_end,
            "handler": program.handler,
            "paths": list(program.paths),
        }
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "local.worker", json.dumps(given)],
            cwd=ROOT,
            env={**program.environment, "PYTHONPATH": str(ROOT)},
            pass_fds=(channel.fileno(), self._life.read_end),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._processes[process.pid] = process
        return process.pid

    async def end(self, pid: int) -> None:
        """Kill a worker and wait for it."""
        process = self._processes.pop(pid, None)
        if process:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def close(self) -> None:
        """Kill every worker."""
        for pid in list(self._processes):
            await self.end(pid)
        self._life.close()
