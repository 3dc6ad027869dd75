"""The statements that find what a lost hint or a dead process left behind. Concurrent runs take different pages."""

from datetime import datetime
from typing import Any, NamedTuple

from shared.core.ids import AttemptId, CustomerId, DeliveryId, OrganizationId, PostId
from shared.db.statement import NoRow, Statement, columns_in, sql
from shared.posts.announce import announcing
from shared.posts.hints import QUEUED_COLUMNS, Queued
from shared.posts.lateness import TIME_OF_PART
from shared.posts.lifecycle import Hand, PostState, where_may_become
from shared.publishing.claim_queries import CANDIDATE, PartRow
from shared.webhooks.models import Event

# A message may be this late before the sweep sends another.
_GRACE = sql("interval '20 seconds'")


class TakeUnarmed(NamedTuple):
    grace_seconds: float
    page_size: int


# Queued and not armed at its revision: arming failed after the commit, or the process stopped before it. Every statement
# that raises a revision clears the mark, so the few parts without it have a small index of their own.
TAKE_UNARMED = Statement(
    "take_unarmed",
    sql(
        """
        with unarmed as (
            select id from posts
            where state = 'queued' and deleted_at is null and due_at is not null
                and armed_revision is null
                and updated_at < now() - make_interval(secs => :grace_seconds)
                and (next_check_at is null or next_check_at <= now())
            order by due_at limit :page_size
            for update skip locked
        )
        update posts set arm_count = arm_count + 1, next_check_at = now() + interval '1 minute'
        from unarmed where posts.id = unarmed.id
        returning {queued},
            exists (select 1 from posts t where t.root_id = posts.root_id and t.deleted_at is null
                and jsonb_array_length(t.media) > 0) as has_media
        """,
        queued=QUEUED_COLUMNS,
    ),
    params=TakeUnarmed,
    row=Queued,
)
"""Take a page of queued parts that have neither schedule nor message at their revision.

One statement, like the others of the sweep, so that of two reconcilers one acts on a row.
"""


class TakeUnsent(NamedTuple):
    page_size: int


class TakeUnsentRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    revision: int
    root_id: PostId
    position: int
    wait_seconds: float
    has_media: bool


# Due within three minutes without a message: its schedule never fired.
TAKE_UNSENT = Statement(
    "take_unsent",
    sql(
        """
        with unsent as (
            select id from posts
            where state = 'queued' and deleted_at is null and enqueued_at is null and armed_revision = revision
                and due_at <= now() + interval '3 minutes' and due_at > now() - {grace}
            order by due_at limit :page_size
            for update skip locked
        )
        update posts set enqueued_at = now()
        from unsent where posts.id = unsent.id
        returning posts.id, posts.organization_id, posts.revision, posts.root_id, posts.position,
            extract(epoch from posts.due_at - now())::float8 as wait_seconds,
            exists (select 1 from posts t where t.root_id = posts.root_id and t.deleted_at is null
                and jsonb_array_length(t.media) > 0) as has_media
        """,
        grace=_GRACE,
    ),
    params=TakeUnsent,
    row=TakeUnsentRow,
)
"""Take a page of parts that are due within three minutes and whose schedule has not fired."""


class TakeOverdue(NamedTuple):
    page_size: int
    late_seconds: float


class TakeOverdueRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    revision: int
    generation: int
    root_id: PostId
    position: int
    customer_id: CustomerId | None
    late_seconds: float | None
    paused_until: datetime | None
    paused_seconds: float | None
    channel_name: str
    has_media: bool


