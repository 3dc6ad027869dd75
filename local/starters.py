"""How a worker process comes to be: forked from a prepared process, or executed afresh where forking is not safe."""

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
    """A worker process could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker is to run. `environment` is complete: nothing else is inherited."""

    handler: str
    paths: Sequence[str]
    environment: Mapping[str, str]


class Starter(Protocol):
    """Starts worker processes and ends them."""

    async def start(self, program: Program, channel: socket.socket, log: int) -> int:
        """Start a worker that owns copies of `channel` and `log`; return its process id."""

    async def end(self, pid: int) -> None:
        """Kill a worker that this starter started; nothing happens if it is gone."""

    async def close(self) -> None:
        """End every worker and whatever the starter itself runs."""


def make_starter() -> Starter:
    """Choose: fork on Linux, execute elsewhere (system libraries of macOS do not survive a fork) or when ROOST_WORKERS=exec."""
    return (
        ForkServer()
        if sys.platform == "linux" and os.environ.get("ROOST_WORKERS") != "exec"
        else Executor()
    )


class _Life:
    """A pipe whose write end only this process holds: it ends with us, however we end."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def close(self) -> None:
        os.close(self._write_end)
        os.close(self.read_end)


class ForkServer:
    """Workers forked from `local.zygote`, which has imported the libraries already."""

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
        """Ask for a fork; the libraries' import, at the very first one, is waited for."""
        request = {
            "do": "start",
            "handler": program.handler,
            "paths": list(program.paths),
            "environment": dict(program.environment),
        }
        reply = await self._ask(request, [channel.fileno(), log])
        return int(reply["pid"])

    async def end(self, pid: int) -> None:
        """Have a worker killed by its parent, who alone knows whether the number is still its own."""
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
        """Ask the zygote; one that has ended, its workers with it, is started again once."""
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
        raise WorkerNotStarted("the process that workers are forked from ends again and again")

    def _end_zygote(self) -> None:
        self._process.kill()
        self._process.wait()


class Executor:
    """Workers that each start an interpreter of their own: slower, and free of what a fork inherits."""

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
