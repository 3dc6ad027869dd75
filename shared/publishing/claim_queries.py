"""The statements that claim a part for publishing and continue its attempt. The database's clock decides due times and leases."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.channels.connection import OPENED_CHANNEL, OpenedChannelRow
from shared.core.ids import AttemptId, OrganizationId, PostId
from shared.db.statement import Sql, Statement, columns_in, sql
from shared.posts.lifecycle import Hand, PostState, where_may_become
from shared.posts.obstacles import CROWDED, Step, first_in_sql


@dataclass(frozen=True, slots=True, repr=False)
class PartRow(OpenedChannelRow):
    """A part with all data for a decision: its channel, its thread, its staging and its platform's pause."""

    id: PostId
    root_id: PostId
    position: int
    revision: int
    generation: int
    content: str
    media: list[dict[str, Any]]
    settings: dict[str, Any]
    title: str | None
    created_at: datetime
    publish_at: datetime
    due_at: datetime | None
    now: datetime
    wait_seconds: float | None
    late_seconds: float
    paused_seconds: float | None
    disconnected_reason: str | None
    root_release_id: str | None
    root_release_url: str | None
    root_release_data: dict[str, Any] | None
    predecessor_state: str | None
    parent_release_id: str | None
    parent_release_url: str | None
    parent_release_data: dict[str, Any] | None
    staging_state: str | None
    staged: dict[str, Any] | None
    staging_error_message: str | None
    staging_wait_seconds: float | None


# A part with all data for a decision. The doubt about a generation is on the attempt, not here: while an outcome is unknown
# the part stays `publishing` and cannot be claimed. A reply's time is its delay after the part before it, which may be days
# after the thread's time. An edit gives a part its five tries again.
CANDIDATE = sql(
    """
        select
            p.id, p.root_id, p.parent_id, p.position, p.revision, p.generation, p.review,
            p.content, p.media, r.settings, r.title, p.publish_at, p.due_at, p.created_at, p.delay_seconds,
            extract(epoch from p.due_at - now())::float8 as wait_seconds,
            extract(epoch from now() - greatest(p.publish_at, q.published_at + make_interval(secs => p.delay_seconds)))::float8
                as late_seconds,
            {opened_channel},
            c.disconnected_reason,
            r.release_id as root_release_id, r.release_url as root_release_url, r.release_data as root_release_data,
            q.state as predecessor_state, q.release_id as parent_release_id, q.release_url as parent_release_url,
            q.release_data as parent_release_data,
            s.state as staging_state, s.progress as staged, s.error_code as staging_error_code,
            s.error_message as staging_error_message, s.expires_at <= now() as staging_expired,
            case when s.state = 'waiting' then extract(epoch from s.resume_at - now())::float8 end as staging_wait_seconds,
            extract(epoch from pause.until - now())::float8 as paused_seconds,
            o.plan_ends_at, o.deleted_at as organization_deleted_at,
            (select count(*) from attempts a where a.root_id = p.root_id and a.post_id = p.id
                and a.generation = p.generation and a.revision = p.revision and a.counts)
                as attempts_made,
            now() as now
        from posts p
        join posts r on r.id = p.root_id
        join channels c on c.id = p.channel_id
        join organizations o on o.id = p.organization_id
        left join posts q on q.root_id = p.root_id and q.position = p.position - 1 and q.deleted_at is null
        left join stagings s on s.post_id = p.id and s.revision = p.revision and s.generation = p.generation
        left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
    """,
    opened_channel=OPENED_CHANNEL,
)


# The wait of a part over a limit: one to three seconds, spread by a hash so that not all return at once.
_TURN = sql(
    "make_interval(secs => 1 + (hashtext(judged.id::text || now()::text) & 2147483647) % 3)"
)


HELD = sql(
    "id = :attempt_id and step = :step and state in ('running', 'sending') and lease_until > now()"
)
"""The condition of every write about an attempt: its step and a live lease. No row: another process has taken over."""


class Claim(NamedTuple):
    part_id: PostId
    revision: int
    max_late_seconds: float
    most_per_organization: int
    most_per_host: int
    crowded_message: str
    attempt_id: AttemptId
    lease_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class ClaimRow(PartRow):
    verdict: str | None
    attempt_id: AttemptId | None
    number: int
    turn_seconds: float | None


