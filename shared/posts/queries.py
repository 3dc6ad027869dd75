"""Every SQL statement of posts. Each belongs to one organization; due times are made by the database's clock."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId, new_id
from shared.db.statement import Sql, sql
from shared.organizations.models import Role
from shared.posts.announce import MESSAGES, announcing, announcing_written
from shared.posts.hints import QUEUED_COLUMNS, Queued
from shared.posts.lifecycle import (
    ABSENT,
    CLOSED,
    RESENDABLE,
    Hand,
    PostState,
    in_sql,
    where_may_become,
    where_may_move,
    wire_state,
)
from shared.posts.models import CreationMethod
from shared.posts.schemas import CalendarPost
from shared.providers.base import Released
from shared.webhooks.announce import send_after_commit
from shared.webhooks.models import Event


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part as it is, locked until the transaction ends. Deleted ones are kept: they hold their position's id."""

    id: UUID
    root_id: UUID
    channel_id: UUID
    group_id: UUID
    position: int
    state: PostState
    content: str
    media: list[dict[str, Any]]
    settings: dict[str, Any]
    title: str | None
    publish_at: datetime
    due_at: datetime | None
    delay_seconds: int
    revision: int
    generation: int
    arm_count: int
    armed_revision: int | None
    enqueued_at: datetime | None
    error_message: str | None
    is_deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPart:
    """A part as it is to be. `publish_at` None: now, by the database's clock."""

    id: UUID
    channel_id: UUID
    group_id: UUID
    root_id: UUID
    parent_id: UUID | None
    position: int
    state: PostState
    content: str
    media: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    title: str | None
    content_hash: str
    publish_at: datetime | None
    delay_seconds: int
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is kept of a change: `changes` holds `{field: [before, after]}`."""

    root_id: UUID
    revision: int
    action: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, for whom, and through which door."""

    organization_id: OrganizationId
    user_id: UserId | None
    role: Role
    method: CreationMethod = CreationMethod.UNKNOWN


@dataclass(frozen=True, slots=True)
class WrittenRoot:
    """A root as it was written. `wait_seconds` is None where nothing is due; `twin_id` is a post that is the same."""

    id: UUID
    revision: int
    arm_count: int
    publish_at: datetime
    due_at: datetime | None
    wait_seconds: float | None
    has_media: bool
    twin_id: UUID | None

    def queued(self, organization_id: OrganizationId) -> Queued | None:
        """Return what arming needs; None: nothing is due."""
        if self.due_at is None or self.wait_seconds is None:
            return None
        return Queued(
            id=self.id,
            organization_id=organization_id,
            revision=self.revision,
            arm_count=self.arm_count,
            due_at=self.due_at,
            wait_seconds=self.wait_seconds,
            has_media=self.has_media,
        )


_STAYS_OPEN = f"""posts.deleted_at is null and posts.state = excluded.state
                and posts.state not in ({in_sql(CLOSED)})"""
_MOVES_TO_GIVEN = where_may_move(
    "case when posts.deleted_at is null then posts.state else '' end",
    "excluded.state",
    by=Hand.MEMBER,
)

