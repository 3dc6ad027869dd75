"""The outermost layer of all requests and answers: the path, the request id, the size limit, and security headers."""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from shared.access.policy import Quota
from shared.core.config import settings
from shared.core.errors import AppError, InvalidInput, Unreadable
from shared.core.ids import new_id
from shared.core.log import correlated, log
from shared.db.session import Clashed
from shared.web.bodies import checked_body
from shared.web.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    Render,
    path_of,
    problem_response,
    unexpected,
)
from shared.web.packing import AnswerTooLarge, finish
from shared.web.paths import Paths, another_spelling, answers_head, enter

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REQUEST_ID = "x-request-id"
MAX_HEADER_BYTES = 16 * 1024
"""API Gateway refuses more than 10,240 bytes and adds some of its own; other servers have other limits.

Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html, read 2026-12-01.
"""
_USABLE_ID = re.compile(r"[A-Za-z0-9._=+/-]{8,128}")


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The size limit of a body in bytes, and the refusal of a larger one."""

    max_bytes: int
    refusal: Callable[[int], AppError] = BodyTooLarge


class Edge:
    """The outermost layer of an HTTP function. `body_limits` has the paths with another limit than the default.

    `paths` reads the path of each request. If no route of this function has it, but another function has it in another
    spelling, the answer redirects there.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        *,
        paths: Paths,
        max_body_bytes: int,
        body_limits: Mapping[str, BodyLimit] | None = None,
        render: Render = problem_response,
    ) -> None:
        self._app = app
        self._paths, self._render = paths, render
        self._usual_limit = BodyLimit(max_body_bytes)
        self._limits = dict(body_limits or {})
        self._headers = _security_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        place = self._paths.read(scope["path"])
        enter(place.base)
        elsewhere = None if self._paths.knows(place.path) else another_spelling(scope["path"])
        heads = scope["method"] == "HEAD" and answers_head(place.path)
        method = "GET" if heads else scope["method"]
        path = {"path": place.path, "raw_path": quote(place.path).encode()}
        scope = {**scope, **path, "method": method}
        request = Request(scope)
        request_id = _request_id(request)
        request.state.request_id = request_id
        with correlated(request_id):
            sent = _without_body(send) if heads else send
            if elsewhere:
                query = scope["query_string"].decode("latin-1")
                where = f"{elsewhere}?{query}" if query else elsewhere
                answer = Response(
                    status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"location": where}
                )
                await answer(scope, receive, sent)
            else:
                await self._answer(scope, receive, sent, request, request_id)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, request: Request, request_id: str
    ) -> None:
        started = False
        held: Message | None = None

        async def send_dressed(message: Message) -> None:
            nonlocal started, held
            if message["type"] == "http.response.start":
                started, held = True, message
                return
            start, held = held, None
            if start is not None and not message.get("more_body"):
                start, message = self._finished(request, start, message)
            if start is not None:
                given = start.get("headers", ())
                start["headers"] = [*given, *self._dress(start, request, request_id)]
                await send(start)
            await send(message)

        try:
            body = await self._read(request, receive)
            await self._run(scope, body, send_dressed, request)
        except AppError as error:
            if started:
                raise
            await self._render(error)(scope, receive, send_dressed)
        except Exception as error:
            if started:
                raise
            failure = unexpected(error, method=request.method, path=path_of(request))
            await self._render(failure)(scope, receive, send_dressed)

    async def _run(self, scope: Scope, body: bytes, send: Send, request: Request) -> None:
        try:
            await self._app(scope, _replay(body), send)
        except Clashed:
            log.warning("request.repeated", extra={"path": path_of(request)})
            request.state.repeated = True
            await self._app(scope, _replay(body), send)

    async def _read(self, request: Request, receive: Receive) -> bytes:
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            raise InvalidInput("The address contains a NUL character. Remove it.")
        if sum(len(name) + len(value) for name, value in request.headers.raw) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(MAX_HEADER_BYTES)
        limit = self._limits.get(request.scope["path"], self._usual_limit)
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit.max_bytes:
            raise limit.refusal(limit.max_bytes)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity"}:
            raise Unreadable(
                f"The body is compressed ({encoding[:20]}), which is not supported. Send it "
                "without `Content-Encoding`."
            )
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit.max_bytes:
                raise limit.refusal(limit.max_bytes)
            more = message.get("more_body", False)
        return checked_body(b"".join(chunks), request.headers.get("content-type", ""))

    def _finished(
        self, request: Request, start: Message, message: Message
    ) -> tuple[Message, Message]:
        """Compress a complete answer and add its `ETag`."""
        is_list = request.method == "GET" and not request.path_params
        given, body = list(start.get("headers", ())), message.get("body", b"")
        try:
            status, headers, body = finish(
                request.headers, start["status"], given, body, is_list=is_list
            )
        except AnswerTooLarge as error:
            response = self._render(error)
            status, headers, body = response.status_code, response.raw_headers, bytes(response.body)
        start = {**start, "status": status, "headers": headers}
        return start, {"type": "http.response.body", "body": body}

    def _dress(
        self, message: Message, request: Request, request_id: str
    ) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _ in message.get("headers", ())}
        headers = [(name, value) for name, value in self._headers if name not in present]
        headers.append((REQUEST_ID.encode(), request_id.encode()))
        removed: str | None = getattr(request.state, "removed_cookie", None)
        if removed:
            headers.append((b"set-cookie", removed.encode()))
        quota: Quota | None = getattr(request.state, "quota", None)
        if quota:
            headers += [
                (b"x-ratelimit-limit", b"%d" % quota.limit),
                (b"x-ratelimit-remaining", b"%d" % quota.remaining),
                (b"x-ratelimit-reset", b"%d" % quota.resets_in_seconds),
            ]
        return headers


def _without_body(send: Send) -> Send:
    """Answer HEAD: the headers of the answer to GET without its body (RFC 9110, section 9.3.2)."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return send_head


def _request_id(request: Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    if _USABLE_ID.fullmatch(given):
        return given
    event = request.scope.get("aws.event") or {}
    return str(event.get("requestContext", {}).get("requestId") or new_id())


def _security_headers() -> list[tuple[bytes, bytes]]:
    headers = [
        (b"cache-control", b"no-store"),
        # `default-src` covers neither of the other two.
        (
            b"content-security-policy",
            b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ),
        # Not `no-referrer`, with which forms of our own pages would be sent with `Origin: null`.
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]
    if settings().cookies_are_secure:
        headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
    return headers


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
