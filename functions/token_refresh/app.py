"""Renews tokens that expire soon, or warns members."""

import time
from collections.abc import Mapping
from typing import Any

from shared.channels.expiry import renew_expiring
from shared.core.log import log
from shared.db.invocations import closes_connections


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(_event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Process the tokens once and return how many were renewed, caused a warning, or failed."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1_000
    return {str(way): count for way, count in renew_expiring(deadline=deadline).items()}
