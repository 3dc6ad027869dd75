"""A post's history: changes by members, and the platform's answer to each try, newest first."""

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field
from sqlalchemy.orm import Session

from shared.channels.queries import channel_in_reach
from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import AttemptId, ChangeId, CustomerId, OrganizationId, PostId, UserId
from shared.core.page import read_cursor, write_cursor
from shared.core.reach import Reach
from shared.core.wire import WireModel, WireTime
from shared.db.statement import Statement, sql
from shared.posts.errors import PostNotFound
from shared.posts.lifecycle import PostState, wire_state

_HIGHEST = UUID(int=2**128 - 1)


class ActorOut(WireModel):
    """Who changed something."""

    id: UserId
    name: str


class AnswerOut(WireModel):
    """The platform's answer, cut and without secrets."""

    status: int | None = None
    code: str | None = None
    body: str | None = None
    request_id: str | None = None


class EventOut(WireModel):
    """One event: a change by a member, or a try to publish a part."""

    id: UUID
    at: WireTime
    kind: Literal["change", "attempt"]
    revision: int
    action: str = Field(
        description="The verb of a change (`edited`), or the outcome of a try (`released`)."
    )
    actor: ActorOut | None = None
    changes: dict[str, Any] | None = Field(
        default=None,
        description="`{field: [before, after]}`; in addition to `state` there is `code` with the full states.",
        examples=[{"state": ["ERROR", "QUEUE"], "code": ["unconfirmed", "queued"]}],
    )
    post_id: PostId | None = Field(default=None, description="The part that was tried.")
    position: int | None = None
    generation: int | None = None
    number: int | None = Field(
        default=None, description="The number of the try within its revision and generation."
    )
    finished_at: WireTime | None = None
    release_url: str | None = Field(default=None, alias="releaseURL")
    error_code: str | None = None
    error: str | None = None
    answer: AnswerOut | None = None


class HistoryOut(WireModel):
    """One page of a post's history, newest first."""

    history: list[EventOut]
    next_cursor: str | None


class HistoryPage(NamedTuple):
    """Events after a position; the first page has the time `infinity`."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    post_id: PostId
    after_time: datetime | str
    after_id: UUID
    page_size: int


class EventRow(NamedTuple):
    """A post without events has one row of nulls."""

    is_there: bool
    id: ChangeId | AttemptId
    at: datetime
    kind: Literal["change", "attempt"]
    revision: int
    action: str
    changes: dict[str, Any] | None
    actor_id: UserId | None
    actor_name: str | None
    post_id: PostId | None
    position: int | None
    generation: int | None
    number: int | None
    finished_at: datetime | None
    release_url: str | None
    error_code: str | None
    error_message: str | None
    evidence: dict[str, Any] | None


# Each side of the union is limited to a page by its own index before they are merged.
_HISTORY = Statement(
    "list_history",
    sql(
        """
        with named as (
            select p.root_id from posts p
            where p.id = :post_id and p.organization_id = :organization_id and {in_reach}
        )
        select event.id is not null as is_there, event.id, event.at, event.kind, event.revision, event.action, event.changes,
            event.actor_id, event.actor_name, event.post_id, event.position, event.generation, event.number,
            event.finished_at, event.release_url, event.error_code, event.error_message, event.evidence
        from named left join lateral (
            (select r.id, r.created_at as at, 'change' as kind, r.revision, r.action, r.changes, u.id as actor_id,
                coalesce(nullif(trim(u.name || ' ' || u.last_name), ''), u.email) as actor_name,
                cast(null as uuid) as post_id, cast(null as integer) as position, cast(null as integer) as generation,
                cast(null as integer) as number, cast(null as timestamptz) as finished_at,
                cast(null as text) as release_url, cast(null as text) as error_code,
                cast(null as text) as error_message, cast(null as jsonb) as evidence
            from revisions r left join users u on u.id = r.actor_id
            where r.root_id = named.root_id and r.organization_id = :organization_id
                and (r.created_at, r.id) < (cast(:after_time as timestamptz), cast(:after_id as uuid))
            order by r.created_at desc, r.id desc limit :page_size)
            union all
            (select a.id, a.started_at, 'attempt', a.revision, a.state, null, null, null, a.post_id, p.position,
                a.generation, a.number, a.finished_at, a.release_url, a.error_code, a.error_message, a.evidence
            from attempts a join posts p on p.id = a.post_id
            where a.root_id = named.root_id and a.organization_id = :organization_id
                and (a.started_at, a.id) < (cast(:after_time as timestamptz), cast(:after_id as uuid))
            order by a.started_at desc, a.id desc limit :page_size)
        ) event on true
        order by event.at desc, event.id desc limit :page_size
        """,
        in_reach=channel_in_reach(sql("p.channel_id")),
    ),
    params=HistoryPage,
    row=EventRow,
)
"""List changes and attempts of a post, the newest first; no row: there is no such post.

One statement, because the two are one list.
"""


def list_history(
    session: Session,
    reach: Reach,
    post_id: PostId,
    *,
    cursor: str | None,
    page_size: int,
) -> HistoryOut:
    """List the events of a post, deleted or not, by any part's id.

    Raises:
        PostNotFound: there is none.
    """
    after_time, after_id = _position(cursor)
    rows = _HISTORY.all(
        session,
        *reach,
        post_id=post_id,
        after_time=after_time or "infinity",
        after_id=after_id,
        page_size=page_size + 1,
    )
    if not rows:
        raise PostNotFound
    events = [row for row in rows if row.is_there]
    listed, more = events[:page_size], len(events) > page_size
    last = listed[-1] if more else None
    return HistoryOut(
        history=[_event(row) for row in listed],
        next_cursor=write_cursor(last.at.isoformat(), str(last.id)) if last else None,
    )


def _position(cursor: str | None) -> tuple[datetime | None, UUID]:
    if not cursor:
        return None, _HIGHEST
    moment, event_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(moment)), UUID(event_id)
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error


def _event(row: EventRow) -> EventOut:
    return EventOut(
        id=row.id,
        at=row.at,
        kind=row.kind,
        revision=row.revision,
        action=row.action,
        actor=ActorOut(id=row.actor_id, name=row.actor_name or "") if row.actor_id else None,
        changes=_changes(row.changes),
        post_id=row.post_id,
        position=row.position,
        generation=row.generation,
        number=row.number,
        finished_at=row.finished_at,
        release_url=row.release_url,
        error_code=row.error_code,
        error=row.error_message,
        answer=_answer(row.evidence) if row.evidence else None,
    )


def _changes(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the wire names of states, and the full states in addition, because ERROR means failed or unconfirmed."""
    listed: dict[str, Any] = {}
    for field, pair in (stored or {}).items():
        path, dot, name = field.rpartition(".")
        if name == "state":
            listed[field] = [wire_state(PostState(one)) for one in pair]
            listed[f"{path}{dot}code"] = pair
        else:
            listed[field] = pair
    return listed if stored is not None else None


def _answer(evidence: dict[str, Any]) -> AnswerOut:
    return AnswerOut(
        status=evidence.get("status"),
        code=evidence.get("platform_code"),
        body=evidence.get("body"),
        request_id=evidence.get("request_id"),
    )
