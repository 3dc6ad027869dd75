"""Turns HTTP requests into Lambda events and answers back into HTTP, as API Gateway's HTTP API does (payload format 2.0).

Sources: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html and
http-api-quotas.html, read 2026-11. Live captures of HTTP APIs show that `rawPath` arrives percent-decoded.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.mailbox import Mailbox
from local.system import ACCOUNT, CorsRule, Route
from local.workers import MAX_PAYLOAD_BYTES, FunctionPool, Outcome
from shared.core import clock

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[str, str]]

MAX_REQUEST_BYTES = 10 * 1024 * 1024
INTEGRATION_SECONDS = 30.0
MAIL_PAGE, MAIL_JSON = "/_local/mail", "/_local/mail.json"
_WITHOUT_BODY = (204, 304)
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_TEXT_SUFFIXES = ("+json", "+xml")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received. Header names are in lower case; `path` is percent-encoded."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    source_ip: str
    protocol: str
    body: bytes

    def header(self, name: str) -> str | None:
        """All values of a header, joined by commas as API Gateway does; None if there is none."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Response:
    """The HTTP answer."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, with the values of its path parameters."""

    route: Route
    parameters: Mapping[str, str]


class Router:
    """Chooses a route: the most specific path wins, and a method before ANY."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=_specificity, reverse=True)

    def match(self, method: str, path: str) -> Match | None:
        """Find the route for a request; None if the API has none."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        for route in self._routes:
            if route.method in ("ANY", method):
                parameters = _parameters(route.path, segments)
                if parameters is not None:
                    return Match(route, parameters)
        return None


def _specificity(route: Route) -> tuple[tuple[int, ...], bool]:
    ranks = {"{proxy+}": 0}
    segments = [] if route.path == "$default" else route.path.strip("/").split("/")
    kinds = tuple(
        ranks.get(one, 0 if one.endswith("+}") else 1 if one.startswith("{") else 2)
        for one in segments
    )
    return kinds, route.method != "ANY"


def _parameters(pattern: str, segments: Sequence[str]) -> Mapping[str, str] | None:
    """Return the path parameters if a request's path matches a route's; None if it does not."""
    if pattern == "$default":
        return {}
    wanted = pattern.strip("/").split("/") if pattern.strip("/") else []
    parameters: dict[str, str] = {}
    for index, part in enumerate(wanted):
        if part.endswith("+}"):
            rest = "/".join(segments[index:])
            return {**parameters, part[1:-2]: unquote(rest)} if rest else None
        if index >= len(segments):
            return None
        if part.startswith("{"):
            parameters[part[1:-1]] = unquote(segments[index])
        elif part != unquote(segments[index]):
            return None
    return parameters if len(segments) == len(wanted) else None


def event_from_request(request: Request, match: Match, *, now: float) -> dict[str, Any]:
    """Write a request as the event that API Gateway passes to a function."""
    names = dict.fromkeys(name for name, _ in request.headers if name != "cookie")
    headers = {name: request.header(name) or "" for name in names}
    cookies = [
        part.strip()
        for name, value in request.headers
        if name == "cookie"
        for part in value.split(";")
        if part.strip()
    ]
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    path = unquote(request.path)
    host = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": {
            **headers,
            "x-forwarded-for": request.source_ip,
            "x-forwarded-port": host.rpartition(":")[2] if ":" in host else "80",
            "x-forwarded-proto": "http",
            "x-amzn-trace-id": f"Root=1-{int(now):08x}-{secrets.token_hex(12)}",
        },
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": base64.b64encode(secrets.token_bytes(11)).decode(),
            "routeKey": match.route.key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters:
        event["queryStringParameters"] = parameters
    if match.parameters:
        event["pathParameters"] = dict(match.parameters)
    if request.body:
        event["body"], event["isBase64Encoded"] = _written_body(request)
    return event


def _written_body(request: Request) -> tuple[str, bool]:
    """Write a body as text if its type is text, otherwise (forms too) in base64."""
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind.startswith(_TEXT_TYPES) or kind.endswith(_TEXT_SUFFIXES):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def response_from_outcome(outcome: Outcome) -> Response:
    """Read a function's answer as API Gateway does: format 2.0, or anything else as a JSON body with status 200."""
    if outcome.failed:
        return _json_answer(500, "Internal Server Error")
    try:
        answer = outcome.json()
    except ValueError:
        return _json_answer(500, "Internal Server Error")
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(200, [("content-type", "application/json")], outcome.payload)
    headers: Headers = [
        (name.lower(), str(value)) for name, value in (answer.get("headers") or {}).items()
    ]
    headers += [("set-cookie", cookie) for cookie in answer.get("cookies") or []]
    body = str(answer.get("body") or "").encode()
    if answer.get("isBase64Encoded"):
        body = base64.b64decode(body)
    if body and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return Response(int(answer["statusCode"]), headers, body)


