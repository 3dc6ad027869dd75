"""Logging: one JSON line per event. Event names are dotted and in the past tense; details are keys, not sentences.

    log.info("post.published", extra={"post_id": post_id, "provider": "x", "attempt": 2})

Values under keys that name a secret are replaced before they are written, at any depth. A request's correlation id is in
its lines, in its messages and schedules, and in the lines of the function that processes those. Lines also contain the known
ids of their objects: organization, user or API key, operation, post, channel. They never contain a name, an address or a
text, because people who may read logs may not be allowed to read posts.
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
# Errors of mail servers, drivers and platforms can quote addresses. Handles with a server look the same.
_ADDRESS = re.compile(r"[^\s\"'<>(),;:=@]+@[\w-]+(?:\.[\w-]+)+")
# PostgreSQL's detail of a refused row quotes the row, including its texts, as pg8000 writes it (`'D': 'Failing row ...'`).
_ROW = re.compile(r"""'D': (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_SAFE_KEY = re.compile(r"(token_version|token_expires_at|token_type)$", re.IGNORECASE)
REDACTED = "[redacted]"


def names_a_secret(key: str) -> bool:
    """Return whether the value of `key` must not be written anywhere."""
    return bool(_SECRET_KEY.search(key)) and not _SAFE_KEY.search(key)


def redact(value: Any) -> Any:
    """Return a copy of `value` without values of secret-looking keys, and without email addresses and rows in texts."""
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
    """Add an id to every line of the block, and to the messages that it sends through `with_correlation`.

    The id belongs to the thread or task, so messages that are processed in parallel have their own.
    """
    before, subject_before = _correlation_id.set(correlation_id), _subject.set({})
    try:
        yield
    finally:
        _correlation_id.reset(before)
        _subject.reset(subject_before)


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Add ids to every line of the block, for one of the many objects that a sweep processes."""
    before = _subject.set(dict(_subject.get() or {}))
    try:
        note(**ids)
        yield
    finally:
        _subject.reset(before)


def note(**ids: object) -> None:
    """Add ids to all further lines of the block of `correlated` or `about`; ids that are None are left out.

    Does nothing outside such a block, because nothing would remove the ids again.
    """
    subject = _subject.get()
    if subject is not None:
        subject.update({name: str(value) for name, value in ids.items() if value is not None})


def note_given(given: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Add those outside values to the lines that are ids, each under its name in `names`."""
    for key, name in names.items():
        with suppress(ValueError):
            note(**{name: UUID(str(given.get(key)))})


def with_correlation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the current correlation id under `correlationId`, if there is one."""
    correlation_id = _correlation_id.get()
    return dict(body) if correlation_id is None else {**body, "correlationId": correlation_id}


class RedactingFormatter(LambdaPowertoolsFormatter):
    """The Powertools JSON formatter with the correlation id. Replaces secrets just before a line is written."""

    def serialize(self, log: Any) -> str:
        """Write one record as JSON."""
        correlation_id = _correlation_id.get()
        known = {**(_subject.get() or {}), **log}
        if correlation_id is not None:
            known["correlation_id"] = correlation_id
        line = super().serialize(redact(known))
        # Half of a surrogate pair from outside cannot be written: the line would be lost.
        return line.encode(errors="backslashreplace").decode()


# The stack is in `exception`; Powertools would write it a second time, without `redact`.
log = Logger(
    service="roost", logger_formatter=RedactingFormatter(serialize_stacktrace=False), utc=True
)
