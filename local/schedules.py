"""How schedules fire: the template's rates, and the one-time schedules that functions create.

A schedule fires within milliseconds of its time (AWS promises the minute). A Lambda target is invoked asynchronously:
Scheduler's part ends when Lambda has taken the event, and Lambda itself repeats what the function failed at.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.scheduler.models import Schedule

from local.aws import LocalAws
from local.expressions import ExpressionRefused, next_firing
from local.system import ACCOUNT, REGION, FunctionSpec, System
from local.workers import FunctionPool

_LONGEST_WAIT_SECONDS = 5.0
# Lambda waits a minute before it repeats an asynchronous invocation, and two before the second time.
_ASYNC_RETRY_SECONDS = (60.0, 120.0)


class _CannotDeliver(Exception):
    """A target does not exist or did not take the event."""


@dataclass(frozen=True, slots=True)
class _Firing:
    schedule: Schedule
    at: datetime


class Timers:
    """Fires what Scheduler holds."""

    def __init__(self, aws: LocalAws, system: System, pools: Mapping[str, FunctionPool]) -> None:
        self._aws, self._system, self._pools = aws, system, pools
        self._heap: list[tuple[float, int, _Firing]] = []
        self._order = itertools.count()
        self._woken = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Fire until cancelled."""
        loop = asyncio.get_running_loop()
        self._aws.scheduler.watcher = lambda schedule: loop.call_soon_threadsafe(
            self._expect, schedule
        )
        for group in list(self._aws.scheduler.schedule_groups.values()):
            for schedule in list(group.schedules.values()):
                self._expect(schedule)
        try:
            while True:
                await self._fire_what_is_due()
        finally:
            for task in self._under_way:
                task.cancel()

    async def _fire_what_is_due(self) -> None:
        """Fire it, and wait for the next time or a new schedule."""
        self._woken.clear()
        while self._heap and self._heap[0][0] <= time.time():
            self._fire(heapq.heappop(self._heap)[2])
        wait = self._heap[0][0] - time.time() if self._heap else _LONGEST_WAIT_SECONDS
        with contextlib.suppress(TimeoutError):
            # wait_for of 3.11 can lose a cancellation that meets the wake-up
            async with asyncio.timeout(max(0.0, min(wait, _LONGEST_WAIT_SECONDS))):
                await self._woken.wait()

    def _expect(self, schedule: Schedule, after: datetime | None = None) -> None:
        created = datetime.fromtimestamp(schedule.creation_date, UTC)
        try:
            at = next_firing(
                schedule.schedule_expression,
                schedule.schedule_expression_timezone,
                created=created,
                after=after,
            )
        except ExpressionRefused as refused:
            print(f"Schedule {schedule.name} can never fire: {refused}", flush=True)
            return
        if at is not None:
            heapq.heappush(self._heap, (at.timestamp(), next(self._order), _Firing(schedule, at)))
            self._woken.set()

    def _fire(self, firing: _Firing) -> None:
        """Fire a schedule that is still there, unchanged since this firing was planned, and enabled."""
        schedule = firing.schedule
        group = self._aws.scheduler.schedule_groups.get(schedule.group_name)
        if group is None or group.schedules.get(schedule.name) is not schedule:
            return
        if schedule.state == "ENABLED" and self._still_planned(firing):
            self._start(self._deliver(firing))
        self._expect(schedule, after=firing.at)

    def _still_planned(self, firing: _Firing) -> bool:
        schedule = firing.schedule
        if not schedule.schedule_expression.startswith("at("):
            return True
        zone = schedule.schedule_expression_timezone
        return (
            next_firing(schedule.schedule_expression, zone, created=firing.at, after=None)
            == firing.at
        )

    def _start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _deliver(self, firing: _Firing) -> None:
        """Hand the event to the target; what no target takes goes to the schedule's dead-letter queue."""
        schedule = firing.schedule
        target = schedule.target
        event = _event(firing, target.get("Input"))
        try:
            self._hand_over(target["Arn"], event)
        except _CannotDeliver as error:
            self._give_up(schedule, event, str(error))
        if (
            schedule.schedule_expression.startswith("at(")
            and schedule.action_after_completion == "DELETE"
        ):
            group = self._aws.scheduler.schedule_groups.get(schedule.group_name)
            if group is not None and group.schedules.get(schedule.name) is schedule:
                group.delete_schedule(schedule.name)

    def _hand_over(self, arn: str, event: str) -> None:
        if arn.startswith("arn:aws:sqs:"):
            self._send(arn, event)
        elif arn.startswith("arn:aws:lambda:"):
            spec = self._system.function_by_arn(arn)
            if spec is None:
                raise _CannotDeliver(f"there is no function {arn}")
            self._start(self.invoke_later(spec, event.encode(), arn))
        elif arn == "arn:aws:scheduler:::aws-sdk:sqs:sendMessage":
            self._send_as_asked(json.loads(event))
        else:
            raise _CannotDeliver(f"the local runtime does not know targets such as {arn}")

    async def invoke_later(self, spec: FunctionSpec, event: bytes, arn: str) -> None:
        """Invoke a function as Lambda does asynchronously: repeated when it fails, then put aside if it has a place for that."""
        for attempt in range(spec.async_retries + 1):
            if attempt:
                await asyncio.sleep(
                    _ASYNC_RETRY_SECONDS[min(attempt, len(_ASYNC_RETRY_SECONDS)) - 1]
                )
            outcome = await self._pools[spec.logical_id].invoke(event, arn=arn)
            if not outcome.failed:
                return
        if spec.dead_letter_arn:
            attributes = {
                "ErrorCode": "200",
                "ErrorMessage": outcome.error()[:1024],
                "RequestID": str(uuid.uuid4()),
            }
            self._send(spec.dead_letter_arn, event.decode(), attributes)

    def _give_up(self, schedule: Schedule, event: str, error: str) -> None:
        print(f"Schedule {schedule.name} could not be delivered: {error}", flush=True)
        dead_letter = schedule.target.get("DeadLetterConfig", {}).get("Arn")
        if dead_letter:
            attributes = {
                "ERROR_CODE": "ResourceNotFoundException",
                "ERROR_MESSAGE": error,
                "SCHEDULE_ARN": schedule.arn,
                "TARGET_ARN": schedule.target["Arn"],
            }
            self._send(dead_letter, event, attributes)

    def _send(self, queue_arn: str, body: str, attributes: Mapping[str, str] | None = None) -> None:
        name = queue_arn.rsplit(":", 1)[-1]
        if name not in self._aws.queues.queues:
            raise _CannotDeliver(f"there is no queue {queue_arn}")
        typed = {
            key: {"DataType": "String", "StringValue": value}
            for key, value in (attributes or {}).items()
        }
        self._aws.queues.send_message(name, body, message_attributes=typed)

    def _send_as_asked(self, request: Mapping[str, Any]) -> None:
        name = str(request["QueueUrl"]).rsplit("/", 1)[-1]
        if name not in self._aws.queues.queues:
            raise _CannotDeliver(f"there is no queue {request['QueueUrl']}")
        self._aws.queues.send_message(
            name,
            request["MessageBody"],
            delay_seconds=request.get("DelaySeconds"),
            group_id=request.get("MessageGroupId"),
        )


def _event(firing: _Firing, given: str | None) -> str:
    """Write what the target gets: the schedule's input, its context attributes filled in, or Scheduler's own event."""
    at = firing.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if given is None:
        return json.dumps(
            {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": ACCOUNT,
                "time": at,
                "region": REGION,
                "resources": [firing.schedule.arn],
                "detail": "{}",
            }
        )
    context = {
        "schedule-arn": firing.schedule.arn,
        "scheduled-time": at,
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    for name, value in context.items():
        given = given.replace(f"<aws.scheduler.{name}>", value)
    return given
