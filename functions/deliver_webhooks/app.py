"""Sends messages to webhooks: one `{"deliveryId"}`, or many `{"organizationId", "deliveryIds"}`, which are first split up."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.aws.batch import run_batch
from shared.core.ids import DeliveryId
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.webhooks.announce import is_list, spread
from shared.webhooks.deliver import deliver

_PARALLEL = 5  # a whole batch in parallel, because deliveries wait for other servers


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Send the deliveries of each message."""
    return run_batch(event, context, _send, parallel=_PARALLEL)


def _send(body: Mapping[str, Any], deadline: float) -> None:
    if is_list(body):
        spread(body)
        return
    deliver(DeliveryId(UUID(body["deliveryId"])), deadline=deadline)
