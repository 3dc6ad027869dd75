"""Measures the bytes of a large month on the wire, plain and gzipped.

The ids are random, which is the worst case for compression. The texts are almost equal in one month and random words in the
other; real texts lie in between.
"""

import base64
import json
from typing import Any

from sqlalchemy import text

from benchmarks.callers import MONTH, Caller, a_caller, call
from benchmarks.timing import Row
from shared.db import migrate

ALIKE, RANDOM = "texts that are alike", "texts of random words"
WORDS = "today our team opens the first shop beside a river and invites all who like bread coffee music gardens weather maps"
_TEXTS = {
    ALIKE: "repeat('A post about something. ', 8)",
    RANDOM: """(
        select string_agg((cast(:words as text[]))[1 + floor(random() * :count)::int], ' ')
        from generate_series(1, 32) where n is not null
    )""",
}
_FILL = """
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, revision, generation, arm_count, creation_method)
    select made.id, :organization_id, :channel_id, made.id, made.id, 0, 'queued', 'none', made.content, '[]', '{{}}',
        md5(n::text), made.due_at, 0, made.due_at, 1, 1, 1, 'web'
    from (
        select n, gen_random_uuid() as id, {content} as content,
            cast(:month as timestamptz) + interval '30 days' * (n::float8 / :posts) as due_at
        from generate_series(1, :posts) as n
    ) made
"""


def measure(posts: int) -> list[Row]:
    """Request a month of `posts` with and without gzip, once for each kind of text."""
    return [_row(kind, posts) for kind in _TEXTS]


def _row(kind: str, posts: int) -> Row:
    caller = a_caller(channels=1, posts=0)
    _fill(caller, posts, kind)
    plain, packed = (_bytes(caller, coding) for coding in ("identity", "gzip"))
    return {"texts": kind, "posts": posts, "plain, kB": plain, "gzipped, kB": packed}


def _fill(caller: Caller, posts: int, kind: str) -> None:
    values = {
        "organization_id": caller.organization_id,
        "channel_id": caller.channel_ids[0],
        "month": MONTH[0],
        "posts": posts,
    }
    if kind == RANDOM:
        words = WORDS.split()
        values |= {"words": words, "count": len(words)}
    with migrate.migrating() as connection:
        connection.execute(text(_FILL.format(content=_TEXTS[kind])), values)
        connection.commit()


def _bytes(caller: Caller, coding: str) -> float:
    event = caller.month()
    event["headers"] = event["headers"] | {"accept-encoding": coding}
    answer: dict[str, Any] = call("posts", event)
    body = answer["body"]
    sent = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
    if coding == "identity" and not json.loads(sent)["posts"]:
        raise RuntimeError("the month is empty")
    return round(len(sent) / 1000, 1)
