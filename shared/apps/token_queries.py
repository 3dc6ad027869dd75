"""The statements that issue, refresh and revoke the tokens of apps: by a code, a refresh token, or a waiting device.

A code, a token and a device are known by their hash alone, so these statements cross organizations.
"""

from typing import NamedTuple

from shared.apps.queries import LIVE_GRANT
from shared.audit.queries import recording
from shared.core.ids import AppId, GrantId, OrganizationId, UserId
from shared.db.statement import Json, NoRow, Statement, sql


class NewCode(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId
    code_hash: bytes
    app_id: AppId
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
    app_id: AppId
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
    organization_id: OrganizationId
    scopes: list[str]


# One grant per app, member, organization and device: the statement that issues the new token ends the previous one. A
# device is new each time, so that signing in on one computer does not sign out another.
_GRANTED = sql(
    """
    touched as (update oauth_apps set last_used_at = now() from used where oauth_apps.id = used.app_id),
    granted as (
        insert into oauth_grants as g (id, app_id, organization_id, user_id, device, scopes, token_hash, token_ends_at,
            family_hash, refresh_hash)
        select cast(:grant_id as uuid), app_id, organization_id, user_id, device, scopes, :token_hash,
            now() + make_interval(secs => :life_seconds), :family_hash, :refresh_hash from used
        on conflict (app_id, user_id, organization_id, device) do update set
            token_hash = excluded.token_hash, token_ends_at = excluded.token_ends_at, family_hash = excluded.family_hash,
            refresh_hash = excluded.refresh_hash, scopes = excluded.scopes, revoked_at = null, last_used_at = null,
            updated_at = now()
        returning g.id as subject_id, g.organization_id, g.user_id, g.scopes
    ), {recording}
    select organization_id, scopes from granted
    """,
    recording=recording(found=sql("select organization_id, user_id, subject_id from granted")),
)


class CodeExchange(NamedTuple):
    grant_id: GrantId
    code_hash: bytes
    token_hash: bytes
    life_seconds: float | None
    family_hash: bytes | None
    refresh_hash: bytes | None
    audit: Json


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

    app_id: AppId
    family_hash: bytes
    fresh_seconds: float


class RefreshedRow(NamedTuple):
    id: GrantId
    organization_id: OrganizationId
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
    grant_id: GrantId
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
    grant_id: GrantId
    audit: Json


class RevokedRow(NamedTuple):
    subject_id: GrantId


_RECORDED = recording(found=sql("select organization_id, user_id, subject_id from revoked"))

# `updated_at` stays: it says when the member consented.
REVOKE_REFRESHED = Statement(
    "revoke_refreshed",
    sql(
        """
        with revoked as (
            update oauth_grants set revoked_at = now() where id = :grant_id and revoked_at is null
            returning id as subject_id, organization_id, user_id
        ), {recorded}
        select subject_id from revoked
        """,
        recorded=_RECORDED,
    ),
    params=OneGrant,
    row=RevokedRow,
)
"""Revoke a grant whose refresh token was used twice, and record it. One statement, because the request is refused."""


class Token(NamedTuple):
    app_id: AppId
    token_hash: bytes
    family_hash: bytes
    audit: Json


REVOKE_TOKEN = Statement(
    "revoke_oauth_token",
    sql(
        """
        with revoked as (
            update oauth_grants set revoked_at = now()
            where app_id = :app_id and (token_hash = :token_hash or family_hash = :family_hash) and revoked_at is null
            returning id as subject_id, organization_id, user_id
        ), {recorded}
        select subject_id from revoked
        """,
        recorded=_RECORDED,
    ),
    params=Token,
    row=RevokedRow,
)
"""Revoke an app's grant by its access token, or by any of its refresh tokens, and record it.

One statement, because the route runs in autocommit.
"""


class CodeHash(NamedTuple):
    code_hash: bytes
    audit: Json


# A refreshed token is recognized by the time of the exchange: one statement wrote both times.
REVOKE_WHAT_CODE_GAVE = Statement(
    "revoke_what_code_gave",
    sql(
        """
        with revoked as (
            update oauth_grants g set revoked_at = now() from oauth_codes c
            where c.code_hash = :code_hash and g.revoked_at is null
                and (g.token_hash = c.token_hash
                    or (g.family_hash is not null and g.app_id = c.app_id and g.user_id = c.user_id
                        and g.organization_id = c.organization_id and g.updated_at = c.used_at))
            returning g.id as subject_id, g.organization_id, g.user_id
        ), {recorded}
        select subject_id from revoked
        """,
        recorded=_RECORDED,
    ),
    params=CodeHash,
    row=RevokedRow,
)
"""Revoke the token that was issued for a code, refreshed or not, if it is still valid, and record it.

One statement, because the request is refused.
"""


# --- devices ---------------------------------------------------------------------------------------------------


class NewDevice(NamedTuple):
    app_id: AppId
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


class DecidedRow(NamedTuple):
    app_id: AppId


SETTLE_DEVICE = Statement(
    "settle_device",
    sql("""
        update device_codes set organization_id = :organization_id, user_id = :user_id,
            approved_at = case when :approves then now() end, denied_at = case when not :approves then now() end
        where user_code = :user_code and expires_at > now() and approved_at is null and denied_at is null
        returning app_id
    """),
    params=Decision,
    row=DecidedRow,
)
"""Store a member's decision about a waiting device, and return its app; no row: no device waits with this code."""


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
    grant_id: GrantId
    device_code_hash: bytes
    scopes: list[str]
    token_hash: bytes
    life_seconds: float | None
    family_hash: bytes | None
    refresh_hash: bytes | None
    audit: Json


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
