"""Stores, locks, confirms, requeues and deletes threads, with their webhook messages."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, TypedDict
from uuid import UUID

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Entry, entries_json
from shared.core.ids import (
    ChangeId,
    ChannelId,
    CustomerId,
    GroupId,
    OrganizationId,
    PostId,
    UserId,
    new_id,
)
from shared.core.reach import Reach
from shared.db.statement import Json
from shared.posts import queries
from shared.posts.approval import Passage
from shared.posts.hints import Queued
from shared.posts.parts import Author, Change, NewPart, StoredPart, WrittenRoot
from shared.posts.review_queries import SETTLE
from shared.providers.base import Released
from shared.webhooks.announce import send_after_commit


def write_threads(
    session: Session,
    author: Author,
    parts: Sequence[NewPart],
    changes: Sequence[Change],
    *,
    labels: Sequence[str] | None = None,
    period: date | None = None,
) -> Mapping[PostId, WrittenRoot] | None:
    """Store whole threads, new ones or as replacements; None if one of them may no longer be changed.

    `labels` are the names of the roots' tags afterwards; None leaves tags unchanged. `period` is the billing month in which
    posts that become queued are counted; None: they are not counted.
    """
    rows = queries.WRITE.all(
        session,
        **author.reach._asdict(),
        user_id=author.user_id,
        creation_method=author.method,
        parts=_json([_part_row(part) for part in parts]),
        changes=_json([_change_row(change) for change in changes]),
        audit=entries_json(author.actor, *_entries(parts, changes)),
        labels=None if labels is None else list(labels),
        period=period,
    )
    if len(rows) < len(parts):
        return None
    send_after_commit(session, author.organization_id, rows[0].messages)
    return {row.id: row for row in rows if row.position == 0}


def lock_threads(
    session: Session,
    reach: Reach,
    *,
    ids: Collection[PostId] = (),
    groups: Collection[GroupId] = (),
) -> Mapping[PostId, Sequence[StoredPart]]:
    """Lock the threads with these part or group ids that the caller sees, by root, in order of position.

    Deleted replies are included.
    """
    named_ids, named_groups = list(ids), list(groups)
    while True:
        locked = queries.LOCK_ROOTS.all(session, *reach, named_ids, named_groups)
        roots = [row.id for row in locked]
        rows = queries.LOCK_PARTS.all(
            session, *reach, roots=roots, ids=named_ids, groups=named_groups
        )
        if {row.root_id for row in rows} <= set(roots):
            break
        # A post joined the group while we waited for the lock. Its thread may have grown since, so read it again.
    threads: dict[PostId, list[StoredPart]] = {}
    for part in rows:
        threads.setdefault(part.root_id, []).append(part)
    return {root: parts for root, parts in threads.items() if not parts[0].is_deleted}


class LockedRoot(Protocol):
    """A post whose root is locked in this transaction, and the billing month in which it is counted."""

    @property
    def id(self) -> PostId:
        """The root's id."""

    @property
    def counted_period(self) -> date | None:
        """The first day of the month; None if it is not counted."""


def give_back(
    session: Session, organization_id: OrganizationId, roots: Iterable[LockedRoot]
) -> None:
    """Give back the counts of posts that are taken back or deleted, if they are certainly not sent.

    Runs no statement if none of them is counted.
    """
    counted = [root.id for root in roots if root.counted_period]
    if counted:
        queries.GIVE_BACK.run(session, organization_id, counted)


@dataclass(frozen=True, slots=True)
class SettledReview:
    """A post whose steps of approval are brought in line with how it was stored."""

    root_id: PostId
    revision: int
    passage: Passage


def settle_reviews(session: Session, author: Author, given: Iterable[SettledReview]) -> None:
    """Bring the steps of locked posts in line with how they were stored. Runs no statement if there are none."""
    rows = [
        {
            "root_id": one.root_id,
            "revision": one.revision,
            "steps": one.passage.steps,
            "kept": sorted(one.passage.kept),
            "approved": sorted(one.passage.given),
            "waits_for": one.passage.waits_for,
        }
        for one in given
    ]
    if rows:
        SETTLE.run(session, author.organization_id, author.user_id, _json(rows))


def delete_posts_of_channel(session: Session, author: Author, channel_id: ChannelId) -> int:
    """Mark a channel's unpublished posts as deleted; return how many. Their schedules will do nothing."""
    roots = queries.LOCK_ROOTS_OF_CHANNEL.all(session, *author.reach, channel_id)
    return len(delete_threads(session, author, roots, action="channel_deleted")) if roots else 0


