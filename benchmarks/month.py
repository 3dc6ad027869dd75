"""Compares a calendar month's cost in an organization with a thousand posts and in one with a million.

Two databases on one server differ only in the number of posts; the requested month has equally many in both. The other
posts are spread over ten years and stored in random order, which is the worst case for reading a range.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event, text

from benchmarks.callers import MONTH, MONTH_POSTS, Caller, a_caller, backend, call, succeeded
from benchmarks.surroundings import Surroundings
from benchmarks.timing import Case, Row, Samples, interleave, ratio
from shared.db import migrate
from shared.db.session import engine

_CHUNK = 100_000
# Every `:every`-th post is in the month; the others are before it, in a pseudo-random order.
_FILL = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, revision, generation, arm_count, creation_method,
        published_at)
    select made.id, :organization_id, :channel_id, made.id, made.id, 0,
        case when in_month then 'queued' else 'published' end, 'none', repeat('A post about something. ', 8), '[]',
        '{}', md5(n::text), publish_at, 0, case when in_month then publish_at end, 1, 1, 1, 'web',
        case when in_month then null else publish_at end
    from (
        select n, in_month, cast(lpad(to_hex(:shift + n), 32, '0') as uuid) as id,
            case when in_month
                then cast(:month as timestamptz) + interval '30 days' * (n::float8 / :count)
                else cast(:month as timestamptz) - interval '1 day'
                    - interval '10 years' * ((n * 48271 % 999983) / 999983.0)
            end as publish_at
        from (
            select n, n % :every = 0 and n / :every <= :in_month as in_month
            from generate_series(cast(:first as bigint), cast(:last as bigint)) as n
        ) numbered
    ) made
""")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the database reads the month's posts, and how many disk pages it touches."""

    scan: str
    index: str
    pages: int
    rows: int


def measure(around: Surroundings, *, few: int, many: int, rounds: int, each: int) -> list[Row]:
    """Time the month alternately in both databases, through the posts function's handler."""
    around.make_database("few", template="roost")
    caller = a_caller(channels=1, posts=0)
    around.make_database("many", template="few")
    counts = {"few": few, "many": many}
    for name, count in counts.items():
        around.use_database(name)
        fill(caller, count)
    samples = {name: Samples() for name in counts}
    for _ in range(rounds):
        for name in counts:
            around.use_database(name)
            _time(caller, samples[name], each)
    plans = {}
    for name in counts:
        around.use_database(name)
        plans[name] = _plan(caller)
    around.use_database("roost")
    return [
        {
            "posts": count,
            "in the month": plans[name].rows,
            "index": plans[name].index,
            "scan": plans[name].scan,
            "pages touched": plans[name].pages,
            "p50 / with few": ratio(samples[name].p50_ms, samples["few"].p50_ms),
            "database CPU / with few": ratio(samples[name].database_cpu_ms, samples["few"].database_cpu_ms),
            "calls": len(samples[name].wall_ns),
            "p50 ms": round(samples[name].p50_ms, 2),
        }
        for name, count in counts.items()
    ]  # fmt: skip


def fill(caller: Caller, count: int, *, shift: int = 0) -> None:
    """Store posts, a busy month's number of them in the month; their ids begin after `shift`.

    Their foreign keys are valid and are not checked one by one.
    """
    with migrate.migrating() as connection:
        connection.execute(text("set session_replication_role = replica"))
        for first in range(1, count + 1, _CHUNK):
            connection.execute(
                _FILL,
                {
                    "organization_id": caller.organization_id,
                    "channel_id": caller.channel_ids[0],
                    "month": MONTH[0],
                    "count": count,
                    "in_month": MONTH_POSTS,
                    "every": max(1, count // MONTH_POSTS),
                    "shift": shift,
                    "first": first,
                    "last": min(first + _CHUNK - 1, count),
                },
            )
            connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(
            text("vacuum analyze posts")
        )


def _time(caller: Caller, samples: Samples, each: int) -> None:
    handler = importlib.import_module("functions.posts.app").handler
    case = Case(caller.month, lambda event: succeeded(handler(event, None)))
    found = interleave({"month": case}, rounds=1, each=each, backend=backend)["month"]
    samples.wall_ns += found.wall_ns
    samples.cpu_ns += found.cpu_ns
    samples.database_cpu_ns += found.database_cpu_ns


def _plan(caller: Caller) -> Plan:
    """Ask the database for its plan of the statement that the handler sends."""
    sent: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        call("posts", caller.month())
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    [(statement, parameters)] = [one for one in sent if "from posts p" in one[0]]
    with engine().connect() as connection:
        explained = connection.exec_driver_sql(
            f"explain (analyze, buffers, format json) {statement}", tuple(parameters)
        ).scalar_one()
    found = explained[0]["Plan"]
    reads = next(node for node in _nodes(found) if node.get("Relation Name") == "posts")
    pages = int(reads["Shared Hit Blocks"]) + int(reads["Shared Read Blocks"])
    index = next(node["Index Name"] for node in _nodes(reads) if "Index Name" in node)
    return Plan(reads["Node Type"], index, pages, int(reads["Actual Rows"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
