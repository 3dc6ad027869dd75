"""Whether the system says truthfully how it is, and what it can do."""

import base64
import gzip
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import boto3
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.root.app import app
from local.docs import openapi
from shared.core import clock
from shared.core.config import SettingsRefused, settings
from shared.db.session import dispose
from shared.web import health
from shared.web.openapi import describe
from tests.conftest import Configure
from tests.gateway import Gateway


@pytest.fixture
def gateway() -> Gateway:
    return Gateway(app, {"accept-encoding": "identity"})


@pytest.fixture
def services(aws: None, configure: Configure) -> None:
    """Put a queue and a bucket where the settings look for them."""
    queue = boto3.client("sqs").create_queue(QueueName="publish")["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket="media")
    configure(PUBLISH_QUEUE_URL=queue, MEDIA_BUCKET="media")


class TestSecurityContact:
    def test_says_where_to_report(self, gateway: Gateway, configure: Configure) -> None:
        configure(
            SECURITY_CONTACT="mailto:security@example.com", PUBLIC_URL="https://roost.example.com"
        )
        answer = gateway.get("/.well-known/security.txt")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
        assert fields["Contact"] == "mailto:security@example.com"
        assert fields["Canonical"] == "https://roost.example.com/.well-known/security.txt"
        ends = datetime.fromisoformat(fields["Expires"])
        assert timedelta(days=100) < ends - clock.now() < timedelta(days=365)

    def test_nobody_is_named_by_default(self, gateway: Gateway) -> None:
        assert gateway.get("/.well-known/security.txt").status == 404

    def test_must_be_an_address(self, configure: Configure) -> None:
        with pytest.raises(SettingsRefused, match="SECURITY_CONTACT must begin with"):
            configure(SECURITY_CONTACT="security@example.com")
            settings()


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

    def test_browser_gets_a_page_that_leads_on(self, gateway: Gateway) -> None:
        """Finding 6.5."""
        answer = gateway.get("/", headers={"accept": "text/html,*/*;q=0.8"})
        assert answer.headers["content-type"].startswith("text/html")
        leads = set(re.findall(r'href="(/[^"]*)"', answer.text))
        assert leads == {"/", "/docs", "/openapi.json", "/health/ready"}
        assert all(gateway.get(path).status in {200, 503} for path in leads)


class TestReady:
    @pytest.fixture(autouse=True)
    def _asked_anew(self) -> None:
        health.forget_readiness()

    def test_is_remembered_for_a_few_seconds(
        self,
        gateway: Gateway,
        session: Session,
        services: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Finding 7.17: anybody could have the database, the queue and the bucket asked, at any rate."""
        asked = []
        monkeypatch.setattr(health, "ask_queue", lambda: asked.append(1))
        monkeypatch.setattr(health, "REMEMBERED", timedelta(hours=1))
        assert [gateway.get("/health/ready").status for _ in range(3)] == [200, 200, 200]
        assert len(asked) == 1
        monkeypatch.setattr(health, "REMEMBERED", timedelta(0))
        gateway.get("/health/ready")
        assert len(asked) == 2

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

    def test_names_a_database_that_only_reads(
        self, gateway: Gateway, session: Session, services: None
    ) -> None:
        """Finding 6.4: a full disk answers reads, and so does a writer that became a reader."""
        session.execute(text("set local transaction_read_only = on"))
        answer = gateway.get("/health/ready")
        assert answer.status == 503
        assert answer.json["dependencies"]["database"] == "failing"

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

    def test_waits_no_longer_when_several_hang(
        self,
        gateway: Gateway,
        session: Session,
        services: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whoever asks gives up after some seconds, and would be told nothing."""
        monkeypatch.setattr(health, "_PATIENCE", timedelta(seconds=0.5))
        monkeypatch.setattr(health, "ask_queue", lambda: time.sleep(1.5))
        monkeypatch.setattr(health, "ask_storage", lambda: time.sleep(0.9))
        answer = gateway.get("/health/ready")
        assert answer.json["dependencies"]["storage"] == "failing"


class TestDocument:
    def test_is_the_committed_one_and_current(self, gateway: Gateway) -> None:
        served = gateway.get("/openapi.json")
        assert served.headers["content-type"] == "application/json"
        assert served.text == openapi.TARGET.read_text()

    def test_is_openapi(self) -> None:
        validate(json.loads(openapi.TARGET.read_text()))

    def test_every_operation_is_complete(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        schemes = document["components"]["securitySchemes"]
        for where, operation in _operations(document):
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["x-access"], where
            assert set(operation["responses"]) >= {"500", "503"}, where
            for ways in operation["security"]:
                assert set(ways) <= set(schemes), where
            assert operation["security"] or operation["x-access"] == "anybody", where
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (where, parameter["name"])
            for media in operation.get("requestBody", {}).get("content", {}).values():
                assert "example" in media or "examples" in media, where

    def test_every_answer_has_an_example_that_fits(self) -> None:
        """Finding 5.7: an answer is shown, and what is shown is true to its schema."""
        document = json.loads(openapi.TARGET.read_text())
        shown = 0
        for where, operation in _operations(document):
            for status, answer in operation["responses"].items():
                for kind, media in answer.get("content", {}).items():
                    if "json" not in kind:
                        continue
                    assert "example" in media or "examples" in media, (where, status)
                    schema = {**media["schema"], "components": document["components"]}
                    validator = Draft202012Validator(schema)
                    problems = [error.message for error in validator.iter_errors(media["example"])]
                    assert problems == [], (where, status, media["example"])
                    shown += "Public API" in operation["tags"]
        assert shown > 200

    def test_public_examples_hold_no_placeholder(self) -> None:
        """Finding 5.7: an example that says `text` shows nothing."""
        found = [
            (where, answer["content"]["application/json"]["example"])
            for where, operation in _operations(json.loads(openapi.TARGET.read_text()))
            if "Public API" in operation["tags"]
            for answer in operation["responses"].values()
            if '"text"' in json.dumps(answer["content"]["application/json"].get("example"))
        ]
        assert found == []

    def test_operations_are_named_by_their_routes_words(self) -> None:
        """Names in generated clients, and in log lines."""
        names = {
            where: operation["operationId"]
            for where, operation in _operations(json.loads(openapi.TARGET.read_text()))
        }
        wanted = {
            "get /public/v1/notifications": "listNotifications",
            "get /public/v1/integration-settings/{channel_id}": "getIntegrationSettings",
            "post /public/v1/integration-trigger/{channel_id}": "triggerIntegrationTool",
            "put /public/v1/posts/{post_id}/release-id": "updateReleaseId",
            "get /public/v1/posts/{post_id}/missing": "getMissingContent",
        }
        assert {where: names[where] for where in wanted} == wanted
        assert len(set(names.values())) == len(names)
        exceptions = (
            "get /", "get /openapi.json", "get /user/recovery", "post /auth/forgot-return", "post /auth/mfa",
            "post /auth/mfa/options", "post /auth/recover", "post /auth/return", "post /user/confirm/options",
        )  # fmt: skip
        for where, name in names.items():
            said = {one.lower().rstrip("s") for one in re.findall("[A-Z]?[a-z]+", name)}
            words = {
                one.rstrip("s") for one in re.split(r"\W", re.sub(r"{\w+}", "", where.lower()))
            }
            assert words & said or where in exceptions, (where, name)

    def test_what_both_apis_have_is_public_by_name(self) -> None:
        """`GET /notifications` is not the same route in both: ours counts them."""
        names = {
            where: operation["operationId"]
            for where, operation in _operations(json.loads(openapi.TARGET.read_text()))
        }
        in_both = [
            (names[where], names[where.replace("/public/v1", "")])
            for where in names
            if "/public/v1" in where and where.replace("/public/v1", "") in names
        ]
        assert len(in_both) > 7
        for public, own in in_both:
            alike = public == f"public{own[0].upper()}{own[1:]}"
            assert alike or (public, own) == ("listNotifications", "countUnreadNotifications")

    def test_fields_with_a_default_are_optional(self) -> None:
        """Finding 5.7: generators of types take a property with a `default` for a required one."""
        for name, schema in json.loads(openapi.TARGET.read_text())["components"]["schemas"].items():
            for field, described in schema.get("properties", {}).items():
                assert "default" not in described, (name, field)

    def test_what_the_gateway_answers_is_described(self) -> None:
        """Finding 5.7: a body that is too large for the gateway never reaches a function."""
        document = json.loads(openapi.TARGET.read_text())
        for where, operation in _operations(document):
            if "413" in operation["responses"]:
                media = operation["responses"]["413"]["content"]["application/json"]
                schema = {**media["schema"], "components": document["components"]}
                body = {"message": "Request Entity Too Large"}
                assert Draft202012Validator(schema).is_valid(body), where

    def test_every_answer_says_what_it_holds(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        for where, operation in _operations(document):
            for status, answer in operation["responses"].items():
                assert answer["description"] != "Successful Response", where
                for media in answer.get("content", {}).values():
                    assert "schema" in media, (where, status)

    def test_answers_of_limited_routes_tell_the_limit(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        told = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
        for where, operation in _operations(document):
            if "x-rate-limit" in operation:
                assert set(operation["responses"]["429"]["headers"]) >= {*told, "Retry-After"}, (
                    where
                )

    def test_names_are_fit_for_classes(self) -> None:
        schemas = json.loads(openapi.TARGET.read_text())["components"]["schemas"]
        assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)] == []

    def test_files_are_known_as_such(self) -> None:
        schemas = json.loads(openapi.TARGET.read_text())["components"]["schemas"]
        form = schemas["UploadFileForm"]
        assert form["required"] == ["file"]
        assert (form["properties"]["file"]["type"], form["properties"]["file"]["format"]) == (
            "string",
            "binary",
        )

    def test_tags_are_explained_and_begin_with_what_programs_need(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        used = {tag for _, operation in _operations(document) for tag in operation["tags"]}
        assert {tag["name"] for tag in document["tags"]} == used
        assert document["tags"][0]["name"] == "Public API"
        assert all(tag["description"] for tag in document["tags"])

    def test_nothing_that_it_refers_to_is_missing_or_unused(self) -> None:
        document = json.loads(openapi.TARGET.read_text())
        parts = {
            f"#/components/{kind}/{name}"
            for kind in ("schemas", "headers")
            for name in document["components"][kind]
        }
        assert _references(document) == parts

    def test_describing_twice_says_the_same(self) -> None:
        assert describe(openapi.apps()) == describe(openapi.apps())


class TestReference:
    def test_page_loads_files_of_ours_alone(self, gateway: Gateway) -> None:
        answer = gateway.get("/docs")
        page = _Page(answer.text)
        assert [path for path, _ in page.loaded] == [
            "/docs/swagger-ui.css",
            "/docs/swagger-ui-bundle.js",
            "/docs/start.js",
        ]
        assert not page.inline
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    def test_nothing_but_them_may_run(self, gateway: Gateway) -> None:
        stated = gateway.get("/docs").headers["content-security-policy"].split("; ")
        policy = dict(each.split(" ", 1) for each in stated)
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }

    def test_files_come_from_the_package_and_may_be_kept(self, gateway: Gateway) -> None:
        loaded = _Page(gateway.get("/docs").text).loaded
        kinds = ["text/css", "text/javascript", "text/javascript"]
        for (path, version), kind in zip(loaded, kinds, strict=True):
            answer = gateway.get(path, query={"v": version})
            assert answer.status == 200
            assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "SwaggerUIBundle" in gateway.get("/docs/swagger-ui-bundle.js").text
        assert ".swagger-ui" in gateway.get("/docs/swagger-ui.css").text

    def test_address_of_another_version_is_not_kept(self, gateway: Gateway) -> None:
        answer = gateway.get("/docs/swagger-ui.css", query={"v": "other"})
        assert answer.headers["cache-control"] == "public, max-age=300"

    @pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/openapi.json", "/docs"])
    def test_is_packed_for_those_who_take_it(self, gateway: Gateway, path: str) -> None:
        plain = gateway.get(path)
        packed = gateway.get(path, headers={"accept-encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert "accept-encoding" in plain.headers["vary"]
        text = packed.text
        if path != "/openapi.json":  # JSON is unpacked by the caller already
            assert len(text) < 1024**2
            text = gzip.decompress(base64.b64decode(text)).decode()
        assert text == plain.text

    def test_asks_for_the_document_and_nobody_elses_opinion(self, gateway: Gateway) -> None:
        start = gateway.get("/docs/start.js").text
        assert "prefers-color-scheme: dark" in start
        assert "html.dark-mode" in gateway.get("/docs/swagger-ui.css").text
        options = json.loads(start.partition("const options = ")[2].partition(";\n")[0])
        assert options["url"] == "/openapi.json"
        assert options["validatorUrl"] is None
        for wanted in ("tryItOutEnabled", "persistAuthorization", "deepLinking", "filter"):
            assert options[wanted] is True

    def test_consent_comes_back_to_it(self, gateway: Gateway) -> None:
        answer = gateway.get("/docs/oauth2-redirect.html", query={"code": "c", "state": "s"})
        assert [path for path, _ in _Page(answer.text).loaded] == ["/docs/oauth2-redirect.js"]
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "swaggerUIRedirectOauth2" in gateway.get("/docs/oauth2-redirect.js").text

    @pytest.mark.parametrize("name", ["favicon-32x32.png", "..%2Fmain.py", "none.js"])
    def test_serves_nothing_else_of_the_package(self, gateway: Gateway, name: str) -> None:
        assert gateway.get(f"/docs/{name}").status == 404

    def test_code_of_the_package_is_not_imported(self) -> None:
        code = (
            "import sys\nfrom shared.web import reference\n"
            "assert reference._file('swagger-ui.css').plain\n"
            "print('fastapi_swagger' in sys.modules)"
        )
        said = subprocess.run(
            (sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=True
        )
        assert said.stdout == "False\n"


class _Page(HTMLParser):
    """What a page loads, as path and version, and how many scripts and styles stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.inline = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += tag in {"script", "style"} and "src" not in given
        address = given.get("src") or (given.get("href") if tag == "link" else None) or "data:,"
        if address != "data:,":
            path, _, version = address.partition("?v=")
            self.loaded.append((path, version))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


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
        for path in ("/docs", "/docs/start.js", "/openapi.json"):
            answer = gateway.get(path)
            assert (answer.status, answer.json["code"]) == (404, "not_found")
        assert gateway.get("/health").status == 200

    def test_an_unknown_feature_stops_the_start(self, configure: Configure) -> None:
        configure(DISABLED_FEATURES="wings")
        with pytest.raises(SettingsRefused, match="DISABLED_FEATURES"):
            settings()
