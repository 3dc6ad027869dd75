"""Sends emails about accounts: whole ones, and those that depend on whether an address has an account."""

from collections.abc import Mapping
from typing import Any

from shared.aws.batch import run_batch
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.identity.account_mails import send_queued

_PARALLEL = 5  # a whole batch in parallel, because sending waits for the mail server


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Send the email of each message."""
    return run_batch(event, context, _send, parallel=_PARALLEL)


def _send(body: Mapping[str, Any], _deadline: float) -> None:
    send_queued(body)
