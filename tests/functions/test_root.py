"""Whether the system says truthfully how it is, and what it can do."""

import json
import socket
import time
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import boto3
import pytest
from sqlalchemy.orm import Session

from functions.root.app import app
from local.docs import openapi
from shared.core import clock
from shared.core.config import SettingsRefused, settings
from shared.db.session import dispose
from shared.web import health
from tests.conftest import Configure
from tests.gateway import Gateway


@pytest.fixture
def gateway() -> Gateway:
    return Gateway(app)


@pytest.fixture
def services(aws: None, configure: Configure) -> None:
    """Put a queue and a bucket where the settings look for them."""
    queue = boto3.client("sqs").create_queue(QueueName="publish")["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket="media")
    configure(PUBLISH_QUEUE_URL=queue, MEDIA_BUCKET="media")


class TestHealth:
    def test_says_how_long_and_how_much(self, gateway: Gateway) -> None:
        answer = gateway.get("/health")
        assert answer.status == 200
        assert set(answer.json) == {"status", "timestamp", "uptime", "memory"}
        assert answer.json["status"] == "ok"
        assert answer.json["timestamp"][:10] == f"{clock.now():%Y-%m-%d}"
        assert 0 < answer.json["memory"]["rss"] <= answer.json["memory"]["peak"]
        assert gateway.get("/health").json["uptime"] >= answer.json["uptime"] > 0

    def test_front_page_leads_to_the_reference(self, gateway: Gateway) -> None:
        answer = gateway.get("/")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "/docs" in answer.text


class TestReady:
    def test_everything_answers(self, gateway: Gateway, session: Session, services: None) -> None:
        answer = gateway.get("/health/ready")
        assert (answer.status, answer.json["status"]) == (200, "ok")

    @pytest.mark.parametrize(
        ("failing", "changes"),
        [
            ("queue", {"PUBLISH_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/none"}),
            ("storage", {"MEDIA_BUCKET": "none"}),
        ],
    )
    def test_names_what_fails(
        self,
        gateway: Gateway,
        session: Session,
        services: None,
        configure: Configure,
        failing: str,
        changes: dict[str, str],
    ) -> None:
        configure(**changes)
        answer = gateway.get("/health/ready")
        assert (answer.status, answer.json["status"]) == (503, "failing")
        assert {
            name for name, state in answer.json["dependencies"].items() if state == "failing"
        } == {failing}

    def test_names_a_database_that_is_gone(
        self, gateway: Gateway, services: None, database_url: str, configure: Configure
    ) -> None:
        dispose()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        configure(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/none")
        answer = gateway.get("/health/ready")
        dispose()
        assert answer.status == 503
        assert answer.json["dependencies"]["database"] == "failing"
        assert answer.json["dependencies"]["queue"] == "ok"

    def test_does_not_wait_for_what_hangs(
        self,
        gateway: Gateway,
        session: Session,
        services: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(health, "ask_queue", lambda: time.sleep(0.5))
        monkeypatch.setattr(health, "_PATIENCE", timedelta(seconds=0.2))
        answer = gateway.get("/health/ready")
        assert answer.json["dependencies"]["queue"] == "failing"


class TestDocument:
    def test_is_the_committed_one_and_current(self, gateway: Gateway) -> None:
        served = gateway.get("/openapi.json")
        assert served.headers["content-type"] == "application/json"
        assert served.text == openapi.TARGET.read_text()

    def test_every_operation_is_complete(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                where = f"{method} {path}"
                assert operation["summary"], where
                assert operation["tags"], where
                assert operation["x-access"], where
                assert set(operation["responses"]) >= {"422", "500", "503"}, where
                for media in operation.get("requestBody", {}).get("content", {}).values():
                    assert "example" in media or "examples" in media, where

    def test_nothing_that_it_refers_to_is_missing(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        schemas = document["components"]["schemas"]
        for reference in _references(document):
            assert reference.rpartition("/")[2] in schemas


class TestReference:
    def test_shows_every_route_and_loads_nothing(self, gateway: Gateway) -> None:
        answer = gateway.get("/docs")
        page = _Page()
        page.feed(answer.text)
        document = json.loads(openapi.TARGET.read_text())
        operations = [each for methods in document["paths"].values() for each in methods.values()]
        assert {each["operationId"] for each in operations} <= page.ids
        assert "`" not in answer.text
        assert not page.loaded
        assert "script-src 'none'" in answer.headers["content-security-policy"]

    def test_style_is_allowed_to_apply(self, gateway: Gateway) -> None:
        policy = gateway.get("/docs").headers["content-security-policy"]
        assert "style-src 'sha256-" in policy


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag in {"script", "img", "link", "iframe"} or "src" in given:
            self.loaded.append(tag)


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(each) for each in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(each) for each in node))
    return set()


class TestFeatures:
    def test_what_is_switched_off_is_not_there(
        self, gateway: Gateway, configure: Configure
    ) -> None:
        assert gateway.get("/docs").status == 200
        configure(DISABLED_FEATURES="reference, impersonation")
        for path in ("/docs", "/openapi.json"):
            answer = gateway.get(path)
            assert (answer.status, answer.json["code"]) == (404, "not_found")
        assert gateway.get("/health").status == 200

    def test_an_unknown_feature_stops_the_start(self, configure: Configure) -> None:
        configure(DISABLED_FEATURES="wings")
        with pytest.raises(SettingsRefused, match="DISABLED_FEATURES"):
            settings()
