"""The statements that find late parts, of which members are notified; over all organizations, a page at a time."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import CustomerId, OrganizationId, PostId
from shared.db.statement import NoParams, Statement, sql
from shared.posts.lateness import TIME_OF_PART, is_late


class LateParts(NamedTuple):
    most_counted: int


class LatePartsRow(NamedTuple):
    total: int


# Late by the member's time, whenever the next try is: a root by `publish_at`, a reply by when it is due. At most
# `most_counted` of each are counted, in the order of their index.
LATE_PARTS = Statement(
    "late_parts",
    sql(
        """
        select (
            select count(*) from (
                select 1 from posts
                where state = 'queued' and deleted_at is null and due_at is not null and position = 0
                    and {root_is_late}
                order by publish_at limit :most_counted
            ) roots
        ) + (
            select count(*) from (
                select 1 from posts
                where state = 'queued' and deleted_at is null and due_at is not null and position > 0
                    and {reply_is_late}
                order by due_at limit :most_counted
            ) replies
        ) as total
        """,
        root_is_late=is_late(sql("publish_at")),
        reply_is_late=is_late(sql("due_at")),
    ),
    params=LateParts,
    row=LatePartsRow,
)
"""Count the parts that are more than five minutes late, roots and replies each up to `most_counted`."""


class CrowdedPartsRow(NamedTuple):
    total: int


CROWDED_PARTS = Statement(
    "crowded_parts",
    sql("""
        select count(*) as total from posts
        where state = 'queued' and deleted_at is null and due_at is not null and error_code = 'crowded'
    """),
    params=NoParams,
    row=CrowdedPartsRow,
)
"""Count the parts that wait because their organization is at its limit."""


class TakeLimited(NamedTuple):
    late_seconds: float
    page_size: int


class TakeLimitedRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    root_id: PostId
    generation: int
    until: datetime
    channel_name: str
    customer_id: CustomerId | None


# Late because of the platform's rate limit: parts that are queued for its end. Each is taken once per generation.
TAKE_LIMITED = Statement(
    "take_limited",
    sql(
        """
        with held as (
            select p.id, greatest(pause.until, p.due_at) as until
            from posts p join channels c on c.id = p.channel_id
            left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
            where p.state = 'queued' and p.deleted_at is null and p.due_at is not null and p.error_code = 'rate_limited'
                and p.told_generation is distinct from p.generation and p.publish_at <= now() - make_interval(secs => :late_seconds)
                and {time} <= now() - make_interval(secs => :late_seconds)
                and p.due_at > now() + interval '1 minute'
            order by p.publish_at limit :page_size
            for update of p skip locked
        )
        update posts set told_generation = posts.generation
        from held where posts.id = held.id
        returning posts.id, posts.organization_id, posts.root_id, posts.generation, held.until,
            (select c.name from channels c where c.id = posts.channel_id) as channel_name,
            (select c.customer_id from channels c where c.id = posts.channel_id) as customer_id
        """,
        time=TIME_OF_PART,
    ),
    params=TakeLimited,
    row=TakeLimitedRow,
)
"""Take a page of parts that are late because their platform limits the account, each once a generation."""


class LimitedAttempts(NamedTuple):
    late_seconds: float
    page_size: int


class LimitedAttemptsRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    root_id: PostId
    generation: int
    channel_name: str
    customer_id: CustomerId | None
    until: datetime


# The same for parts that may already be there and wait for the limit's end to be looked up. `notices.limited` makes the key.
LIMITED_ATTEMPTS = Statement(
    "limited_attempts",
    sql(
        """
        select p.id, p.organization_id, p.root_id, p.generation, c.name as channel_name, c.customer_id, a.resume_at as until
        from attempts a join posts p on p.id = a.post_id join channels c on c.id = p.channel_id
        where a.finished_at is null and a.state = 'waiting' and a.error_code = 'rate_limited'
            and a.resume_at > now() + interval '1 minute'
            and {time} <= now() - make_interval(secs => :late_seconds)
            and not exists (
                select 1 from notifications n
                where n.organization_id = p.organization_id and n.dedupe_key = 'limited:' || p.id || ':' || p.generation
            )
        order by a.resume_at limit :page_size
        """,
        time=TIME_OF_PART,
    ),
    params=LimitedAttempts,
    row=LimitedAttemptsRow,
)
"""List attempts whose post may already be there, and that wait for the limit's end to be looked up."""


class TakeCrowded(NamedTuple):
    late_seconds: float
    page_size: int


class TakeCrowdedRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    root_id: PostId
    revision: int
    customer_id: CustomerId | None
    host: str | None


# Late because the organization is at its limit for a named server. Each is taken once per generation.
TAKE_CROWDED = Statement(
    "take_crowded",
    sql(
        """
        with held as (
            select p.id from posts p
            where p.state = 'queued' and p.deleted_at is null and p.due_at is not null and p.error_code = 'crowded'
                and p.told_generation is distinct from p.generation and p.publish_at <= now() - make_interval(secs => :late_seconds)
                and {time} <= now() - make_interval(secs => :late_seconds)
            order by p.publish_at limit :page_size
            for update of p skip locked
        )
        update posts set told_generation = posts.generation
        from held where posts.id = held.id
        returning posts.id, posts.organization_id, posts.root_id, posts.revision,
            (select c.named_host from channels c where c.id = posts.channel_id) as host,
            (select c.customer_id from channels c where c.id = posts.channel_id) as customer_id
        """,
        time=TIME_OF_PART,
    ),
    params=TakeCrowded,
    row=TakeCrowdedRow,
)
"""Take a page of parts that are late because their organization is at its limit, each once per generation."""
