"""Simulates a shared queue: how late is a quiet organization beside one whose server is slow?

The slow organization queues many posts for the same second at a server that needs almost all of a publish function's time
to answer. The quiet one has a post every second on a platform with normal response times. Environments start as AWS
documents (`lateness`), and batches are taken from the visible messages in order. SQS's fair queues would serve the quiet
one first; they are left out, so real results are better. The limits are those of the settings, and a crowded post waits as
in `shared/publishing/claim_queries.py`.
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.lateness import BATCH, FIRST_BATCHES, MORE_PER_SECOND, POLL_SECONDS
from benchmarks.timing import Row
from shared.core.config import Settings

SLOW_POSTS, SLOW_SECONDS = 200, 28.0
QUIET_POSTS, QUIET_SECONDS = 120, 0.6
CLAIM_SECONDS = 0.01  # the time of a part that is put back


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of one organization's posts may be published at the same time; None means no limit."""

    per_host: int | None
    per_organization: int | None


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The lateness of the quiet organization's posts in seconds, and the most environments that the slow one used."""

    p50: float
    p99: float
    last: float
    environments_held: int


@dataclass(slots=True)
class _Queue:
    """The shared queue and its environments. A message is (visible at, number, host); its host is None for the quiet one."""

    bounds: Bounds
    cold_start_seconds: float
    batch_cpu_seconds: float
    max_concurrency: int
    messages: list[tuple[float, int, int | None]]
    chance: random.Random = field(default_factory=lambda: random.Random(20270104))
    free_at: list[float] = field(default_factory=list)
    in_flight: list[tuple[float, int]] = field(default_factory=list)  # (ends at, host)
    late: list[float] = field(default_factory=list)
    held: int = 0

    def work_off(self, due: Sequence[float]) -> None:
        """Pass batches to environments until every post of the quiet organization is published."""
        while len(self.late) < len(due):
            start, is_new = self._next_environment(self.messages[0][0] + POLL_SECONDS)
            begin = start + (self.cold_start_seconds if is_new else 0.0)
            batch: list[tuple[float, int, int | None]] = []
            while self.messages and len(batch) < BATCH and self.messages[0][0] + POLL_SECONDS <= start:  # fmt: skip
                batch.append(heapq.heappop(self.messages))
            ends = [self._publish(message, begin, due) for message in batch]
            heapq.heappush(self.free_at, max(ends))
            self.held = max(self.held, sum(end > begin + QUIET_SECONDS * 2 for end in self.free_at))

    def _next_environment(self, ready: float) -> tuple[float, bool]:
        """Return when the next batch starts, and whether in a new environment; a free one is taken first."""
        if self.free_at and self.free_at[0] <= ready:
            heapq.heappop(self.free_at)
            return ready, False
        count, allowed_at = len(self.free_at), math.inf
        if count < self.max_concurrency:
            allowed_at = max(ready, (count + 1 - FIRST_BATCHES) / MORE_PER_SECOND)
        if self.free_at and self.free_at[0] <= allowed_at:
            return heapq.heappop(self.free_at), False
        return allowed_at, True

    def _publish(
        self, message: tuple[float, int, int | None], begin: float, due: Sequence[float]
    ) -> float:
        """Process one message, and return when its thread is done."""
        _visible, number, host = message
        if host is None:
            end = begin + self.batch_cpu_seconds + QUIET_SECONDS
            self.late.append(end - due[number])
            return end
        if self._is_crowded(host, begin):
            turn = begin + CLAIM_SECONDS + self.chance.randint(1, 3)
            heapq.heappush(self.messages, (turn, number, host))
            return begin + CLAIM_SECONDS
        end = begin + self.batch_cpu_seconds + SLOW_SECONDS
        heapq.heappush(self.in_flight, (end, host))
        return end

    def _is_crowded(self, host: int, now: float) -> bool:
        while self.in_flight and self.in_flight[0][0] <= now:
            heapq.heappop(self.in_flight)
        at = Counter(of for _end, of in self.in_flight)
        most_here, most = self.bounds.per_host, self.bounds.per_organization
        return (most_here is not None and at[host] >= most_here) or (
            most is not None and at.total() >= most
        )


def simulate_neighbors(
    bounds: Bounds,
    *,
    hosts: int = 1,
    slow_posts: int = SLOW_POSTS,
    batch_cpu_seconds: float = 0.1,
    cold_start_seconds: float = 1.0,
    max_concurrency: int = 100,
) -> Neighbors:
    """Simulate the slow organization's posts due at once on `hosts` servers, with one post of the quiet one each second."""
    due = [float(second) for second in range(QUIET_POSTS)]
    messages = [(0.0, number, number % hosts) for number in range(slow_posts)]
    queue = _Queue(bounds, cold_start_seconds, batch_cpu_seconds, max_concurrency,
                   [*messages, *((moment, number, None) for number, moment in enumerate(due))])  # fmt: skip
    queue.messages.sort(key=lambda message: message[0])  # the slow organization's posts come first
    queue.work_off(due)
    late = sorted(queue.late)
    return Neighbors(
        p50=late[len(late) // 2],
        p99=late[math.ceil(len(late) * 0.99) - 1],
        last=late[-1],
        environments_held=queue.held,
    )


def declared_bounds() -> Bounds:
    """Return the limits of the default settings."""
    fields = Settings.model_fields
    return Bounds(
        fields["publish_at_once_per_host"].default,
        fields["publish_at_once_per_organization"].default,
    )


def table(
    *, batch_cpu_seconds: float, cold_start_seconds: float, max_concurrency: int
) -> list[Row]:
    """Simulate one slow server and many, with and without limits."""
    rows: list[Row] = []
    for name, bounds in (("as set", declared_bounds()), ("none", Bounds(None, None))):
        for hosts in (1, 20):
            found = simulate_neighbors(
                bounds,
                hosts=hosts,
                batch_cpu_seconds=batch_cpu_seconds,
                cold_start_seconds=cold_start_seconds,
                max_concurrency=max_concurrency,
            )
            rows.append(
                {
                    "bounds": name,
                    "slow servers": hosts,
                    "p50": round(found.p50, 2),
                    "p99": round(found.p99, 2),
                    "last": round(found.last, 2),
                    "environments held": found.environments_held,
                }
            )
    return rows
