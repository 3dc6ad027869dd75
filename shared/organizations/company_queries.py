"""The statements of company logins: the connection, its domains, and the people who come through it."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import ConnectionId, CustomerId, DomainId, MemberId, OrganizationId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.models import Role
from shared.organizations.queries import OfOrganization


class NewConnection(NamedTuple):
    """`client_secret` None keeps the stored one."""

    organization_id: OrganizationId
    id: ConnectionId
    issuer: str
    client_id: str
    client_secret: bytes | None
    role: Role
    customers: list[CustomerId] | None
    required: bool


class ConnectionRow(NamedTuple):
    id: ConnectionId
    issuer: str
    client_id: str
    has_secret: bool
    role: Role
    customers: list[CustomerId] | None
    required: bool


SET_CONNECTION = Statement(
    "set_company_login",
    sql("""
        insert into company_logins as c (id, organization_id, issuer, client_id, client_secret, role, customers, required)
        values (cast(:id as uuid), cast(:organization_id as uuid), :issuer, :client_id, cast(:client_secret as bytea), :role,
            cast(:customers as uuid[]), :required)
        on conflict (organization_id) do update set issuer = excluded.issuer, client_id = excluded.client_id,
            client_secret = coalesce(excluded.client_secret, c.client_secret), role = excluded.role,
            customers = excluded.customers, required = excluded.required, updated_at = now()
        returning id, issuer, client_id, client_secret is not null as has_secret, role, customers, required
    """),
    params=NewConnection,
    row=ConnectionRow,
)
"""Add or change an organization's connection."""

FIND_CONNECTION = Statement(
    "find_company_login",
    sql("""
        select id, issuer, client_id, client_secret is not null as has_secret, role, customers, required
        from company_logins where organization_id = :organization_id
    """),
    params=OfOrganization,
    row=ConnectionRow,
)
"""Find an organization's connection."""


class RemovedConnection(NamedTuple):
    id: ConnectionId


REMOVE_CONNECTION = Statement(
    "remove_company_login",
    sql("delete from company_logins where organization_id = :organization_id returning id"),
    params=OfOrganization,
    row=RemovedConnection,
)
"""Remove an organization's connection, and with it who came through it."""

FORGET_IDENTITIES = Statement(
    "forget_company_identities",
    sql("""
        delete from company_identities i using company_logins c
        where c.organization_id = :organization_id and i.connection_id = c.id
    """),
    params=OfOrganization,
    row=NoRow,
)
"""Forget who came through an organization's connection, because another issuer's subjects are other people."""


class NewDomain(NamedTuple):
    organization_id: OrganizationId
    id: DomainId
    domain: str
    token: str


class DomainRow(NamedTuple):
    id: DomainId
    domain: str
    token: str
    proven_at: datetime | None
    missing_since: datetime | None


_DOMAIN = sql("id, domain, token, proven_at, missing_since")
ADD_DOMAIN = Statement(
    "add_company_domain",
    sql(
        """
        insert into company_domains (id, organization_id, domain, token)
        values (cast(:id as uuid), cast(:organization_id as uuid), :domain, :token)
        on conflict (organization_id, domain) do nothing
        returning {domain_columns}
        """,
        domain_columns=_DOMAIN,
    ),
    params=NewDomain,
    row=DomainRow,
)
"""Add a domain that is not proven yet; no row if the organization has it."""

LIST_DOMAINS = Statement(
    "list_company_domains",
    sql(
        """
        select {domain_columns} from company_domains where organization_id = :organization_id
        order by domain limit 100
        """,
        domain_columns=_DOMAIN,
    ),
    params=OfOrganization,
    row=DomainRow,
)
"""List an organization's domains; at most 100."""


class OneDomain(NamedTuple):
    organization_id: OrganizationId
    domain_id: DomainId


FIND_DOMAIN = Statement(
    "find_company_domain",
    sql(
        """
        select {domain_columns} from company_domains
        where organization_id = :organization_id and id = :domain_id
        """,
        domain_columns=_DOMAIN,
    ),
    params=OneDomain,
    row=DomainRow,
)
"""Find one of an organization's domains."""

# Two organizations prove the same domain at once: the second waits for the index and gets no row.
PROVE_DOMAIN = Statement(
    "prove_company_domain",
    sql(
        """
        update company_domains d set proven_at = coalesce(proven_at, now()), checked_at = now(), missing_since = null
        where organization_id = :organization_id and id = :domain_id and not exists (
            select from company_domains other
            where other.domain = d.domain and other.proven_at is not null and other.id <> d.id)
        returning {domain_columns}
        """,
        domain_columns=_DOMAIN,
    ),
    params=OneDomain,
    row=DomainRow,
)
"""Record that a domain's record is there; no row if another organization has proven the domain."""

REMOVE_DOMAIN = Statement(
    "remove_company_domain",
    sql("delete from company_domains where organization_id = :organization_id and id = :domain_id"),
    params=OneDomain,
    row=NoRow,
)
"""Remove a domain."""

