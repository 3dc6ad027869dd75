"""Measures requests through the real handlers, relative to a bare route that runs one SELECT on the same connection."""

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks import bare_select
from benchmarks.callers import MONTH_POSTS, Caller, a_caller, backend, forget_rates, succeeded
from benchmarks.month import fill
from benchmarks.timing import Case, Row, Samples, interleave, ratio

BOTH = "CPU with the database, ms"
BARE = "(bare route, one SELECT)"
CREATE, MONTH, CHANNELS = "create a post", f"month of {MONTH_POSTS} posts", "list 5 channels"
SELF, CONTEXT = "who am I", "request context alone"
CREATE_MANY = f"{CREATE} on 5 channels, 3 parts each"
PUBLIC_CREATE, PUBLIC_CHANNELS = "public API: create a post", "public API: list 5 channels"
PUBLIC_MONTH = f"public API: month of {MONTH_POSTS} posts"
_PUBLIC_CHANNELS_PATH = "/public/v1/integrations"
_SHIFT = 2**32  # ids that differ from those of the calendar's own measurement


def measure(*, rounds: int, each: int, posts: int) -> list[Row]:
    """Time each request alternately with the bare route; an organization with `posts` calls the public API."""
    caller = a_caller(channels=5, posts=MONTH_POSTS)
    program = a_caller(channels=5, posts=0)
    fill(program, posts, shift=_SHIFT)
    cases = {BARE: Case(caller.bare, lambda event: succeeded(bare_select.handler(event, None)))}  # type: ignore[arg-type]
    for name, (function, prepare) in _requests(caller, program).items():
        handler = importlib.import_module(f"functions.{function}.app").handler
        cases[name] = Case(prepare, _through(handler), before=forget_rates)
    found = interleave(cases, rounds=rounds, each=each, backend=backend)
    return [_row(name, samples, found[BARE]) for name, samples in found.items()]


def _requests(
    caller: Caller, program: Caller
) -> dict[str, tuple[str, Callable[[], dict[str, Any]]]]:
    """Return the requests by name, each with its function and its event's factory."""
    return {
        CONTEXT: ("posts", caller.nothing),
        SELF: ("identity", lambda: caller.get("/user/self")),
        CHANNELS: ("channels", lambda: caller.get("/integrations/list")),
        MONTH: ("posts", caller.month),
        CREATE: ("posts", caller.compose),
        f"{CREATE} on 5 channels": ("posts", lambda: caller.compose(channels=5)),
        f"{CREATE} with a thread of 5": ("posts", lambda: caller.compose(parts=5)),
        CREATE_MANY: ("posts", lambda: caller.compose(channels=5, parts=3)),
        PUBLIC_CHANNELS: ("public_api", lambda: program.get(_PUBLIC_CHANNELS_PATH, by_key=True)),
        PUBLIC_MONTH: ("public_api", program.public_month),
        PUBLIC_CREATE: ("public_api", program.public_compose),
    }


def _through(handler: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any], object]:
    return lambda event: succeeded(handler(event, None))


def _row(name: str, samples: Samples, bare: Samples) -> Row:
    return {
        "request": name,
        "p50 / bare": ratio(samples.p50_ms, bare.p50_ms),
        "p95 / bare": ratio(samples.p95_ms, bare.p95_ms),
        "CPU / bare": ratio(samples.cpu_ms, bare.cpu_ms),
        "database CPU / bare": ratio(samples.database_cpu_ms, bare.database_cpu_ms),
        "calls": len(samples.wall_ns),
        "p50 ms": round(samples.p50_ms, 2),
        "p95 ms": round(samples.p95_ms, 2),
        "CPU ms": round(samples.cpu_ms, 2),
        BOTH: round(samples.cpu_ms + samples.database_cpu_ms, 2),
    }
