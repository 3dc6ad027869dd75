"""Every SQL statement of posts. Each belongs to one organization; due times are made by the database's clock."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId, new_id
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
)
from shared.posts.models import CreationMethod
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
