"""Which budgets are met? Each with what was measured, in words; a missed one says why, and nothing fails by it."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks import requests
from benchmarks.imports import BARE, EMPTY, FIRST_BATCH, HEAVY
from benchmarks.lateness import POSTS
from benchmarks.publishing import TRIPS
from benchmarks.start import KILLED, QUEUED, SECOND
from benchmarks.timing import Row

Results = Mapping[str, Sequence[Row]]
MEMORY_MB = 256
CALENDAR_INDEX = "ix_posts_calendar"
SAME = 1.2  # two times that differ by less are the same
# Milliseconds at p50, on a machine with two cores on which nothing else runs.
REQUESTS_MS = {
    requests.CREATE: 7.0,
    requests.MONTH: 6.0,
    requests.CHANNELS: 2.5,
    requests.SELF: 2.0,
    requests.PUBLIC_MONTH: 6.0,
    requests.PUBLIC_CREATE: 7.0,
}
LAST_OF_BURST_SECONDS = 2.0
CPU_A_POST_MS = 35.0
TRIPS_A_POST = 4
PLATFORM_SECONDS = 0.6
READY_SECONDS = {SECOND: 4.5, QUEUED: 6.0, KILLED: 6.0}
P99_SECONDS = {"default scaling": 20.0, "40 pollers": 5.0}


def judge(results: Results) -> list[Row]:
    """Put each budget beside what was measured."""
    return [
        *_statements(results["statements"]),
        _month(results["month"]),
        *_imports(results["imports"]),
        *_requests(results["requests"]),
        *_publishing(results["publishing"], results["burst"]),
        *_lateness(results["lateness"]),
        *_start(results["start"]),
    ]


def _statements(rows: Sequence[Row]) -> Iterable[Row]:
    for row in rows:
        measured, budget = _number(row, "statements"), _number(row, "budget")
        yield _line(
            f"SQL: {row['what']}", f"at most {budget:g}", f"{measured:g}", measured <= budget
        )


def _month(rows: Sequence[Row]) -> Row:
    """Judge by index and time: with few posts a bitmap over the same range is as good to the database as a plain scan."""
    few, many = rows
    times = _number(many, "p50 / with few")
    by_range = few["index"] == many["index"] == CALENDAR_INDEX
    return _line(
        f"month of a calendar, {many['posts']:,} posts against {few['posts']:,}",
        "the same range of an index, the same time",
        f"{many['index']} and {few['index']}, {times} times",
        by_range and times <= SAME,
        f"{many['scan']} of {many['pages touched']} pages against {few['scan']} of {few['pages touched']}",
    )


def _imports(rows: Sequence[Row]) -> Iterable[Row]:
    by_name = {str(row["function"]): row for row in rows}
    publish = by_name["publish"]
    loads = str(publish["loads"])
    allowed = f"none of {', '.join(HEAVY)}"
    yield _line("publish function at import", allowed, loads or "none", not loads)
    ours = [row for name, row in by_name.items() if name not in {EMPTY, BARE, FIRST_BATCH}]
    largest = max(ours, key=lambda row: _number(row, "peak MB"))
    peak = _number(largest, "peak MB")
    yield _line(
        "memory of every function once imported (media: tests/shared/media holds the rest)",
        f"under {MEMORY_MB} MB",
        f"at most {peak:g} MB ({largest['function']})",
        peak < MEMORY_MB,
    )


def _requests(rows: Sequence[Row]) -> Iterable[Row]:
    by_name = {str(row["request"]): row for row in rows}
    for name, budget in REQUESTS_MS.items():
        row = by_name[name]
        measured = _number(row, "p50 ms")
        yield _line(
            f"p50: {name}",
            f"under {budget:g} ms",
            f"{measured} ms, {row['p50 / bare']} times the bare route",
            measured < budget,
            f"{row['CPU ms']} ms of it are processor time of the function",
        )


def _publishing(throughput: Sequence[Row], burst: Sequence[Row]) -> Iterable[Row]:
    last = _figure(burst, "last one out, seconds late")
    yield _line(
        "100 posts due in one second, one environment: last one out",
        f"under {LAST_OF_BURST_SECONDS:g} s late",
        f"{last} s",
        last < LAST_OF_BURST_SECONDS,
    )
    cpu = _figure(throughput, "both, ms")
    yield _line(
        "CPU of publishing a post, function and database",
        f"under {CPU_A_POST_MS:g} ms",
        f"{cpu} ms",
        cpu < CPU_A_POST_MS,
    )
    trips = _figure(throughput, TRIPS)
    yield _line(TRIPS, f"at most {TRIPS_A_POST}", f"{trips:g}", trips <= TRIPS_A_POST)


def _lateness(rows: Sequence[Row]) -> Iterable[Row]:
    for row in rows:
        limit = P99_SECONDS.get(str(row["scaling"]).partition(",")[0])
        if row["platform seconds"] != PLATFORM_SECONDS or limit is None:
            continue
        measured = _number(row, "p99")
        yield _line(
            f"simulated p99 of {POSTS:,} posts due in one second, {row['scaling']}",
            f"under {limit:g} s late",
            f"{measured} s",
            measured < limit,
            f"a batch or a cold start costs too much, or {row['environments']} functions at once are too few",
        )


def _start(rows: Sequence[Row]) -> Iterable[Row]:
    """Judge each start that was measured; an older run has fewer."""
    measured = {str(row["what"]) for row in rows}
    for what, budget in READY_SECONDS.items():
        if what in measured:
            seconds = _figure(rows, what)
            yield _line(
                f"make run, {what}",
                f"at most {budget:g} s",
                f"{seconds} s",
                seconds <= budget,
            )


def _line(what: str, budget: str, measured: str, met: bool, why: str = "") -> Row:
    verdict = "met" if met else f"missed: {why}" if why else "missed"
    return {"what": what, "budget": budget, "measured": measured, "verdict": verdict}


def _number(row: Row, name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} was not measured: {value!r}")
    return value


def _figure(rows: Sequence[Row], what: str) -> float:
    return next(_number(row, "figure") for row in rows if row["what"] == what)