# A part is (root, position): rewriting a thread keeps the ids, drops the parts that are no longer there, and brings
# back one that had been dropped. What had been sent before in vain gets a new generation, and so a new idempotency key.
# One statement whatever the number of channels and parts; what it must not touch is left out, and the caller sees it
# by the missing row.
_WRITE = text(f"""
    with given as (
        select * from jsonb_to_recordset(cast(:parts as jsonb)) as part(
            id uuid, channel_id uuid, group_id uuid, root_id uuid, parent_id uuid, position integer, state text,
            content text, media jsonb, settings jsonb, title text, content_hash text, publish_at timestamptz,
            delay_seconds integer, revision integer)
    ), twins as (
        select given.id, (
            select twin.id from posts twin
            where twin.channel_id = given.channel_id and twin.organization_id = :organization_id
                and twin.publish_at between coalesce(given.publish_at, now()) - interval '24 hours'
                    and coalesce(given.publish_at, now()) + interval '24 hours'
                and twin.content_hash = given.content_hash and twin.position = 0 and twin.deleted_at is null
                and twin.id <> given.id
            limit 1) as twin_id
        from given where given.position = 0
    ), written as (
        insert into posts (id, organization_id, channel_id, group_id, root_id, parent_id, position, state, review,
            content, media, settings, title, content_hash, publish_at, delay_seconds, due_at, revision, generation,
            arm_count, creation_method, created_by)
        select id, :organization_id, channel_id, group_id, root_id, parent_id, position, state, 'none',
            content, media, settings, title, content_hash, coalesce(publish_at, now()), delay_seconds,
            case when state = 'queued' and position = 0 then coalesce(publish_at, now()) end, revision, 1,
            1, :creation_method, cast(:user_id as uuid)
        from given order by root_id, position
        on conflict (root_id, position) do update set
            channel_id = excluded.channel_id, group_id = excluded.group_id, parent_id = excluded.parent_id,
            state = excluded.state, content = excluded.content, media = excluded.media,
            settings = excluded.settings, title = excluded.title, content_hash = excluded.content_hash,
            publish_at = excluded.publish_at, delay_seconds = excluded.delay_seconds, due_at = excluded.due_at,
            revision = excluded.revision, arm_count = posts.arm_count + 1, armed_revision = null,
            enqueued_at = null, next_check_at = null,
            generation = posts.generation + case when posts.deleted_at is not null
                or (posts.state in ({in_sql(RESENDABLE)}) and excluded.state <> posts.state) then 1 else 0 end,
            error_code = case when excluded.state = posts.state then posts.error_code end,
            error_message = case when excluded.state = posts.state then posts.error_message end,
            deleted_at = null, updated_at = now()
        where posts.organization_id = excluded.organization_id and posts.revision < excluded.revision
            and ({_STAYS_OPEN} or {_MOVES_TO_GIVEN})
        returning posts.*
    ), dropped as (
        update posts set deleted_at = now(), due_at = null, updated_at = now()
        from (select root_id, max(position) as last from given group by root_id) kept
        where posts.root_id = kept.root_id and posts.position > kept.last and posts.deleted_at is null
            and posts.organization_id = :organization_id and {where_may_become(ABSENT, by=Hand.MEMBER)}
    ), told as (
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
    ), {announcing_written("written")}
    select written.id, written.position, written.revision, written.arm_count, written.publish_at, written.due_at,
        extract(epoch from written.due_at - now())::float8 as wait_seconds, twins.twin_id,
        exists (select 1 from given where given.root_id = written.id and jsonb_array_length(given.media) > 0)
            as has_media, {MESSAGES}
    from written left join twins on twins.id = written.id
""")  # noqa: S608, only constants


def write_threads(
    session: Session,
    author: Author,
    parts: Sequence[NewPart],
    changes: Sequence[Change],
    *,
    labels: Sequence[str] | None = None,
) -> Mapping[UUID, WrittenRoot] | None:
    """Store whole threads, new ones or in place of what they were; None: one of them may no longer be touched.

    `labels` are the names of the tags that the roots carry afterwards; None leaves tags as they are.
    """
    rows = (
        session.execute(
            _WRITE,
            {
                "organization_id": author.organization_id,
                "user_id": author.user_id,
                "creation_method": author.method,
                "parts": _json([_part_row(part) for part in parts]),
                "changes": _json([_change_row(change) for change in changes]),
                "labels": None if labels is None else list(labels),
            },
        )
        .mappings()
        .all()
    )
    if len(rows) < len(parts):
        return None
    send_after_commit(session, author.organization_id, rows[0]["messages"])
    return {row["id"]: _written_root(row) for row in rows if row["position"] == 0}


_NAMED_ROOTS = """
    select named.root_id from posts named
    where named.organization_id = :organization_id and named.deleted_at is null
        and (named.id = any(cast(:ids as uuid[])) or named.group_id = any(cast(:groups as uuid[])))
"""

