"""What happens to a message that could not be processed: its part is made visible, never silently dropped.

A part that is merely queued is not failed: reconcile sends it again. An attempt whose lease ran out is settled at once,
by reconcile's own step, and so ends published, failed or unconfirmed, with a notification.
"""

from collections.abc import Mapping
from typing import Any

from shared.core.log import correlated, log
from shared.publishing.reconcile import put_right


def settle_dead_letter(
    body: Mapping[str, Any], *, queue: str, deadline: float | None = None
) -> None:
    """Log the message, and let the database say what is to be done. `deadline` is a `time.monotonic()` value."""
    log.error("message.dead", extra={"queue": queue, "body": dict(body)})
    with correlated(
        None
    ):  # it works on everybody's parts: their lines must not name this message's organization
        put_right(deadline=deadline)