def delete_threads(
    session: Session, author: Author, roots: Collection[LockedRoot], *, action: str = "deleted"
) -> Sequence[PostId]:
    """Mark whole, locked threads as deleted, unless a part is being published or is published; return which.

    `action` is the verb in the history.
    """
    give_back(session, author.organization_id, roots)
    ids = [root.id for root in roots]
    rows = queries.DELETE.all(
        session,
        **author.reach._asdict(),
        user_id=author.user_id,
        roots=ids,
        action=action,
        audit=entries_json(author.actor, *(Entry(Action.POST_DELETED, root) for root in ids)),
    )
    if rows:
        send_after_commit(session, author.organization_id, rows[0].messages)
    return [row.root_id for row in rows]


def delete_rest(
    session: Session, author: Author, root: StoredPart, *, position: int
) -> list[PostId]:
    """Mark the parts of a locked thread from a position on as deleted, and return their ids."""
    rows = queries.DELETE_REST.all(
        session,
        **author.reach._asdict(),
        user_id=author.user_id,
        root_id=root.id,
        revision=root.revision,
        position=position,
        audit=entries_json(author.actor, Entry(Action.POST_REST_DELETED, root.id)),
    )
    return [row.id for row in rows]


def confirm_part(
    session: Session, author: Author, part: StoredPart, released: Released
) -> Queued | None:
    """Mark an unconfirmed part as published with the member's address; return the next part, due now, if any."""
    row = queries.CONFIRM.find(
        session,
        **_of_part(author, part, {"release_url": [None, released.url]}, Action.POST_CONFIRMED),
        release_id=released.id,
        release_url=released.url,
        release_data=released.data_to_store,
    )
    if row is None:
        return None
    send_after_commit(session, author.organization_id, row.messages)
    return Queued.from_row(row) if row.id else None


def requeue_part(
    session: Session,
    author: Author,
    part: StoredPart,
    *,
    oldest_seconds: float,
    period: date | None = None,
) -> Queued:
    """Queue a part again, due now, with the parts after it; return it. `period`: as for `write_threads`."""
    row = queries.REQUEUE.one(
        session,
        **_of_part(author, part, {"state": [str(part.state), "queued"]}, Action.POST_RESENT),
        position=part.position,
        root_id=part.root_id,
        oldest_seconds=oldest_seconds,
        period=period,
    )
    send_after_commit(session, author.organization_id, row.messages)
    return Queued.from_row(row)


class _OfPart(TypedDict):
    part_id: PostId
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId | None
    change_id: ChangeId
    changes: Json
    audit: Json


def _of_part(
    author: Author, part: StoredPart, changes: Mapping[str, Any], action: Action
) -> _OfPart:
    named = {f"value.{part.position}.{field}": pair for field, pair in changes.items()}
    return {
        "part_id": part.id,
        "organization_id": author.organization_id,
        "customers": author.reach.customers,
        "user_id": author.user_id,
        "change_id": ChangeId(new_id()),
        "changes": json.dumps(named),
        "audit": entries_json(
            author.actor, Entry(action, part.root_id, before={"state": part.state})
        ),
    }


# The history's names of what the audit log shows of a change, and the audit log's.
_SHOWN = {
    "integration": "channelId",
    "state": "state",
    "review": "review",
    "publishDate": "publishDate",
}


def _entries(parts: Sequence[NewPart], changes: Sequence[Change]) -> Iterator[Entry]:
    """Make the entries of the audit log: what a new post is like, and what changed in an old one."""
    roots = {part.id: part for part in parts}
    for change in changes:
        action, root = Action(f"post.{change.action}"), roots[change.root_id]
        if change.revision == 1:
            after = {"channelId": root.channel_id, "state": root.state, "review": root.review}
            yield Entry(action, root.id, after={**after, "publishDate": root.publish_at})
            continue
        recorded = {
            name: change.changes[key] for key, name in _SHOWN.items() if key in change.changes
        }
        before, after = ({name: pair[side] for name, pair in recorded.items()} for side in (0, 1))
        yield Entry(action, root.id, before, after)


def _part_row(part: NewPart) -> dict[str, Any]:
    return {name: getattr(part, name) for name in NewPart.__slots__}


def _change_row(change: Change) -> dict[str, Any]:
    return {
        "id": ChangeId(new_id()),
        "root_id": change.root_id,
        "revision": change.revision,
        "action": change.action,
        "changes": dict(change.changes),
    }


def _json(rows: Sequence[Mapping[str, Any]]) -> Json:
    return json.dumps(rows, default=_as_text, separators=(",", ":"))


def _as_text(value: UUID | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