# The root's row is the lock of its thread. Every transaction takes these locks in order of id, so that two of them
# never wait for each other.
_LOCK_ROOTS = text(f"""
    select id from posts
    where organization_id = :organization_id and id in ({_NAMED_ROOTS})
    order by id
    for update
""")  # noqa: S608, only constants

# A statement of its own: in READ COMMITTED the one that waited for the lock does not see the rows that were added
# meanwhile, this one does. It looks once more at what is named, and so finds a post that has just joined a group.
_LOCK_PARTS = text(f"""
    select id, root_id, channel_id, group_id, position, state, content, media, settings, title, publish_at, due_at,
        delay_seconds, revision, generation, arm_count, armed_revision, enqueued_at,
        error_message, deleted_at is not null as is_deleted
    from posts
    where organization_id = :organization_id
        and root_id in (select unnest(cast(:roots as uuid[])) union {_NAMED_ROOTS})
    order by root_id, position
    for update
""")  # noqa: S608, only constants


def lock_threads(
    session: Session,
    organization_id: OrganizationId,
    *,
    ids: Collection[UUID] = (),
    groups: Collection[UUID] = (),
) -> Mapping[UUID, Sequence[StoredPart]]:
    """Lock the threads that ids of parts or groups name, deleted replies included; by root, in order of position."""
    named = {"organization_id": organization_id, "ids": list(ids), "groups": list(groups)}
    while True:
        roots = list(session.scalars(_LOCK_ROOTS, named))
        rows = session.execute(_LOCK_PARTS, {**named, "roots": roots}).mappings().all()
        if {row["root_id"] for row in rows} <= set(roots):
            break
        # A post joined the group while we waited. Its thread may still have been growing, so read it again.
    threads: dict[UUID, list[StoredPart]] = {}
    for row in rows:
        part = StoredPart(**{**row, "state": PostState(row["state"])})
        threads.setdefault(part.root_id, []).append(part)
    return {root: parts for root, parts in threads.items() if not parts[0].is_deleted}


_DELETE = text(f"""
    with deleted as (
        update posts set deleted_at = now(), due_at = null, armed_revision = null, revision = revision + 1,
            updated_at = now()
        where organization_id = :organization_id and root_id = any(cast(:roots as uuid[])) and deleted_at is null
            and {where_may_become(ABSENT, by=Hand.MEMBER)}
            and root_id not in (
                select busy.root_id from posts busy
                where busy.root_id = any(cast(:roots as uuid[])) and busy.deleted_at is null
                    and busy.state in ({in_sql(CLOSED)}))
        returning posts.*
    ), {announcing("deleted", Event.DELETED)}
    insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
    select gen_random_uuid(), :organization_id, root_id, revision, cast(:user_id as uuid), cast(:action as text), '{{}}'
    from deleted where position = 0
    returning root_id, {MESSAGES}
""")  # noqa: S608, only constants


# A channel is gone: so is what was still to go out through it. What is being published, or was, stays in its history.
_LOCK_ROOTS_OF_CHANNEL = text(f"""
    select id from posts
    where organization_id = :organization_id and channel_id = :channel_id and position = 0 and deleted_at is null
        and state not in ({in_sql(CLOSED)})
    order by id
    for update
""")  # noqa: S608, only constants


def delete_posts_of_channel(session: Session, author: Author, channel_id: UUID) -> int:
    """Mark the posts that a channel has not published yet as deleted; how many. Their schedules will do nothing."""
    values = {"organization_id": author.organization_id, "channel_id": channel_id}
    roots = session.scalars(_LOCK_ROOTS_OF_CHANNEL, values).all()
    return len(delete_threads(session, author, roots, action="channel_deleted")) if roots else 0


def delete_threads(
    session: Session, author: Author, roots: Collection[UUID], *, action: str = "deleted"
) -> Sequence[UUID]:
    """Mark whole, locked threads as deleted, unless a part is being published or was; return which.

    `action` is what the history calls it.
    """
    rows = session.execute(
        _DELETE,
        {
            "organization_id": author.organization_id,
            "user_id": author.user_id,
            "roots": list(roots),
            "action": action,
        },
    ).all()
    if rows:
        send_after_commit(session, author.organization_id, rows[0].messages)
    return [row.root_id for row in rows]


