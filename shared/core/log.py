"""How the system writes what happened: one JSON line an event, dotted and past tense, with keys and no sentences.

    log.info("post.published", extra={"post_id": post_id, "provider": "x", "attempt": 2})

Values under keys that name a secret are replaced before they are written, whatever their depth. One correlation id goes
with a request, into its lines, the messages and schedules it makes, and the lines of whoever works those off.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

_SECRET_KEY = re.compile(
    r"(pass(word)?|secret|token|authorization|cookie|api_?key|verifier|signature|credential|renew)",
    re.IGNORECASE,
)
_SAFE_KEY = re.compile(r"(token_version|token_expires_at|token_type)$", re.IGNORECASE)
REDACTED = "[redacted]"


def names_a_secret(key: str) -> bool:
    """Say whether what stands under `key` must not be written anywhere."""
    return bool(_SECRET_KEY.search(key)) and not _SAFE_KEY.search(key)


def redact(value: Any) -> Any:
    """Return a copy of `value` in which whatever stands under a secret-looking key is replaced."""
    if isinstance(value, dict):
        return {
            key: REDACTED if isinstance(key, str) and names_a_secret(key) else redact(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    return value


_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


@contextmanager
def correlated(correlation_id: str | None) -> Iterator[None]:
    """Put an id into every line that the block writes, and into what it sends through `with_correlation`.

    It belongs to the thread or task, so that messages worked off side by side keep theirs apart.
    """
    before = _correlation_id.set(correlation_id)
    try:
        yield
    finally:
        _correlation_id.reset(before)


def with_correlation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the present correlation id under `correlationId`, if there is one."""
    correlation_id = _correlation_id.get()
    return dict(body) if correlation_id is None else {**body, "correlationId": correlation_id}


class RedactingFormatter(LambdaPowertoolsFormatter):
    """The Powertools JSON formatter, with the correlation id, and secrets replaced just before the line is written."""

    def serialize(self, log: Any) -> str:
        """Write one record as JSON."""
        correlation_id = _correlation_id.get()
        known = log if correlation_id is None else {**log, "correlation_id": correlation_id}
        return super().serialize(redact(known))


log = Logger(service="roost", logger_formatter=RedactingFormatter(), utc=True)
