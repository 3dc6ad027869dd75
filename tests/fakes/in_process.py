"""The sandbox without a socket: requests are carried to the application in this process."""

import asyncio

import httpx

from local.sandbox.app import Sandbox


class InProcess(httpx.BaseTransport):
    """Carries requests to the application without a socket."""

    def __init__(self, app: Sandbox) -> None:
        self._transport = httpx.ASGITransport(app)
        self._runner = asyncio.Runner()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._carry(request))

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        content = b"".join([chunk async for chunk in answer.aiter_raw()])
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    def close(self) -> None:
        self._runner.close()
