"""The limit of lateness, for what members see, what they are notified of, and what alarms count."""

from datetime import timedelta

from shared.db.statement import Sql, sql

LATE_AFTER = timedelta(minutes=5)
"""A part is late if it is not published this long after its time."""

TIME_OF_PART = sql("""
    case when p.position = 0 then p.publish_at else (
        select greatest(p.publish_at, q.published_at + make_interval(secs => p.delay_seconds)) from posts q
        where q.root_id = p.root_id and q.position = p.position - 1 and q.published_at is not null
    ) end
""")
"""The time of a part of `posts p`, from which its lateness is measured.

A reply's is its delay after the part before it, and null until that is published.
"""


def is_late(time: Sql) -> Sql:
    """Return the SQL condition that a part with this time is late."""
    return sql(
        "{time} <= now() - interval '{seconds} seconds'",
        time=time,
        seconds=int(LATE_AFTER.total_seconds()),
    )
