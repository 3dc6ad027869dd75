"""Starts a program when the first connection arrives for it, so that a part that few people use costs nothing at the start."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

_PAUSE_SECONDS = 5.0
_END_SECONDS = 3.0


class OnDemand:
    """A module of ours that serves an inherited listener: `python -m <module> --listener N <arguments>`.

    Connections wait in the listener's queue until the program accepts them. The program ends when its standard input closes,
    so it never outlives this process.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], *, listener: socket.socket, log: Path
    ) -> None:
        self._module = module
        self._arguments = arguments
        self._listener = listener
        self._log = log

    async def run(self) -> None:
        """Start the program when it is needed, again if it ends, until cancelled."""
        while True:
            await _connection(self._listener)
            status = await self._serve()
            print(
                f"{self._module} ended with status {status}. It starts again when it is needed; "
                f"its log is {self._log}.",
                flush=True,
            )
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _serve(self) -> int:
        number = self._listener.fileno()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", self._module, "--listener", str(number), *self._arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(number,),
            )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)


async def _connection(listener: socket.socket) -> None:
    """Wait until a connection is waiting to be accepted."""
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(listener, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(listener)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
