"""The statements that store, lock and delete posts, within a caller's reach; due times are by the database's clock."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from shared.audit.queries import recording
from shared.billing.queries import giving_back
from shared.billing.sections import Section
from shared.channels.queries import channel_in_reach
from shared.core.ids import (
    ChangeId,
    ChannelId,
    CustomerId,
    DeliveryId,
    GroupId,
    OrganizationId,
    PostId,
    UserId,
)
from shared.db.statement import Json, NoRow, Sql, Statement, sql
from shared.posts.announce import MESSAGES, announcing, announcing_written
from shared.posts.hints import QUEUED_COLUMNS
from shared.posts.lifecycle import (
    ABSENT,
    CLOSED,
    NOT_SENT,
    RESENDABLE,
    Hand,
    PostState,
    in_sql,
    where_may_become,
    where_may_move,
)
from shared.posts.parts import TWINS_WITHIN, StoredPart, WrittenRoot
from shared.posts.review_queries import APPROVED_STEPS_OF_POST, STEPS_OF_POST, WAITS_FOR_STEP
from shared.webhooks.models import Event

_STAYS_OPEN = sql(
    """
        posts.deleted_at is null and posts.state = excluded.state
                        and posts.state not in ({states})
        """,
    states=in_sql(CLOSED),
)
_MOVES_TO_GIVEN = where_may_move(
    "case when posts.deleted_at is null then posts.state else '' end",
    "excluded.state",
    by=Hand.MEMBER,
)


_IN_REACH = channel_in_reach(sql("posts.channel_id"))


class Write(NamedTuple):
    """`period`: the billing month in which posts that become queued are counted; None: they are not."""

    parts: Json
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    creation_method: str
    user_id: UserId | None
    changes: Json
    audit: Json
    labels: list[str] | None
    period: date | None


@dataclass(frozen=True, slots=True)
class WriteRow(WrittenRoot):
    position: int
    messages: list[DeliveryId]


# A part is (root, position): rewriting a thread keeps the ids, drops the parts that are removed, and restores one that had
# been dropped. A part that was sent before without success gets a new generation, and so a new idempotency key. It is one
# statement for any number of channels and parts; it skips what it must not touch, and the caller sees the missing row.
WRITE = Statement(
    "write_threads",
    sql(
        """
        with given as (
            select * from jsonb_to_recordset(cast(:parts as jsonb)) as part(
                id uuid, channel_id uuid, group_id uuid, root_id uuid, parent_id uuid, position integer, state text, review text,
                content text, media jsonb, settings jsonb, title text, content_hash text, publish_at timestamptz,
                delay_seconds integer, revision integer)
        ), twins as (
            select given.id, (
                select twin.id from posts twin
                where twin.channel_id = given.channel_id and twin.organization_id = :organization_id
                    and twin.publish_at between coalesce(given.publish_at, now()) - interval '{twin_hours} hours'
                        and coalesce(given.publish_at, now()) + interval '{twin_hours} hours'
                    and twin.content_hash = given.content_hash and twin.position = 0 and twin.deleted_at is null
                    and twin.id <> given.id
                limit 1) as twin_id
            from given where given.position = 0
        ), written as (
            insert into posts (id, organization_id, channel_id, group_id, root_id, parent_id, position, state, review,
                content, media, settings, title, content_hash, publish_at, delay_seconds, due_at, revision, generation,
                arm_count, creation_method, created_by, counted_period)
            select id, :organization_id, channel_id, group_id, root_id, parent_id, position, state, review,
                content, media, settings, title, content_hash, coalesce(publish_at, now()), delay_seconds,
                case when state = 'queued' and position = 0 then coalesce(publish_at, now()) end, revision, 1,
                1, :creation_method, cast(:user_id as uuid),
                case when state = 'queued' and position = 0 then cast(:period as date) end
            from given where {in_reach} order by root_id, position
            on conflict (root_id, position) do update set
                channel_id = excluded.channel_id, group_id = excluded.group_id, parent_id = excluded.parent_id,
                state = excluded.state, review = excluded.review, content = excluded.content, media = excluded.media,
                settings = excluded.settings, title = excluded.title, content_hash = excluded.content_hash,
                publish_at = excluded.publish_at, delay_seconds = excluded.delay_seconds, due_at = excluded.due_at,
                revision = excluded.revision, arm_count = posts.arm_count + 1, armed_revision = null,
                enqueued_at = null, next_check_at = null,
                generation = posts.generation + case when posts.deleted_at is not null
                    or (posts.state in ({states}) and excluded.state <> posts.state) then 1 else 0 end,
                error_code = case when excluded.state = posts.state then posts.error_code end,
                error_message = case when excluded.state = posts.state then posts.error_message end,
                counted_period = coalesce(posts.counted_period, excluded.counted_period),
                deleted_at = null, updated_at = now()
            where posts.organization_id = excluded.organization_id and posts.revision < excluded.revision
                and ({stays_open} or {moves_to_given})
            returning posts.*
        ), dropped as (
            update posts set deleted_at = now(), due_at = null, updated_at = now()
            from (select root_id, max(position) as last from given group by root_id) kept
            where posts.root_id = kept.root_id and posts.position > kept.last and posts.deleted_at is null
                and posts.organization_id = :organization_id and {may_become}
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select id, :organization_id, root_id, revision, cast(:user_id as uuid), action, changes
            from jsonb_to_recordset(cast(:changes as jsonb)) as change(
                id uuid, root_id uuid, revision integer, action text, changes jsonb)
        ), untagged as (
            delete from post_tags using given, tags
            where post_tags.post_id = given.id and given.position = 0 and tags.id = post_tags.tag_id
                and tags.name <> all(cast(:labels as text[])) and post_tags.organization_id = :organization_id
        ), tagged as (
            insert into post_tags (post_id, tag_id, organization_id)
            select given.id, tags.id, :organization_id from given cross join tags
            where given.position = 0 and tags.organization_id = :organization_id and tags.deleted_at is null
                and tags.name = any(cast(:labels as text[]))
            on conflict do nothing
        ), {recording}, {events}
        select written.id, written.position, written.revision, written.arm_count, written.publish_at, written.due_at,
            extract(epoch from written.due_at - now())::float8 as wait_seconds, twins.twin_id,
            exists (select 1 from given where given.root_id = written.id and jsonb_array_length(given.media) > 0)
                as has_media, {messages}
        from written left join twins on twins.id = written.id
        """,
        states=in_sql(RESENDABLE),
        twin_hours=TWINS_WITHIN // timedelta(hours=1),
        in_reach=channel_in_reach(sql("given.channel_id")),
        stays_open=_STAYS_OPEN,
        moves_to_given=_MOVES_TO_GIVEN,
        may_become=where_may_become(ABSENT, by=Hand.MEMBER),
        recording=recording(sql("entry.subject_id in (select id from written)")),
        events=announcing_written("written"),
        messages=MESSAGES,
    ),
    params=Write,
    row=WriteRow,
)
"""Store whole threads, new ones or as replacements, with their tags and history, record it, and notify webhooks.

