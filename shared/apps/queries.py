"""The statements that read and write third-party apps, authorization codes, grants, and waiting devices.

A grant belongs to an organization, and its statements take that id. An app is identified by its client id and secret, a
code or a device by its hash: those statements cross organizations.
"""

from datetime import datetime
from typing import NamedTuple

from shared.apps.credentials import UNUSED_LIFE
from shared.core.ids import AppId, CustomerId, GrantId, OrganizationId, UserId
from shared.db.statement import Json, NoRow, Statement, columns_in, sql

_IN_USE = sql(
    "coalesce(g.last_used_at, g.updated_at) > now() - make_interval(days => {unused_days})",
    unused_days=UNUSED_LIFE.days,
)
LIVE_GRANT = sql(
    """
    g.revoked_at is null and a.deleted_at is null and not m.disabled and m.created_at <= g.updated_at and {in_use}
    and not exists (
        select from organizations gone where gone.id in (g.organization_id, a.organization_id) and gone.deleted_at is not null)
    """,
    in_use=_IN_USE,
)
"""Whether the consent `g` of the member `m` for the app `a` holds. Its access token may have ended and be refreshed."""

CUSTOMERS_OF_GRANT = sql("""
    case when m.customers is null then g.customers when g.customers is null then m.customers
        else array(select unnest(g.customers) intersect select unnest(m.customers)) end
""")
"""The customers that the consent `g` of the member `m` is limited to: no more than either of them. Null is no limit."""


# --- apps ------------------------------------------------------------------------------------------------------


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Id(NamedTuple):
    id: AppId


class AppRow(NamedTuple):
    id: AppId
    client_id: str
    name: str
    description: str
    picture_url: str | None
    redirect_uris: list[str]
    created_at: datetime


_APP = columns_in("a", AppRow)

FIND_APP = Statement(
    "find_app",
    sql(
        "select {app} from oauth_apps a where a.organization_id = :organization_id and a.deleted_at is null",
        app=_APP,
    ),
    params=OfOrganization,
    row=AppRow,
)
"""Find an organization's own app."""


class NewApp(NamedTuple):
    app_id: AppId
    organization_id: OrganizationId
    client_id: str
    secret_hash: bytes
    name: str
    description: str
    picture_url: str | None
    redirect_uris: list[str]


ADD_APP = Statement(
    "add_app",
    sql(
        """
        insert into oauth_apps as a
            (id, organization_id, client_id, secret_hash, name, description, picture_url, redirect_uris)
        values (:app_id, :organization_id, :client_id, :secret_hash, :name, :description, :picture_url, :redirect_uris)
        on conflict (organization_id) where deleted_at is null do nothing
        returning {app}
        """,
        app=_APP,
    ),
    params=NewApp,
    row=AppRow,
)
"""Add an organization's app; no row: it has one."""


