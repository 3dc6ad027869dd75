"""Handles the messages of every dead-letter queue: those whose processing failed repeatedly."""

from collections.abc import Mapping
from typing import Any

from shared.aws.batch import run_batch
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.identity.account_mails import give_up, is_queued_mail
from shared.publishing.dead_letter import settle_dead_letter


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Report the part or the email of each message."""
    queue = str(event["Records"][0].get("eventSourceARN", "")).rpartition(":")[2]

    def settle(body: Mapping[str, Any], deadline: float) -> None:
        if is_queued_mail(body):
            give_up(body, queue=queue)
        else:
            settle_dead_letter(body, queue=queue, deadline=deadline)

    return run_batch(event, context, settle)
