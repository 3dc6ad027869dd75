"""Runs the sweeps that do what a lost hint or a dead process should have done."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from shared.access.recovery import sweep_recoveries
from shared.core.log import log
from shared.db.capacity import measure_connections
from shared.db.invocations import closes_connections
from shared.publishing.reconcile import reconcile


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(_event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Run the sweep once and return how many rows each step found."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1_000
    done = reconcile(deadline=deadline)
    sweep_recoveries()
    measure_connections()
    return dataclasses.asdict(done)