class AppChanges(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    changes: Json


CHANGE_APP = Statement(
    "change_app",
    sql(
        """
        update oauth_apps a set updated_at = now(), (name, description, picture_url, redirect_uris) = (
            select changed.name, changed.description, changed.picture_url, changed.redirect_uris
            from jsonb_populate_record(a, cast(:changes as jsonb)) changed)
        where a.organization_id = :organization_id and a.deleted_at is null
        returning {app}
        """,
        app=_APP,
    ),
    params=AppChanges,
    row=AppRow,
)
"""Change an organization's app; no row: it has none."""


class NewSecret(NamedTuple):
    organization_id: OrganizationId
    secret_hash: bytes


ROTATE_SECRET = Statement(
    "rotate_app_secret",
    sql(
        """
        update oauth_apps a set secret_hash = :secret_hash, updated_at = now()
        where a.organization_id = :organization_id and a.deleted_at is null
        returning {app}
        """,
        app=_APP,
    ),
    params=NewSecret,
    row=AppRow,
)
"""Replace the secret of an organization's app; no row: it has none."""

DELETE_APP = Statement(
    "delete_app",
    sql("""
        with deleted as (
            update oauth_apps set deleted_at = now()
            where organization_id = :organization_id and deleted_at is null
            returning id
        ), revoked as (
            update oauth_grants set revoked_at = now() from deleted
            where oauth_grants.app_id = deleted.id and oauth_grants.revoked_at is null
        ), forgotten as (
            delete from oauth_codes using deleted where oauth_codes.app_id = deleted.id
        )
        select id from deleted
    """),
    params=OfOrganization,
    row=Id,
)
"""Mark an organization's app as deleted, and revoke every consent that it was given; no row: there is none.

One statement, so that no token outlives its app.
"""


# --- programs --------------------------------------------------------------------------------------------------


class ClientId(NamedTuple):
    client_id: str


class ProgramRow(NamedTuple):
    """`organization_id` and its columns are null for an app that registered itself."""

    id: AppId
    organization_id: OrganizationId | None
    client_id: str
    secret_hash: bytes | None
    name: str
    description: str
    picture_url: str | None
    redirect_uris: list[str]
    scopes: list[str] | None
    refreshes: bool
    created_at: datetime
    organization_name: str | None
    organization_since: datetime | None


FIND_PROGRAM = Statement(
    "find_program",
    sql("""
        select a.id, a.organization_id, a.client_id, a.secret_hash, a.name, a.description, a.picture_url,
            a.redirect_uris, a.scopes, a.refreshes, a.created_at, o.name as organization_name,
            o.created_at as organization_since
        from oauth_apps a left join organizations o on o.id = a.organization_id
        where a.client_id = :client_id and a.deleted_at is null and o.deleted_at is null
    """),
    params=ClientId,
    row=ProgramRow,
)
"""Find an app by its client id, with the organization that created it."""


class NewProgram(NamedTuple):
    app_id: AppId
    client_id: str
    secret_hash: bytes | None
    name: str
    picture_url: str | None
    redirect_uris: list[str]
    scopes: list[str]
    refreshes: bool


class Registered(NamedTuple):
    client_id: str
    created_at: datetime


ADD_PROGRAM = Statement(
    "add_program",
    sql("""
        insert into oauth_apps
            (id, client_id, secret_hash, name, description, picture_url, redirect_uris, scopes, refreshes)
        values (:app_id, :client_id, :secret_hash, :name, '', :picture_url, :redirect_uris, :scopes, :refreshes)
        returning client_id, created_at
    """),
    params=NewProgram,
    row=Registered,
)
"""Add an app that registers itself."""


# --- grants ----------------------------------------------------------------------------------------------------


class OfMember(NamedTuple):
    """`of_user` None: whichever member it is."""

    organization_id: OrganizationId
    of_user: UserId | None


class GrantRow(NamedTuple):
    id: GrantId
    device: str
    scopes: list[str]
    granted_at: datetime
    last_used_at: datetime | None
    user_id: UserId
    user_name: str
    email: str
    client_id: str
    name: str
    description: str
    picture_url: str | None


LIST_GRANTS = Statement(
    "list_grants",
    sql(
        """
        select g.id, g.device, g.scopes, g.updated_at as granted_at, g.last_used_at, g.user_id, u.name as user_name,
            u.email, a.client_id, a.name, a.description, a.picture_url
        from oauth_grants g join oauth_apps a on a.id = g.app_id join users u on u.id = g.user_id
        where g.organization_id = :organization_id and g.revoked_at is null and {in_use} and a.deleted_at is null
            and (cast(:of_user as uuid) is null or g.user_id = cast(:of_user as uuid))
        order by g.updated_at desc, g.id
        limit 1000
        """,
        in_use=_IN_USE,
    ),
    params=OfMember,
    row=GrantRow,
    custom_plan=True,
)
"""List the apps that members allowed, latest first; at most 1,000."""


class GrantOfMember(NamedTuple):
    """`of_user` None: whichever member gave it."""

    organization_id: OrganizationId
    grant_id: GrantId
    of_user: UserId | None


REVOKE_GRANT = Statement(
    "revoke_grant",
    sql("""
        update oauth_grants set revoked_at = now(), updated_at = now()
        where organization_id = :organization_id and id = :grant_id and revoked_at is null
            and (cast(:of_user as uuid) is null or user_id = cast(:of_user as uuid))
    """),
    params=GrantOfMember,
    row=NoRow,
)
"""Revoke a grant."""


class ConsentsOf(NamedTuple):
    """`organization_id` None: in every organization."""

    organization_id: OrganizationId | None
    user_id: UserId


class RevokedGrant(NamedTuple):
    """`device` is empty unless the app is a program on one of the user's computers."""

    id: GrantId
    name: str
    device: str
    organization_id: OrganizationId


REVOKE_CONSENTS_OF = Statement(
    "revoke_consents_of",
    sql("""
        with codes as (
            update oauth_codes set used_at = now()
            where user_id = :user_id and used_at is null and expires_at > now()
                and (cast(:organization_id as uuid) is null or organization_id = cast(:organization_id as uuid))
        ), devices as (
            update device_codes set used_at = now()
            where user_id = :user_id and used_at is null and expires_at > now()
                and (cast(:organization_id as uuid) is null or organization_id = cast(:organization_id as uuid))
        )
        update oauth_grants g set revoked_at = now(), updated_at = now()
        from oauth_apps a
        where g.user_id = :user_id and g.revoked_at is null and a.id = g.app_id
            and (cast(:organization_id as uuid) is null or g.organization_id = cast(:organization_id as uuid))
        returning g.id, a.name, g.device, g.organization_id
    """),
    params=ConsentsOf,
    row=RevokedGrant,
)
"""Revoke a user's consents, on devices too, and those that no app has exchanged for a token yet.

One statement, so that no consent is exchanged between the two.
"""


class OfCustomer(NamedTuple):
    organization_id: OrganizationId
    customer_id: CustomerId


FORGET_CUSTOMER_OF_GRANTS = Statement(
    "forget_customer_of_grants",
    sql("""
        update oauth_grants set customers = array_remove(customers, :customer_id)
        where organization_id = :organization_id and :customer_id = any(customers)
    """),
    params=OfCustomer,
    row=NoRow,
)
"""Remove a customer from those that grants are limited to."""
