"""Whether an unexpected error reaches whoever watches, and takes no secret along."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sentry_sdk

from shared.core import errors_report
from shared.core.errors_report import report
from tests.conftest import Configure


class Watcher:
    """Something that speaks Sentry's protocol: it keeps the envelopes it is sent."""

    def __init__(self) -> None:
        self.envelopes: list[str] = []
        watcher = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                watcher.envelopes.append(body.decode())
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def watcher(configure: Configure) -> Iterator[Watcher]:
    found = Watcher()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    configure(SENTRY_DSN=f"http://public@127.0.0.1:{found.server.server_port}/1")
    errors_report._sdk.cache_clear()
    yield found
    sentry_sdk.get_client().close()
    errors_report._sdk.cache_clear()
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def _secret(kind: str) -> str:
    """Put a secret together: written out, it would stand in the source lines, which are sent."""
    return f"secret-{kind}-{100 + 23}"


def _fail() -> None:
    words = _secret("token")
    raise ValueError(f"broken after {len(words)} characters")


def test_is_sent_with_its_incident(watcher: Watcher) -> None:
    try:
        _fail()
    except ValueError as error:
        incident = report(error, path="/posts", api_key=_secret("key"))
    (envelope,) = [each for each in watcher.envelopes if '"exception"' in each]
    event = next(json.loads(line) for line in envelope.splitlines() if '"exception"' in line)
    assert event["tags"]["incident"] == incident
    assert event["tags"]["path"] == "/posts"
    assert event["exception"]["values"][0]["value"] == "broken after 16 characters"
    assert _secret("token") not in envelope
    assert _secret("key") not in envelope


def test_without_an_address_only_the_log_knows(caplog: pytest.LogCaptureFixture) -> None:
    incident = report(ValueError("broken"))
    (record,) = [each for each in caplog.records if each.message == "error.unexpected"]
    assert record.__dict__["incident"] == incident


def test_start_does_not_pay_for_it() -> None:
    code = "import sys, shared.core.errors_report; sys.exit('sentry_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