_DELETE_REST = text(f"""
    with deleted as (
        update posts set deleted_at = now(), due_at = null, armed_revision = null, updated_at = now()
        where organization_id = :organization_id and root_id = :root_id and position >= :position
            and deleted_at is null and {where_may_become(ABSENT, by=Hand.MEMBER)}
        returning id, position, content
    ), told as (
        insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
        select gen_random_uuid(), :organization_id, :root_id, :revision, cast(:user_id as uuid), 'rest_deleted',
            jsonb_object_agg('value.' || position || '.content', jsonb_build_array(content, null))
        from deleted
        having count(*) > 0
    )
    select id from deleted order by position
""")  # noqa: S608, only constants


def delete_rest(session: Session, author: Author, root: StoredPart, *, position: int) -> list[UUID]:
    """Mark the parts of a locked thread from a position on as deleted, and return their ids."""
    values = {
        "organization_id": author.organization_id,
        "user_id": author.user_id,
        "root_id": root.id,
        "revision": root.revision,
        "position": position,
    }
    return list(session.scalars(_DELETE_REST, values))


# The successor is due after its delay, as if the publisher had recorded the release.
_CONFIRM = text(f"""
    with confirmed as (
        update posts set state = 'published', published_at = now(), due_at = null, release_id = :release_id,
            release_url = :release_url, release_data = cast(:release_data as jsonb), error_code = null,
            error_message = null, next_check_at = null, updated_at = now()
        where id = :part_id and organization_id = :organization_id
            and {where_may_become(PostState.PUBLISHED, by=Hand.MEMBER)}
        returning posts.*
    ), told as (
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
        returning {QUEUED_COLUMNS}, jsonb_array_length(posts.media) > 0 as has_media
    ), {announcing("confirmed", Event.PUBLISHED)}
    select successor.*, {MESSAGES} from confirmed left join successor on true
""")  # noqa: S608, only constants


def confirm_part(
    session: Session, author: Author, part: StoredPart, released: Released
) -> Queued | None:
    """Publish an unconfirmed part under the address that a member gave; return the next part, due now, if any."""
    values = _of_part(author, part, {"release_url": [None, released.url]})
    values |= {
        "release_id": released.id,
        "release_url": released.url,
        "release_data": released.data_to_store,
    }
    row = session.execute(_CONFIRM, values).one_or_none()
    if row is None:
        return None
    send_after_commit(session, author.organization_id, row.messages)
    return Queued.from_row(row) if row.id else None


# A new generation for the part and for those that failed because it did. A time so long ago that the claim would
# refuse it is moved to now: the member has just asked for it.
_REQUEUE = text(f"""
    with requeued as (
        update posts set state = 'queued', generation = generation + 1,
            due_at = case when id = :part_id then now() end,
            publish_at = case when publish_at < now() - make_interval(secs => :oldest_seconds) then now()
                else publish_at end,
            armed_revision = null, arm_count = arm_count + 1, enqueued_at = null, next_check_at = null,
            error_code = null, error_message = null, updated_at = now()
        where organization_id = :organization_id and root_id = :root_id and deleted_at is null
            and ((id = :part_id and (state in ({in_sql(RESENDABLE)}) or (state = 'queued' and due_at is null)))
                or (position > :position and (state = 'queued'
                    or {where_may_become(PostState.QUEUED, by=Hand.MEMBER, only=PostState.FAILED)})))
        returning posts.*
    ), told as (
        insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
        select cast(:change_id as uuid), :organization_id, root_id, revision, cast(:user_id as uuid), 'resent',
            cast(:changes as jsonb)
        from requeued where id = :part_id
    ), {announcing("requeued", Event.UPDATED)}
    select {QUEUED_COLUMNS}, jsonb_array_length(posts.media) > 0 as has_media, {MESSAGES}
    from requeued as posts where id = :part_id
""")  # noqa: S608, only constants


