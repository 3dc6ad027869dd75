"""Traces a request, its schedule, its messages and the platform's answer as one X-Ray trace, without the X-Ray SDK.

Lambda gives each invocation a trace header. It is added to schedules (`traceHeader`) and messages (`AWSTraceHeader`), and
the function that processes them continues the trace. Segments that Lambda does not record itself are sent to its X-Ray
daemon, one document per datagram. With `TRACING` off, nothing is added or sent.

Sources: docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html, xray-api-segmentdocuments.html and
xray-api-sendingdata.html, read 2026-11.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from shared.core.config import settings

_PREAMBLE = b'{"format":"json","version":1}\n'
_MAX_DATAGRAM_BYTES = 64_000
_header: ContextVar[str | None] = ContextVar("trace_header", default=None)


@dataclass(slots=True)
class Call:
    """A call to another server; the caller sets the response's status, if there is one."""

    status: int | None = None


def header() -> str | None:
    """Return the trace header to pass on; None if tracing is off."""
    if not settings().tracing:
        return None
    invocation = os.environ.get("_X_AMZN_TRACE_ID")
    present = _header.get()
    if present is None or invocation is None:
        return present or invocation
    # Lambda counts a function's loops in it. SQS uses our header instead of the request's, so ours must contain it.
    lineage = _fields(invocation).get("Lineage")
    return f"{present};Lineage={lineage}" if lineage else present


def with_trace(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the current trace header under `traceHeader`, if there is one."""
    present = header()
    return dict(body) if present is None else {**body, "traceHeader": present}


@contextmanager
def continued(given: object) -> Iterator[None]:
    """Continue the trace of a message or schedule, and record the block as one of its segments.

    Without a header, or with tracing off, the block belongs to the invocation's own trace.
    """
    if not settings().tracing or not isinstance(given, str) or not given:
        yield
        return
    fields, segment_id = _fields(given), secrets.token_hex(8)
    token = _header.set(
        f"Root={fields.get('Root', '')};Parent={segment_id};Sampled={fields.get('Sampled', '0')}"
    )
    began, fault = time.time(), True
    try:
        yield
        fault = False
    finally:
        _header.reset(token)
        document: dict[str, Any] = {
            "name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "roost"),
            "id": segment_id,
            "start_time": began,
            "origin": "AWS::Lambda::Function",
            "fault": fault,
        }
        _send(document, fields)


@contextmanager
def call(host: str, method: str) -> Iterator[Call]:
    """Record a request to another server: its host, method and status, but never its path, which may contain a secret."""
    made, began = Call(), time.time()
    try:
        yield made
    finally:
        if present := header():
            request = {"method": method, "url": f"https://{host}/"}
            status = {} if made.status is None else {"response": {"status": made.status}}
            document = {
                "name": host,
                "id": secrets.token_hex(8),
                "type": "subsegment",
                "namespace": "remote",
                "start_time": began,
                "http": {"request": request, **status},
                "error": made.status is not None and 400 <= made.status < 500,
                "throttle": made.status == 429,
                "fault": made.status is None or made.status >= 500,
            }
            _send(document, _fields(present))


def _fields(given: str) -> dict[str, str]:
    """Read a header such as `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`."""
    return {name: value for name, _, value in (part.partition("=") for part in given.split(";"))}


def _send(document: dict[str, Any], trace: Mapping[str, str]) -> None:
    """Send one document, ending now, to the daemon. A lost one is only a gap in a trace, so nothing waits for it."""
    host, _, port = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "").rpartition(":")
    if trace.get("Sampled") != "1" or not trace.get("Root") or not port.isdigit():
        return
    parent = {"parent_id": trace["Parent"]} if trace.get("Parent") else {}
    whole = {**document, **parent, "trace_id": trace["Root"], "end_time": time.time()}
    datagram = _PREAMBLE + json.dumps(whole, separators=(",", ":")).encode()
    if len(datagram) > _MAX_DATAGRAM_BYTES:
        return
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.sendto(datagram, (host, int(port)))
