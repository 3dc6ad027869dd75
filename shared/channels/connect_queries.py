"""The statements that turn a pending connection into a channel.

The state of a connection proves the right to it, so its statements cross organizations. It is valid only while the member who
started may still connect channels, and for the customers that they see by then.
"""

from datetime import datetime
from typing import NamedTuple

from shared.channels.connectors import customers_of, still_may_connect
from shared.channels.queries import IN_REACH, SUMMARY, ChannelSummary
from shared.core.ids import (
    ApiKeyId,
    ChannelId,
    CustomerId,
    GrantId,
    OrganizationId,
    SessionId,
    UserId,
)
from shared.db.statement import Json, NoRow, Statement, sql


class NewState(NamedTuple):
    organization_id: OrganizationId
    state: str
    user_id: UserId
    session_id: SessionId | None
    impersonated_by: UserId | None
    api_key_id: ApiKeyId | None
    grant_id: GrantId | None
    provider: str
    redirect_uri: str
    remember: bytes
    reconnects: ChannelId | None
    customer_id: CustomerId | None
    return_url: str | None
    life_seconds: float


ADD_STATE = Statement(
    "add_oauth_state",
    sql("""
        insert into oauth_states (state, organization_id, user_id, session_id, impersonated_by, api_key_id, grant_id,
            provider, redirect_uri, remember, reconnects, customer_id, return_url, expires_at)
        values (:state, :organization_id, :user_id, :session_id, :impersonated_by, :api_key_id, :grant_id,
            :provider, :redirect_uri, :remember, :reconnects, :customer_id, :return_url,
            now() + make_interval(secs => :life_seconds))
    """),
    params=NewState,
    row=NoRow,
)
"""Store a pending connection."""


class OneState(NamedTuple):
    state: str
    provider: str


class StateRow(NamedTuple):
    state: str
    organization_id: OrganizationId
    organization_name: str
    organization_since: datetime
    user_id: UserId
    session_id: SessionId | None
    impersonated_by: UserId | None
    api_key_id: ApiKeyId | None
    grant_id: GrantId | None
    provider: str
    redirect_uri: str
    remember: bytes
    reconnects: ChannelId | None
    customer_id: CustomerId | None
    customers: list[CustomerId] | None
    return_url: str | None


_IS_ALIVE = sql(
    """
    oauth_states.state = :state and oauth_states.provider = :provider and oauth_states.expires_at > now()
    and {still_may_connect}
    """,
    still_may_connect=still_may_connect("oauth_states"),
)

FIND_STATE = Statement(
    "find_oauth_state",
    sql(
        """
        select oauth_states.state, oauth_states.organization_id, o.name as organization_name,
            o.created_at as organization_since, oauth_states.user_id, oauth_states.session_id,
            oauth_states.impersonated_by, oauth_states.api_key_id, oauth_states.grant_id, oauth_states.provider,
            oauth_states.redirect_uri, oauth_states.remember, oauth_states.reconnects, oauth_states.customer_id,
            oauth_states.return_url, {customers} as customers
        from oauth_states join organizations o on o.id = oauth_states.organization_id
        where {is_alive} and o.deleted_at is null
        """,
        is_alive=_IS_ALIVE,
        customers=customers_of("oauth_states"),
    ),
    params=OneState,
    row=StateRow,
)
"""Find a pending connection without using it up, with the customers that the member who started sees now."""


class UsedState(NamedTuple):
    """`customers`: those that the member who started sees; None: all."""

    customers: list[CustomerId] | None


USE_STATE = Statement(
    "use_oauth_state",
    sql(
        "delete from oauth_states where {is_alive} returning {customers} as customers",
        is_alive=_IS_ALIVE,
        customers=customers_of("oauth_states"),
    ),
    params=OneState,
    row=UsedState,
)
"""Use up a pending connection; only one of two concurrent requests deletes the row."""


