"""The statements of the audit log. Each entry belongs to an organization or, without one, to a person's account."""

from typing import NamedTuple

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
            insert into audit_addresses (event_id, at, address)
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
