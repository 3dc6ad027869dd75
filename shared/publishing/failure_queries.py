"""The statements that list and count attempts for super admins. They cross organizations."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import AttemptId, ChannelId, OrganizationId, PostId
from shared.db.statement import Statement, literals, sql
from shared.publishing.models import AttemptState

FAILED = frozenset({AttemptState.REFUSED, AttemptState.UNKNOWN})
"""The ends of attempts that published nothing, as far as we know."""
_FAILED = literals(*sorted(FAILED))


class Failures(NamedTuple):
    """`platform`, `email`: None excludes nothing. The page before ended at the row of `before_*`."""

    since: datetime
    until: datetime
    platform: str | None
    email: str | None
    unknown_first: bool
    before_rank: int | None
    before_at: datetime | None
    before_id: AttemptId | None
    limit: int


class FailureRow(NamedTuple):
    id: AttemptId
    at: datetime
    rank: int
    platform: str | None
    state: str
    code: str | None
    message: str | None
    organization_id: OrganizationId
    organization_name: str
    channel_id: ChannelId
    post_id: PostId
    email: str | None


_RANK = sql(
    "case when cast(:unknown_first as boolean) and a.state = {unknown} then 1 else 0 end",
    unknown=literals(AttemptState.UNKNOWN),
)
LIST_FAILURES = Statement(
    "list_failures",
    sql(
        """
        select a.id, a.finished_at as at, {rank} as rank, c.provider as platform, a.state, a.error_code as code,
            a.error_message as message, a.organization_id, o.name as organization_name, a.channel_id,
            a.root_id as post_id, u.email
        from attempts a join organizations o on o.id = a.organization_id join posts p on p.id = a.post_id
        left join channels c on c.id = a.channel_id left join users u on u.id = p.created_by
        where a.state in ({failed}) and a.finished_at >= :since and a.finished_at < :until
            and (cast(:platform as text) is null or c.provider = cast(:platform as text))
            and (cast(:email as text) is null or u.email = cast(:email as text))
            and (cast(:before_at as timestamptz) is null or ({rank}, a.finished_at, a.id)
                < (cast(:before_rank as integer), cast(:before_at as timestamptz), cast(:before_id as uuid)))
        order by rank desc, a.finished_at desc, a.id desc
        limit :limit
        """,
        rank=_RANK,
        failed=_FAILED,
    ),
    params=Failures,
    row=FailureRow,
    custom_plan=True,
)
"""List a page of attempts that published nothing, newest first or unknown outcomes first. Planned for its filters."""


class Period(NamedTuple):
    since: datetime
    until: datetime


class OutcomeRow(NamedTuple):
    platform: str
    state: str
    code: str | None
    total: int


COUNT_OUTCOMES = Statement(
    "count_outcomes",
    sql("""
        select c.provider as platform, a.state, a.error_code as code, count(*) as total
        from attempts a join channels c on c.id = a.channel_id
        where a.finished_at >= :since and a.finished_at < :until
        group by c.provider, a.state, a.error_code
        order by c.provider, a.state, a.error_code
    """),
    params=Period,
    row=OutcomeRow,
    custom_plan=True,
)
"""Count the finished attempts of a period by platform, outcome and code. Planned for its period."""


class Stuck(NamedTuple):
    patience_seconds: float


class StuckRow(NamedTuple):
    is_waiting: bool
    is_moving: bool


STUCK = Statement(
    "publishing_is_stuck",
    sql("""
        select exists (
            select from posts
            where state = 'queued' and deleted_at is null and due_at is not null
                and due_at <= now() - make_interval(secs => :patience_seconds)
                and coalesce(error_code, '') not in ('rate_limited', 'crowded')
        ) as is_waiting, exists (
            select from attempts
            where finished_at > now() - make_interval(secs => :patience_seconds) or finished_at is null and lease_until > now()
        ) as is_moving
    """),
    params=Stuck,
    row=StuckRow,
)
"""Return whether parts have been due for a while that nothing holds back, and whether any attempt was made meanwhile.

One statement, because the monitor asks every minute.
"""
