"""Publishing's two entry points: `prepare`, invoked by a schedule minutes early, and `handler`, invoked by the queue on time."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.aws.batch import run_batch
from shared.core import trace
from shared.core.ids import AttemptId, PostId
from shared.core.log import correlated, log, note_given
from shared.db.invocations import closes_connections
from shared.publishing.prepare import prepare as prepare_part
from shared.publishing.run import go_on, publish_due
from shared.publishing.warm import is_warming, warm

PARALLEL = 10  # publishing waits for platforms, so a batch is processed in parallel


@closes_connections
@log.inject_lambda_context(clear_state=True)
def prepare(event: Mapping[str, Any], _context: Any) -> None:
    """Prepare the part whose schedule has fired: `{"partId", "revision"}`."""
    with correlated(event.get("correlationId")), trace.continued(event.get("traceHeader")):
        note_given(event, {"partId": "part_id", "organizationId": "organization_id"})
        prepare_part(PostId(UUID(event["partId"])), event["revision"])


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Process a batch of `{"partId", "revision"}` and `{"attemptId", "step"}`, or `{"warm"}`."""
    return run_batch(event, context, _publish, parallel=PARALLEL)


def _publish(body: Mapping[str, Any], deadline: float) -> None:
    if "partId" in body:
        publish_due(PostId(UUID(body["partId"])), body["revision"], deadline=deadline)
    elif "attemptId" in body:
        go_on(AttemptId(UUID(body["attemptId"])), body["step"], deadline=deadline)
    elif is_warming(body):
        warm()
    else:
        raise ValueError("the body has neither `partId` nor `attemptId`")