# Overdue. Sent again at growing intervals: a minute, then its lateness, at most an hour. A part whose platform is paused is not
# sent; it is checked when it is late enough to notify members, and when the pause ends. Either way the row leaves the range of
# the index that this reads, so many overdue parts cost no more than one page. A reply's lateness counts from its own time; null:
# the part before it is not published yet.
TAKE_OVERDUE = Statement(
    "take_overdue",
    sql(
        """
        with overdue as (
            select p.id, pause.until as paused_until,
                extract(epoch from now() - {time})::float8 as late_seconds
            from posts p join channels c on c.id = p.channel_id
            left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
            where p.state = 'queued' and p.deleted_at is null and p.due_at is not null
                and greatest(p.due_at, p.next_check_at) <= now() - {grace}
            order by greatest(p.due_at, p.next_check_at) limit :page_size
            for update of p skip locked
        )
        update posts set
            enqueued_at = case when overdue.paused_until is null then now() else posts.enqueued_at end,
            next_check_at = case
                when overdue.paused_until is null
                    then now() + least(interval '1 hour', greatest(interval '1 minute', (now() - posts.due_at) / 2))
                when overdue.late_seconds < :late_seconds
                    then least(overdue.paused_until, now() + make_interval(secs => :late_seconds - overdue.late_seconds))
                else overdue.paused_until end - {grace}
        from overdue where posts.id = overdue.id
        returning posts.id, posts.organization_id, posts.revision, posts.generation, posts.root_id, posts.position,
            overdue.late_seconds, overdue.paused_until,
            extract(epoch from overdue.paused_until - now())::float8 as paused_seconds,
            (select c.name from channels c where c.id = posts.channel_id) as channel_name,
            (select c.customer_id from channels c where c.id = posts.channel_id) as customer_id,
            jsonb_array_length(posts.media) > 0 as has_media
        """,
        time=TIME_OF_PART,
        grace=_GRACE,
    ),
    params=TakeOverdue,
    row=TakeOverdueRow,
)
"""Take a page of overdue parts, to send each again at growing intervals."""


class LookAgainSoon(NamedTuple):
    ids: list[PostId]


LOOK_AGAIN_SOON = Statement(
    "look_again_soon",
    sql("""
        update posts set next_check_at = now() + interval '30 seconds'
        where id = any(cast(:ids as uuid[])) and state = 'queued'
    """),
    params=LookAgainSoon,
    row=NoRow,
)
"""Let the next sweep check parts again, however late they are, because the queue refused their messages."""


class TakeLost(NamedTuple):
    page_size: int


class TakeLostRow(NamedTuple):
    attempt_id: AttemptId
    step: int
    number: int
    progress: dict[str, Any] | None
    accepted: bool
    post_id: PostId
    sent: bool
    doubt_seconds: float | None
    attempt_seconds: float


# Attempts whose process died. The lease is taken over for a minute, so that only one of two concurrent runs decides.
TAKE_LOST = Statement(
    "take_lost",
    sql("""
        with lost as (
            select id from attempts
            where finished_at is null and state in ('running', 'sending') and lease_until <= now()
            order by lease_until limit :page_size
            for update skip locked
        )
        update attempts set lease_until = now() + interval '1 minute', step = step + 1
        from lost where attempts.id = lost.id
        returning attempts.id as attempt_id, attempts.step, attempts.number, attempts.progress, attempts.accepted,
            attempts.post_id, attempts.state = 'sending' as sent,
            extract(epoch from now() - coalesce(attempts.doubt_since, case when attempts.state = 'sending' then attempts.sending_at end))::float8
                as doubt_seconds,
            extract(epoch from now() - attempts.started_at)::float8 as attempt_seconds
    """),
    params=TakeLost,
    row=TakeLostRow,
)
"""Take over a page of attempts whose process died."""


class LostParts(NamedTuple):
    ids: list[PostId]


LOST_PARTS = Statement(
    "lost_parts",
    sql(
        """
        select {part} from (
            {candidate}
            where p.id = any(cast(:ids as uuid[]))
        ) candidate
        """,
        candidate=CANDIDATE,
        part=columns_in("candidate", PartRow),
    ),
    params=LostParts,
    row=PartRow,
)
"""Read parts by id, as a claim does."""


class TakeWaiting(NamedTuple):
    page_size: int


class TakeWaitingRow(NamedTuple):
    attempt_id: AttemptId
    step: int
    id: PostId
    revision: int
    organization_id: OrganizationId


