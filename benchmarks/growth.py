"""Measures whether lists, counts, searches and sweeps read more as an organization grows, or as others do.

There are two databases, one with a tenth of the other's rows, both in the asking organization and in the number of other
organizations. Every named statement of the features below runs in both with real values and is rolled back. The tables
show which indexes it used and how its time grew: around 1 is flat, 10 is linear. Then the sweeps run on a backlog in which
everything queued is overdue, with the platform free and paused, and so do a few use cases whose statements depend on the
request.

python -m benchmarks --only growth
"""

import importlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError

from benchmarks.surroundings import Surroundings
from benchmarks.timing import Row
from shared.core import clock
from shared.core.ids import ChannelId, GroupId, OrganizationId, PostId, TagId
from shared.core.reach import Reach
from shared.db.session import engine, read_only, unit_of_work
from shared.db.statement import Statement
from shared.media.library import list_media
from shared.media.schemas import MediaFilter
from shared.posts.find_slot import find_slot
from tests.builders import a_channel, a_member, an_organization

MODULES = (
    "shared.posts.queries",
    "shared.posts.read_queries",
    "shared.posts.find_slot",
    "shared.notifications.queries",
    "shared.public_api.queries",
    "shared.publishing.claim_queries",
    "shared.publishing.record_queries",
    "shared.publishing.prepare_queries",
    "shared.publishing.stage_queries",
    "shared.publishing.sweep_queries",
    "shared.publishing.late_queries",
    "shared.publishing.stuck",
    "shared.webhooks.queries",
    "shared.webhooks.delivery_queries",
)
# The statements of the sweep that runs every minute, with its counts.
_SWEEPS = re.compile(
    r"publishing\.(\w+_queries|stuck)\.(TAKE|LATE|LIMITED|CROWDED|LOST|WAITS|ADOPT)"
)
_EACH = 5
_OTHERS_POSTS = 10  # in each of the other organizations
# The others are copies of the asking organization and its channel.
_ORGANIZATIONS = text("""
    insert into organizations
    select (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid(), 'name', 'other ' || n))).*
    from organizations o cross join generate_series(1, :organizations) n where o.id = :organization_id
""")
_CHANNELS = text("""
    insert into channels
    select (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'organization_id', o.id))).*
    from channels c cross join organizations o where c.id = :channel_id and o.name like 'other %'
""")
# One in a thousand failed, one in ten is queued for later, and the rest is published; some have tags and files.
_POSTS = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, armed_revision, revision, generation, arm_count,
        creation_method, published_at)
    select made.id, c.organization_id, c.id, made.id, made.id, 0, made.state, 'none', 'A post', '[]', '{}',
        md5(made.id::text), made.publish_at, 0, case when made.state = 'queued' then made.publish_at end, 1, 1, 1, 1,
        'web', case when made.state = 'published' then made.publish_at end
    from channels c cross join lateral (
        select gen_random_uuid() as id, s.state,
            now() + (case when s.state = 'queued' then 1 else -1 end) * (n % 40000 + 1) * interval '1 hour' as publish_at
        from generate_series(1, :rows) n cross join lateral (
            select case when n % 1000 = 0 then 'failed' when n % 10 = 0 then 'queued' else 'published' end as state
        ) s where c.id is not null
    ) made
    where (c.id = :channel_id) = :ours
