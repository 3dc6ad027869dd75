"""Compares the measurements with the budgets. A missed budget gives the reason; it does not fail the run."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks import answers, publishing, requests
from benchmarks.imports import BARE, EMPTY, FIRST_BATCH, HEAVY
from benchmarks.lateness import POSTS
from benchmarks.start import KILLED, QUEUED, SECOND
from benchmarks.timing import Row

Results = Mapping[str, Sequence[Row]]
MEMORY_MB = 256
CALENDAR_INDEX = "ix_posts_calendar"
SAME = 1.2  # two times that differ by less count as equal
# p50 relative to the bare route, in one run. At most half of the ratios at 001338c: 16.24 for creating a post, 14.85 through
# the public API, 2.74 for who am I, 9.71 for the month, 11.39 through the public API, 5.65 for the channels.
P50_TO_BARE = {
    requests.CREATE: 8.0,
    requests.PUBLIC_CREATE: 8.0,
    requests.PUBLIC_CHANNELS: 2.5,
    requests.CHANNELS: 2.8,
    requests.SELF: 1.6,
    requests.MONTH: 6.5,
    requests.PUBLIC_MONTH: 7.6,
}
# Processor time of function and database, in milliseconds: for orientation, on a quiet machine with two cores.
CREATE_CPU_MS = 4.5
CPU_A_POST_MS = 3.3
TRIPS_A_POST = 4
# CPU of function and database at ff22aa0 in milliseconds, and that of importing the bare function in the same minutes. Our code
# does not change the latter, so it shows how fast the machine is.
CREATE_MANY_FORMER_MS, BARE_IMPORT_FORMER_MS = 12.2, 387.0
CREATE_MANY_SHARE = 0.65
LARGE_MONTH_KB = 260.0
LAST_OF_BURST_SECONDS = 0.8
NOT_MEASURED = "not measured"
PLATFORM_SECONDS = 0.6
READY_SECONDS = {SECOND: 4.5, QUEUED: 6.0, KILLED: 6.0}
P99_SECONDS = {"default scaling": 20.0, "40 pollers": 5.0}


def judge(results: Results) -> list[Row]:
    """Compare each budget with the measurement."""
    return [
        *_statements(results["statements"]),
        _month(results["month"]),
        *_imports(results["imports"]),
        *_requests(results["requests"]),
        _create_many(results["requests"], results["imports"]),
        _bytes(results.get("bytes", ())),
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
    """Judge by index and time. With few posts, the database may use a bitmap scan of the same range instead of an index scan."""
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
    for name, times in P50_TO_BARE.items():
        yield _request(name, by_name.get(name), times)


def _request(name: str, row: Row | None, times: float) -> Row:
    """Judge by the ratio; the milliseconds are for orientation."""
    orientation = f" ({CREATE_CPU_MS:g} ms of CPU)" if name == requests.CREATE else ""
    what, budget = f"p50: {name}", f"at most {times:g} times the bare route{orientation}"
    if row is None:
        return _missing(what, budget)
    measured = _number(row, "p50 / bare")
    return _line(
        what,
        budget,
        f"{measured:g} times: {row['p50 ms']} ms{_cpu(row)}",
        measured <= times,
        f"{row['CPU ms']} ms of it are the function's processor time",
    )


def _create_many(rows: Sequence[Row], imported: Sequence[Row]) -> Row:
    """Judge relative to the earlier value, scaled by the import time of the bare function on this machine."""
    what, budget = (
        f"CPU: {requests.CREATE_MANY}",
        f"at most {CREATE_MANY_SHARE:.0%} of the earlier value",
    )
    row = next((row for row in rows if row["request"] == requests.CREATE_MANY), None)
    if row is None:
        return _missing(what, budget)
    bare = next(row for row in imported if row["function"] == BARE)
    machine = _number(bare, "CPU ms") / BARE_IMPORT_FORMER_MS
    share = _number(row, requests.BOTH) / machine / CREATE_MANY_FORMER_MS
    return _line(what, budget, f"{share:.0%}{_cpu(row)}", share <= CREATE_MANY_SHARE)


def _cpu(row: Row) -> str:
    """Show the processor time of function and database for orientation, if the run has it."""
    return f", {row[requests.BOTH]} ms of CPU with the database" if requests.BOTH in row else ""


def _bytes(rows: Sequence[Row]) -> Row:
    what, budget = "bytes of a month of 5,000, gzipped", f"at most {LARGE_MONTH_KB:g} kB"
    if not rows:
        return _missing(what, budget)
    packed = {str(row["texts"]): _number(row, "gzipped, kB") for row in rows}
    measured = ", ".join(f"{kilobytes:g} kB with {kind}" for kind, kilobytes in packed.items())
    return _line(what, budget, measured, packed[answers.ALIKE] <= LARGE_MONTH_KB)


def _publishing(throughput: Sequence[Row], burst: Sequence[Row]) -> Iterable[Row]:
    last = _figure(burst, publishing.LAST_OUT)
    yield _line(
        "100 posts due in one second, one environment: last one out",
        f"at most {LAST_OF_BURST_SECONDS:g} s late",
        f"{last} s",
        last <= LAST_OF_BURST_SECONDS,
    )
    cpu = _figure(throughput, publishing.BOTH)
    yield _line(
        "CPU of publishing a post, function and database",
        f"at most {CPU_A_POST_MS:g} ms",
        f"{cpu} ms",
        cpu <= CPU_A_POST_MS,
    )
    what, budget = publishing.TRIPS, f"at most {TRIPS_A_POST}"
    if not any(row["what"] == publishing.TRIPS for row in throughput):
        yield _missing(what, budget)
        return
    trips = _figure(throughput, publishing.TRIPS)
    yield _line(what, budget, f"{trips:g}", trips <= TRIPS_A_POST)


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
    """Judge each measured start; an older run has fewer."""
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


def _missing(what: str, budget: str) -> Row:
    """Judge a measurement that an older run lacks as not met."""
    return _line(what, budget, NOT_MEASURED, met=False)


def _number(row: Row, name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} was not measured: {value!r}")
    return value


def _figure(rows: Sequence[Row], what: str) -> float:
    return next(_number(row, "figure") for row in rows if row["what"] == what)