RELEASE_WITHOUT_DOMAINS = Statement(
    "release_company_login",
    sql("""
        update company_logins c set required = false, updated_at = now()
        where c.organization_id = :organization_id and c.required and not exists (
            select from company_domains d where d.organization_id = c.organization_id and d.proven_at is not null)
        returning c.id
    """),
    params=OfOrganization,
    row=RemovedConnection,
)
"""Stop requiring a connection that speaks for no domain any longer: nobody could come through it."""


class OldDomains(NamedTuple):
    days: int
    page_size: int


class OldDomain(NamedTuple):
    organization_id: OrganizationId
    id: DomainId
    domain: str
    token: str
    missing_since: datetime | None


LIST_OLD_DOMAINS = Statement(
    "list_old_company_domains",
    sql("""
        select organization_id, id, domain, token, missing_since from company_domains
        where proven_at is not null and checked_at <= now() - make_interval(days => :days)
        order by checked_at limit :page_size
    """),
    params=OldDomains,
    row=OldDomain,
)
"""List proven domains of any organization that were not asked for lately."""


class DomainResult(NamedTuple):
    """`found` None: no server answered, so the domain is asked for again after a day."""

    organization_id: OrganizationId
    domain_id: DomainId
    found: bool | None
    days: int


class CheckedDomain(NamedTuple):
    domain: str
    is_newly_missing: bool
    is_off: bool


NOTE_DOMAIN = Statement(
    "note_company_domain",
    sql("""
        with before as (
            select id, missing_since from company_domains
            where organization_id = :organization_id and id = :domain_id and proven_at is not null
            for no key update
        )
        update company_domains d set
            checked_at = case when cast(:found as boolean) is null then now() - make_interval(days => :days - 1)
                else now() end,
            missing_since = case when cast(:found as boolean) then null when cast(:found as boolean) is null then before.missing_since
                else coalesce(before.missing_since, now()) end,
            proven_at = case when not cast(:found as boolean) and before.missing_since <= now() - make_interval(days => :days)
                then null else proven_at end
        from before where d.id = before.id
        returning d.domain, d.missing_since is not null and before.missing_since is null as is_newly_missing,
            d.proven_at is null as is_off
    """),
    params=DomainResult,
    row=CheckedDomain,
)
"""Record whether a proven domain's record is still there; without it for `days`, the domain counts no longer."""


class ByDomain(NamedTuple):
    domain: str


class ById(NamedTuple):
    connection_id: ConnectionId


class OpenConnection(NamedTuple):
    """`domains` are the proven ones."""

    id: ConnectionId
    organization_id: OrganizationId
    organization_name: str
    timezone: str
    issuer: str
    client_id: str
    client_secret: bytes | None
    role: Role
    customers: list[CustomerId] | None
    domains: list[str]


_OPEN = sql("""
    select c.id, c.organization_id, o.name as organization_name, o.timezone, c.issuer, c.client_id, c.client_secret, c.role,
        c.customers, array(
            select d.domain from company_domains d
            where d.organization_id = c.organization_id and d.proven_at is not null order by d.domain
        ) as domains
    from company_logins c join organizations o on o.id = c.organization_id
""")
FIND_BY_DOMAIN = Statement(
    "find_company_login_by_domain",
    sql(
        """
        {open}
        where o.deleted_at is null and c.organization_id = (
            select organization_id from company_domains where domain = :domain and proven_at is not null)
        """,
        open=_OPEN,
    ),
    params=ByDomain,
    row=OpenConnection,
)
"""Find the connection that speaks for a domain."""

FIND_BY_ID = Statement(
    "find_company_login_by_id",
    sql("{open} where o.deleted_at is null and c.id = :connection_id", open=_OPEN),
    params=ById,
    row=OpenConnection,
)
"""Find a connection."""


class KnownPerson(NamedTuple):
    connection_id: ConnectionId
    subject: str


class PersonRow(NamedTuple):
    user_id: UserId


USE_IDENTITY = Statement(
    "use_company_identity",
    sql("""
        update company_identities i set last_used_at = now() from users u
        where i.connection_id = :connection_id and i.subject = :subject and u.id = i.user_id
            and u.activated_at is not null and u.deleted_at is null
        returning i.user_id
    """),
    params=KnownPerson,
    row=PersonRow,
)
"""Find who came through a connection with this subject, and record the use."""


class NewPerson(NamedTuple):
    connection_id: ConnectionId
    subject: str
    user_id: UserId


ADD_IDENTITY = Statement(
    "add_company_identity",
    sql("""
        insert into company_identities (connection_id, subject, user_id)
        values (:connection_id, :subject, :user_id)
        on conflict (connection_id, subject) do update set user_id = excluded.user_id, last_used_at = now()
    """),
    params=NewPerson,
    row=NoRow,
)
"""Remember who came through a connection. A subject whose account was deleted becomes another person's."""


class Newcomer(NamedTuple):
    organization_id: OrganizationId
    member_id: MemberId
    user_id: UserId
    role: Role
    customers: list[CustomerId] | None


ADD_NEWCOMER = Statement(
    "add_newcomer",
    sql("""
        insert into members (id, organization_id, user_id, role, customers, disabled)
        values (:member_id, :organization_id, :user_id, :role, cast(:customers as uuid[]), false)
        on conflict (organization_id, user_id) do nothing
    """),
    params=Newcomer,
    row=NoRow,
)
"""Give a person who came through a connection a seat, unless they have one."""
