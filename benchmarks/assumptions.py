"""Estimates the times in Lambda from the measurements on this machine, with a few named assumptions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lateness import BATCH, POSTS
from benchmarks.publishing import Throughput
from benchmarks.timing import Row
from local.intrinsics import read_yaml

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
# A function's share of a processor grows with its memory; this size has one full processor.
# Source: docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html, read 2026-11.
MB_PER_PROCESSOR = 1_769
# The start of an empty Python function, as measured by the maintainers of Powertools at p50 (python3.13, arm64).
EMPTY_START_SECONDS = 0.115
# A round trip to the database in another availability zone of the region.
TRIP_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Lambda:
    """The publish function's settings in the template."""

    memory_mb: int
    max_concurrency: int

    @classmethod
    def of_template(cls) -> "Lambda":
        """Read them from the template."""
        template: dict[str, Any] = read_yaml(TEMPLATE)
        own = template["Resources"]["PublishFunction"]["Properties"]
        memory = own.get("MemorySize", template["Globals"]["Function"]["MemorySize"])
        return cls(int(memory), int(template["Parameters"]["PublishConcurrency"]["Default"]))

    @property
    def processors(self) -> float:
        return min(1.0, self.memory_mb / MB_PER_PROCESSOR)


@dataclass(frozen=True, slots=True)
class LambdaCost:
    """The estimated times of a batch and a cold start in Lambda, without the platform's own time, and the assumptions."""

    batch_seconds: float
    cold_start_seconds: float
    database_seconds: float
    rows: list[Row]


def in_lambda(
    throughput: Throughput, *, trips_a_post: int, first_batch_cpu_seconds: float, function: Lambda
) -> LambdaCost:
    """Scale the measurements to the function's share of a processor.

    A batch's threads share one connection, so their round trips are sequential.
    """
    batch_cpu = throughput.batch_cpu_seconds / function.processors
    trips = BATCH * trips_a_post * TRIP_SECONDS
    cold = EMPTY_START_SECONDS + first_batch_cpu_seconds / function.processors
    database = throughput.database_cpu_seconds / throughput.posts * POSTS
    rows: list[Row] = [
        {"assumption": f"a function of {function.memory_mb} MB has this share of a processor like this machine's", "figure": round(function.processors, 2)},
        {"assumption": "a batch's processor time there, seconds", "figure": round(batch_cpu, 3)},
        {"assumption": f"a batch's {BATCH * trips_a_post} round trips of {TRIP_SECONDS * 1000:g} ms, one after the other, seconds", "figure": round(trips, 3)},
        {"assumption": "an empty function's start, seconds", "figure": EMPTY_START_SECONDS},
        {"assumption": "a cold start, with import, platform and connection, seconds", "figure": round(cold, 2)},
        {"assumption": "functions at once, at most, as the template has it", "figure": function.max_concurrency},
        {"assumption": f"not simulated: the database's processor seconds for {POSTS:,} posts", "figure": round(database, 1)},
    ]  # fmt: skip
    return LambdaCost(batch_cpu + trips, cold, database, rows)
