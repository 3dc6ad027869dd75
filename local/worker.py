"""The program of a function's process: AWS's own runtime client, fed over a socket pair instead of HTTP.

`awslambdaric` imports the handler, creates the context object, formats errors and sets up logging, exactly as in Lambda.
Only its transport is replaced: a socket pair needs no port, costs a tenth of a millisecond, and both ends notice its close.
"""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local import frames


class _SocketRuntimeClient:
    """The methods that `awslambdaric.bootstrap.run` calls on a runtime client, over the worker's socket."""

    def __init__(self, channel: socket.socket) -> None:
        from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

        self._channel = channel
        self._announced = False
        self.marshaller = LambdaMarshaller()

    def wait_next_invocation(self) -> SimpleNamespace:
        if not self._announced:
            frames.send(self._channel, {"kind": "ready"})
            self._announced = True
        try:
            head, body = frames.receive(self._channel)
        except EOFError:
            sys.exit(0)
        return SimpleNamespace(
            invoke_id=head["requestId"],
            x_amzn_trace_id=head["traceId"],
            invoked_function_arn=head["arn"],
            deadline_time_in_ms=head["deadlineMs"],
            client_context=None,
            cognito_identity=None,
            tenant_id=None,
            content_type="application/json",
            event_body=body,
            invocation_id=None,
        )

    def post_invocation_result(
        self, invoke_id: str, result: str | bytes, content_type: str, _invocation_id: str | None
    ) -> None:
        body = result if isinstance(result, bytes) else result.encode()
        frames.send(
            self._channel,
            {"kind": "result", "requestId": invoke_id, "contentType": content_type},
            body,
        )

    def post_invocation_error(
        self, invoke_id: str, error: str, _xray_fault: str, _invocation_id: str | None
    ) -> None:
        frames.send(self._channel, {"kind": "error", "requestId": invoke_id}, error.encode())

    def post_init_error(self, error: Mapping[str, Any], _error_type: str | None = None) -> None:
        frames.send(self._channel, {"kind": "init_error"}, json.dumps(error).encode())


def run(channel: socket.socket, life: int, *, handler: str, paths: Sequence[str]) -> None:
    """Serve invocations of `handler` until the supervisor closes the channel.

    `life` is the read end of a pipe whose other end only the supervisor holds. When it closes, this process ends, even
    in the middle of an invocation.
    """
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    sys.path[:0] = [path for path in paths if path not in sys.path]
    _follow_the_clock()
    from awslambdaric import bootstrap

    bootstrap.run(handler, _SocketRuntimeClient(channel))


def _follow_the_clock() -> None:
    """Follow the system's clock if the environment names its offset."""
    from local import clock  # imports our own code, so it must run after the fork

    if file := os.environ.get(clock.VARIABLE):
        clock.follow(clock.SharedOffset(Path(file)))
        clock.sign_by_the_clock()


def _end_with(life: int) -> None:
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    run(
        socket.socket(fileno=given["channel"]),
        given["life"],
        handler=given["handler"],
        paths=given["paths"],
    )