def requeue_part(
    session: Session, author: Author, part: StoredPart, *, oldest_seconds: float
) -> Queued:
    """Queue a part again, due now, with the parts after it; return it."""
    values = _of_part(author, part, {"state": [str(part.state), "queued"]}) | {
        "position": part.position,
        "root_id": part.root_id,
        "oldest_seconds": oldest_seconds,
    }
    row = session.execute(_REQUEUE, values).one()
    send_after_commit(session, author.organization_id, row.messages)
    return Queued.from_row(row)


# --- reading ---------------------------------------------------------------------------------------------------

_TAGS = """
    coalesce((
        select jsonb_agg(jsonb_build_object('tag', jsonb_build_object('id', t.id, 'name', t.name, 'color', t.color))
            order by t.name)
        from post_tags pt join tags t on t.id = pt.tag_id and t.deleted_at is null
        where pt.post_id = p.id), '[]')
"""
_LATE = (
    "(p.state in ('queued', 'publishing') and p.publish_at < now() - interval '5 minutes') as late"
)
# The name that clients know a state by, as lifecycle.py has it.
_NAMES = Sql(" ".join(f"when '{state}' then '{wire_state(state)}'" for state in PostState))
WIRE_STATE = sql("case p.state {names} end", names=_NAMES)


def wire_time_of(column: str) -> Sql:
    """Return the expression of a time as the wire has it (`clock.to_wire`)."""
    return sql(
        """to_char({column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
        column=Sql(column),
    )


# A time for the wire, and as it is: a cursor needs its microseconds.
_WRITTEN, _EXACT = wire_time_of("p.publish_at"), "p.publish_at"


def _listed(publish_date: str, posts: str = "posts") -> str:
    """Write the select of `CalendarPost`s from `posts`, named as on the wire; more conditions may follow.

    Most posts carry no tag, and to ask for that first takes a third of what an aggregate of no rows does. `offset 0`
    keeps the planner from answering that question by reading all tags of all organizations once.
    """
    return f"""
        select p.id, {WIRE_STATE} as state, p.state as code, {_LATE}, {publish_date} as "publishDate",
            p.release_url as "releaseURL", p.release_id as "releaseId", p.error_code as "errorCode",
            p.error_message as error, p.content, p.title, p.group_id as "group", p.revision,
            p.creation_method as "creationMethod", null as "intervalInDays",
            case when exists (select 1 from post_tags pt where pt.post_id = p.id offset 0) then {_TAGS} else '[]' end as tags,
            json_build_object('id', c.id, 'providerIdentifier', c.provider, 'name', c.name,
                'picture', c.picture_url) as integration
        from {posts} p join channels c on c.id = p.channel_id
        where {_WANTED}
    """  # noqa: S608, only constants of this file


_WANTED = """
    p.organization_id = :organization_id and p.position = 0 and p.deleted_at is null
    and (cast(:channel_id as uuid) is null or p.channel_id = cast(:channel_id as uuid))
    and (cast(:states as text[]) is null or p.state = any(cast(:states as text[])))
    and (cast(:tag_id as uuid) is null or exists (
        select 1 from post_tags pt where pt.post_id = p.id and pt.tag_id = cast(:tag_id as uuid) offset 0))
"""


_IN_RANGE = """
    and p.publish_at between :start and :end
    and (p.publish_at, p.id) > (cast(:after_time as timestamptz), cast(:after_id as uuid))
    order by p.publish_at, p.id limit :page_size
"""

# One JSON text for all rows: the driver's reading of 300 rows of sixteen columns takes longer than everything else.
# Nor is it read here: making objects of 300 posts, to write them as the same text again, would come second.
_RANGE_JSON = text(f"""
    select cast(coalesce(json_agg(listed), '[]') as text) as posts, count(*) as number,
        coalesce(sum(length(content)), 0) as characters
    from ({_listed(_WRITTEN)} {_IN_RANGE}) listed
""")  # noqa: S608, only constants of this file

_RANGE = text(f"""
    select cast(coalesce(json_agg(listed), '[]') as text) from ({_listed(_EXACT)} {_IN_RANGE}) listed
""")  # noqa: S608, only constants of this file

_LATEST_FIRST = """
    and (p.publish_at, p.id) < (cast(:after_time as timestamptz), cast(:after_id as uuid))
    order by p.publish_at desc, p.id desc limit :page_size
"""


def _list_of(posts: str) -> TextClause:
    return text(f"""
        select cast(coalesce(json_agg(listed), '[]') as text)
        from ({_listed(_EXACT, posts)} {_LATEST_FIRST}) listed
    """).execution_options(custom_plan=True)  # noqa: S608, only constants of this file


# Planned for its values each time: PostgreSQL would keep a plan for any values that is ten times as slow without a filter,
# and 27 times with one at a million posts (docs/adr/0005-pg8000-in-one-flush.md).
_LIST = _list_of("posts")

# Each state is a range of `ix_posts_state` in the order that is wanted, so a rare one costs no more than a common one.
_LIST_BY_STATE = _list_of(f"""(
    select p.* from unnest(cast(:states as text[])) as one(state) cross join lateral (
        select p.* from posts p where p.state = one.state and {_WANTED} {_LATEST_FIRST}
    ) p
)""")  # noqa: S608, only constants of this file

# A tag on few posts leads to them. One on many is met often enough on the way through all posts by time.
_FEW = 2_000
_LIST_BY_TAG = _list_of(f"""(
    with few as materialized (
        select pt.post_id from post_tags pt where pt.tag_id = cast(:tag_id as uuid) limit {_FEW + 1}
    ), counted as materialized (select count(*) as number from few)
    select p.* from few join posts p on p.id = few.post_id where (select number from counted) <= {_FEW}
    union all (
        select p.* from posts p where (select number from counted) > {_FEW} and {_WANTED} {_LATEST_FIRST}
    )
)""")  # noqa: S608, only constants of this file

_CALENDAR_POSTS = TypeAdapter(list[CalendarPost])
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which posts a list shows; None: all."""

    channel_id: UUID | None = None
    states: Sequence[PostState] | None = None
    tag_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RangePage:
    """Which posts of the calendar: those of a range, both ends included, after a position, at most `size`."""

    start: datetime
    end: datetime
    wanted: Filter
    after: tuple[datetime, UUID] | None
    size: int


@dataclass(frozen=True, slots=True)
class PostsJson:
    """Posts as the database wrote them: `json` is a list of `CalendarPost`, `characters` are those of the contents."""

    json: str
    count: int
    characters: int


def list_range(
    session: Session, organization_id: OrganizationId, page: RangePage
) -> list[CalendarPost]:
    """List the posts of a range, first to go out first."""
    return _posts(session, _RANGE, _range_values(organization_id, page))


def list_range_json(
    session: Session, organization_id: OrganizationId, page: RangePage
) -> PostsJson:
    """List the same posts, written for the wire."""
    row = session.execute(_RANGE_JSON, _range_values(organization_id, page)).one()
    return PostsJson(row.posts, row.number, row.characters)


def list_latest(
    session: Session,
    organization_id: OrganizationId,
    *,
    wanted: Filter,
    after: tuple[datetime, UUID] | None,
    page_size: int,
) -> list[CalendarPost]:
    """List posts, last to go out first, after a position."""
    after_time, after_id = after or (None, _HIGHEST)
    values = _filter_values(organization_id, wanted) | {
        "after_time": after_time or "infinity",
        "after_id": after_id,
        "page_size": page_size,
    }
    if wanted.tag_id:
        return _posts(session, _LIST_BY_TAG, values)
    return _posts(session, _LIST_BY_STATE if wanted.states else _LIST, values)


# The files that are shown in a part, in order; those that settings name are not.
FILES = sql("""
    coalesce((
        select jsonb_agg(jsonb_build_object('id', entry.value ->> 'id', 'alt', coalesce(entry.value ->> 'alt', m.alt),
            'key', m.key, 'type', m.content_type, 'thumbnail', m.thumbnail_key,
            'thumbnailTimestamp', cast(entry.value ->> 'thumbnailTimestamp' as integer)) order by entry.ordinality)
        from jsonb_array_elements(p.media) with ordinality as entry
        left join media m on m.id = cast(entry.value ->> 'id' as uuid)
            and m.organization_id = p.organization_id
        where entry.value ->> 'setting' is null), '[]')
""")
_THREAD = f"""
    select p.id, p.root_id, p.position, p.state, {_LATE}, p.publish_at, p.release_url, p.release_id, p.error_code,
        p.error_message, p.content, p.title, p.group_id, p.revision, p.generation, p.creation_method, p.settings,
        p.delay_seconds, p.published_at, p.created_at, p.updated_at,
        c.id as channel_id, c.provider, c.name as channel_name, c.picture_url, {_TAGS} as tags,
        {FILES} as files
    from posts p join channels c on c.id = p.channel_id
    where p.organization_id = :organization_id and p.deleted_at is null
"""  # noqa: S608, only constants of this file

_ONE = text(f"""
    {_THREAD} and p.root_id = (
        select named.root_id from posts named
        where named.id = :post_id and named.organization_id = :organization_id and named.deleted_at is null)
    order by p.position
""")  # noqa: S608, only constants of this file

_GROUP = text(f"""
    {_THREAD} and p.group_id = :group_id
    order by p.publish_at, p.root_id, p.position limit :page_size
""")


def find_thread(
    session: Session, organization_id: OrganizationId, post_id: UUID
) -> Sequence[RowMapping]:
    """Find the thread that any of its parts' ids names, in order; empty: there is none."""
    values = {"organization_id": organization_id, "post_id": post_id}
    return session.execute(_ONE, values).mappings().all()


def find_group(
    session: Session, organization_id: OrganizationId, group_id: UUID, *, page_size: int
) -> Sequence[RowMapping]:
    """Find all parts of a group, thread by thread; empty: there are none."""
    values = {"organization_id": organization_id, "group_id": group_id, "page_size": page_size}
    return session.execute(_GROUP, values).mappings().all()


def _posts(
    session: Session, statement: TextClause, values: Mapping[str, Any]
) -> list[CalendarPost]:
    return _CALENDAR_POSTS.validate_json(session.execute(statement, values).scalar_one())


def _range_values(organization_id: OrganizationId, page: RangePage) -> dict[str, Any]:
    after_time, after_id = page.after or (page.start, _LOWEST)
    return _filter_values(organization_id, page.wanted) | {
        "start": page.start,
        "end": page.end,
        "after_time": after_time,
        "after_id": after_id,
        "page_size": page.size,
    }


def _filter_values(organization_id: OrganizationId, wanted: Filter) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "channel_id": wanted.channel_id,
        "states": None if wanted.states is None else [str(state) for state in wanted.states],
        "tag_id": wanted.tag_id,
    }


def _of_part(author: Author, part: StoredPart, changes: Mapping[str, Any]) -> dict[str, Any]:
    named = {f"value.{part.position}.{field}": pair for field, pair in changes.items()}
    return {
        "part_id": part.id,
        "organization_id": author.organization_id,
        "user_id": author.user_id,
        "change_id": new_id(),
        "changes": json.dumps(named),
    }


def _part_row(part: NewPart) -> dict[str, Any]:
    return {name: getattr(part, name) for name in NewPart.__slots__}


def _change_row(change: Change) -> dict[str, Any]:
    return {
        "id": new_id(),
        "root_id": change.root_id,
        "revision": change.revision,
        "action": change.action,
        "changes": dict(change.changes),
    }


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=_as_text, separators=(",", ":"))


def _as_text(value: UUID | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _written_root(row: RowMapping) -> WrittenRoot:
    return WrittenRoot(
        id=row["id"],
        revision=row["revision"],
        arm_count=row["arm_count"],
        publish_at=row["publish_at"],
        due_at=row["due_at"],
        wait_seconds=row["wait_seconds"],
        has_media=row["has_media"],
        twin_id=row["twin_id"],
    )
