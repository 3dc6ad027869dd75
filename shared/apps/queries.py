"""The statements that read and write third-party apps, authorization codes, grants, and waiting devices.

A grant belongs to an organization, and its statements take that id. An app is identified by its client id and secret, a
code or a device by its hash: those statements cross organizations.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.apps.credentials import UNUSED_LIFE
from shared.core.ids import OrganizationId, UserId
from shared.db.statement import Json, NoRow, Statement, columns_in, sql

_IN_USE = sql(
    "coalesce(g.last_used_at, g.updated_at) > now() - make_interval(days => {unused_days})",
    unused_days=UNUSED_LIFE.days,
)
LIVE_GRANT = sql(
    """
    g.revoked_at is null and a.deleted_at is null and not m.disabled and m.created_at <= g.updated_at and {in_use}
    """,
    in_use=_IN_USE,
)
"""Whether the consent `g` of the member `m` for the app `a` holds. Its access token may have ended and be refreshed."""


# --- apps ------------------------------------------------------------------------------------------------------


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Id(NamedTuple):
    id: UUID


class AppRow(NamedTuple):
    id: UUID
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
    app_id: UUID
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

    id: UUID
    organization_id: UUID | None
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
        where a.client_id = :client_id and a.deleted_at is null
    """),
    params=ClientId,
    row=ProgramRow,
)
"""Find an app by its client id, with the organization that created it."""


class NewProgram(NamedTuple):
    app_id: UUID
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


# --- codes and tokens ------------------------------------------------------------------------------------------


