"""How the system writes what happened: one JSON line an event, dotted and past tense, with keys and no sentences.

    log.info("post.published", extra={"post_id": post_id, "provider": "x", "attempt": 2})

Values under keys that name a secret are replaced before they are written, whatever their depth.
"""

import re
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


class RedactingFormatter(LambdaPowertoolsFormatter):
    """The Powertools JSON formatter, with secrets replaced just before the line is written."""

    def serialize(self, log: Any) -> str:
        """Write one record as JSON."""
        return super().serialize(redact(log))


log = Logger(service="roost", logger_formatter=RedactingFormatter(), utc=True)