One statement, whatever the number of channels and parts, because creating posts is what members wait for.
"""


_NAMED_ROOTS = sql(
    """
        select named.root_id from posts named
        where named.organization_id = :organization_id and named.deleted_at is null
            and (named.id = any(cast(:ids as uuid[])) or named.group_id = any(cast(:groups as uuid[])))
            and {in_reach}
    """,
    in_reach=channel_in_reach(sql("named.channel_id")),
)


class LockRoots(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    ids: list[PostId]
    groups: list[GroupId]


class LockRootsRow(NamedTuple):
    id: PostId


# The root's row is the lock of its thread. Every transaction takes these locks in order of id, so that they cannot deadlock.
LOCK_ROOTS = Statement(
    "lock_roots_of_posts",
    sql(
        """
        select id from posts
        where organization_id = :organization_id and id in ({named_roots})
        order by id
        for update
        """,
        named_roots=_NAMED_ROOTS,
    ),
    params=LockRoots,
    row=LockRootsRow,
)
"""Lock the roots of the threads that ids of parts or groups name, of those that the caller sees."""


class LockParts(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    roots: list[PostId]
    ids: list[PostId]
    groups: list[GroupId]


# A separate statement: in READ COMMITTED the statement that waited for the lock does not see rows that were added meanwhile,
# but this one does. It searches by the given ids again, and so finds a post that has just joined a group.
LOCK_PARTS = Statement(
    "lock_parts_of_posts",
    sql(
        """
        select id, root_id, channel_id, group_id, position, state, content, media, settings, title, publish_at, due_at,
            delay_seconds, revision, generation, arm_count, armed_revision, enqueued_at,
            error_message, counted_period, deleted_at is not null as is_deleted, review,
            case when position = 0 then {steps} end as review_steps,
            case when position = 0 then {approved} else '{}' end as approved_steps,
            case when position = 0 then {waits_for} end as waits_for
        from posts
        where organization_id = :organization_id
            and root_id in (select unnest(cast(:roots as uuid[])) union {named_roots})
        order by root_id, position
        for update
        """,
        named_roots=_NAMED_ROOTS,
        steps=STEPS_OF_POST,
        approved=APPROVED_STEPS_OF_POST,
        waits_for=WAITS_FOR_STEP,
    ),
    params=LockParts,
    row=StoredPart,
)
"""Lock and read the parts of threads, deleted ones included, in order."""


class Delete(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    roots: list[PostId]
    user_id: UserId | None
    action: str
    audit: Json


class DeleteRow(NamedTuple):
    root_id: PostId
    messages: list[DeliveryId]


DELETE = Statement(
    "delete_threads",
    sql(
        """
        with deleted as (
            update posts set deleted_at = now(), due_at = null, armed_revision = null, revision = revision + 1,
                updated_at = now()
            where organization_id = :organization_id and root_id = any(cast(:roots as uuid[])) and deleted_at is null
                and {in_reach} and {may_become}
                and root_id not in (
                    select busy.root_id from posts busy
                    where busy.root_id = any(cast(:roots as uuid[])) and busy.deleted_at is null
                        and busy.state in ({states}))
            returning posts.*
        ), {recording}, {events}
        insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
        select gen_random_uuid(), :organization_id, root_id, revision, cast(:user_id as uuid), cast(:action as text), '{}'
        from deleted where position = 0
        returning root_id, {messages}
        """,
        may_become=where_may_become(ABSENT, by=Hand.MEMBER),
        states=in_sql(CLOSED),
        in_reach=_IN_REACH,
        recording=recording(sql("entry.subject_id in (select root_id from deleted)")),
        events=announcing("deleted", Event.DELETED),
        messages=MESSAGES,
    ),
    params=Delete,
    row=DeleteRow,
)
"""Mark whole threads as deleted, unless a part is being published or is published, and notify webhooks.

