"""Does one trace span a request, its schedule, its messages and the platform's answer, and nothing where it is off?"""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from shared.aws.batch import run_batch
from shared.aws.queues import Message
from shared.core import trace
from tests.conftest import Configure

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
SENT = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"
Documents = Callable[[], list[dict[str, Any]]]


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def daemon(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Documents]:
    """Switch tracing on and stand in for X-Ray's daemon; returns a reader of what it has got."""
    configure(TRACING=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "roost-publish")

        def documents() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            while True:
                try:
                    preamble, _, document = listener.recv(65_536).partition(b"\n")
                except BlockingIOError:
                    return found
                assert json.loads(preamble) == {"format": "json", "version": 1}
                found.append(json.loads(document))

        yield documents


def test_a_message_carries_the_header_of_the_invocation(
    daemon: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding 7.12: the trace ended at each queue."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SENT)
    attributes = Message({"partId": "1"}).as_request()["MessageSystemAttributes"]
    assert attributes == {"AWSTraceHeader": {"DataType": "String", "StringValue": SENT}}
    assert trace.with_trace({"partId": "1"}) == {"partId": "1", "traceHeader": SENT}


def test_each_message_of_a_batch_continues_its_own_trace(daemon: Documents) -> None:
    """Finding 7.12: from the queue to the platform's answer, one trace for each message."""
    other = "1-6759e988-ad862e3fe1be46a994272793"
    headers = {"a": SENT, "b": f"Root={other};Parent=63995c3f42cd8ad8;Sampled=1"}

    def work(body: Any, _deadline: float) -> None:
        with trace.call("social.example", "POST") as call:
            call.status = 200

    records = [
        {"messageId": name, "body": "{}", "attributes": {"AWSTraceHeader": sent}}
        for name, sent in headers.items()
    ]
    assert run_batch({"Records": records}, _Context(), work, parallel=2) == {
        "batchItemFailures": []
    }
    documents = daemon()
    for root, parent in ((ROOT, "53995c3f42cd8ad8"), (other, "63995c3f42cd8ad8")):
        of_it = [document for document in documents if document["trace_id"] == root]
        (segment,) = [document for document in of_it if "type" not in document]
        (asked,) = [document for document in of_it if document.get("type") == "subsegment"]
        assert segment["parent_id"] == parent
        assert segment["name"] == "roost-publish"
        assert not segment["fault"]
        assert asked["parent_id"] == segment["id"]
        assert asked["http"]["response"] == {"status": 200}
        assert segment["start_time"] <= asked["start_time"] <= asked["end_time"]


def test_a_failed_message_is_a_fault(daemon: Documents) -> None:
    with pytest.raises(ValueError, match="no"), trace.continued(SENT):
        raise ValueError("no")
    assert daemon()[0]["fault"] is True


@pytest.mark.parametrize(
    ("status", "signs"),
    [(429, {"throttle", "error"}), (404, {"error"}), (503, {"fault"}), (None, {"fault"})],
)
def test_an_answer_tells_its_kind(daemon: Documents, status: int | None, signs: set[str]) -> None:
    with trace.continued(SENT), trace.call("social.example", "GET") as call:
        call.status = status
    asked = daemon()[0]
    assert {sign for sign in ("throttle", "error", "fault") if asked[sign]} == signs


def test_no_path_and_no_query_is_recorded(daemon: Documents) -> None:
    """Addresses may hold tokens."""
    address = httpx.URL("https://social.example/bot123:secret/send?access_token=secret")
    with trace.continued(SENT), trace.call(address.host, "POST"):
        pass
    assert "secret" not in json.dumps(daemon())


def test_what_is_not_sampled_is_handed_on_and_not_recorded(daemon: Documents) -> None:
    with trace.continued(SENT.replace("Sampled=1", "Sampled=0")):
        carried = trace.header()
    assert carried is not None
    assert carried.startswith(f"Root={ROOT};")
    assert carried.endswith("Sampled=0")
    assert daemon() == []


@pytest.mark.parametrize("given", [None, "", 7, "nonsense", "Root=;Sampled=1", ";;=;"])
def test_a_broken_header_stops_nothing(daemon: Documents, given: object) -> None:
    with trace.continued(given):
        pass
    assert daemon() == []


def test_a_daemon_that_is_not_there_stops_nothing(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(TRACING=True)
    for address in ("127.0.0.1:9", "nonsense", ""):
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
        with trace.continued(SENT), trace.call("social.example", "GET"):
            pass


def test_switched_off_nothing_is_carried_and_nothing_is_sent(
    daemon: Documents, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding 7.12: off by default; a client's own header must not switch it on."""
    configure(TRACING=False)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SENT)
    with trace.continued(SENT), trace.call("social.example", "GET"):
        assert trace.with_trace({}) == {}
    assert "MessageSystemAttributes" not in Message({}).as_request()
    assert daemon() == []


def test_the_count_that_stops_loops_goes_with_every_header(
    daemon: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding 7.5: our header replaces the request's, in which Lambda counts."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2-3;Sampled=1;Lineage=12326a9d:7")
    with trace.continued(SENT):
        carried = trace.header()
    assert carried is not None
    assert carried.startswith(f"Root={ROOT};")
    assert carried.endswith(";Lineage=12326a9d:7")
