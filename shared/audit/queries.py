"""The statements of the audit log. Each entry belongs to an organization or, without one, to a person's account."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared.core.ids import (
    ApiKeyId,
    AuditEventId,
    GrantId,
    OrganizationId,
    SessionId,
    UserId,
)
from shared.db.statement import Json, NoParams, Sql, Statement, sql

_ANY = sql("true")
_NOTHING_MORE = sql("""
    select cast(null as uuid) as organization_id, cast(null as uuid) as user_id, cast(null as uuid) as subject_id
""")


def recording(only: Sql = _ANY, *, found: Sql = _NOTHING_MORE) -> Sql:
    """Return common table expressions that store the entries of the parameter `audit` (`entries_json`).

    A statement that embeds them stores the entries together with what they are about, without another round trip. `only` is a
    condition on `entry`, for a statement that may do less than requested: `entry.subject_id in (select id from deleted)`.
    `found` selects at most one row with `organization_id`, `user_id` and `subject_id`, for a statement that finds out what the
    caller does not know; without a row, nothing is stored.
    """
    return sql(
        """
        entry as (
            select * from jsonb_to_recordset(cast(:audit as jsonb)) as entry(
                id uuid, organization_id uuid, user_id uuid, impersonated_by uuid, session_id uuid, api_key_id uuid,
                grant_id uuid, link_id uuid, action text, subject_kind text, subject_id uuid, before jsonb, after jsonb,
                request_id text, address text)
        ), recorded as (
            insert into audit_events (at, id, organization_id, user_id, impersonated_by, session_id, api_key_id, grant_id,
                link_id, action, subject_kind, subject_id, before, after, request_id)
            select now(), entry.id, coalesce(entry.organization_id, found.organization_id),
                coalesce(entry.user_id, found.user_id), impersonated_by, session_id, api_key_id, grant_id, link_id, action,
                subject_kind, coalesce(entry.subject_id, found.subject_id), before, after, request_id
            from entry cross join ({found}) found where {only}
            returning id, at
        ), located as (
            insert into audit_addresses (audit_event_id, at, address)
            select recorded.id, recorded.at, entry.address
            from recorded join entry on entry.id = recorded.id
            where entry.address is not null
        )
        """,
        only=only,
        found=found,
    )


class Record(NamedTuple):
    audit: Json


class RecordRow(NamedTuple):
    stored: int


RECORD = Statement(
    "record_audit",
    sql("with {recording} select count(*) as stored from recorded", recording=recording()),
    params=Record,
    row=RecordRow,
)
"""Store entries with their network addresses, for use cases whose statements do not embed them."""


class StrayRow(NamedTuple):
    stray: int


COUNT_STRAY = Statement(
    "count_stray_audit",
    sql("select count(*) as stray from (select from audit_events_default limit 1000) as entry"),
    params=NoParams,
    row=StrayRow,
)
"""Count the entries whose month has no partition; at most 1,000, because the sweep must stay short."""


class EntryRow(NamedTuple):
    id: AuditEventId
    at: datetime
    action: str
    subject_kind: str
    subject_id: UUID | None
    user_id: UserId | None
    impersonated_by: UserId | None
    session_id: SessionId | None
    api_key_id: ApiKeyId | None
    grant_id: GrantId | None
    link_id: UUID | None
    address: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None


_ENTRY = sql("""
    e.id, e.at, e.action, e.subject_kind, e.subject_id, e.user_id, e.impersonated_by, e.session_id, e.api_key_id,
    e.grant_id, e.link_id, a.address, e.before, e.after, e.request_id
""")
_FROM_HERE = sql("""
    (cast(:before_at as timestamptz) is null
        or (e.at, e.id) < (cast(:before_at as timestamptz), cast(:before_id as uuid)))
""")


class OfOrganization(NamedTuple):
    """None for a filter or `before_at` excludes nothing."""

    organization_id: OrganizationId
    who: UserId | None
    action: str | None
    subject: UUID | None
    since: datetime | None
    until: datetime | None
    before_at: datetime | None
    before_id: AuditEventId | None
    limit: int


LIST_OF_ORGANIZATION = Statement(
    "list_audit_of_organization",
    sql(
        """
        select {entry} from audit_events e left join audit_addresses a on a.audit_event_id = e.id
        where e.organization_id = :organization_id
            and (cast(:who as uuid) is null or cast(:who as uuid) in (e.user_id, e.impersonated_by))
            and (cast(:action as text) is null or e.action = cast(:action as text))
            and (cast(:subject as uuid) is null or e.subject_id = cast(:subject as uuid))
            and (cast(:since as timestamptz) is null or e.at >= cast(:since as timestamptz))
            and (cast(:until as timestamptz) is null or e.at < cast(:until as timestamptz))
            and {from_here}
        order by e.at desc, e.id desc
        limit :limit
        """,
        entry=_ENTRY,
        from_here=_FROM_HERE,
    ),
    params=OfOrganization,
    row=EntryRow,
    custom_plan=True,
)
"""List an organization's entries, newest first. Planned for its values, so that filters choose the index and the months."""


class OfAccount(NamedTuple):
    user_id: UserId
    before_at: datetime | None
    before_id: AuditEventId | None
    limit: int


LIST_OF_ACCOUNT = Statement(
    "list_audit_of_account",
    sql(
        """
        select {entry} from audit_events e left join audit_addresses a on a.audit_event_id = e.id
        where e.organization_id is null and (e.user_id = :user_id or e.subject_id = :user_id) and {from_here}
        order by e.at desc, e.id desc
        limit :limit
        """,
        entry=_ENTRY,
        from_here=_FROM_HERE,
    ),
    params=OfAccount,
    row=EntryRow,
    custom_plan=True,
)
"""List the entries about a person's account, by them or by others, newest first."""