class Account(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    provider: str
    remote_id: str


class KnownAccount(NamedTuple):
    """An account's present or former channel. `is_in_use`: it can publish posts."""

    id: ChannelId
    name: str
    is_deleted: bool
    needs_page: bool
    is_visible: bool

    @property
    def is_in_use(self) -> bool:
        """Whether the channel exists and its connection is complete; one whose page is not chosen yet publishes nothing."""
        return not self.is_deleted and not self.needs_page


LOCK_ACCOUNT = Statement(
    "lock_account",
    sql(
        """
        select c.id, c.name, c.deleted_at is not null as is_deleted, c.needs_page,
            coalesce({in_reach}, false) as is_visible
        from channels c
        where c.organization_id = :organization_id and c.provider = :provider and c.remote_id = :remote_id
            and (c.deleted_at is null or {in_reach})
        order by c.deleted_at desc nulls first limit 1
        for update
        """,
        in_reach=IN_REACH,
    ),
    params=Account,
    row=KnownAccount,
)
"""Find and lock an account's row: the existing one, otherwise the last deleted one that the caller may see.

An existing one is found in any case, because an organization connects an account once.
"""


class NewAccess(NamedTuple):
    """`refresh_token` None keeps the stored one."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId
    remote_id: str
    root_remote_id: str | None
    needs_page: bool
    access_token: bytes
    refresh_token: bytes | None
    token_expires_at: datetime | None
    details: bytes | None
    named_host: str | None
    name: str
    username: str | None
    picture_url: str | None
    account_settings: Json


RENEW_CHANNEL = Statement(
    "renew_channel",
    sql(
        """
        update channels c set remote_id = :remote_id, root_remote_id = :root_remote_id, needs_page = :needs_page,
            access_token = :access_token, refresh_token = coalesce(cast(:refresh_token as bytea), c.refresh_token),
            token_expires_at = :token_expires_at, details = :details, named_host = :named_host, name = :name,
            username = :username, picture_url = :picture_url, account_settings = cast(:account_settings as jsonb),
            token_version = c.token_version + 1, refresh_lease_until = null, disconnected_at = null,
            disconnected_reason = null, disabled = c.disabled and c.deleted_at is null,
            disabled_by = case when c.deleted_at is null then c.disabled_by end, deleted_at = null,
            updated_at = now()
        where c.organization_id = :organization_id and c.id = :channel_id and {in_reach}
        returning {summary}
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=NewAccess,
    row=ChannelSummary,
)
"""Give a channel a new connection, whether it is deleted, disconnected or working."""


class NewChannel(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    customer_id: CustomerId | None
    provider: str
    remote_id: str
    root_remote_id: str | None
    needs_page: bool
    access_token: bytes
    refresh_token: bytes | None
    token_expires_at: datetime | None
    details: bytes | None
    named_host: str | None
    name: str
    username: str | None
    picture_url: str | None
    account_settings: Json
    posting_times: Json
    timezone: str


ADD_CHANNEL = Statement(
    "add_channel",
    sql(
        """
        insert into channels as c (id, organization_id, customer_id, provider, remote_id, root_remote_id, needs_page,
            access_token, refresh_token, token_expires_at, token_version, details, named_host, name, username,
            picture_url, disabled, account_settings, posting_times, timezone, additional_settings)
        values (:channel_id, :organization_id, :customer_id, :provider, :remote_id, :root_remote_id, :needs_page,
            :access_token, :refresh_token, :token_expires_at, 1, :details, :named_host, :name, :username,
            :picture_url, false, cast(:account_settings as jsonb), cast(:posting_times as jsonb), :timezone, '[]')
        on conflict (organization_id, provider, remote_id) where deleted_at is null do nothing
        returning {summary}
        """,
        summary=SUMMARY,
    ),
    params=NewChannel,
    row=ChannelSummary,
)
"""Add a channel; no row: the same account was added meanwhile, and its channel stays unchanged."""


class OfUser(NamedTuple):
    user_id: UserId


class UserName(NamedTuple):
    name: str


FIND_USER_NAME = Statement(
    "find_user_name",
    sql("select coalesce(nullif(name, ''), email) as name from users where id = :user_id"),
    params=OfUser,
    row=UserName,
)
"""Find a user's name, or their address if they have none."""
