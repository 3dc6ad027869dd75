"""Erases deleted accounts and organizations, one message each: `{"userId"}` or `{"organizationId"}`."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.aws.batch import run_batch
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.erasure.erase import carry_out
from shared.organizations.deletions import SUBJECTS

_LONGEST_PAGE_SECONDS = 60.0


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Carry out each message's deletion, or send its reminder."""
    return run_batch(event, context, _carry_out)


def _carry_out(body: Mapping[str, Any], deadline: float) -> None:
    kind = next(one for one, name in SUBJECTS.items() if name in body)
    last = deadline - _LONGEST_PAGE_SECONDS
    carry_out(kind, UUID(body[SUBJECTS[kind]]), has_time=lambda: time.monotonic() < last)
