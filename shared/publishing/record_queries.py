"""The statements that record the outcome of a try. Each that ends a try checks attempt, step and a live lease."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import (
    AttemptId,
    CustomerId,
    DeliveryId,
    NotificationId,
    OrganizationId,
    PostId,
)
from shared.db.statement import Json, NoRow, Sql, Statement, literals, sql
from shared.notifications.notify import notifying
from shared.posts.announce import MESSAGES, announcing
from shared.posts.hints import QUEUED_COLUMNS, Queued
from shared.posts.lifecycle import Hand, PostState, where_may_become
from shared.posts.obstacles import PREDECESSOR_FAILED
from shared.publishing.claim_queries import HELD
from shared.publishing.models import AttemptState
from shared.webhooks.models import Event

# After an unknown outcome, the evidence of that request is kept, whatever later requests return.
_EVIDENCE = sql("""
        case when doubt_since is null then coalesce(cast(:evidence as jsonb), evidence)
                    else coalesce(evidence, cast(:evidence as jsonb)) end
    """)


class RecordReleased(NamedTuple):
    release_id: str
    release_url: str | None
    release_data: Json | None
    attempt_id: AttemptId
    step: int
    notification_id: NotificationId
    notification_title: str
    notification_content: str
    notification_link: str | None
    notification_dedupe_key: str | None
    notification_customer_id: CustomerId | None


class RecordReleasedRow(NamedTuple):
    messages: list[DeliveryId]
    late_seconds: float
    id: PostId | None
    organization_id: OrganizationId
    revision: int
    arm_count: int
    due_at: datetime | None
    wait_seconds: float
    has_media: bool


# One statement and one round trip: it records the release, sets the next part's time, and notifies members and webhooks.
RECORD_RELEASED = Statement(
    "record_released",
    sql(
        """
        with finished as (
            update attempts set state = 'released', finished_at = now(), release_id = :release_id,
                release_url = :release_url, release_data = cast(:release_data as jsonb), resume_at = null, progress = null,
                error_code = null, error_message = null
            where {held}
            returning post_id, root_id, revision, generation
        ), published as (
            update posts set state = 'published', published_at = now(), due_at = null, release_id = :release_id,
                release_url = :release_url, release_data = cast(:release_data as jsonb), error_code = null,
                error_message = null, next_check_at = null, updated_at = now()
            from finished where posts.id = finished.post_id and {may_become}
            returning posts.*
        ), successor as (
            update posts set due_at = now() + make_interval(secs => posts.delay_seconds), armed_revision = null,
                enqueued_at = null, updated_at = now()
            from published
            where posts.root_id = published.root_id and posts.position = published.position + 1
                and posts.state = 'queued' and posts.deleted_at is null
            returning {queued}, jsonb_array_length(posts.media) > 0 as has_media
        ), {events},
        {notified}
        select {messages},
            extract(epoch from published.published_at - published.publish_at)::float8 as late_seconds,
            successor.id, successor.organization_id, successor.revision, successor.arm_count, successor.due_at,
            successor.wait_seconds, successor.has_media
        from published left join successor on true
        """,
        held=HELD,
        may_become=where_may_become(PostState.PUBLISHED, by=Hand.PUBLISHER),
        queued=QUEUED_COLUMNS,
        events=announcing("published", Event.PUBLISHED),
        notified=notifying("published", sql("published.position = 0")),
        messages=MESSAGES,
    ),
    params=RecordReleased,
    row=RecordReleasedRow,
)
"""Record a release, set the next part's time, and notify members and webhooks; no row: the lease is lost.

One statement, and so one round trip.
"""


class RecordWaiting(NamedTuple):
    progress: Json
    after_seconds: float
    accepted: bool
    unknown: bool
    error_code: str | None
    error_message: str | None
    evidence: Json | None
    attempt_id: AttemptId
    step: int


class RecordWaitingRow(NamedTuple):
    id: AttemptId
    step: int
    resume_at: datetime


RECORD_WAITING = Statement(
    "record_waiting",
    sql(
        """
        update attempts set state = 'waiting', progress = cast(:progress as jsonb),
            resume_at = now() + make_interval(secs => :after_seconds), lease_until = now() + make_interval(secs => :after_seconds + 60),
            accepted = :accepted, sending_at = null,
            doubt_since = case when :unknown then coalesce(doubt_since, sending_at, started_at) else doubt_since end,
            error_code = :error_code, error_message = :error_message,
            evidence = {evidence}
        where {held}
        returning id, step, resume_at
        """,
        evidence=_EVIDENCE,
        held=HELD,
    ),
    params=RecordWaiting,
    row=RecordWaitingRow,
)
"""Record that an attempt waits, and until when; no row: the lease is lost."""


class RecordRetry(NamedTuple):
    counts: bool
    error_code: str
    error_message: str
    evidence: Json | None
    attempt_id: AttemptId
    step: int
    after_seconds: float


# Nothing was created: the part is queued again for `after_seconds` from now.
RECORD_RETRY = Statement(
    "record_retry",
    sql(
        """
        with finished as (
            update attempts set state = 'refused', finished_at = now(), counts = :counts, sending_at = null,
                error_code = :error_code, error_message = :error_message, evidence = cast(:evidence as jsonb)
            where {held}
            returning post_id
        )
        update posts set state = 'queued', due_at = now() + make_interval(secs => :after_seconds),
            armed_revision = null, enqueued_at = null, next_check_at = null, arm_count = arm_count + 1,
            error_code = :error_code, error_message = :error_message, updated_at = now()
        from finished where posts.id = finished.post_id and {may_become}
        returning {queued}, jsonb_array_length(posts.media) > 0 as has_media
        """,
        held=HELD,
        may_become=where_may_become(PostState.QUEUED, by=Hand.PUBLISHER),
        queued=QUEUED_COLUMNS,
    ),
    params=RecordRetry,
    row=Queued,
)
"""Put a part back in the queue because nothing was created; no row: the lease is lost.

