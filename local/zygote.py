"""The process that has imported the third-party libraries once, and forks itself for every worker.

It has one thread and no connections, so a fork is safe. Our own modules are imported after the fork, because they may
read the worker's environment. One request is one packet on the control socket, with the worker's channel and log pipe
attached.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from local import worker

# The libraries that functions import, slowest first. A missing name only costs speed.
PRELOADED = (
    "fastapi", "mangum", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql.pg8000", "pg8000.dbapi", "boto3", "botocore.client", "botocore.signers",
    "botocore.httpsession", "botocore.retries.standard", "pydantic_settings", "httpx", "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools", "cryptography.hazmat.primitives.ciphers.aead", "jwt", "bcrypt", "email_validator", "nh3", "regex", "uuid_utils.compat",
    "alembic.command", "smtplib", "zoneinfo", "simplejson",
)  # fmt: skip
PACKET_BYTES = 128 * 1024
_REAP_EVERY_MS = 500


def main() -> None:
    """Serve until the control socket ends."""
    given = json.loads(sys.argv[1])
    control, life = socket.socket(fileno=given["control"]), int(given["life"])
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        ready = poll.poll(_REAP_EVERY_MS)
        _reap(children)
        if not ready:
            continue
        try:
            packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, 2)
        except ConnectionResetError:
            break
        if not packet:
            break
        request = json.loads(packet)
        if request["do"] == "start":
            pid = _fork(request, descriptors, control, life)
            children.add(pid)
            _answer(control, {"pid": pid})
        else:
            # Only a child that has not been reaped still owns its process id.
            if request["pid"] in children:
                os.kill(request["pid"], signal.SIGKILL)
            _answer(control, {})
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _answer(control: socket.socket, fields: dict[str, Any]) -> None:
    # If the parent has ended meanwhile, the next read notices it.
    with contextlib.suppress(BrokenPipeError):
        control.send(json.dumps(fields).encode())


def _reap(children: set[int]) -> None:
    while children:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)


def _fork(
    request: dict[str, Any], descriptors: list[int], control: socket.socket, life: int
) -> int:
    channel, log = descriptors
    pid = os.fork()
    if pid:
        os.close(channel)
        os.close(log)
        return pid
    status = 1
    try:
        _end_with_parent()
        control.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.dont_write_bytecode = False  # set in the shell; a worker inherits nothing else from it
        worker.run(
            socket.socket(fileno=channel), life, handler=request["handler"], paths=request["paths"]
        )
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_with_parent() -> None:
    """Have the kernel kill this worker when the zygote ends, because only the zygote can end workers (Linux: prctl(2))."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    main()