One statement, so that a deletion is never without its history.
"""


class GiveBack(NamedTuple):
    organization_id: OrganizationId
    roots: list[PostId]


# The roots are locked, so the counts are those of this moment.
GIVE_BACK = Statement(
    "give_back_counts",
    sql(
        """
        with held as (
            select id, counted_period from posts
            where organization_id = :organization_id and id = any(cast(:roots as uuid[])) and deleted_at is null
                and counted_period is not null and state in ({not_sent})
        ), emptied as (
            update posts set counted_period = null from held where posts.id = held.id
        ), returned as (
            select counted_period as period_start, cast(count(*) as integer) as times from held group by counted_period
        ), {giving_back}
        """,
        not_sent=in_sql(NOT_SENT),
        giving_back=giving_back(Sql(Section.POSTS_PER_MONTH)),
    ),
    params=GiveBack,
    row=NoRow,
)
"""Give back the counts of locked posts that are certainly not sent, each to its billing month.

One statement, so that count and return alternate.
"""


class LockRootsOfChannel(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId


class LockRootsOfChannelRow(NamedTuple):
    id: PostId
    counted_period: date | None


# When a channel is deleted, so are its unpublished posts. Posts that are being published or are published stay.
LOCK_ROOTS_OF_CHANNEL = Statement(
    "lock_roots_of_channel",
    sql(
        """
        select id, counted_period from posts
        where organization_id = :organization_id and channel_id = :channel_id and position = 0 and deleted_at is null
            and state not in ({states}) and {in_reach}
        order by id
        for update
        """,
        states=in_sql(CLOSED),
        in_reach=_IN_REACH,
    ),
    params=LockRootsOfChannel,
    row=LockRootsOfChannelRow,
)
"""Lock the roots of a channel's unpublished posts."""


