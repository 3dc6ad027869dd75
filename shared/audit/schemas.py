"""How entries of the audit log look on the wire."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from shared.audit.entries import Action
from shared.core.ids import ApiKeyId, AuditEventId, GrantId, SessionId, UserId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import WireModel, WireTime


class Format(StrEnum):
    """A format of an export."""

    CSV = "csv"
    JSON_LINES = "jsonl"

    @property
    def media_type(self) -> str:
        """Return its media type."""
        return "text/csv" if self is Format.CSV else "application/jsonl"


class LogFilter(WireModel):
    """What to list; a filter that is left out excludes nothing."""

    who: UserId | None = Field(
        default=None, description="The person who acted, or in whose place somebody acted."
    )
    action: Action | None = Field(default=None, description="What was done.")
    subject: UUID | None = Field(default=None, description="The id of what it was done to.")
    since: WireTime | None = Field(default=None, alias="from", description="Included.")
    until: WireTime | None = Field(default=None, alias="to", description="Not included.")


class LogQuery(LogFilter):
    """The filters, with the page or the format of a file."""

    format: Format | None = Field(
        default=None, description="A file instead of a page; `limit` does not apply."
    )
    cursor: str | None = Field(default=None, max_length=500)
    limit: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE)


class LogEntry(WireModel):
    """One action. Names are not stored: `GET /settings/team` and the other lists have them."""

    id: AuditEventId
    at: WireTime
    action: str = Field(examples=["api_key.created"])
    subject_kind: str = Field(examples=["api_key"])
    subject_id: UUID | None
    user_id: UserId | None = Field(description="The person in whose name it was done.")
    impersonated_by: UserId | None = Field(description="The operator who acted in their place.")
    session_id: SessionId | None
    api_key_id: ApiKeyId | None
    grant_id: GrantId | None = Field(description="The consent by which an app acted.")
    link_id: UUID | None = Field(description="The review link by which somebody acted.")
    address: str | None = Field(description="The network address; deleted after 30 days.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None = Field(description="The `X-Request-Id` of the request.")


class Log(WireModel):
    """A page of the audit log, newest first."""

    entries: list[LogEntry]
    next_cursor: str | None
