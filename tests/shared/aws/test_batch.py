"""How much time a message has, of the function's."""

import json
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from shared.aws.batch import run_batch


def test_work_is_to_end_seconds_before_the_function_is_killed() -> None:
    """What came of a try is written down in that time; whoever is killed first leaves a doubt."""
    deadlines: list[float] = []

    def work(_body: Mapping[str, Any], deadline: float) -> None:
        deadlines.append(deadline)

    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    killed_at = time.monotonic() + 60
    run_batch({"Records": [{"messageId": "1", "body": json.dumps({})}]}, context, work)
    [deadline] = deadlines
    assert 2 <= killed_at - deadline <= 5