class Gateway:
    """An ASGI application: the HTTP API, and below `/_local/` the routes that exist only on a laptop."""

    def __init__(
        self,
        routes: Sequence[Route],
        pools: Mapping[str, FunctionPool],
        mailbox: Mailbox,
        cors: CorsRule | None,
        *,
        integration_seconds: float = INTEGRATION_SECONDS,
    ) -> None:
        self._router = Router(routes)
        self._pools, self._mailbox, self._cors = pools, mailbox, cors
        self._integration_seconds = integration_seconds
        self._under_way: set[asyncio.Task[Outcome]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = await _read_request(scope, receive)
        response = (
            _json_answer(413, "Request Entity Too Large")
            if request is None
            else await self._answer(request)
        )
        origin = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None
        )
        headers = [
            *response.headers,
            *self._cors_headers(origin),
            ("apigw-requestid", secrets.token_hex(8)),
        ]
        if response.status not in _WITHOUT_BODY and not any(
            name == "content-length" for name, _ in headers
        ):
            headers.append(("content-length", str(len(response.body))))
        start = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in headers]
        await send({"type": "http.response.start", "status": response.status, "headers": start})
        await send(
            {
                "type": "http.response.body",
                "body": b"" if scope["method"] == "HEAD" else response.body,
            }
        )

    async def _answer(self, request: Request) -> Response:
        if request.path == MAIL_PAGE:
            return Response(
                200, [("content-type", "text/html; charset=utf-8")], self._mailbox.as_page()
            )
        if request.path == MAIL_JSON:
            return Response(200, [("content-type", "application/json")], self._mailbox.as_json())
        if (
            self._cors
            and request.method == "OPTIONS"
            and request.header("access-control-request-method")
        ):
            return self._preflight(request)
        match = self._router.match(request.method, request.path)
        if match is None:
            return _json_answer(404, "Not Found")
        event = json.dumps(event_from_request(request, match, now=clock.now().timestamp())).encode()
        if len(event) > MAX_PAYLOAD_BYTES:
            return _json_answer(413, "Request Entity Too Large")
        # As in AWS, the function keeps running after the gateway has timed out: the task is not cancelled.
        task = asyncio.create_task(self._pools[match.route.function].invoke(event))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait({task}, timeout=self._integration_seconds)
        if not done:
            return _json_answer(503, "Service Unavailable")
        return self._without_cors(response_from_outcome(task.result()))

    def _without_cors(self, response: Response) -> Response:
        """Drop a function's CORS headers, as API Gateway does if the API has its own CORS configuration."""
        if self._cors is None:
            return response
        headers = [pair for pair in response.headers if not pair[0].startswith("access-control-")]
        return Response(response.status, headers, response.body)

    def _preflight(self, request: Request) -> Response:
        assert self._cors is not None
        headers: Headers = [
            ("access-control-allow-methods", ",".join(self._cors.methods)),
            ("access-control-allow-headers", ",".join(self._cors.headers)),
        ]
        if self._cors.max_age_seconds is not None:
            headers.append(("access-control-max-age", str(self._cors.max_age_seconds)))
        return Response(204, headers if self._is_allowed(request.header("origin")) else [], b"")

    def _is_allowed(self, origin: str | None) -> bool:
        return (
            self._cors is not None
            and origin is not None
            and ("*" in self._cors.origins or origin in self._cors.origins)
        )

    def _cors_headers(self, origin: str | None) -> Headers:
        if self._cors is None or origin is None or not self._is_allowed(origin):
            return []
        headers: Headers = [("access-control-allow-origin", origin), ("vary", "Origin")]
        if self._cors.credentials:
            headers.append(("access-control-allow-credentials", "true"))
        if self._cors.exposed:
            headers.append(("access-control-expose-headers", ",".join(self._cors.exposed)))
        return headers


async def _read_request(scope: Scope, receive: Receive) -> Request | None:
    """Read a whole request; None if it is larger than API Gateway accepts."""
    headers = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in scope["headers"]
    ]
    length = dict(headers).get("content-length", "0")
    if length.isdigit() and int(length) > MAX_REQUEST_BYTES:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_REQUEST_BYTES:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    client = scope.get("client") or ("127.0.0.1", 0)
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1").partition("?")[0],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        source_ip=client[0],
        protocol=f"HTTP/{scope.get('http_version', '1.1')}",
        body=bytes(body),
    )


def _json_answer(status: int, message: str) -> Response:
    return Response(
        status, [("content-type", "application/json")], json.dumps({"message": message}).encode()
    )
