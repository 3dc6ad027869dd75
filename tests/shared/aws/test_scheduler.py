"""Is a one-time firing put on the Scheduler as the rest of the system relies on, and is one that is there already success?"""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest

from shared.aws import scheduler
from tests.conftest import Configure

ARN = "arn:aws:lambda:us-east-1:123456789012:function:roost-prepare:live"
ROLE = "arn:aws:iam::123456789012:role/schedule"
DEAD = "arn:aws:sqs:us-east-1:123456789012:dead"
AT = datetime(2030, 1, 1, 12, 30, 5, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture(autouse=True)
def group(aws: None, configure: Configure) -> None:
    boto3.client("scheduler").create_schedule_group(Name="posts")
    configure(
        SCHEDULE_GROUP="posts",
        SCHEDULE_TARGET_ARN=ARN,
        SCHEDULE_ROLE_ARN=ROLE,
        SCHEDULE_DEAD_LETTER_ARN=DEAD,
    )


def stored(name: str) -> dict[str, Any]:
    found = boto3.client("scheduler").get_schedule(Name=name, GroupName="posts")
    return dict(found)


def test_it_fires_once_at_its_second_and_goes_away() -> None:
    scheduler.create_schedule("post-1", at=AT, payload={"partId": "p", "revision": 3})
    made = stored("post-1")
    assert made["ScheduleExpression"] == "at(2030-01-01T10:30:05)"
    assert made["ScheduleExpressionTimezone"] == "UTC"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    # Else a stage reaches the quota of a million schedules, and arms nothing any more.
    assert made["ActionAfterCompletion"] == "DELETE"
    target = made["Target"]
    assert (target["Arn"], target["RoleArn"]) == (ARN, ROLE)
    assert json.loads(target["Input"]) == {"partId": "p", "revision": 3}


def test_a_firing_that_reaches_nobody_is_a_dead_letter_before_it_is_of_no_use() -> None:
    scheduler.create_schedule("post-1", at=AT, payload={})
    target = stored("post-1")["Target"]
    assert target["DeadLetterConfig"] == {"Arn": DEAD}
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 900}


def test_a_name_that_is_taken_keeps_what_it_has() -> None:
    """A process that stopped after arming arms again; the compose request must not fail for it."""
    scheduler.create_schedule("post-1", at=AT, payload={"revision": 1})
    scheduler.create_schedule("post-1", at=AT + timedelta(hours=1), payload={"revision": 2})
    assert json.loads(stored("post-1")["Target"]["Input"]) == {"revision": 1}


def test_one_that_is_gone_is_taken_off_already() -> None:
    scheduler.create_schedule("post-1", at=AT, payload={})
    scheduler.delete_schedule("post-1")
    scheduler.delete_schedule("post-1")
    assert boto3.client("scheduler").list_schedules(GroupName="posts")["Schedules"] == []
