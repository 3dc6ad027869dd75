"""Sends the digests of published posts."""

from collections.abc import Mapping
from typing import Any

from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.notifications.mails import mail_digests

# A round of emails takes seconds; the next run claims the rest.
_ENOUGH_MILLISECONDS = 60_000


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(_event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Send the due digests. The event comes from a schedule and is not read."""

    def go_on() -> bool:
        return bool(context.get_remaining_time_in_millis() > _ENOUGH_MILLISECONDS)

    sent = {"digested": mail_digests(go_on=go_on)}
    log.info("notifications.mailed", extra=sent)
    return sent