""")
_OTHER_ROWS = (
    """insert into notifications (id, organization_id, kind, title, content, created_at, mailed_at)
        select gen_random_uuid(), organization_id, 'info', 't', 'c', publish_at, now() from posts""",
    """insert into tags (id, organization_id, name, color)
        select gen_random_uuid(), id, 'news', '#2f6f4f' from organizations""",
    """insert into post_tags (post_id, tag_id, organization_id)
        select p.id, t.id, p.organization_id from posts p join tags t on t.organization_id = p.organization_id
        where p.state = 'failed' or abs(hashtext(p.id::text)) % 1000 = 0""",
    """insert into attempts (id, organization_id, post_id, root_id, channel_id, revision, generation, number, state,
        step, lease_until, counts, finished_at)
        select gen_random_uuid(), organization_id, id, id, channel_id, 1, 1, 1, 'released', 1, now(), true, now()
        from posts where state = 'published'""",
)
# A library as large as the calendar with a rare word, and a calendar so full that fifty channels share no free slot soon.
_FILES = """insert into media (id, organization_id, state, key, name, original_name, content_type, size_bytes,
        variants_made, created_at)
    select gen_random_uuid(), organization_id, 'ready', id::text,
        case when abs(hashtext(id::text)) % 20000 = 0 then 'walrus.jpg' else 'picture.jpg' end, 'picture.jpg',
        'image/jpeg', 1000, true, publish_at from posts"""
_FIFTY_CHANNELS = """insert into channels
    select (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'remote_id', 'many-' || n))).*
    from channels c cross join generate_series(1, 49) n where c.id = :channel_id"""
_TAKEN = """insert into posts
    select (jsonb_populate_record(p, jsonb_build_object('id', made.id, 'root_id', made.id, 'group_id', made.id,
        'channel_id', made.channel_id, 'publish_at', made.at, 'due_at', made.at))).*
    from posts p cross join (
        select gen_random_uuid() as id, c.id as channel_id,
            date_trunc('day', now()) + day * interval '1 day' + minute * interval '1 minute' as at
        from channels c cross join generate_series(0, :days) day
            cross join unnest(array[560, 850, 1140]) minute
        where c.organization_id = :organization_id
    ) made
    where p.id = (select id from posts where channel_id = :channel_id and state = 'queued' limit 1)"""
_BACKLOG = """update posts set publish_at = now() - interval '30 minutes' - publish_at_ago.step, armed_revision = revision,
        due_at = now() - interval '30 minutes' - publish_at_ago.step, enqueued_at = null, next_check_at = null
    from (select id, row_number() over () * interval '1 millisecond' as step from posts where state = 'queued')
        publish_at_ago
    where posts.id = publish_at_ago.id"""
_PAUSE = """insert into provider_pauses (provider, until, reason)
    select provider, now() + interval '1 hour', 'rate_limited' from channels where id = :channel_id"""
_TABLES = (
    "organizations",
    "channels",
    "posts",
    "notifications",
    "tags",
    "post_tags",
    "attempts",
    "media",
)
# Lists are requested without a filter, or with the one for which a statement is made.
_UNFILTERED: Mapping[str, Any] = {"states": None}
_FILTERS: Mapping[str, Mapping[str, Any]] = {
    "posts.read_queries.LATEST_BY_STATE": {"states": ["failed"]}
}
_LISTS = re.compile(r"posts\.read_queries\.(LATEST|RANGE)")
_INDEX = re.compile(r'"Index Name": "(\w+)"')


def measure(around: Surroundings, *, posts: int, organizations: int) -> list[Row]:
    """Run every statement in both databases; the small one has a tenth of the large one's rows."""
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for name, share in (("growth_tenth", 10), ("growth_whole", 1)):
        around.make_database(name, template="roost")
        values = _fill(posts // share, organizations // share)
        for statement, (milliseconds, index) in _measure_here(values):
            found.setdefault(statement, {})[name] = (milliseconds, index)
    around.use_database("roost")
    return [
        {
            "statement": statement,
            "index": whole[1],
            "tenth ms": round(tenth[0], 2),
            "whole ms": round(whole[0], 2),
            "growth": round(whole[0] / tenth[0], 1) if tenth[0] else None,
        }
        for statement, (tenth, whole) in _pairs(found)
    ]


def _measure_here(values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, str]]]:
    """Run everything in the current database: as filled, on a full calendar, and on a backlog."""
    for statement, sql in statements().items():
        own = _own(statement, values)
        yield statement, _run(sql, {**values, **_UNFILTERED, **_FILTERS.get(statement, {}), **own})
    organization = OrganizationId(values["organization_id"])
    yield "the library, newest files", _time(lambda: _files(organization, ""))
    yield "the library, search for a rare word", _time(lambda: _files(organization, "walrus"))
    yield "a free slot of one channel", _time(lambda: _slot(organization, values["channel_id"]))
    _change(_FIFTY_CHANNELS, _TAKEN, values={**values, "days": 32})
    yield "a free slot of fifty channels, 33 days taken", _time(lambda: _slot(organization, None))
    _change(_BACKLOG, values=values)
    yield from _sweeps("all overdue", values)
    _change(_PAUSE, values=values)
    yield from _sweeps("all overdue, platform paused", values)


def _sweeps(when: str, values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, str]]]:
    for statement, sql in statements().items():
        if _SWEEPS.search(statement):
            yield f"{statement} ({when})", _run(sql, values)


def _files(organization_id: OrganizationId, word: str) -> None:
    with read_only() as session:
        list_media(session, organization_id, MediaFilter(search=word))


def _slot(organization_id: OrganizationId, channel_id: ChannelId | None) -> None:
    with read_only() as session:
        find_slot(session, Reach(organization_id), channel_id)


def _time(work: Callable[[], None]) -> tuple[float, str]:
    """Return the median time of a use case in milliseconds, including Python's share."""
    work()
    times = []
    for _ in range(_EACH):
        before = time.perf_counter()
        work()
        times.append((time.perf_counter() - before) * 1000)
    return median(times), "a whole use case"


def _change(*changes: str, values: Mapping[str, Any]) -> None:
    with unit_of_work() as session:
        for change in changes:
            session.execute(text(change), values)
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("channels", "posts"):
            connection.execute(text(f"vacuum (analyze) {table}"))


