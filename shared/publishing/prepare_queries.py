"""The statements that prepare a part minutes before it is due. The database's clock decides due times and leases."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.core.ids import AttemptId, OrganizationId, PostId
from shared.db.statement import NoRow, Statement, columns_in, sql
from shared.posts.obstacles import Step, first_in_sql
from shared.publishing.claim_queries import CANDIDATE, PartRow


class Prepare(NamedTuple):
    part_id: PostId
    revision: int
    threshold_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class PrepareRow(PartRow):
    due_at: datetime
    wait_seconds: float
    near: bool
    thread_has_media: bool
    verdict: str | None


# The message is recorded in the statement that decides that the part is due; no row: the schedule is stale.
PREPARE = Statement(
    "prepare",
    sql(
        """
        with candidate as (
            {candidate}
            where p.id = :part_id and p.revision = :revision and p.state = 'queued' and p.deleted_at is null
                and p.due_at is not null
        )
        select {part}, candidate.wait_seconds <= :threshold_seconds as near,
            exists (select 1 from posts t where t.root_id = candidate.root_id and t.deleted_at is null
                and jsonb_array_length(t.media) > 0) as thread_has_media,
            {verdict} as verdict
        from candidate
        """,
        candidate=CANDIDATE,
        part=columns_in("candidate", PartRow),
        verdict=first_in_sql(Step.PREPARE),
    ),
    params=Prepare,
    row=PrepareRow,
)
"""Read a part minutes before its time, with its obstacle; no row: the schedule is stale."""


class Waits(NamedTuple):
    part_id: PostId
    revision: int
    threshold_seconds: float


class WaitsRow(NamedTuple):
    attempt_id: AttemptId | None
    step: int
    id: PostId
    revision: int
    organization_id: OrganizationId
    wait_seconds: float


# A part's waiting attempt and staging, at most one of each.
WAITS = Statement(
    "waits",
    sql("""
        select a.id as attempt_id, a.step, a.post_id as id, a.revision, a.organization_id, extract(epoch from a.resume_at - now())::float8 as wait_seconds
        from attempts a
        where a.post_id = :part_id and a.revision = :revision and a.finished_at is null and a.state = 'waiting'
            and a.resume_at <= now() + make_interval(secs => :threshold_seconds)
        union all
        select null, s.step, s.post_id, s.revision, s.organization_id, extract(epoch from s.resume_at - now())::float8
        from stagings s join posts p on p.id = s.post_id and p.revision = s.revision and p.generation = s.generation
        where s.post_id = :part_id and s.revision = :revision and s.state = 'waiting'
            and p.state = 'queued' and p.deleted_at is null
            and s.resume_at <= now() + make_interval(secs => :threshold_seconds)
    """),
    params=Waits,
    row=WaitsRow,
)
"""List a part's waiting attempt and staging, at most one of each."""


class MarkEnqueued(NamedTuple):
    part_id: PostId
    revision: int


MARK_ENQUEUED = Statement(
    "mark_enqueued",
    sql("""
        update posts set enqueued_at = now()
        where id = :part_id and revision = :revision and state = 'queued'
    """),
    params=MarkEnqueued,
    row=NoRow,
    repeatable=True,
)
"""Record that the message was sent."""


class UnmarkEnqueued(NamedTuple):
    ids: list[PostId]


UNMARK_ENQUEUED = Statement(
    "unmark_enqueued",
    sql("""
        update posts set enqueued_at = null where id = any(cast(:ids as uuid[])) and state = 'queued'
    """),
    params=UnmarkEnqueued,
    row=NoRow,
)
"""Record that these messages were not sent."""
