"""How the system writes what happened: one JSON line an event, dotted and past tense, with keys and no sentences.

    log.info("post.published", extra={"post_id": post_id, "provider": "x", "attempt": 2})

Values under keys that name a secret are replaced before they are written, whatever their depth. One correlation id goes
with a request, into its lines, the messages and schedules it makes, and the lines of the function that processes those. Beside it
stand the ids of what the line is about, as soon as they are known: organization, user or key, operation, post, channel. Never
a name, an address or a text: people who may read logs need not be allowed to read posts.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

_SECRET_KEY = re.compile(
    r"(pass(word)?|secret|token|authorization|cookie|api_?key|verifier|signature|credential|renew)",
    re.IGNORECASE,
)
# What a mail server, a driver or a platform reports about an address is in its error's text. Handles of servers look alike.
_ADDRESS = re.compile(r"[^\s\"'<>(),;:=@]+@[\w-]+(?:\.[\w-]+)+")
# PostgreSQL's detail of a refused row is the row itself, its texts included, as pg8000 writes it (`'D': 'Failing row ...'`).
_ROW = re.compile(r"""'D': (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_SAFE_KEY = re.compile(r"(token_version|token_expires_at|token_type)$", re.IGNORECASE)
REDACTED = "[redacted]"


def names_a_secret(key: str) -> bool:
    """Return whether what stands under `key` must not be written anywhere."""
    return bool(_SECRET_KEY.search(key)) and not _SAFE_KEY.search(key)


def redact(value: Any) -> Any:
    """Return a copy of `value` without what stands under secret-looking keys, without mail addresses and rows in texts."""
    if isinstance(value, dict):
        return {
            key: REDACTED if isinstance(key, str) and names_a_secret(key) else redact(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    if isinstance(value, str):
        if "'D': " in value:
            value = _ROW.sub(f"'D': '{REDACTED}'", value)
        return _ADDRESS.sub(REDACTED, value) if "@" in value else value
    return value


_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
_subject: ContextVar[dict[str, str] | None] = ContextVar("subject", default=None)


@contextmanager
def correlated(correlation_id: str | None) -> Iterator[None]:
    """Put an id into every line that the block writes, and into what it sends through `with_correlation`.

    It belongs to the thread or task, so that messages worked off side by side keep theirs apart.
    """
    before, subject_before = _correlation_id.set(correlation_id), _subject.set({})
    try:
        yield
    finally:
        _correlation_id.reset(before)
        _subject.reset(subject_before)


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Put ids of one thing, of the many that a sweep works on, into every line that the block writes."""
    before = _subject.set(dict(_subject.get() or {}))
    try:
        note(**ids)
        yield
    finally:
        _subject.reset(before)


def note(**ids: object) -> None:
    """Put ids into every further line of the block of `correlated` or `about`; those that are None are left out.

    Outside of one it does nothing: nobody would take them away again.
    """
    subject = _subject.get()
    if subject is not None:
        subject.update({name: str(value) for name, value in ids.items() if value is not None})


def note_given(given: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Put those of the values that came from outside into the lines that are ids, each under its name in `names`."""
    for key, name in names.items():
        with suppress(ValueError):
            note(**{name: UUID(str(given.get(key)))})


def with_correlation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the present correlation id under `correlationId`, if there is one."""
    correlation_id = _correlation_id.get()
    return dict(body) if correlation_id is None else {**body, "correlationId": correlation_id}


class RedactingFormatter(LambdaPowertoolsFormatter):
    """The Powertools JSON formatter, with the correlation id, and secrets replaced just before the line is written."""

    def serialize(self, log: Any) -> str:
        """Write one record as JSON."""
        correlation_id = _correlation_id.get()
        known = {**(_subject.get() or {}), **log}
        if correlation_id is not None:
            known["correlation_id"] = correlation_id
        line = super().serialize(redact(known))
        # Half of a surrogate pair, in what somebody else sent, cannot be written: the line would be lost.
        return line.encode(errors="backslashreplace").decode()


# The stack stands in `exception`; Powertools would write it a second time, past `redact`.
log = Logger(
    service="roost", logger_formatter=RedactingFormatter(serialize_stacktrace=False), utc=True
)
