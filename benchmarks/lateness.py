"""Simulates the lateness of a burst: 10,000 posts due in the same second, through Scheduler, queue and Lambda as documented.

Real post ids go through the real code for lead, spread and delay; AWS's side is modeled by its documented limits below.
A batch takes the measured time plus the platform's latency. The size of the database is not simulated; the table says
how many processors it would need. Sources, read 2026-11:
docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html (firings) and .../schedule-types.html (precision);
docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html (scaling) and .../services-sqs-parameters.html (pollers).
"""

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.timing import Row
from shared.core.ids import OrganizationId, PostId, new_id
from shared.posts.hints import Hint, Target, starts_at

POSTS = 10_000
BATCH = 10  # messages per batch, processed in parallel threads
SCHEDULER_PRECISION_SECONDS = 60.0  # a schedule fires within the requested minute
SCHEDULER_FIRINGS_PER_SECOND = 1_000.0
FIRST_BATCHES, MORE_PER_SECOND, MOST_BATCHES = 5, 5.0, 1_250  # an SQS event source's own scaling
INVOKES_PER_POLLER = 10  # a provisioned poller's concurrent invocations
POLL_SECONDS = 0.05  # from the moment when a message becomes visible to the function's start
DUE = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lateness:
    """Percentiles over the posts, in seconds after their time."""

    p50: float
    p99: float
    last: float
    peak_environments: int


def simulate(
    *,
    platform_seconds: float,
    batch_cpu_seconds: float,
    cold_start_seconds: float,
    pollers: int = 0,
    max_concurrency: int = MOST_BATCHES,
    posts: int = POSTS,
) -> Lateness:
    """Simulate `posts` due in one second. With `pollers=0` the event source scales by itself."""
    visible = sorted(_visible_at(posts))
    return _work_off(
        visible,
        batch_seconds=platform_seconds + batch_cpu_seconds,
        cold_start_seconds=cold_start_seconds,
        pollers=pollers,
        max_concurrency=max_concurrency,
    )


def _visible_at(posts: int) -> Sequence[float]:
    """Return when each post's message is on the queue and visible, in seconds after its time."""
    chance = random.Random(20270104)
    fired: list[tuple[float, int]] = []
    ids = [PostId(new_id()) for _ in range(posts)]
    for number, part_id in enumerate(ids):
        early = (starts_at(part_id, DUE) - DUE).total_seconds()
        heapq.heappush(fired, (early + chance.uniform(0, SCHEDULER_PRECISION_SECONDS), number))
    visible, free_at = [], -math.inf
    while fired:
        wanted, number = heapq.heappop(fired)
        prepared = max(wanted, free_at + 1 / SCHEDULER_FIRINGS_PER_SECOND)
        free_at = prepared
        hint = Hint(
            target=Target.PUBLISH,
            part_id=ids[number],
            revision=1,
            organization_id=OrganizationId(ids[number]),
            wait=timedelta(seconds=-prepared),
        )
        visible.append(prepared + hint.message.delay_seconds)
    return visible


def _work_off(
    visible: Sequence[float],
    *,
    batch_seconds: float,
    cold_start_seconds: float,
    pollers: int,
    max_concurrency: int,
) -> Lateness:
    """Pass batches to environments within the event source's limits, and record when each post is published."""
    begin = visible[0]
    idle: list[float] = []  # the time at which each existing environment is free
    late: list[float] = []
    position = 0
    while position < len(visible):
        ready = visible[position] + POLL_SECONDS
        start, is_new = _next_environment(idle, ready, begin, pollers, max_concurrency)
        batch = [moment for moment in visible[position : position + BATCH] if moment + POLL_SECONDS <= start] or [visible[position]]  # fmt: skip
        done = start + (cold_start_seconds if is_new else 0.0) + batch_seconds
        heapq.heappush(idle, done)
        late.extend([done] * len(batch))
        position += len(batch)
    late.sort()
    return Lateness(
        p50=late[len(late) // 2],
        p99=late[math.ceil(len(late) * 0.99) - 1],
        last=late[-1],
        peak_environments=len(idle),
    )


def _next_environment(
    idle: list[float], ready: float, begin: float, pollers: int, max_concurrency: int
) -> tuple[float, bool]:
    """Return when the next batch starts, and whether in a new environment; a free one is taken first."""
    if idle and idle[0] <= ready:
        heapq.heappop(idle)
        return ready, False
    count = len(idle)
    if pollers:
        allowed_at = ready if count < pollers * INVOKES_PER_POLLER else math.inf
    elif count < min(max_concurrency, MOST_BATCHES):
        allowed_at = max(ready, begin + max(0, count + 1 - FIRST_BATCHES) / MORE_PER_SECOND)
    else:
        allowed_at = math.inf
    if idle and idle[0] <= allowed_at:
        return max(ready, heapq.heappop(idle)), False
    return allowed_at, True


def table(
    *,
    batch_cpu_seconds: float,
    cold_start_seconds: float,
    max_concurrency: int,
    database_seconds: float,
) -> list[Row]:
    """Simulate several platform latencies, and the default scaling also with the template's limit.

    `database_seconds` is the database's processor time for all posts.
    """
    rows: list[Row] = []
    ways = (
        ("default scaling", 0, MOST_BATCHES),
        (f"default scaling, at most {max_concurrency} functions", 0, max_concurrency),
        ("40 pollers", 40, MOST_BATCHES),
    )
    for platform_seconds in (0.3, 0.6, 1.0, 2.0):
        for name, pollers, most in ways:
            found = simulate(
                platform_seconds=platform_seconds,
                batch_cpu_seconds=batch_cpu_seconds,
                cold_start_seconds=cold_start_seconds,
                pollers=pollers,
                max_concurrency=most,
            )
            rows.append(
                {
                    "scaling": name,
                    "platform seconds": platform_seconds,
                    "p50": round(found.p50, 2),
                    "p99": round(found.p99, 2),
                    "last": round(found.last, 2),
                    "environments": found.peak_environments,
                    "database processors": round(database_seconds / found.last, 1),
                }
            )
    return rows