TAKE_WAITING = Statement(
    "take_waiting",
    sql(
        """
        with forgotten as (
            select id from attempts
            where finished_at is null and state = 'waiting' and resume_at <= now() - {grace} and lease_until <= now()
            order by lease_until limit :page_size
            for update skip locked
        )
        update attempts set lease_until = now() + interval '1 minute'
        from forgotten where attempts.id = forgotten.id
        returning attempts.id as attempt_id, attempts.step, attempts.post_id as id, attempts.revision, attempts.organization_id
        """,
        grace=_GRACE,
    ),
    params=TakeWaiting,
    row=TakeWaitingRow,
)
"""Take a page of continuations that should have run by now."""


class TakeStagings(NamedTuple):
    page_size: int


class TakeStagingsRow(NamedTuple):
    id: PostId
    revision: int
    organization_id: OrganizationId


# The lease of a dead process stays expired, because the next process claims by it. `updated_at` is moved instead, so that each
# staging is sent once a minute and pages do not repeat.
TAKE_STAGINGS = Statement(
    "take_stagings",
    sql(
        """
        with forgotten as (
            select s.id from stagings s join posts p on p.id = s.post_id
            where (
                    (s.state = 'running' and s.updated_at <= now() - interval '1 minute')
                    or (s.state = 'waiting' and s.resume_at <= now() - {grace})
                )
                and s.lease_until <= now() and p.state = 'queued' and p.deleted_at is null
                and p.revision = s.revision and p.generation = s.generation
            order by s.lease_until limit :page_size
            for update of s skip locked
        )
        update stagings set updated_at = now(),
            lease_until = case when state = 'waiting' then now() + interval '1 minute' else lease_until end
        from forgotten where stagings.id = forgotten.id
        returning stagings.post_id as id, stagings.revision, stagings.organization_id
        """,
        grace=_GRACE,
    ),
    params=TakeStagings,
    row=TakeStagingsRow,
)
"""Take a page of stagings whose process died, or that should have continued by now."""


class AdoptLate(NamedTuple):
    page_size: int


class AdoptLateRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    root_id: PostId
    customer_id: CustomerId | None
    generation: int
    messages: list[DeliveryId]


# A process returned with a release after its lease. Its part is published, unless another process has the part right now, or
# another part has that release or is about to get it.
ADOPT_LATE = Statement(
    "adopt_late",
    sql(
        """
        with late as (
            select a.id, a.post_id, a.release_id, a.release_url, a.release_data
            from attempts a join posts p on p.id = a.post_id
            where a.release_id is not null and a.state <> 'released' and a.finished_at is not null
                and {may_become} and p.generation = a.generation
                and not exists (
                    select 1 from posts other
                    where other.channel_id = p.channel_id and other.release_id = a.release_id and other.id <> p.id
                )
                and not exists (
                    select 1 from attempts twin
                    where twin.release_id is not null and twin.state <> 'released' and twin.finished_at is not null
                        and twin.channel_id = a.channel_id and twin.release_id = a.release_id and twin.id < a.id
                )
            order by a.id limit :page_size
            for update of a, p skip locked
        ), finished as (
            update attempts set state = 'released' from late where attempts.id = late.id returning attempts.id
        ), published as (
            update posts set state = 'published', published_at = now(), due_at = null, release_id = late.release_id,
                release_url = late.release_url, release_data = late.release_data, error_code = null,
                error_message = null, updated_at = now()
            from late where posts.id = late.post_id
            returning posts.*
        ), successor as (
            update posts set due_at = now() + make_interval(secs => posts.delay_seconds), armed_revision = null,
                enqueued_at = null, next_check_at = null, updated_at = now() - interval '1 minute'
            from published
            where posts.root_id = published.root_id and posts.position = published.position + 1
                and posts.state = 'queued' and posts.deleted_at is null
            returning posts.id
        ), {events}
        select id, organization_id, root_id, generation,
            (select c.customer_id from channels c where c.id = published.channel_id) as customer_id, array(
            select messages.id from messages where messages.organization_id = published.organization_id) as messages
        from published
        """,
        may_become=where_may_become(PostState.PUBLISHED, by=Hand.SWEEP, state="p.state"),
        events=announcing("published", Event.PUBLISHED),
    ),
    params=AdoptLate,
    row=AdoptLateRow,
)
"""Publish a page of parts whose process returned with a release after its lease, and notify webhooks.

One statement, so that two parts cannot take the same release.
"""
