"""Fires schedules: the template's rates, and the one-time schedules that functions create.

A schedule fires within milliseconds of its time (AWS guarantees the minute). A Lambda target is invoked asynchronously:
Scheduler is done when Lambda has accepted the event, and Lambda retries a failed function.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.scheduler.models import Schedule

from local.aws import LocalAws
from local.expressions import ExpressionRefused, next_firing, rate_step
from local.system import ACCOUNT, REGION, FunctionSpec, System
from local.workers import FunctionPool
from shared.core import clock

THINNED_BELOW = timedelta(hours=1)
_LONGEST_WAIT_SECONDS = 5.0
# Lambda waits one minute before it first retries an asynchronous invocation, and two before the second retry.
_ASYNC_RETRIES = (timedelta(minutes=1), timedelta(minutes=2))


class _CannotDeliver(Exception):
    """A target does not exist or did not accept the event."""


@dataclass(frozen=True, slots=True)
class _Firing:
    schedule: Schedule
    at: datetime


class Timers:
    """Fires Scheduler's schedules."""

    def __init__(self, aws: LocalAws, system: System, pools: Mapping[str, FunctionPool]) -> None:
        self._aws, self._system, self._pools = aws, system, pools
        self._heap: list[tuple[datetime, int, _Firing | asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._woken = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._apart = timedelta()
        self._waiting = 0  # how many deliveries in progress wait for a retry

    async def run(self) -> None:
        """Fire schedules until cancelled."""
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

    def wake(self) -> None:
        """Read the clock again, because it was moved."""
        self._woken.set()

    @property
    def is_busy(self) -> bool:
        """True if a schedule is due or a delivery is in progress."""
        is_due = bool(self._heap) and self._heap[0][0] <= clock.now()
        return is_due or len(self._under_way) > self._waiting

    def next_moment(self) -> datetime | None:
        """Return when the next schedule is due; None if there is none."""
        return min((at for at, _, what in self._heap if self._holds(what)), default=None)

    @contextlib.contextmanager
    def thinned(self, apart: timedelta) -> Iterator[None]:
        """Within the block, fire rates shorter than an hour only once per `apart`."""
        self._apart = apart
        try:
            yield
        finally:
            self._apart = timedelta()
            self._bring_forward(lambda step: step)

    def fire_thinned(self) -> None:
        """Fire the rates shorter than an hour now."""
        self._bring_forward(lambda step: timedelta() if step < THINNED_BELOW else step)

    def _bring_forward(self, at_most: Callable[[timedelta], timedelta]) -> None:
        """Plan each rate no later than `at_most` of its interval from now."""
        now, heap = clock.now(), self._heap
        self._heap = []
        for at, _, what in heap:
            step = (
                rate_step(what.schedule.schedule_expression) if isinstance(what, _Firing) else None
            )
            if isinstance(what, _Firing) and step:
                sooner = min(at, now + at_most(step))
                self._push(sooner, _Firing(what.schedule, sooner))
            else:
                self._push(at, what)

    def _holds(self, what: "_Firing | asyncio.Future[None]") -> bool:
        """True if a firing's schedule still exists unchanged since it was planned."""
        if not isinstance(what, _Firing):
            return True
        group = self._aws.scheduler.schedule_groups.get(what.schedule.group_name)
        return group is not None and group.schedules.get(what.schedule.name) is what.schedule

    async def _fire_what_is_due(self) -> None:
        """Fire the due schedules, then wait for the next time or a new schedule."""
        self._woken.clear()
        while self._heap and self._heap[0][0] <= clock.now():
            what = heapq.heappop(self._heap)[2]
            if isinstance(what, _Firing):
                self._fire(what)
            elif not what.done():
                what.set_result(None)
                self._waiting -= 1
        wait = (
            (self._heap[0][0] - clock.now()).total_seconds()
            if self._heap
            else _LONGEST_WAIT_SECONDS
        )
        with contextlib.suppress(TimeoutError):
            # Python 3.11's wait_for can lose a cancellation that coincides with the wake-up
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
                now=clock.now(),
            )
        except ExpressionRefused as refused:
            print(f"Schedule {schedule.name} can never fire: {refused}", flush=True)
            return
        if at is None:
            return
        step = rate_step(schedule.schedule_expression)
        if step and after and step < min(THINNED_BELOW, self._apart):
            at += self._apart - step
        self._push(at, _Firing(schedule, at))

    def _push(self, at: datetime, what: "_Firing | asyncio.Future[None]") -> None:
        heapq.heappush(self._heap, (at, next(self._order), what))
        self._woken.set()

    async def _pass(self, pause: timedelta) -> None:
        """Wait until this much time has passed by the system's clock."""
        passed = asyncio.get_running_loop().create_future()
        self._waiting += 1
        self._push(clock.now() + pause, passed)
        await passed

    def _fire(self, firing: _Firing) -> None:
        """Fire a schedule if it is enabled and unchanged since this firing was planned."""
        schedule = firing.schedule
        if not self._holds(firing):
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
        """Deliver the event to the target; an undeliverable event goes to the schedule's dead-letter queue."""
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
        """Invoke a function asynchronously, like Lambda: retry failures, then send the event to its failure destination, if any."""
        for attempt in range(spec.async_retries + 1):
            if attempt:
                await self._pass(_ASYNC_RETRIES[min(attempt, len(_ASYNC_RETRIES)) - 1])
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
    """Write the target's event: the schedule's input with its context attributes filled in, or Scheduler's default event."""
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
