import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from local.expressions import ExpressionRefused, next_firing
from tests.local.conftest import Running, aws_client, running

GROUP = "roost-local-group"
CREATED = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def run(home: Path, scenario: Callable[[Running], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with running(home) as up:
            await scenario(up)

    asyncio.run(main())


async def create(
    up: Running,
    name: str,
    at: datetime,
    target: str,
    *,
    zone: str = "UTC",
    dead_letter: str = "",
    **extra: Any,
) -> None:
    """Create a one-time schedule as a function would."""
    client = aws_client(up.aws, "scheduler")
    wall = at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")
    letter = {"DeadLetterConfig": {"Arn": dead_letter}} if dead_letter else {}
    await asyncio.to_thread(
        client.create_schedule,
        Name=name,
        GroupName=GROUP,
        ScheduleExpression=f"at({wall})",
        ScheduleExpressionTimezone=zone,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": target,
            "RoleArn": "arn:aws:iam::123456789012:role/x",
            "Input": '{"part": 1, "at": "<aws.scheduler.scheduled-time>"}',
            **letter,
        },
        **extra,
    )


def soon(seconds: float = 1) -> datetime:
    """A whole second that is at least `seconds` away."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 1)).replace(microsecond=0)


class TestNextFiring:
    @pytest.mark.parametrize(
        ("expression", "zone", "expected"),
        [
            ("at(2026-07-01T09:00:05)", "UTC", "2026-07-01T09:00:05"),
            ("at(2026-07-01T09:00:05)", "Europe/Berlin", "2026-07-01T07:00:05"),
            ("rate(1 minute)", "UTC", "2026-03-01T12:01:30"),
            ("rate(2 hours)", "UTC", "2026-03-01T14:00:30"),
            ("cron(15 10 * * ? *)", "UTC", "2026-03-02T10:15:00"),
            ("cron(0/20 * * * ? *)", "UTC", "2026-03-01T12:20:00"),
            ("cron(0 9 ? * MON-FRI *)", "Europe/Berlin", "2026-03-02T08:00:00"),
            ("cron(0 0 1 JAN ? 2027)", "UTC", "2027-01-01T00:00:00"),
        ],
    )
    def test_first_firing(self, expression: str, zone: str, expected: str) -> None:
        found = next_firing(expression, zone, created=CREATED, after=None)

        assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)

    def test_rates_go_on_from_the_last_firing_and_one_time_schedules_do_not(self) -> None:
        assert next_firing(
            "rate(1 minute)", "UTC", created=CREATED, after=CREATED
        ) == CREATED + timedelta(minutes=1)
        assert next_firing("at(2026-07-01T09:00:05)", "UTC", created=CREATED, after=CREATED) is None

    @pytest.mark.parametrize(
        "expression",
        [
            "at(tomorrow)",
            "rate(1 moon)",
            "rate(0 minutes)",
            "cron(* * *)",
            "cron(61 * * * ? *)",
            "cron(0 0 L * ? *)",
            "daily",
        ],
    )
    def test_what_cannot_be_read_is_refused(self, expression: str) -> None:
        with pytest.raises(ExpressionRefused):
            next_firing(expression, "UTC", created=CREATED, after=None)


class TestOneTimeSchedule:
    @pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
    def test_fires_its_function_on_the_second_and_is_deleted(
        self, tmp_path: Path, zone: str
    ) -> None:
        async def scenario(up: Running) -> None:
            await up.pools["TickFunction"].warm()
            at = soon()
            await create(
                up,
                "post-1",
                at,
                f"{up.system.functions['TickFunction'].arn}:live",
                zone=zone,
                ActionAfterCompletion="DELETE",
            )
            await up.until(lambda: up.noted("TickFunction"))

            (note,) = up.noted("TickFunction")
            assert 0 <= note["at"] - at.timestamp() < 0.5
            assert note["event"] == {"part": 1, "at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
            await up.until(lambda: not up.aws.scheduler.schedule_groups[GROUP].schedules)

        run(tmp_path, scenario)

    def test_without_deletion_it_stays_and_fires_once(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            await create(up, "post-1", soon(0), up.system.functions["TickFunction"].arn)
            await up.until(lambda: up.noted("TickFunction"))
            await asyncio.sleep(0.3)

            assert len(up.noted("TickFunction")) == 1
            assert "post-1" in up.aws.scheduler.schedule_groups[GROUP].schedules

        run(tmp_path, scenario)

    def test_time_that_has_passed_fires_at_once(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            await create(
                up,
                "post-1",
                datetime.now(UTC) - timedelta(hours=1),
                up.system.functions["TickFunction"].arn,
            )
            await up.until(lambda: up.noted("TickFunction"), seconds=3)

        run(tmp_path, scenario)

    def test_deleted_one_does_not_fire(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            at = soon(0)
            await create(up, "post-1", at, up.system.functions["TickFunction"].arn)
            up.aws.scheduler.delete_schedule(GROUP, "post-1")
            await asyncio.sleep(at.timestamp() - time.time() + 0.4)

            assert up.noted("TickFunction") == []

        run(tmp_path, scenario)

    def test_moved_one_fires_at_its_new_time_only(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            first, second = soon(0), soon(1)
            target = {
                "Arn": up.system.functions["TickFunction"].arn,
                "RoleArn": "arn:aws:iam::123456789012:role/x",
                "Input": "{}",
            }
            await create(up, "post-1", first, target["Arn"])
            client = aws_client(up.aws, "scheduler")
            wall = second.strftime("%Y-%m-%dT%H:%M:%S")
            await asyncio.to_thread(
                client.update_schedule,
                Name="post-1", GroupName=GROUP, ScheduleExpression=f"at({wall})", FlexibleTimeWindow={"Mode": "OFF"}, Target=target,
            )  # fmt: skip
            await up.until(lambda: up.noted("TickFunction"))
            await asyncio.sleep(0.3)

            (note,) = up.noted("TickFunction")
            assert note["at"] >= second.timestamp()

        run(tmp_path, scenario)

    def test_queue_target_gets_the_input_as_a_message(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            await create(
                up, "post-1", soon(0), "arn:aws:sqs:us-east-1:123456789012:roost-local-Jobs"
            )
            await up.until(lambda: up.noted("WorkFunction"))

            assert '"part": 1' in up.noted("WorkFunction")[0]["event"]["Records"][0]["body"]

        run(tmp_path, scenario)


class TestFailures:
    def test_target_that_does_not_exist_goes_to_the_schedules_dead_letter_queue(
        self, tmp_path: Path
    ) -> None:
        async def scenario(up: Running) -> None:
            letters = "arn:aws:sqs:us-east-1:123456789012:roost-local-DeadJobs"
            await create(
                up,
                "post-1",
                soon(0),
                "arn:aws:lambda:us-east-1:123456789012:function:gone",
                dead_letter=letters,
            )
            await up.until(lambda: up.noted("BuryFunction"))

            record = up.noted("BuryFunction")[0]["event"]["Records"][0]
            assert '"part": 1' in record["body"]
            assert record["messageAttributes"]["TARGET_ARN"]["stringValue"].endswith(":gone")

        run(tmp_path, scenario)

    def test_function_that_fails_puts_its_event_into_its_own_dead_letter_queue(
        self, tmp_path: Path
    ) -> None:
        async def scenario(up: Running) -> None:
            await create(up, "post-1", soon(0), up.system.functions["FaultyFunction"].arn)
            await up.until(lambda: up.noted("BuryFunction"))

            record = up.noted("BuryFunction")[0]["event"]["Records"][0]
            assert '"part": 1' in record["body"]
            assert (
                record["messageAttributes"]["ErrorMessage"]["stringValue"] == "ValueError: as told"
            )

        run(tmp_path, scenario)


class TestRates:
    def test_templates_timer_waits_with_its_input(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            (schedule,) = up.aws.scheduler.schedule_groups["default"].schedules.values()

            assert schedule.schedule_expression == "rate(1 minute)"
            assert schedule.target["Input"] == '{"tick": true}'
            assert schedule.target["Arn"] == up.system.functions["TickFunction"].arn

        run(tmp_path, scenario)
