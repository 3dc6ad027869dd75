"""The sweep of posts: compares the counters of their plans with the posts that are counted."""

from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from shared.billing.queries import LOCK_USAGE, SET_USAGE, UsageRow
from shared.billing.sections import Section
from shared.core import clock
from shared.core.ids import OrganizationId
from shared.core.log import log
from shared.db.session import unit_of_work
from shared.db.statement import Statement, sql, to_json
from shared.db.sweep import PAGE_SIZE

_RECENT = timedelta(days=62)
"""How old the billing months are that are counted again: the present one and the one before."""


class Counters(NamedTuple):
    organization_ids: list[OrganizationId]
    since: date


class CountedPosts(NamedTuple):
    organization_id: OrganizationId
    period_start: date
    posts: int


_COUNT_POSTS = Statement(
    "count_counted_posts",
    sql("""
        select organization_id, counted_period as period_start, cast(count(*) as integer) as posts from posts
        where organization_id = any(cast(:organization_ids as uuid[])) and counted_period >= :since
        group by organization_id, counted_period
    """),
    params=Counters,
    row=CountedPosts,
)
"""Count the posts that hold a count, of some organizations and their billing months, deleted ones too. Lock the counters first."""


def recount_usage() -> int:
    """Correct the counters of posts that differ from the posts which are counted; return how many. Each is reported."""
    corrected, after = 0, OrganizationId(UUID(int=0))
    since = clock.now().date() - _RECENT
    while True:
        with unit_of_work() as session:
            counters = LOCK_USAGE.all(
                session, Section.POSTS_PER_MONTH.value, since, after, PAGE_SIZE
            )
            if not counters:
                return corrected
            ids = sorted({row.organization_id for row in counters})
            counted = {
                (row.organization_id, row.period_start): row.posts
                for row in _COUNT_POSTS.all(session, ids, since)
            }
            wrong = [
                (row, posts)
                for row in counters
                if (posts := counted.get((row.organization_id, row.period_start), 0)) != row.used
            ]
            if wrong:
                SET_USAGE.run(session, Section.POSTS_PER_MONTH.value, to_json(_as_json(wrong)))
        for row, posts in wrong:
            _report(row, posts)
        corrected, after = corrected + len(wrong), ids[-1]


def _as_json(wrong: list[tuple[UsageRow, int]]) -> list[dict[str, object]]:
    return [
        {
            "organization_id": str(row.organization_id),
            "period_start": row.period_start.isoformat(),
            "used": posts,
        }
        for row, posts in wrong
    ]


def _report(row: UsageRow, posts: int) -> None:
    extra = {
        "organization_id": str(row.organization_id),
        "period_start": row.period_start.isoformat(),
        "used": row.used,
        "counted": posts,
    }
    log.warning("usage.drifted", extra=extra)
