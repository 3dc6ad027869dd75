"""Lists the audit log for an organization's administrators, or a person's own account, and exports it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from shared.audit.queries import LIST_OF_ACCOUNT, LIST_OF_ORGANIZATION, EntryRow
from shared.audit.schemas import Format, Log, LogEntry, LogFilter
from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.formats.csv import csv_text
from shared.core.ids import AuditEventId, OrganizationId, UserId
from shared.core.page import read_cursor, write_cursor

MOST_EXPORTED = 5_000
"""The most entries of one export. With half a kilobyte each, they stay below Lambda's limit for an answer."""


class Export(NamedTuple):
    """A part of the log as a file. `next_cursor` leads to the rest."""

    content: str
    next_cursor: str | None


def list_log(
    session: Session,
    organization_id: OrganizationId,
    wanted: LogFilter,
    *,
    cursor: str | None,
    limit: int,
) -> Log:
    """List one page of an organization's log, newest first.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    rows = LIST_OF_ORGANIZATION.all(
        session,
        organization_id,
        who=wanted.who,
        action=wanted.action,
        subject=wanted.subject,
        since=wanted.since,
        until=wanted.until,
        limit=limit + 1,
        **_before(cursor),
    )
    return _page(rows, limit)


def list_own_log(session: Session, user_id: UserId, *, cursor: str | None, limit: int) -> Log:
    """List one page of what was done to a person's account, by them or by others, newest first.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    rows = LIST_OF_ACCOUNT.all(session, user_id, limit=limit + 1, **_before(cursor))
    return _page(rows, limit)


def export_log(
    session: Session,
    organization_id: OrganizationId,
    wanted: LogFilter,
    form: Format,
    *,
    cursor: str | None,
) -> Export:
    """Return up to `MOST_EXPORTED` entries of an organization's log as a file, newest first.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    log = list_log(session, organization_id, wanted, cursor=cursor, limit=MOST_EXPORTED)
    entries = [entry.model_dump(mode="json", by_alias=True) for entry in log.entries]
    if form is Format.CSV:
        header = [field.alias or name for name, field in LogEntry.model_fields.items()]
        content = csv_text(header, map(_cells, entries))
    else:
        content = "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)
    return Export(content, log.next_cursor)


def format_for(accept: str) -> Format | None:
    """Return the format of a file that the header `Accept` asks for; None if it asks for none."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((form for form in Format if form.media_type in kinds), None)


def _cells(entry: Mapping[str, Any]) -> list[str]:
    return list(map(_cell, entry.values()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


class _Before(NamedTuple):
    """The place in the list before which a page begins."""

    before_at: datetime | None = None
    before_id: AuditEventId | None = None


def _before(cursor: str | None) -> Mapping[str, Any]:
    if not cursor:
        return _Before()._asdict()
    at, event_id = read_cursor(cursor, parts=2)
    try:
        place = _Before(clock.as_utc(datetime.fromisoformat(at)), AuditEventId(UUID(event_id)))
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use `nextCursor` from an earlier page."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error
    return place._asdict()


def _page(rows: list[EntryRow], limit: int) -> Log:
    page, more = rows[:limit], len(rows) > limit
    return Log(
        entries=[LogEntry.model_validate(row) for row in page],
        next_cursor=write_cursor(page[-1].at.isoformat(), str(page[-1].id)) if more else None,
    )
