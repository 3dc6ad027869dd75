"""The sweep: what messages, schedules and processes left undone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from shared.core.log import log
from shared.publishing.reconcile import reconcile


@log.inject_lambda_context(clear_state=True)
def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, int]:
    """Run the sweep once and return how many rows each step found."""
    return dataclasses.asdict(reconcile())
