"""Creates and deletes one-time schedules of EventBridge Scheduler."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.aws.clients import client
from shared.core.config import settings
from shared.core.log import with_correlation
from shared.core.trace import with_trace

MAX_FIRING_ATTEMPTS = 10
MAX_FIRING_AGE_SECONDS = 900  # by then reconcile has sent the message


def create_schedule(name: str, *, at: datetime, payload: Mapping[str, Any]) -> None:
    """Fire the prepare function once at `at` (UTC, to the second) with `payload`.

    An existing schedule with the same name counts as success.
    """
    scheduler = client("scheduler")
    try:
        scheduler.create_schedule(
            Name=name,
            GroupName=settings().schedule_group,
            ScheduleExpression=f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": settings().schedule_target_arn,
                "RoleArn": settings().schedule_role_arn,
                "Input": json.dumps(with_trace(with_correlation(payload)), separators=(",", ":")),
                "RetryPolicy": {
                    "MaximumRetryAttempts": MAX_FIRING_ATTEMPTS,
                    "MaximumEventAgeInSeconds": MAX_FIRING_AGE_SECONDS,
                },
                "DeadLetterConfig": {"Arn": settings().schedule_dead_letter_arn},
            },
        )
    except scheduler.exceptions.ConflictException:
        return


def delete_schedule(name: str) -> None:
    """Delete a schedule; a missing one counts as success."""
    scheduler = client("scheduler")
    try:
        scheduler.delete_schedule(Name=name, GroupName=settings().schedule_group)
    except scheduler.exceptions.ResourceNotFoundException:
        return