# `posts/obstacles.py` lists the checks. The function that limits an organization's tries takes its lock only if a place seems
# free, and counts again under the lock, so that concurrent claims cannot share the last place.
CLAIM = Statement(
    "claim_part",
    sql(
        """
        with candidate as (
            {candidate}
            where p.id = :part_id and p.revision = :revision and p.state = 'queued' and p.deleted_at is null
                and p.due_at is not null
            for update of p
        ), judged as (
            select *, {verdict} as verdict
            from candidate
        ), put_back as (
            update posts set due_at = now() + {turn}, enqueued_at = now(), error_code = '{crowded}',
                error_message = :crowded_message
            from judged where posts.id = judged.id and judged.verdict = '{crowded}'
            returning posts.id, extract(epoch from posts.due_at - now())::float8 as turn_seconds
        ), moved as (
            update posts set state = 'publishing', error_code = null, error_message = null, next_check_at = null
            from judged where posts.id = judged.id and judged.verdict is null
                and {may_become}
            returning posts.id
        ), attempt as (
            insert into attempts (id, organization_id, post_id, root_id, channel_id, named_host, revision, generation,
                number, state, step, lease_until, counts)
            select cast(:attempt_id as uuid), judged.organization_id, judged.id, judged.root_id, judged.channel_id,
                judged.named_host, judged.revision, judged.generation, judged.attempts_made + 1, 'running', 1,
                now() + make_interval(secs => :lease_seconds), true
            from judged join moved on moved.id = judged.id
            returning id
        )
        select {part}, judged.verdict, attempt.id as attempt_id, judged.attempts_made + 1 as number, put_back.turn_seconds
        from judged left join attempt on true left join put_back on true
        """,
        candidate=CANDIDATE,
        part=columns_in("judged", PartRow),
        verdict=first_in_sql(Step.CLAIM),
        turn=_TURN,
        crowded=Sql(CROWDED.verdict),
        may_become=where_may_become(PostState.PUBLISHING, by=Hand.PUBLISHER),
    ),
    params=Claim,
    row=ClaimRow,
)
"""Move a queued part to `publishing` with an attempt, or return its obstacle; no row: the message is stale.

One statement, so that the checks are still true when the part moves, and a claim is one round trip.
"""


class Claimed(NamedTuple):
    attempt_id: AttemptId


CLAIMED = Statement(
    "claimed",
    sql(
        """
        with own as (
            select id, post_id, number from attempts
            where id = :attempt_id and step = 1 and state = 'running' and lease_until > now()
        ), candidate as (
            {candidate}
            join own on own.post_id = p.id
            where p.state = 'publishing'
        )
        select {part}, null::text as verdict, own.id as attempt_id, own.number, null::float8 as turn_seconds
        from candidate join own on own.post_id = candidate.id
        """,
        candidate=CANDIDATE,
        part=columns_in("candidate", PartRow),
    ),
    params=Claimed,
    row=ClaimRow,
)
"""Return the result of a claim whose answer was lost; no row: there is none, or not yet.

No other process knows the id of its attempt, and the step shows whether another process has taken it over.
"""


class Resume(NamedTuple):
    attempt_id: AttemptId
    step: int
    most_per_organization: int
    most_per_host: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class ResumeRow(PartRow):
    attempt_id: AttemptId
    number: int
    step: int
    progress: dict[str, Any] | None
    accepted: bool
    doubt_seconds: float | None
    attempt_seconds: float


# A continuation takes a place too. One over a limit waits for its turn at the same step.
RESUME = Statement(
    "resume",
    sql(
        """
        with asked as (
            select id, organization_id, named_host from attempts
            where id = :attempt_id and step = :step and state = 'waiting' and resume_at <= now()
            for update
        ), judged as (
            select id, coalesce({is_crowded}, false) as is_crowded from asked
        ), put_back as (
            update attempts set resume_at = now() + {turn}
            from judged where attempts.id = judged.id and judged.is_crowded
        ), resumed as (
            update attempts set state = 'running', step = step + 1, resume_at = null,
                lease_until = now() + make_interval(secs => :lease_seconds)
            from judged where attempts.id = judged.id and not judged.is_crowded
            returning attempts.id, attempts.post_id, attempts.number, attempts.step, attempts.progress, attempts.accepted,
                attempts.doubt_since, attempts.started_at
        ), candidate as (
            {candidate}
            join resumed on resumed.post_id = p.id
            where p.state = 'publishing'
        )
        select {part}, resumed.id as attempt_id, resumed.number, resumed.step, resumed.progress,
            resumed.accepted,
            extract(epoch from now() - resumed.doubt_since)::float8 as doubt_seconds,
            extract(epoch from now() - resumed.started_at)::float8 as attempt_seconds
        from candidate join resumed on resumed.post_id = candidate.id
        """,
        is_crowded=Sql(CROWDED.sql),
        turn=_TURN,
        candidate=CANDIDATE,
        part=columns_in("candidate", PartRow),
    ),
    params=Resume,
    row=ResumeRow,
)
"""Continue a waiting attempt at its next step; no row: it does not wait at that step, or not yet, or is over a limit.

One statement, so that of two messages one resumes it.
"""


class ResumeWait(NamedTuple):
    attempt_id: AttemptId
    step: int


class ResumeWaitRow(NamedTuple):
    wait_seconds: float
    id: PostId
    revision: int
    organization_id: OrganizationId


# How long until a continuation may run; no row: it no longer waits at that step.
RESUME_WAIT = Statement(
    "resume_wait",
    sql("""
        select extract(epoch from resume_at - now())::float8 as wait_seconds, post_id as id, revision, organization_id
        from attempts where id = :attempt_id and step = :step and state = 'waiting'
    """),
    params=ResumeWait,
    row=ResumeWaitRow,
)
"""Return how long a continuation still waits; no row: it no longer waits at that step."""


class MarkSending(NamedTuple):
    attempt_id: AttemptId
    step: int


class MarkSendingRow(NamedTuple):
    sending_at: datetime


MARK_SENDING = Statement(
    "mark_sending",
    sql(
        """
        update attempts set state = 'sending', sending_at = now()
        where {held}
        returning sending_at
        """,
        held=HELD,
    ),
    params=MarkSending,
    row=MarkSendingRow,
    repeatable=True,
)
"""Set the mark: after this, the request may have been sent; no row: the lease is lost."""