One statement, so that no part is queued beside an open attempt.
"""


class RecordEnd(NamedTuple):
    attempt_id: AttemptId
    step: int
    error_code: str | None
    error_message: str | None
    evidence: Json | None


class EndedRow(NamedTuple):
    id: PostId
    messages: list[DeliveryId]


def _record_end(attempt_state: AttemptState, post_state: PostState) -> Sql:
    return sql(
        """
        with finished as (
            update attempts set state = {attempt_state}, finished_at = now(), error_code = :error_code,
                error_message = :error_message, evidence = {evidence}
            where {held}
            returning post_id
        ), ended as (
            update posts set state = {post_state}, due_at = null, error_code = :error_code,
                error_message = :error_message, updated_at = now()
            from finished where posts.id = finished.post_id
                and {may_become}
            returning posts.*
        ), {events}
        select id, {messages} from ended
        """,
        attempt_state=literals(attempt_state),
        post_state=literals(post_state),
        evidence=_EVIDENCE,
        held=HELD,
        may_become=where_may_become(post_state, by=Hand.PUBLISHER, only=PostState.PUBLISHING),
        events=announcing("ended", Event.FAILED),
        messages=MESSAGES,
    )


RECORD_FAILED = Statement(
    "record_failed_part",
    _record_end(AttemptState.REFUSED, PostState.FAILED),
    params=RecordEnd,
    row=EndedRow,
)
"""Finish an attempt and fail its part, and notify webhooks; no row: the lease is lost.

One statement, so that part and attempt agree.
"""

RECORD_UNCONFIRMED = Statement(
    "record_unconfirmed_part",
    _record_end(AttemptState.UNKNOWN, PostState.UNCONFIRMED),
    params=RecordEnd,
    row=EndedRow,
)
"""Finish an attempt whose outcome is unknown and leave its part unconfirmed, and notify webhooks; no row: the lease is lost.

One statement, so that part and attempt agree.
"""


_MAY_BE_REFUSED = where_may_become(PostState.FAILED, by=Hand.PUBLISHER, only=PostState.QUEUED)


class FailQueued(NamedTuple):
    error_code: str
    error_message: str
    part_id: PostId
    revision: int
    generation: int


class FailQueuedRow(NamedTuple):
    id: PostId
    messages: list[DeliveryId]


# A queued part that can never be published. The claim read it a moment ago; a member may have resent it since.
FAIL_QUEUED = Statement(
    "fail_queued",
    sql(
        """
        with ended as (
            update posts set state = 'failed', due_at = null, error_code = :error_code, error_message = :error_message,
                updated_at = now()
            where id = :part_id and revision = :revision and generation = :generation and {may_be_refused}
            returning posts.*
        ), {events}
        select id, {messages} from ended
        """,
        may_be_refused=_MAY_BE_REFUSED,
        events=announcing("ended", Event.FAILED),
        messages=MESSAGES,
    ),
    params=FailQueued,
    row=FailQueuedRow,
)
"""Fail a queued part that can never be published, and notify webhooks; no row: it has changed since its claim.

One statement, so that a failure is never without its messages.
"""


class FailSuccessors(NamedTuple):
    error_message: str
    root_id: PostId
    position: int


# The rest of a thread after a failed part, with the code `predecessor_failed`. Webhooks are notified only of the failed part.
FAIL_SUCCESSORS = Statement(
    "fail_successors",
    sql(
        """
        update posts set state = 'failed', due_at = null, error_code = '{predecessor_failed}',
            error_message = :error_message, updated_at = now()
        where root_id = :root_id and position > :position and {may_be_refused} and deleted_at is null
        """,
        predecessor_failed=Sql(PREDECESSOR_FAILED.verdict),
        may_be_refused=_MAY_BE_REFUSED,
    ),
    params=FailSuccessors,
    row=NoRow,
)
"""Fail the rest of a thread whose part failed."""


class KeepLateRelease(NamedTuple):
    release_id: str
    release_url: str | None
    release_data: Json | None
    attempt_id: AttemptId


# A process that returns after its lease stores its result on its attempt's row; reconcile decides.
KEEP_LATE_RELEASE = Statement(
    "keep_late_release",
    sql("""
        update attempts set release_id = :release_id, release_url = :release_url,
            release_data = cast(:release_data as jsonb)
        where id = :attempt_id and release_id is null
    """),
    params=KeepLateRelease,
    row=NoRow,
)
"""Store a release on the attempt of a process that lost its lease."""


class KnownReleases(NamedTuple):
    provider: str
    remote_id: str
    part_id: PostId
    release_ids: list[str]


class KnownReleasesRow(NamedTuple):
    release_id: str


# Of the account, through any channel: other organizations may have connected it too, or ours earlier.
KNOWN_RELEASES = Statement(
    "known_releases",
    sql("""
        select p.release_id from posts p join channels c on c.id = p.channel_id
        where c.provider = :provider and c.remote_id = :remote_id
            and p.id <> :part_id and p.release_id = any(cast(:release_ids as text[]))
    """),
    params=KnownReleases,
    row=KnownReleasesRow,
)
"""List the releases among these that other posts of the account have."""
