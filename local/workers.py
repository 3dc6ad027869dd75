"""Invokes functions: each in its own processes, which are killed at the deadline.

As in Lambda, a worker serves one invocation at a time, and a function's concurrency is its number of workers.
"""

import asyncio
import contextlib
import json
import os
import select
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import frames
from local.lineage import new_trace
from local.starters import ROOT, Program, Starter, WorkerNotStarted
from local.system import ACCOUNT, REGION, FunctionSpec

MAX_PAYLOAD_BYTES = (
    6 * 1024 * 1024
)  # request and response of a synchronous invocation: AWS Lambda quotas, read 2026-11
_INIT_SECONDS = (
    60.0  # Lambda allows 10; a laptop that compiles bytecode for the first time needs more
)
_STREAM_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an invocation. If `failed`, the payload is Lambda's error object."""

    payload: bytes
    failed: bool

    def json(self) -> Any:
        """The payload as JSON; None if it is empty."""
        return json.loads(self.payload) if self.payload else None

    def error(self) -> str:
        """One line that describes the failure."""
        answer = self.json() or {}
        return f"{answer.get('errorType', 'Error')}: {answer.get('errorMessage', '')}"


class WorkerLost(Exception):
    """The worker ended without an answer."""


class Worker:
    """One process of a function."""

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, starter: Starter
    ) -> None:
        self.pid = pid
        self._reader, self._writer, self._starter = reader, writer, starter

    @property
    def gone(self) -> bool:
        """True if the process has ended. Asks the kernel, because the event loop may not have read the end of its stream yet."""
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket"), 0)  # a hang-up is always reported
        return bool(poll.poll(0)) or self._reader.at_eof()

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for the worker's next message.

        Raises:
            WorkerLost: the worker ended.
        """
        try:
            return await frames.read(self._reader)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerLost from error

    async def exchange(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Send an invocation and wait for the answer."""
        try:
            self._writer.write(frames.pack(head, body))
            await self._writer.drain()
        except OSError as error:
            raise WorkerLost from error
        return await self.receive()

    async def end(self) -> None:
        """Kill the worker."""
        self._writer.close()
        await self._starter.end(self.pid)


