"""How the running system's applications are served."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from local.serving import Dated
from shared.core import clock

BEGIN = datetime(2027, 1, 10, 3, 52, 52, tzinfo=UTC)


def test_an_answer_carries_the_date_of_the_clock_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: BEGIN)
    client = TestClient(Dated(PlainTextResponse("here")))
    assert parsedate_to_datetime(client.get("/").headers["date"]) == BEGIN
    monkeypatch.setattr(clock, "now", lambda: BEGIN + timedelta(hours=2))
    assert parsedate_to_datetime(client.get("/").headers["date"]) == BEGIN + timedelta(hours=2)


def test_a_date_that_an_answer_brings_is_kept() -> None:
    brought = "Sun, 10 Jan 2027 03:52:52 GMT"

    async def dated(_request: object) -> Response:
        return PlainTextResponse("here", headers={"Date": brought})

    client = TestClient(Dated(Starlette(routes=[Route("/", dated)])))
    assert client.get("/").headers.get_list("date") == [brought]
