"""Mails that wait to be collected: digests of what was published."""

from collections.abc import Mapping
from typing import Any

from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.notifications.mails import mail_digests

# A round of mails takes seconds; what is left over is claimed by the next run.
_ENOUGH_MILLISECONDS = 60_000


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(_event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Send what is due; the event, a rate's, says nothing."""

    def go_on() -> bool:
        return bool(context.get_remaining_time_in_millis() > _ENOUGH_MILLISECONDS)

    sent = {"digested": mail_digests(go_on=go_on)}
    log.info("notifications.mailed", extra=sent)
    return sent
