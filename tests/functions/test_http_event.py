"""Is the recorded request of API Gateway one that the functions answer and the local gateway would send?"""

import json
from pathlib import Path
from typing import Any

import pytest

from functions.posts.app import handler
from local.gateway import Match, Request, event_from_request
from local.system import Route
from tests.loop import use_loop

EVENT = Path(__file__).parents[2] / "events" / "http_api_request.json"
_NO_CONTEXT: Any = None


@pytest.fixture
def recorded() -> dict[str, Any]:
    event: dict[str, Any] = json.loads(EVENT.read_text())
    return event


def test_a_function_answers_it(recorded: dict[str, Any]) -> None:
    use_loop()  # whatever ran before in this thread may have closed or taken away its loop
    answer = handler(recorded, _NO_CONTEXT)
    assert answer["statusCode"] == 401
    assert answer["headers"]["x-request-id"] == recorded["requestContext"]["requestId"]
    assert json.loads(answer["body"])["code"] == "unauthenticated"


def test_the_local_gateway_sends_the_same_of_the_same_request(recorded: dict[str, Any]) -> None:
    cookies = "; ".join(recorded["cookies"])
    request = Request(
        method=recorded["requestContext"]["http"]["method"],
        path=recorded["rawPath"],
        query=recorded["rawQueryString"],
        headers=[*recorded["headers"].items(), ("cookie", cookies)],
        source_ip=recorded["requestContext"]["http"]["sourceIp"],
        protocol=recorded["requestContext"]["http"]["protocol"],
        body=b"",
    )
    method, _, path = recorded["routeKey"].partition(" ")
    match = Match(Route(method, path, "PostsFunction"), recorded["pathParameters"])
    made = event_from_request(request, match, now=recorded["requestContext"]["timeEpoch"] / 1000)
    for at_random in ("requestId", "accountId", "apiId"):
        made["requestContext"][at_random] = recorded["requestContext"][at_random]
    for of_the_edge in ("x-amzn-trace-id", "x-forwarded-port", "x-forwarded-proto"):
        assert made["headers"].pop(of_the_edge)
        del recorded["headers"][of_the_edge]
    assert made == recorded
