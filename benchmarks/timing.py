"""Times calls side by side (A B A B), with wall and processor time for each call."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.surroundings import backend_cpu_ns

Row = dict[str, str | int | float | bool | None]
WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A timed call. `work` is timed; `prepare`, which makes its argument, is not. `before` runs ahead of each block."""

    prepare: Callable[[], Any]
    work: Callable[[Any], object]
    before: Callable[[], object] = lambda: None


@dataclass(slots=True)
class Samples:
    """The measured times of one case."""

    wall_ns: list[int] = field(default_factory=list)
    cpu_ns: list[int] = field(default_factory=list)
    database_cpu_ns: int = 0

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.wall_ns) / 1e6

    @property
    def p95_ms(self) -> float:
        return percentile(self.wall_ns, 0.95) / 1e6

    @property
    def cpu_ms(self) -> float:
        return statistics.fmean(self.cpu_ns) / 1e6

    @property
    def database_cpu_ms(self) -> float:
        return self.database_cpu_ns / len(self.wall_ns) / 1e6


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value such that at least `share` of the values do not exceed it."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


def interleave(
    cases: Mapping[str, Case], *, rounds: int, each: int, backend: Callable[[], int]
) -> dict[str, Samples]:
    """Call each case `each` times in turn, for `rounds` rounds. `backend` is the id of the database process."""
    found = {name: Samples() for name in cases}
    for case in cases.values():
        _block(case, Samples(), WARM_UP, backend)
    for _ in range(rounds):
        for name, case in cases.items():
            _block(case, found[name], each, backend)
    return found


def _block(case: Case, samples: Samples, count: int, backend: Callable[[], int]) -> None:
    case.before()
    arguments = [case.prepare() for _ in range(count)]
    pid = backend()
    before = backend_cpu_ns(pid) or 0
    for argument in arguments:
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        case.work(argument)
        samples.wall_ns.append(time.perf_counter_ns() - wall)
        samples.cpu_ns.append(time.process_time_ns() - cpu)
    samples.database_cpu_ns += (backend_cpu_ns(pid) or 0) - before


def ratio(value: float, reference: float, *, digits: int = 2) -> float | None:
    """Return `value` divided by `reference`; None if the reference was not measurable."""
    return round(value / reference, digits) if reference else None
