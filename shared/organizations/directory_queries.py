"""The statements that list people and organizations for super admins. They cross organizations."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.core.ids import MemberId, OrganizationId, UserId
from shared.db.statement import Statement, sql


class PeopleSearch(NamedTuple):
    """`pattern`: a part of the address or name, for `ilike`; `id`: the person's. `after`: the last address of the page before."""

    pattern: str
    id: UUID | None
    after: str
    limit: int


class PersonRow(NamedTuple):
    id: UserId
    email: str
    name: str
    created_at: datetime
    activated_at: datetime | None
    is_super_admin: bool
    sessions: int
    last_used_at: datetime | None


SEARCH_PEOPLE = Statement(
    "search_people",
    sql("""
        select u.id, u.email, u.name, u.created_at, u.activated_at, u.is_super_admin, coalesce(s.total, 0) as sessions,
            s.last_used_at
        from users u left join lateral (
            select count(*) as total, max(s.last_used_at) as last_used_at from sessions s
            where s.user_id = u.id and s.revoked_at is null and s.expires_at > now() and s.ends_at > now()
        ) s on true
        where u.deleted_at is null and u.email > :after
            and (u.email ilike :pattern or u.name ilike :pattern or u.id = cast(:id as uuid))
        order by u.email
        limit :limit
    """),
    params=PeopleSearch,
    row=PersonRow,
    custom_plan=True,
)
"""List a page of people by address, with their open sessions. Planned for its values: most searches end at an index."""


class People(NamedTuple):
    user_ids: list[UserId]


class SeatOfPerson(NamedTuple):
    user_id: UserId
    id: MemberId
    role: str
    disabled: bool
    organization_id: OrganizationId
    organization_name: str


LIST_SEATS_OF_PEOPLE = Statement(
    "list_seats_of_people",
    sql("""
        select m.user_id, m.id, m.role, m.disabled, o.id as organization_id, o.name as organization_name
        from members m join organizations o on o.id = m.organization_id
        where m.user_id = any(cast(:user_ids as uuid[])) and o.deleted_at is null
        order by m.user_id, m.created_at, m.id
        limit 2000
    """),
    params=People,
    row=SeatOfPerson,
)
"""List the seats of people, first joined first; at most 2,000."""


class OrganizationSearch(NamedTuple):
    """`pattern`: a part of the name, for `ilike`; `id`: the organization's. `after_name`, `after_id`: the page before ended there."""

    pattern: str
    id: UUID | None
    after_name: str
    after_id: UUID
    limit: int


class OrganizationFound(NamedTuple):
    id: OrganizationId
    name: str
    plan: str
    created_at: datetime
    members: int


SEARCH_ORGANIZATIONS = Statement(
    "search_organizations",
    sql("""
        select o.id, o.name, o.plan, o.created_at,
            (select count(*) from members m where m.organization_id = o.id and not m.disabled) as members
        from organizations o
        where o.deleted_at is null and (o.name, o.id) > (:after_name, cast(:after_id as uuid))
            and (o.name ilike :pattern or o.id = cast(:id as uuid))
        order by o.name, o.id
        limit :limit
    """),
    params=OrganizationSearch,
    row=OrganizationFound,
    custom_plan=True,
)
"""List a page of organizations by name, with the number of their open seats."""
