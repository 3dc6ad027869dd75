"""The statements that claim a staging and record its progress. The database's clock decides due times and leases."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.core.ids import OrganizationId, PostId, StagingId
from shared.db.statement import Json, Statement, columns_in, sql
from shared.posts.obstacles import Step, first_in_sql
from shared.publishing.claim_queries import CANDIDATE, PartRow


class ClaimStaging(NamedTuple):
    part_id: PostId
    revision: int
    staging_id: StagingId
    lease_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class ClaimStagingRow(PartRow):
    staging_id: StagingId
    step: int
    tries: int
    progress: dict[str, Any]


# One process at a time may stage a part's media; ready media that have not expired are not staged again.
CLAIM_STAGING = Statement(
    "claim_staging",
    sql(
        """
        with candidate as (
            {candidate}
            where p.id = :part_id and p.revision = :revision and p.deleted_at is null
                and p.state = 'queued' and jsonb_array_length(p.media) > 0
        ), judged as (
            select *, {verdict} as verdict from candidate
        ), held as (
            insert into stagings (id, organization_id, post_id, revision, generation, state, step, tries, lease_until, progress)
            select cast(:staging_id as uuid), organization_id, id, revision, generation, 'running', 1, 1,
                now() + make_interval(secs => :lease_seconds), '{}'
            from judged where verdict is null
            on conflict (post_id, revision, generation) do update set
                state = 'running', step = stagings.step + 1, tries = stagings.tries + 1, resume_at = null,
                lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now(),
                progress = case when stagings.state = 'ready' then '{}' else stagings.progress end,
                expires_at = null
            where (stagings.state = 'running' and stagings.lease_until <= now())
                or (stagings.state = 'waiting' and stagings.resume_at <= now())
                or (stagings.state = 'ready' and stagings.expires_at <= now())
            returning id, step, tries, progress
        )
        select {part}, held.id as staging_id, held.step, held.tries, held.progress
        from candidate join held on true
        """,
        candidate=CANDIDATE,
        part=columns_in("candidate", PartRow),
        verdict=first_in_sql(Step.STAGE),
    ),
    params=ClaimStaging,
    row=ClaimStagingRow,
)
"""Claim the staging of a part's media; no row: they are ready or being staged, or there is an obstacle.

One statement, so that there is one process at a time.
"""


class LockStagings(NamedTuple):
    part_id: PostId


class LockStagingsRow(NamedTuple):
    organization_id: OrganizationId
    locked: str


# Claims of one organization's stagings are serialized, so that each counts the earlier ones.
LOCK_STAGINGS = Statement(
    "lock_stagings",
    sql("""
        select organization_id, pg_advisory_xact_lock(hashtextextended('staging:' || organization_id::text, 0)) as locked
        from posts where id = :part_id
    """),
    params=LockStagings,
    row=LockStagingsRow,
)
"""Lock the stagings of a part's organization until the transaction ends; no row: there is no such part."""


class StagingsAreCrowded(NamedTuple):
    part_id: str
    organization_id: OrganizationId
    most: int


class StagingsAreCrowdedRow(NamedTuple):
    turn_seconds: int


# A row only if the organization is at its limit: how long this part waits for its turn.
STAGINGS_ARE_CROWDED = Statement(
    "stagings_are_crowded",
    sql("""
        select 5 + (hashtext(cast(:part_id as text) || now()::text) & 2147483647) % 11 as turn_seconds
        where (
            select count(*) from stagings
            where organization_id = :organization_id and state = 'running' and lease_until > now()
        ) >= :most
    """),
    params=StagingsAreCrowded,
    row=StagingsAreCrowdedRow,
)
"""Return how long a part's media wait for their turn; no row: they can be staged now."""


class RenewStaging(NamedTuple):
    lease_seconds: float
    staging_id: StagingId
    step: int


class RenewStagingRow(NamedTuple):
    id: StagingId


# A process that reads the next range is still active. No row: another process has taken over.
RENEW_STAGING = Statement(
    "renew_staging",
    sql("""
        update stagings set lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now()
        where id = :staging_id and step = :step and state = 'running'
        returning id
    """),
    params=RenewStaging,
    row=RenewStagingRow,
    repeatable=True,
)
"""Extend the lease of a process that reads the next range; no row: it has lost the lease."""


class RepliesWithMedia(NamedTuple):
    root_id: PostId
    revision: int


class RepliesWithMediaRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    revision: int


REPLIES_WITH_MEDIA = Statement(
    "replies_with_media",
    sql("""
        select id, organization_id, revision from posts
        where root_id = :root_id and position > 0 and revision = :revision and deleted_at is null
            and state in ('queued', 'draft') and jsonb_array_length(media) > 0
        order by position
    """),
    params=RepliesWithMedia,
    row=RepliesWithMediaRow,
)
"""List the replies of a root with media to stage."""


class KeepStaging(NamedTuple):
    state: str
    progress: Json
    after_seconds: float
    lease_seconds: float
    expires_at: datetime | None
    progressed: bool
    error_code: str | None
    error_message: str | None
    staging_id: StagingId
    step: int


class KeepStagingRow(NamedTuple):
    id: StagingId
    step: int
    resume_at: datetime | None
    wait_seconds: float | None


KEEP_STAGING = Statement(
    "keep_staging",
    sql("""
        update stagings set state = cast(:state as text), progress = cast(:progress as jsonb), updated_at = now(),
            resume_at = case when cast(:state as text) = 'waiting' then now() + make_interval(secs => :after_seconds) end,
            lease_until = now() + make_interval(secs => :lease_seconds), expires_at = cast(:expires_at as timestamptz),
            tries = case when :progressed then 0 else tries end,
            error_code = :error_code, error_message = :error_message
        where id = :staging_id and step = :step and state = 'running'
        returning id, step, resume_at, (
            select extract(epoch from p.due_at - now())::float8 from posts p
            where p.id = stagings.post_id and p.state = 'queued'
        ) as wait_seconds
    """),
    params=KeepStaging,
    row=KeepStagingRow,
)
"""Record the progress of a staging; no row: the lease is lost."""
