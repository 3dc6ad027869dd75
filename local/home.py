"""The folder in which the runtime keeps what must outlive it. One runtime at a time may use it."""

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class CannotStart(Exception):
    """The runtime cannot start here; the message says what to do about it."""


class Home:
    """A folder such as `.roost`, held by this process until it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the folder.

        Raises:
            CannotStart: the folder cannot be created or written to, or another runtime uses it.
        """
        self.path = path.resolve()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise CannotStart(
                f"{self.path} cannot be used: {_why(error)}. Choose a folder that you can write to: ROOST_HOME=..."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise CannotStart(
                f"{self.path} is in use by a running system (process {holder}). Stop it, or choose another folder: ROOST_HOME=..."
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def remembered_ports(self) -> Mapping[str, int]:
        """Return the random ports of an earlier run on this folder; none if the file is damaged."""
        try:
            ports = json.loads((self.path / "ports.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(ports, dict):
            return {}
        return {name: port for name, port in ports.items() if type(port) is int}

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        """Keep the random ports, because stored addresses (media, connected channels) are valid only while the ports stay."""
        write_private(self.path / "ports.json", json.dumps(dict(ports)))

    def publish(self, details: Mapping[str, Any]) -> None:
        """Write `local.json` atomically: it tells that the system is ready, and its addresses."""
        write_private(self.path / "local.json", json.dumps(details, indent=2))

    def withdraw(self) -> None:
        """Remove `local.json`, because the system is no longer ready."""
        (self.path / "local.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()


def _why(error: OSError) -> str:
    """Explain why a folder cannot be created or written to."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "it, or a folder above it, is a file"
    if isinstance(error, PermissionError):
        return "you may not write there"
    return (error.strerror or type(error).__name__).lower()


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def listen(port: int, *, what: str, variable: str) -> socket.socket:
    """Listen on a loopback port; 0 chooses a free one.

    Raises:
        CannotStart: the port is taken, or only the administrator may use it.
    """
    # asyncio disables Nagle's algorithm only for sockets with an explicit protocol. With the algorithm, a kept connection
    # waits 40 ms for every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        if isinstance(error, PermissionError):
            words = f"You may not use port {port}, which is meant for {what}. Choose a higher one: {variable}=..."
        else:
            words = f"Port {port}, meant for {what}, is taken. Choose another one: {variable}=..."
        raise CannotStart(words) from error
    listener.listen(512)
    listener.setblocking(False)
    return listener