class LogBook:
    """Writes workers' output: a file per function, and errors to the terminal as well."""

    _ERROR_SIGNS = (
        '"level":"ERROR"',
        '"level":"CRITICAL"',
        "[ERROR]",
        "Traceback (most recent call last)",
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failing: set[str] = set()  # functions whose log cannot be written at the moment
        folder.mkdir(parents=True, exist_ok=True)

    async def follow(self, function: str, pipe: int) -> None:
        """Copy a worker's output until it ends. Lines that cannot be written are dropped, so that the worker continues."""
        reader = asyncio.StreamReader(limit=_STREAM_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
        )
        try:
            while line := await reader.readline():
                # Lambda's runtime client joins a traceback into one entry with carriage returns.
                line = line.replace(b"\r", b"\n")
                self._write(function, line)
                text = line.decode(errors="replace")
                if any(sign in text for sign in self._ERROR_SIGNS):
                    print(f"[{function}] {text.rstrip()}", flush=True)
        finally:
            transport.close()

    def note(self, function: str, text: str) -> None:
        """Write one of the runtime's own lines to the file and the terminal, as Lambda does when it ends a function."""
        self._write(function, f"{text}\n".encode())
        print(f"[{function}] {text}", flush=True)

    def _write(self, function: str, line: bytes) -> None:
        """Append a line to the function's file, which is opened each time because it can be moved or its disk can be full."""
        path = self._folder / f"{function}.log"
        try:
            with path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError as error:
            if function not in self._failing:
                self._failing.add(function)
                print(f"[{function}] Its log cannot be written: {error.strerror}.", flush=True)
        else:
            self._failing.discard(function)


class FunctionPool:
    """The workers of one function: at most `size`, started on demand."""

    def __init__(
        self, spec: FunctionSpec, *, size: int, starter: Starter, log_book: LogBook
    ) -> None:
        self.spec = spec
        self.size = size
        self._starter, self._log_book = starter, log_book
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._log_tasks: set[asyncio.Task[None]] = set()
        self._invocations = 0
        paths = [str(spec.code), *([str(ROOT)] if spec.code != ROOT else [])]
        self._program = Program(spec.handler, paths, _environment(spec))

    async def invoke(
        self, payload: bytes, *, arn: str | None = None, trace: str | None = None
    ) -> Outcome:
        """Wait for a free worker and run one invocation. `trace` is the header of the chain that it continues."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            return _failure(
                "RequestEntityTooLargeException",
                f"the event has {len(payload)} bytes, over {MAX_PAYLOAD_BYTES}",
            )
        self._invocations += 1
        try:
            async with self._slots:
                return await self._invoke(payload, arn or self.spec.arn, trace or new_trace())
        finally:
            self._invocations -= 1

    @property
    def is_busy(self) -> bool:
        """True if an invocation is in progress or waits for a worker."""
        return self._invocations > 0

    async def warm(self) -> None:
        """Start a worker ahead of the first invocation."""
        if self._idle or self._busy:
            return
        async with self._slots:
            with contextlib.suppress(WorkerNotStarted):
                worker = await self._worker()
                if isinstance(worker, Worker):
                    self._idle.append(worker)

    def pids(self) -> Sequence[int]:
        """The ids of all processes, idle or busy."""
        return [worker.pid for worker in [*self._idle, *self._busy]]

    async def close(self) -> None:
        """End all workers."""
        for worker in [*self._idle, *self._busy]:
            await worker.end()
        for task in self._log_tasks:
            task.cancel()

    async def _invoke(self, payload: bytes, arn: str, trace: str) -> Outcome:
        try:
            worker = await self._worker()
        except WorkerNotStarted as error:
            return _failure("Runtime.InitError", str(error))
        if isinstance(worker, Outcome):
            return worker
        return await self._run(worker, payload, arn, trace)

    async def _worker(self) -> Worker | Outcome:
        while self._idle:
            worker = self._idle.pop()
            if not worker.gone:
                return worker
            await worker.end()
        return await self._start()

    async def _start(self) -> Worker | Outcome:
        ours, theirs = socket.socketpair()
        read_log, write_log = os.pipe()
        try:
            pid = await self._starter.start(self._program, theirs, write_log)
        except WorkerNotStarted:
            ours.close()
            os.close(read_log)
            raise
        finally:
            theirs.close()
            os.close(write_log)
        task = asyncio.create_task(self._log_book.follow(self.spec.logical_id, read_log))
        self._log_tasks.add(task)
        task.add_done_callback(self._log_tasks.discard)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_STREAM_LIMIT)
        worker = Worker(pid, reader, writer, self._starter)
        try:
            async with asyncio.timeout(
                _INIT_SECONDS
            ):  # Python 3.11's wait_for can lose a cancellation
                head, body = await worker.receive()
        except (WorkerLost, TimeoutError) as error:
            await worker.end()
            how = "in time" if isinstance(error, TimeoutError) else "and ended"
            return _failure(
                "Runtime.InitError",
                f"{self.spec.logical_id} did not become ready {how}; its log says why",
            )
        except asyncio.CancelledError:
            await worker.end()
            raise
        if head["kind"] == "init_error":
            await worker.end()
            return Outcome(body, failed=True)
        return worker

    async def _run(self, worker: Worker, payload: bytes, arn: str, trace: str) -> Outcome:
        request_id, limit = str(uuid.uuid4()), self.spec.timeout_seconds
        head = {
            "requestId": request_id,
            "traceId": trace,
            "arn": arn,
            "deadlineMs": int((time.time() + limit) * 1000),
        }
        self._busy.add(worker)
        try:
            async with asyncio.timeout(limit):
                answer, body = await worker.exchange(head, payload)
        except TimeoutError:
            text = f"Task timed out after {limit:.2f} seconds"
            self._log_book.note(self.spec.logical_id, f"{request_id} {text}")
            await worker.end()
            return _failure("Sandbox.Timedout", f"RequestId: {request_id} Error: {text}")
        except WorkerLost:
            text = "Runtime exited without providing a reason"
            self._log_book.note(self.spec.logical_id, f"RequestId: {request_id} Error: {text}")
            await worker.end()
            return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {text}")
        except asyncio.CancelledError:
            await worker.end()
            raise
        finally:
            self._busy.discard(worker)
        self._idle.append(worker)
        if len(body) > MAX_PAYLOAD_BYTES:
            return _failure(
                "Function.ResponseSizeTooLarge",
                f"the response has {len(body)} bytes, over {MAX_PAYLOAD_BYTES}",
            )
        return Outcome(body, failed=answer["kind"] == "error")


def _failure(error_type: str, message: str) -> Outcome:
    return Outcome(
        json.dumps({"errorType": error_type, "errorMessage": message}).encode(), failed=True
    )


def _environment(spec: FunctionSpec) -> Mapping[str, str]:
    """Return Lambda's own variables and the template's; of the supervisor's, only the search path of programs."""
    inherited = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
        if name in os.environ
    }
    return {
        **inherited,
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "_HANDLER": spec.handler,
        "LAMBDA_TASK_ROOT": str(spec.code),
        # From Python 3.12 on, awslambdaric writes answers without escapes, which halves those in other scripts.
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        **spec.environment,
    }
