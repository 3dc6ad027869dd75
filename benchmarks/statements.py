"""Counts the SQL statements and round trips of each route and each step of publishing."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.callers import MONTH_POSTS, Caller, a_caller, call, forget_rates
from benchmarks.publishing import Publisher, claim_mark_record
from benchmarks.timing import Row
from shared.db.session import unit_of_work
from shared.posts.models import Tag
from tests.counting import count_statements

CONTEXT, PAGE, CREATE = 1, 2, 8
CLAIM, RECORD = 2, 2


def measure(publisher: Publisher) -> list[Row]:
    """Count each route once, after a first call that initializes the process."""
    caller = a_caller(channels=5, posts=MONTH_POSTS)
    with unit_of_work() as session:
        session.add(Tag(organization_id=caller.organization_id, name="news", color="#336699"))
    rows = []
    for name, budget, function, prepare in _routes(caller):
        call(function, prepare())
        event = prepare()
        with count_statements() as cost:
            call(function, event)
        rows.append(_row(name, cost.statements, cost.round_trips, budget))
    forget_rates()
    return rows + [
        _row(name, cost.statements, cost.round_trips, budget)
        for (name, budget), cost in zip(
            (
                ("claim, with a picture", CLAIM),
                ("mark before sending", 1),
                ("record, with a reply that follows", RECORD),
            ),
            claim_mark_record(publisher),
            strict=True,
        )
    ]


def _routes(
    caller: Caller,
) -> Sequence[tuple[str, int, str, Callable[[], dict[str, Any]]]]:
    """List the calls: name, budget of statements without BEGIN and COMMIT, function, event."""
    post_id = _a_post_id(caller)
    return (
        ("context by session", CONTEXT, "posts", caller.nothing),
        ("context by API key", CONTEXT, "posts", lambda: caller.nothing(by_key=True)),
        ("GET /user/self", CONTEXT, "identity", lambda: caller.get("/user/self")),
        ("GET /settings/organization", PAGE, "organizations", lambda: caller.get("/settings/organization")),
        ("GET /notifications/list", PAGE, "organizations", lambda: caller.get("/notifications/list")),
        ("GET /integrations/list", PAGE, "channels", lambda: caller.get("/integrations/list")),
        ("GET /integrations/{id}", PAGE, "channels", lambda: caller.get(f"/integrations/{caller.channel_ids[0]}")),
        ("GET /media", PAGE, "media", lambda: caller.get("/media")),
        (f"GET /posts, a month of {MONTH_POSTS}", PAGE, "posts", caller.month),
        ("GET /posts/list", PAGE, "posts", lambda: caller.get("/posts/list")),
        ("GET /posts/{id}", PAGE, "posts", lambda: caller.get(f"/posts/{post_id}")),
        ("GET /posts/{id}/history", PAGE, "posts", lambda: caller.get(f"/posts/{post_id}/history")),
        ("GET /posts/tags", PAGE, "posts", lambda: caller.get("/posts/tags")),
        ("GET /posts/find-slot", PAGE, "posts", lambda: caller.get("/posts/find-slot")),
        ("POST /posts, rate-limited, 1 channel", CREATE, "posts", caller.compose),
        ("POST /posts, 5 channels", CREATE, "posts", lambda: caller.compose(channels=5)),
        ("POST /posts, a thread of 5", CREATE, "posts", lambda: caller.compose(parts=5)),
        ("POST /posts, 5 channels, threads of 25", CREATE, "posts", lambda: caller.compose(channels=5, parts=25)),
        ("POST /posts, with a tag", CREATE + 1, "posts", lambda: caller.compose(tags=["news"])),
        ("POST /posts, with an Idempotency-Key", CREATE + 1, "posts", lambda: caller.compose(key="key")),
        ("GET /public/v1/integrations", PAGE, "public_api", lambda: caller.get("/public/v1/integrations", by_key=True)),
        (f"GET /public/v1/posts, a month of {MONTH_POSTS}", PAGE, "public_api", caller.public_month),
        ("POST /public/v1/posts, 1 channel", CREATE, "public_api", caller.public_compose),
        ("POST /public/v1/posts, 5 channels", CREATE, "public_api", lambda: caller.public_compose(channels=5)),
        ("POST /public/v1/posts, with an Idempotency-Key", CREATE + 1, "public_api", lambda: caller.public_compose(key="key")),
        ("POST /public/v1/posts, with a tag", CREATE + 1, "public_api", lambda: caller.public_compose(tags=["news"])),
    )  # fmt: skip


def _a_post_id(caller: Caller) -> str:
    return str(json.loads(call("posts", caller.month())["body"])["posts"][0]["id"])


def _row(name: str, statements: int, round_trips: int, budget: int) -> Row:
    return {"what": name, "statements": statements, "budget": budget, "round trips": round_trips}