class DeleteRest(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    root_id: PostId
    position: int
    revision: int
    user_id: UserId | None
    audit: Json


class DeleteRestRow(NamedTuple):
    id: PostId


DELETE_REST = Statement(
    "delete_rest",
    sql(
        """
        with deleted as (
            update posts set deleted_at = now(), due_at = null, armed_revision = null, updated_at = now()
            where organization_id = :organization_id and root_id = :root_id and position >= :position
                and deleted_at is null and {in_reach} and {may_become}
            returning id, position, content
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select gen_random_uuid(), :organization_id, :root_id, :revision, cast(:user_id as uuid), 'rest_deleted',
                jsonb_object_agg('value.' || position || '.content', jsonb_build_array(content, null))
            from deleted
            having count(*) > 0
        ), {recording}
        select id from deleted order by position
        """,
        may_become=where_may_become(ABSENT, by=Hand.MEMBER),
        in_reach=_IN_REACH,
        recording=recording(sql("exists (select from deleted)")),
    ),
    params=DeleteRest,
    row=DeleteRestRow,
)
"""Mark the parts of a thread from a position on as deleted.

One statement, so that a deletion is never without its history.
"""


class Confirm(NamedTuple):
    release_id: str
    release_url: str
    release_data: Json | None
    part_id: PostId
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    change_id: ChangeId
    user_id: UserId | None
    changes: Json
    audit: Json


class ConfirmRow(NamedTuple):
    id: PostId | None
    organization_id: OrganizationId
    revision: int
    arm_count: int
    due_at: datetime | None
    wait_seconds: float
    has_media: bool
    messages: list[DeliveryId]


# The next part is due after its delay, as if the publisher had recorded the release.
CONFIRM = Statement(
    "confirm_part",
    sql(
        """
        with confirmed as (
            update posts set state = 'published', published_at = now(), due_at = null, release_id = :release_id,
                release_url = :release_url, release_data = cast(:release_data as jsonb), error_code = null,
                error_message = null, next_check_at = null, updated_at = now()
            where id = :part_id and organization_id = :organization_id
                and {in_reach} and {may_become}
            returning posts.*
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select cast(:change_id as uuid), :organization_id, root_id, revision, cast(:user_id as uuid), 'confirmed',
                cast(:changes as jsonb)
            from confirmed
        ), successor as (
            update posts set due_at = now() + make_interval(secs => posts.delay_seconds), armed_revision = null,
                arm_count = posts.arm_count + 1, enqueued_at = null, next_check_at = null, updated_at = now()
            from confirmed
            where posts.root_id = confirmed.root_id and posts.position = confirmed.position + 1 and posts.state = 'queued'
                and posts.deleted_at is null
            returning {queued}, jsonb_array_length(posts.media) > 0 as has_media
        ), {recording}, {events}
        select successor.id, successor.organization_id, successor.revision, successor.arm_count, successor.due_at,
            successor.wait_seconds, successor.has_media, {messages}
         from confirmed left join successor on true
        """,
        may_become=where_may_become(PostState.PUBLISHED, by=Hand.MEMBER),
        queued=QUEUED_COLUMNS,
        in_reach=_IN_REACH,
        recording=recording(sql("exists (select from confirmed)")),
        events=announcing("confirmed", Event.PUBLISHED),
        messages=MESSAGES,
    ),
    params=Confirm,
    row=ConfirmRow,
)
"""Mark a part as published with the member's address, set the next part's time, and notify webhooks.

One statement, so that all of it is true at once. Without a next part, its columns are null.
"""


class Requeue(NamedTuple):
    """`period`: the billing month in which the post is counted, if it is not counted yet."""

    part_id: PostId
    oldest_seconds: float
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    root_id: PostId
    position: int
    change_id: ChangeId
    user_id: UserId | None
    changes: Json
    audit: Json
    period: date | None


class RequeueRow(NamedTuple):
    id: PostId
    organization_id: OrganizationId
    revision: int
    arm_count: int
    due_at: datetime | None
    wait_seconds: float
    has_media: bool
    messages: list[DeliveryId]


# A new generation for the part and for those that failed because of it. A time that the claim would refuse as too late
# becomes now, because the member has just requested it.
REQUEUE = Statement(
    "requeue_part",
    sql(
        """
        with requeued as (
            update posts set state = 'queued', generation = generation + 1,
                due_at = case when id = :part_id then now() end,
                publish_at = case when publish_at < now() - make_interval(secs => :oldest_seconds) then now()
                    else publish_at end,
                armed_revision = null, arm_count = arm_count + 1, enqueued_at = null, next_check_at = null,
                error_code = null, error_message = null, updated_at = now(),
                counted_period = coalesce(counted_period, case when position = 0 then cast(:period as date) end)
            where organization_id = :organization_id and root_id = :root_id and deleted_at is null and {in_reach}
                and ((id = :part_id and (state in ({states}) or (state = 'queued' and due_at is null)))
                    or (position > :position and (state = 'queued'
                        or {may_become})))
            returning posts.*
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select cast(:change_id as uuid), :organization_id, root_id, revision, cast(:user_id as uuid), 'resent',
                cast(:changes as jsonb)
            from requeued where id = :part_id
        ), {recording}, {events}
        select {queued}, jsonb_array_length(posts.media) > 0 as has_media, {messages}
        from requeued as posts where id = :part_id
        """,
        states=in_sql(RESENDABLE),
        may_become=where_may_become(PostState.QUEUED, by=Hand.MEMBER, only=PostState.FAILED),
        in_reach=_IN_REACH,
        recording=recording(sql("exists (select from requeued)")),
        events=announcing("requeued", Event.UPDATED),
        queued=QUEUED_COLUMNS,
        messages=MESSAGES,
    ),
    params=Requeue,
    row=RequeueRow,
)
"""Queue a part again, due now, with the parts after it, and notify webhooks.

One statement, so that all of it is true at once.
"""
