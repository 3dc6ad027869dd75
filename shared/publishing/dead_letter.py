"""Handles a message that could not be processed, so that its part is never silently dropped.

A queued part does not fail: reconcile sends it again. An attempt with an expired lease is settled at once, by reconcile's
own step, so the part ends published, failed or unconfirmed, with a notification.
"""

from collections.abc import Mapping
from typing import Any

from shared.core.log import correlated, log
from shared.publishing.reconcile import put_right


def settle_dead_letter(
    body: Mapping[str, Any], *, queue: str, deadline: float | None = None
) -> None:
    """Log the message, and do what the database's rows require. `deadline` is a `time.monotonic()` value."""
    log.error("message.dead", extra={"queue": queue, "body": dict(body)})
    with correlated(
        None
    ):  # it processes all organizations' parts, so their log lines must not have this message's organization
        put_right(deadline=deadline)
