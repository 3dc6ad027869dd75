"""The statements that erase an organization or a person, a page at a time, and the last ones, which remove the row itself.

What hangs on a row by a foreign key goes with it. So only the tables with many rows have a statement of their own, and a
test compares them with the tables that there are.
"""

from typing import NamedTuple

from shared.core.ids import OrganizationId, UserId
from shared.db.statement import NoRow, Sql, Statement, sql


class PageOfOrganization(NamedTuple):
    organization_id: OrganizationId
    page_size: int


class PageOfUser(NamedTuple):
    user_id: UserId
    page_size: int


def _rows_of(table: str) -> Statement[[OrganizationId, int], NoRow]:
    """Return the statement that deletes a page of an organization's rows."""
    return Statement(
        f"erase_{table}",
        sql(
            """
            delete from {table} where ctid in (
                select ctid from {table} where organization_id = :organization_id limit :page_size)
            """,
            table=Sql(table),
        ),
        params=PageOfOrganization,
        row=NoRow,
    )


LARGE_TABLES = (
    "posts",  # with their attempts, revisions, stagings and tags; before the channels, which they refer to
    "channels",
    "media",
    "webhook_deliveries",
    "notifications",
    "channel_reports",
    "idempotency_keys",
)
"""The tables that are emptied in pages, in this order, before the organization's row takes the others along."""

ERASE_ROWS = tuple(_rows_of(table) for table in LARGE_TABLES)
"""Delete a page of an organization's rows, table by table."""


def _made_by(table: str, column: str) -> Statement[[UserId, int], NoRow]:
    """Return the statement that removes a person from a page of what they made."""
    return Statement(
        f"unsign_{table}",
        sql(
            """
            update {table} set {column} = null where ctid in (
                select ctid from {table} where {column} = :user_id limit :page_size)
            """,
            table=Sql(table),
            column=Sql(column),
        ),
        params=PageOfUser,
        row=NoRow,
    )


UNSIGN = (
    _made_by("posts", "created_by"),
    _made_by("media", "uploaded_by"),
    _made_by("revisions", "actor_id"),
)
"""Remove a person from a page of what they made, which stays its organization's."""

ERASE_ADDRESSES = Statement(
    "erase_audit_addresses",
    sql("""
        delete from audit_addresses where audit_event_id in (
            select a.audit_event_id from audit_events e join audit_addresses a on a.audit_event_id = e.id
            where e.user_id = :user_id or e.impersonated_by = :user_id limit :page_size)
    """),
    params=PageOfUser,
    row=NoRow,
)
"""Delete a page of the network addresses that a person's entries of the audit log came from. The entries hold ids only."""

ERASE_COUNTS = Statement(
    "erase_counts",
    sql("""
        delete from rate_limits where key in (
            select key from rate_limits where key like '%:' || cast(cast(:user_id as uuid) as text)
                or exists (select from sessions s where s.user_id = :user_id and s.ip is not null
                    and right(key, length(s.ip) + 1) = ':' || s.ip)
            limit :page_size)
    """),
    params=PageOfUser,
    row=NoRow,
)
"""Delete a page of the counts of a person's calls, and of those from the networks that they signed in from."""

# A notice about a channel that was connected again begins with the name of who did it, or with the address.
ERASE_NOTICES = Statement(
    "erase_notices_of_person",
    sql("""
        delete from notifications where id in (
            select n.id from users u
            join notifications n on n.organization_id in (
                select m.organization_id from members m where m.user_id = u.id
                union select e.organization_id from audit_events e where e.user_id = u.id)
            where u.id = :user_id and (
                starts_with(n.content, coalesce(nullif(u.name, ''), u.email) || ' ')
                or position(u.email in n.content) > 0)
            limit :page_size)
    """),
    params=PageOfUser,
    row=NoRow,
)
"""Delete a page of the notifications that name a person."""


class OneUser(NamedTuple):
    user_id: UserId


class ErasedUser(NamedTuple):
    email: str


ERASE_USER = Statement(
    "erase_user",
    sql("""
        with waiting as (
            delete from challenges where remember->>'email' = (select email from users where id = :user_id)
        ), invited as (
            delete from invitations where email = (select email from users where id = :user_id)
        )
        delete from users where id = :user_id and deleted_at is not null
        returning email
    """),
    params=OneUser,
    row=ErasedUser,
)
"""Delete a person with their seats, sessions, logins, factors and devices, and what waits for their address."""


class OneOrganization(NamedTuple):
    organization_id: OrganizationId


class ErasedOrganization(NamedTuple):
    name: str


ERASE_ORGANIZATION = Statement(
    "erase_organization",
    sql("""
        delete from organizations where id = :organization_id and deleted_at is not null
        returning name
    """),
    params=OneOrganization,
    row=ErasedOrganization,
)
"""Delete an organization with the rest of what it has."""
