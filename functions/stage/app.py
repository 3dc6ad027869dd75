"""Stages media on a platform, one message at a time: `{"partId", "revision"}`."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.aws.batch import run_batch
from shared.core.ids import PostId
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.publishing.stage import stage_due


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Stage the media of the message's part."""
    return run_batch(event, context, _stage)


def _stage(body: Mapping[str, Any], deadline: float) -> None:
    stage_due(PostId(UUID(body["partId"])), body["revision"], deadline=deadline)