class NewCode(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId
    code_hash: bytes
    app_id: UUID
    redirect_uri: str
    code_challenge: str | None
    scopes: list[str]
    life_seconds: float


ADD_CODE = Statement(
    "add_oauth_code",
    sql("""
        insert into oauth_codes
            (code_hash, app_id, organization_id, user_id, redirect_uri, code_challenge, scopes, expires_at)
        values (:code_hash, :app_id, :organization_id, :user_id, :redirect_uri, :code_challenge, :scopes,
            now() + make_interval(secs => :life_seconds))
    """),
    params=NewCode,
    row=NoRow,
)
"""Add a consent that waits to be exchanged."""


class OneCode(NamedTuple):
    app_id: UUID
    code_hash: bytes


class CodeRow(NamedTuple):
    code_hash: bytes
    redirect_uri: str
    code_challenge: str | None
    scopes: list[str]
    is_used: bool


FIND_CODE = Statement(
    "find_oauth_code",
    sql("""
        select code_hash, redirect_uri, code_challenge, scopes, used_at is not null as is_used
        from oauth_codes
        where app_id = :app_id and code_hash = :code_hash and (expires_at > now() or used_at is not null)
    """),
    params=OneCode,
    row=CodeRow,
)
"""Find an app's code, used or not, that has not expired."""


class Granted(NamedTuple):
    organization_id: UUID
    scopes: list[str]


# One grant per app, member, organization and device: the statement that issues the new token ends the previous one. A
# device is new each time, so that signing in on one computer does not sign out another.
_GRANTED = sql("""
    touched as (update oauth_apps set last_used_at = now() from used where oauth_apps.id = used.app_id)
    insert into oauth_grants as g (id, app_id, organization_id, user_id, device, scopes, token_hash, token_ends_at,
        family_hash, refresh_hash)
    select cast(:grant_id as uuid), app_id, organization_id, user_id, device, scopes, :token_hash,
        now() + make_interval(secs => :life_seconds), :family_hash, :refresh_hash from used
    on conflict (app_id, user_id, organization_id, device) do update set
        token_hash = excluded.token_hash, token_ends_at = excluded.token_ends_at, family_hash = excluded.family_hash,
        refresh_hash = excluded.refresh_hash, scopes = excluded.scopes, revoked_at = null, last_used_at = null,
        updated_at = now()
    returning g.organization_id, g.scopes
""")


class CodeExchange(NamedTuple):
    grant_id: UUID
    code_hash: bytes
    token_hash: bytes
    life_seconds: float | None
    family_hash: bytes | None
    refresh_hash: bytes | None


# The app's row is locked before the code's, as when an app is deleted; otherwise the two could deadlock.
# The lock on the code's row serializes concurrent exchanges, and the second finds it used.
EXCHANGE_CODE = Statement(
    "exchange_oauth_code",
    sql(
        """
        with app as (
            select a.id from oauth_apps a
            where a.id = (select app_id from oauth_codes where code_hash = :code_hash) and a.deleted_at is null
            for update
        ), used as (
            update oauth_codes set used_at = now(), token_hash = :token_hash from app
            where code_hash = :code_hash and app_id = app.id and used_at is null and expires_at > now()
            returning app_id, organization_id, user_id, '' as device, scopes
        ), {granted}
        """,
        granted=_GRANTED,
    ),
    params=CodeExchange,
    row=Granted,
)
"""Use up a code and activate its grant; no row: another request was first.

One statement, so that a code gives one token.
"""


class RefreshFamily(NamedTuple):
    """`fresh_seconds`: how long the access token of a grant that `is_fresh` is still good, at least."""

    app_id: UUID
    family_hash: bytes
    fresh_seconds: float


class RefreshedRow(NamedTuple):
    id: UUID
    organization_id: UUID
    refresh_hash: bytes
    scopes: list[str]
    is_fresh: bool


FIND_REFRESHED = Statement(
    "find_refreshed",
    sql(
        """
        select g.id, g.organization_id, g.refresh_hash, g.scopes,
            g.token_ends_at > now() + make_interval(secs => :fresh_seconds) as is_fresh
        from oauth_grants g
        join oauth_apps a on a.id = g.app_id
        join members m on m.organization_id = g.organization_id and m.user_id = g.user_id
        where g.app_id = :app_id and g.family_hash = :family_hash and {live_grant}
        """,
        live_grant=LIVE_GRANT,
    ),
    params=RefreshFamily,
    row=RefreshedRow,
)
"""Find an app's valid grant by the family of its refresh tokens."""


class Rotation(NamedTuple):
    grant_id: UUID
    old_refresh_hash: bytes
    token_hash: bytes
    life_seconds: float | None
    family_hash: bytes | None
    refresh_hash: bytes | None


ROTATE = Statement(
    "rotate_refreshed",
    sql("""
        update oauth_grants set token_hash = :token_hash, token_ends_at = now() + make_interval(secs => :life_seconds),
            family_hash = :family_hash, refresh_hash = :refresh_hash, last_used_at = now()
        where id = :grant_id and refresh_hash = :old_refresh_hash and revoked_at is null
        returning organization_id, scopes
    """),
    params=Rotation,
    row=Granted,
)
"""Replace a grant's tokens if `old_refresh_hash` is the current one; no row: another request was first."""


class OneGrant(NamedTuple):
    grant_id: UUID


# `updated_at` stays: it says when the member consented.
REVOKE_REFRESHED = Statement(
    "revoke_refreshed",
    sql("update oauth_grants set revoked_at = now() where id = :grant_id and revoked_at is null"),
    params=OneGrant,
    row=NoRow,
)
"""Revoke a grant whose refresh token was used twice."""


class Token(NamedTuple):
    app_id: UUID
    token_hash: bytes
    family_hash: bytes


REVOKE_TOKEN = Statement(
    "revoke_oauth_token",
    sql("""
        update oauth_grants set revoked_at = now()
        where app_id = :app_id and (token_hash = :token_hash or family_hash = :family_hash) and revoked_at is null
    """),
    params=Token,
    row=NoRow,
)
"""Revoke an app's grant by its access token, or by any of its refresh tokens."""


class CodeHash(NamedTuple):
    code_hash: bytes


# A refreshed token is recognized by the time of the exchange: one statement wrote both times.
REVOKE_WHAT_CODE_GAVE = Statement(
    "revoke_what_code_gave",
    sql("""
        update oauth_grants g set revoked_at = now() from oauth_codes c
        where c.code_hash = :code_hash and g.revoked_at is null
            and (g.token_hash = c.token_hash
                or (g.family_hash is not null and g.app_id = c.app_id and g.user_id = c.user_id
                    and g.organization_id = c.organization_id and g.updated_at = c.used_at))
    """),
    params=CodeHash,
    row=NoRow,
)
"""Revoke the token that was issued for a code, refreshed or not, if it is still valid."""


# --- grants ----------------------------------------------------------------------------------------------------


class OfMember(NamedTuple):
    """`of_user` None: whichever member it is."""

    organization_id: OrganizationId
    of_user: UserId | None


class GrantRow(NamedTuple):
    id: UUID
    device: str
    scopes: list[str]
    granted_at: datetime
    last_used_at: datetime | None
    user_id: UUID
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
    grant_id: UUID
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


# --- devices ---------------------------------------------------------------------------------------------------


class NewDevice(NamedTuple):
    app_id: UUID
    client_id: str
    name: str
    description: str
    device_code_hash: bytes
    user_code: str
    life_seconds: float


class UserCode(NamedTuple):
    user_code: str


ADD_DEVICE = Statement(
    "add_device",
    sql("""
        with known as (
            insert into oauth_apps (id, client_id, name, description, redirect_uris)
            values (:app_id, :client_id, :name, :description, '{}')
            on conflict (client_id) do update set name = excluded.name
            returning id
        )
        insert into device_codes (device_code_hash, user_code, app_id, expires_at)
        select cast(:device_code_hash as bytea), cast(:user_code as text), id,
            now() + make_interval(secs => :life_seconds)
        from known
        on conflict (user_code) do nothing
        returning user_code
    """),
    params=NewDevice,
    row=UserCode,
)
"""Add a waiting device, and its app if it does not exist yet; no row: the user code is taken.

One statement, so that no device is without its app.
"""


class Decision(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId
    user_code: str
    approves: bool


SETTLE_DEVICE = Statement(
    "settle_device",
    sql("""
        update device_codes set organization_id = :organization_id, user_id = :user_id,
            approved_at = case when :approves then now() end, denied_at = case when not :approves then now() end
        where user_code = :user_code and expires_at > now() and approved_at is null and denied_at is null
    """),
    params=Decision,
    row=NoRow,
)
"""Record a member's decision about a waiting device."""


class Poll(NamedTuple):
    device_code_hash: bytes
    interval_seconds: float


class DeviceRow(NamedTuple):
    is_denied: bool
    is_approved: bool
    is_over: bool
    too_soon: bool


POLL_DEVICE = Statement(
    "poll_device",
    sql("""
        with found as (
            select * from device_codes where device_code_hash = :device_code_hash for update
        ), asked as (
            update device_codes set last_asked_at = now() from found
            where device_codes.device_code_hash = found.device_code_hash
        )
        select denied_at is not null as is_denied, approved_at is not null as is_approved,
            used_at is not null or expires_at <= now() as is_over,
            coalesce(last_asked_at > now() - make_interval(secs => :interval_seconds), false) as too_soon
        from found
    """),
    params=Poll,
    row=DeviceRow,
)
"""Record a device's poll, and return its state; `too_soon` if it polled less than `interval_seconds` ago.

One statement, so that the second of two concurrent polls is too soon.
"""


class DeviceExchange(NamedTuple):
    grant_id: UUID
    device_code_hash: bytes
    scopes: list[str]
    token_hash: bytes
    life_seconds: float | None
    family_hash: bytes | None
    refresh_hash: bytes | None


EXCHANGE_DEVICE = Statement(
    "exchange_device_code",
    sql(
        """
        with used as (
            update device_codes set used_at = now()
            where device_code_hash = :device_code_hash
                and approved_at is not null and used_at is null and expires_at > now()
            returning app_id, organization_id, user_id, user_code as device, cast(:scopes as text[]) as scopes
        ), {granted}
        """,
        granted=_GRANTED,
    ),
    params=DeviceExchange,
    row=Granted,
)
"""Use up an approved device code and activate its grant; no row: another request was first.

One statement, so that a code gives one token.
"""
