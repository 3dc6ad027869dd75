import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from local.gateway import Gateway, Match, Request, Router, event_from_request, response_from_outcome
from local.home import listen
from local.serving import serve
from local.system import Route
from local.workers import Outcome
from tests.local.conftest import Running, running

NOW = 1_583_348_638.390


def a_request(**changed: Any) -> Request:
    given: dict[str, Any] = {
        "method": "POST",
        "path": "/echo/a%20b/%C3%BC",
        "query": "parameter1=value1&parameter1=value2&parameter2=a%20b",
        "headers": [
            ("host", "127.0.0.1:3000"),
            ("content-type", "application/json; charset=utf-8"),
            ("user-agent", "agent"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("cookie", "cookie1=a; cookie2=b,c"),
        ],
        "source_ip": "127.0.0.1",
        "protocol": "HTTP/1.1",
        "body": '{"ü": 1}'.encode(),
    }
    return Request(**{**given, **changed})


def event(**changed: Any) -> dict[str, Any]:
    match = Match(Route("ANY", "/echo/{proxy+}", "EchoFunction"), {"proxy": "a b/ü"})
    return event_from_request(a_request(**changed), match, now=NOW)


class TestEvent:
    def test_has_the_shape_of_a_recorded_event(self) -> None:
        # An HTTP API's event as AWS documents payload format 2.0, of an API without authorizer and stage variables:
        # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html, read 2026-11.
        recorded = {
            "version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers", "queryStringParameters", "requestContext",
            "body", "pathParameters", "isBase64Encoded",
        }  # fmt: skip
        context = {
            "accountId",
            "apiId",
            "domainName",
            "domainPrefix",
            "http",
            "requestId",
            "routeKey",
            "stage",
            "time",
            "timeEpoch",
        }

        made = event()

        assert set(made) == recorded
        assert set(made["requestContext"]) == context
        assert set(made["requestContext"]["http"]) == {
            "method",
            "path",
            "protocol",
            "sourceIp",
            "userAgent",
        }

    def test_values(self) -> None:
        made = event()

        assert (made["version"], made["routeKey"], made["requestContext"]["stage"]) == (
            "2.0",
            "ANY /echo/{proxy+}",
            "$default",
        )
        assert made["rawPath"] == made["requestContext"]["http"]["path"] == "/echo/a b/ü"
        assert made["rawQueryString"] == "parameter1=value1&parameter1=value2&parameter2=a%20b"
        assert made["queryStringParameters"] == {"parameter1": "value1,value2", "parameter2": "a b"}
        assert made["cookies"] == ["cookie1=a", "cookie2=b,c"]
        assert "cookie" not in made["headers"]
        assert made["headers"]["x-many"] == "1,2"
        assert (made["body"], made["isBase64Encoded"]) == ('{"ü": 1}', False)
        assert made["requestContext"]["time"] == "04/Mar/2020:19:03:58 +0000"
        assert made["requestContext"]["timeEpoch"] == 1583348638390

    def test_absent_parts_are_absent(self) -> None:
        made = event(query="", headers=[], body=b"")

        assert not {"cookies", "queryStringParameters", "body"} & set(made)
        assert (made["rawQueryString"], made["isBase64Encoded"]) == ("", False)

    @pytest.mark.parametrize(
        ("kind", "body", "written", "encoded"),
        [
            ("text/plain", b"a", "a", False),
            ("application/problem+json", b"{}", "{}", False),
            ("application/x-www-form-urlencoded", b"a=1", "YT0x", True),
            ("multipart/form-data; boundary=x", b"--x", "LS14", True),
            ("image/png", b"\x89", "iQ==", True),
            ("", b"a", "YQ==", True),
            ("application/json", b"\xff", "/w==", True),
        ],
    )
    def test_body_is_text_or_base64_by_its_type(
        self, kind: str, body: bytes, written: str, encoded: bool
    ) -> None:
        made = event(headers=[("content-type", kind)] if kind else [], body=body)

        assert (made["body"], made["isBase64Encoded"]) == (written, encoded)


class TestRouter:
    ROUTES = (
        Route("ANY", "/{proxy+}", "all"),
        Route("ANY", "/posts", "posts"),
        Route("ANY", "/posts/{proxy+}", "posts below"),
        Route("ANY", "/posts/{id}", "one post"),
        Route("GET", "/posts/new", "get new"),
        Route("ANY", "/posts/new", "any new"),
        Route("ANY", "/", "root"),
    )

    @pytest.mark.parametrize(
        ("method", "path", "function", "parameters"),
        [
            ("GET", "/", "root", {}),
            ("GET", "/posts", "posts", {}),
            ("GET", "/posts/7", "one post", {"id": "7"}),
            ("GET", "/posts/7/date", "posts below", {"proxy": "7/date"}),
            ("GET", "/posts/new", "get new", {}),
            ("POST", "/posts/new", "any new", {}),
            ("GET", "/other/a%2Fb", "all", {"proxy": "other/a/b"}),
        ],
    )
    def test_most_specific_wins(
        self, method: str, path: str, function: str, parameters: dict[str, str]
    ) -> None:
        found = Router(self.ROUTES).match(method, path)

        assert found is not None
        assert (found.route.function, found.parameters) == (function, parameters)

    def test_nothing_matches(self) -> None:
        router = Router([Route("GET", "/posts/{proxy+}", "x")])

        assert router.match("GET", "/posts") is None
        assert router.match("POST", "/posts/1") is None


class TestResponse:
    def test_format_two(self) -> None:
        answer = {
            "statusCode": 201,
            "headers": {"X-Kind": "a"},
            "cookies": ["a=1", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": True,
        }

        response = response_from_outcome(Outcome(json.dumps(answer).encode(), failed=False))

        assert (response.status, response.body) == (201, b"hi")
        assert [value for name, value in response.headers if name == "set-cookie"] == ["a=1", "b=2"]
        assert ("x-kind", "a") in response.headers

    def test_anything_else_is_a_json_body(self) -> None:
        response = response_from_outcome(Outcome(b'{"a": 1}', failed=False))

        assert (response.status, response.headers, response.body) == (
            200,
            [("content-type", "application/json")],
            b'{"a": 1}',
        )

    def test_failed_function_is_said_without_its_error(self) -> None:
        response = response_from_outcome(Outcome(b'{"errorMessage": "secret"}', failed=True))

        assert (response.status, response.body) == (500, b'{"message": "Internal Server Error"}')


@contextlib.asynccontextmanager
async def serving(up: Running, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    gateway = Gateway(up.system.routes, up.pools, up.mailbox, up.system.api_cors, **options)
    server = uvicorn.Server(
        uvicorn.Config(gateway, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
    with listen(0, what="the test", variable="PORT") as listener:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20
        ) as client:
            yield client
        server.should_exit = True
        await task


def run(
    home: Path, scenario: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def main() -> None:
        async with running(home) as up, serving(up, **options) as client:
            await scenario(client)

    asyncio.run(main())


def test_a_web_socket_is_answered_like_any_request() -> None:
    """A published program asks for one again and again, and was answered 500 by the server, with a line in the log."""
    asked = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def main() -> int:
        stop = asyncio.Event()
        with listen(0, what="the test", variable="PORT") as listener:
            server = asyncio.create_task(serve(app, listener, stop))
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/egress/connect"
            headers = {**asked, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
            async with httpx.AsyncClient(timeout=20) as client:
                answer = await client.get(address, headers=headers)
            stop.set()
            await server
        return answer.status_code

    assert asyncio.run(main()) == 404
    assert seen == ["http"]


class TestGateway:
    def test_request_reaches_the_function_and_its_answer_comes_back(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            answer = await client.post("/echo/x?y=1", json={"a": 1}, headers={"Cookie": "c=1"})
            seen = answer.json()["event"]

            assert answer.status_code == 201
            assert answer.headers["x-kind"] == "echo"
            assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]
            assert (seen["rawPath"], seen["body"], seen["cookies"]) == (
                "/echo/x",
                '{"a":1}',
                ["c=1"],
            )
            assert seen["pathParameters"] == {"proxy": "x"}
            assert seen["requestContext"]["http"]["sourceIp"] == "127.0.0.1"

        run(tmp_path, scenario)

    def test_unrouted_and_too_large(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            unrouted = await client.get("/nowhere")
            assert (unrouted.status_code, unrouted.json()) == (404, {"message": "Not Found"})
            large = await client.post(
                "/echo/x",
                content=b"x" * (10 * 1024 * 1024 + 1),
                headers={"Content-Type": "text/plain"},
            )
            assert (large.status_code, large.json()) == (
                413,
                {"message": "Request Entity Too Large"},
            )
            over_lambdas_limit = await client.post("/echo/x", content=b"\xff" * (5 * 1024 * 1024))
            assert over_lambdas_limit.status_code == 413

        run(tmp_path, scenario)

    def test_killed_function_is_an_internal_error(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            answer = await client.get("/echo/slow")
            assert (answer.status_code, answer.json()) == (
                500,
                {"message": "Internal Server Error"},
            )

        run(tmp_path, scenario)

    def test_gateway_gives_up_before_the_function(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            answer = await client.get("/echo/slow")
            assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})

        run(tmp_path, scenario, integration_seconds=0.3)

    def test_cors_is_the_templates(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
            preflight = await client.options("/echo/x", headers=asked)
            assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (
                204,
                "https://a.example",
            )
            assert preflight.headers["access-control-allow-credentials"] == "true"
            other = await client.options(
                "/echo/x", headers={**asked, "Origin": "https://evil.example"}
            )
            assert "access-control-allow-origin" not in other.headers
            answer = await client.get("/nowhere", headers={"Origin": "https://b.example"})
            assert answer.headers["access-control-allow-origin"] == "https://b.example"

        run(tmp_path, scenario)

    def test_mails_have_a_page(self, tmp_path: Path) -> None:
        async def scenario(client: httpx.AsyncClient) -> None:
            assert (await client.get("/_local/mail.json")).json() == []
            assert "No email has been sent yet." in (await client.get("/_local/mail")).text

        run(tmp_path, scenario)
