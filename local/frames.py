"""The messages between the supervisor and a worker over a socket pair: a JSON head and a body of bytes."""

import asyncio
import json
import socket
import struct
from typing import Any

_SIZES = struct.Struct(">II")


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Write one message."""
    text = json.dumps(head).encode()
    return _SIZES.pack(len(text), len(body)) + text + body


def send(channel: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    """Send one message, blocking."""
    channel.sendall(pack(head, body))


def receive(channel: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Receive one message, blocking.

    Raises:
        EOFError: the other side has closed the socket.
    """
    head_size, body_size = _SIZES.unpack(_exactly(channel, _SIZES.size))
    head = json.loads(_exactly(channel, head_size))
    return head, _exactly(channel, body_size)


async def read(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """Receive one message.

    Raises:
        asyncio.IncompleteReadError: the other side has closed the socket.
    """
    head_size, body_size = _SIZES.unpack(await reader.readexactly(_SIZES.size))
    head = json.loads(await reader.readexactly(head_size))
    return head, await reader.readexactly(body_size)


def _exactly(channel: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    got = 0
    while got < size:
        count = channel.recv_into(view[got:])
        if count == 0:
            raise EOFError
        got += count
    return bytes(buffer)
