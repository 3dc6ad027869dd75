"""`make bench`: measure everything in one run, write results.json and results.md, print the tables.

python -m benchmarks            takes about four minutes
python -m benchmarks --quick    tiny sizes, to check that it works
python -m benchmarks --only growth    how each statement's time grows with the rows; prints its table and writes nothing
python -m benchmarks --only imports   which modules of a cold start take longest; also only printed
python -m benchmarks --only start     how long `make run` takes until it is ready; also only printed
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import (
    answers,
    growth,
    imports,
    lateness,
    month,
    neighbors,
    publishing,
    report,
    requests,
    start,
    statements,
)
from benchmarks.assumptions import Lambda, in_lambda
from benchmarks.surroundings import STANDS_IN, surroundings
from benchmarks.timing import Row


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of each measurement."""

    starts: int
    functions: tuple[str, ...]
    rounds: int
    each: int
    of_program: int
    few: int
    many: int
    of_large_month: int
    posts: int
    bursts: int
    starts_system: bool
    growth_posts: int
    organizations: int


FULL = Sizes(starts=7, functions=tuple(imports.functions()), rounds=10, each=30, of_program=100_000, few=1_000, many=1_000_000, of_large_month=5_000, posts=2_000, bursts=3, starts_system=True, growth_posts=200_000, organizations=20_000)  # fmt: skip
QUICK = Sizes(starts=1, functions=("publish",), rounds=1, each=3, of_program=300, few=300, many=600, of_large_month=300, posts=20, bursts=1, starts_system=False, growth_posts=2_000, organizations=200)  # fmt: skip


def measure(sizes: Sizes) -> dict[str, Any]:
    """Measure everything and print when each part starts."""
    results: dict[str, Any] = {"run": _run()}
    with surroundings() as around, publishing.publisher(around.patch) as publisher:
        _say("imports")
        found = imports.measure(sizes.functions, rounds=sizes.starts, environment=_environment())
        results["imports"] = found.rows
        results["slowest imports"] = _slowest_imports(sizes)
        _say("requests")
        results["requests"] = requests.measure(
            rounds=sizes.rounds, each=sizes.each, posts=sizes.of_program
        )
        _say("statements")
        results["statements"] = statements.measure(publisher)
        _say("bytes")
        results["bytes"] = answers.measure(sizes.of_large_month)
        _say("publishing")
        trips = publishing.trips_a_post(publisher)
        throughput = publishing.measure(publisher, posts=sizes.posts)
        results["publishing"] = [*throughput.rows, {"what": publishing.TRIPS, "figure": trips}]
        results["burst"] = publishing.measure_burst(publisher, times=sizes.bursts)
        _say("month")
        results["month"] = month.measure(
            around, few=sizes.few, many=sizes.many, rounds=sizes.rounds, each=sizes.each
        )
    _say("lateness")
    function = Lambda.of_template()
    cost = in_lambda(
        throughput,
        trips_a_post=trips,
        first_batch_cpu_seconds=found.first_batch_cpu_seconds,
        function=function,
    )
    results["assumptions"] = cost.rows
    results["lateness"] = lateness.table(
        batch_cpu_seconds=cost.batch_seconds,
        cold_start_seconds=cost.cold_start_seconds,
        max_concurrency=function.max_concurrency,
        database_seconds=cost.database_seconds,
    )
    _say("neighbors")
    results["neighbors"] = neighbors.table(
        batch_cpu_seconds=cost.batch_seconds,
        cold_start_seconds=cost.cold_start_seconds,
        max_concurrency=function.max_concurrency,
    )
    _say("start")
    results["start"] = start.measure() if sizes.starts_system else []
    return results


def _slowest_imports(sizes: Sizes) -> list[Row]:
    names = [name for name in imports.LISTED if name in sizes.functions]
    return imports.slowest(names, rounds=sizes.starts, environment=_environment())


def measure_growth(sizes: Sizes) -> list[Row]:
    """Measure how the time of each statement grows with the number of rows."""
    with surroundings() as around:
        return growth.measure(around, posts=sizes.growth_posts, organizations=sizes.organizations)


def _starts(_sizes: Sizes) -> list[Row]:
    return start.measure()


def _run() -> dict[str, str | int | float | None]:
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "stands in": STANDS_IN,
    }


def _environment() -> dict[str, str]:
    """Return the environment of a function's process: that of this process, with bytecode enabled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure everything.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to check that it works")
    parser.add_argument("--to", type=Path, default=report.HERE, help="folder for the results")
    parser.add_argument(
        "--only", choices=["growth", "imports", "start"], help="measure only this and print it"
    )
    given = parser.parse_args()
    sizes = QUICK if given.quick else FULL
    if given.only:
        alone = {"growth": measure_growth, "imports": _slowest_imports, "start": _starts}
        print(report.table(alone[given.only](sizes)))
        return
    results = measure(sizes)
    written = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (given.to / report.RESULTS.name).write_text(written, encoding="utf-8")
    (given.to / report.TABLES.name).write_text(report.tables(results), encoding="utf-8")
    print(report.tables(results))


if __name__ == "__main__":
    main()
