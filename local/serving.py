"""Serves an ASGI application of a running system, with `Date` headers by the system's clock."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from email.utils import format_datetime

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.core import clock


class Dated:
    """Adds a `Date` header by the system's clock to answers that have none.

    uvicorn caches the header and refreshes it at most ten times a second, so after a move of the clock it would be stale.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"date" for name, _ in headers):
                    headers.append((b"date", format_datetime(clock.now(), usegmt=True).encode()))
                    message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, dated)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the supervisor."""
        yield


async def serve(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve an ASGI application until cancelled."""
    server = _Server(
        uvicorn.Config(
            Dated(app),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=65,
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await stop.wait()
    finally:
        server.should_exit = True
        await serving