def statements() -> Mapping[str, TextClause]:
    """Find the named statements of the features, by module and name."""
    return {
        f"{module.removeprefix('shared.')}.{name}": text(value.text)
        if isinstance(value, Statement)
        else value
        for module in MODULES
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, Statement | TextClause)
    }


def _own(statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter of a list of posts: every channel, and a tag only if the statement is made for it."""
    if not _LISTS.match(statement):
        return {}
    by_tag = statement.endswith("_BY_TAG")
    return {"channel_id": None, "tag_id": values["tag_id"] if by_tag else None}


def _pairs(
    found: Mapping[str, Mapping[str, tuple[float, str]]],
) -> Iterator[tuple[str, tuple[tuple[float, str], tuple[float, str]]]]:
    for statement, timed in found.items():
        yield statement, (timed["growth_tenth"], timed["growth_whole"])


def _fill(posts: int, organizations: int) -> dict[str, Any]:
    with unit_of_work() as session:
        organization = an_organization(session)
        channel = a_channel(session, organization)
        member = a_member(session, organization)
        known = {
            "organization_id": organization.id,
            "channel_id": channel.id,
            "user_id": member.user_id,
        }
        session.execute(_ORGANIZATIONS, known | {"organizations": organizations})
        session.execute(_CHANNELS, known)
        session.execute(_POSTS, {"channel_id": channel.id, "rows": posts, "ours": True})
        session.execute(_POSTS, {"channel_id": channel.id, "rows": _OTHERS_POSTS, "ours": False})
        for statement in (*_OTHER_ROWS, _FILES):
            session.execute(text(statement))
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in _TABLES:
            connection.execute(text(f"vacuum (analyze) {table}"))
        post = connection.execute(
            text("select id, group_id from posts where channel_id = :channel_id limit 1"), known
        ).one()
        tag = connection.execute(
            text("select id from tags where organization_id = :organization_id"), known
        ).scalar_one()
    return _values(known, post.id, post.group_id, tag)


def _values(known: Mapping[str, Any], post: PostId, group: GroupId, tag: TagId) -> dict[str, Any]:
    """Return a value for each parameter of the measured statements."""
    now = clock.now()
    return {
        **known,
        "id": UUID(int=0), "created_at": "infinity", "limit": 21, "offset": 0, "page_size": 21, "days": 14,
        "states": ["failed"], "tag_id": tag, "after_time": "infinity", "after_id": UUID(int=2**128 - 1),
        "start": now, "end": now + timedelta(days=30), "post_id": post, "group_id": group,
        "part_id": post, "root_id": post, "revision": 1, "generation": 1, "position": 0, "ids": [post], "groups": [],
        "roots": [post], "step": 1, "attempt_id": UUID(int=1), "lease_seconds": 75.0, "max_late_seconds": 86_400.0,
        "grace_seconds": 15.0, "late_seconds": 300.0, "threshold_seconds": 840.0, "after_seconds": 60.0,
        "most": 8, "most_counted": 10_000, "most_per_host": 4, "most_per_organization": 8, "crowded_message": "",
        "missing": "", "failed": "", "release_ids": ["1"], "provider": "mastodon", "remote_id": "1",
        "older_than": "5 minutes", "oldest": "3 days", "lease": "5 minutes", "after": "1 hour",
        "delivery_id": UUID(int=1), "staging_id": UUID(int=1), "most_tries": 5, "release_id": "1", "release_url": "https://example.com/1",
        "release_data": None, "error_code": "refused", "error_message": "Refused", "evidence": None, "attempt_state": "failed",
        "post_state": "failed", "counts": True, "progress": None, "accepted": False, "unknown": False, "action": "deleted",
        "change_id": UUID(int=2), "changes": "{}", "oldest_seconds": 86_400.0,
        "names": ["news"], "organization_ids": [known["organization_id"]],
    }  # fmt: skip


def _run(sql: TextClause, values: Mapping[str, Any]) -> tuple[float, str]:
    """Return a statement's median time in milliseconds and the indexes that it used."""
    bound = sql.compile().params
    if missing := sorted(set(bound) - set(values)):
        return 0.0, f"not measured: {', '.join(missing)}"
    explained = text(f"explain (analyze, format json) {sql.text}").bindparams(
        **{name: values[name] for name in bound}
    )
    times, plan = [], ""
    with engine().connect() as connection:
        for _ in range(_EACH):
            try:
                plan, time = _explain(connection, explained)
            except DBAPIError as error:
                return 0.0, f"not measured: {str(error.orig)[:80]}"
            times.append(time)
    return median(times), ", ".join(dict.fromkeys(_INDEX.findall(plan))) or "none"


def _explain(connection: Connection, explained: TextClause) -> tuple[str, float]:
    try:
        [found] = connection.execute(explained).scalar_one()
    finally:
        connection.rollback()
    return json.dumps(found), float(found["Execution Time"])
