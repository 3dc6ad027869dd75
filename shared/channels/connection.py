"""Opens a connection to a platform's API from a channel's sealed tokens.

This module does not use the database. A caller selects `OPENED_CHANNEL` in its own statement, converts the row to an
`OpenedChannel`, and opens the connection outside its transaction, because unsealing may need the key service.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from shared.aws.keys import open_sealed
from shared.aws.secrets import secret
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.core.ids import ChannelId, CustomerId, OrganizationId
from shared.core.net import guarded_client, timed_client
from shared.db.statement import sql
from shared.providers.base import Provider
from shared.providers.errors import AppMisconfigured, ChannelDisconnected
from shared.providers.http import (
    Api,
    AppCredentials,
    ChannelAccess,
    MediaReader,
    no_media,
    nothing_irrevocable,
)
from shared.providers.registry import provider
from shared.providers.spec import Fields, ProviderSpec

LONGEST_REQUEST = timedelta(minutes=10)  # for uploading a video to a slow server
# A batch of ten posts is published in parallel threads; each keeps one connection, uploads open a second one.
_LIMITS = httpx.Limits(max_connections=40, max_keepalive_connections=20, keepalive_expiry=30)

OPENED_CHANNEL = sql("""
    c.id as channel_id, c.organization_id, c.provider, c.remote_id, c.name as channel_name, c.username,
    c.access_token, c.refresh_token, c.details, c.named_host, c.account_settings, c.token_version,
    c.token_expires_at, c.disabled, c.needs_page, c.disconnected_at, c.deleted_at as channel_deleted_at, c.customer_id
""")
"""The columns of an `OpenedChannelRow` of `channels c`, for any statement."""


@dataclass(frozen=True, slots=True, repr=False)
class OpenedChannelRow:
    """What `get_opened_channel` reads. The rows of statements that select more have it as their base."""

    channel_id: ChannelId
    organization_id: OrganizationId
    provider: str
    remote_id: str
    channel_name: str
    username: str | None
    access_token: bytes
    refresh_token: bytes | None
    details: bytes | None
    named_host: str | None
    account_settings: dict[str, Any]
    token_version: int
    token_expires_at: datetime | None
    disabled: bool
    needs_page: bool
    disconnected_at: datetime | None
    channel_deleted_at: datetime | None
    customer_id: CustomerId | None


@dataclass(frozen=True, slots=True)
class OpenedChannel:
    """A channel with its identity, its sealed tokens, and its status."""

    id: ChannelId
    organization_id: OrganizationId
    provider: str
    remote_id: str
    name: str
    username: str | None
    access_token: bytes = field(repr=False)
    refresh_token: bytes | None = field(repr=False)
    details: bytes | None = field(repr=False)
    named_host: str | None
    account_settings: Mapping[str, Any]
    token_version: int
    token_expires_at: datetime | None
    disabled: bool
    needs_page: bool
    disconnected_at: datetime | None
    deleted_at: datetime | None
    customer_id: CustomerId | None


def get_opened_channel(row: OpenedChannelRow) -> OpenedChannel:
    """Return the channel of a row that may have more columns."""
    return OpenedChannel(
        id=row.channel_id,
        organization_id=row.organization_id,
        provider=row.provider,
        remote_id=row.remote_id,
        name=row.channel_name,
        username=row.username,
        access_token=row.access_token,
        refresh_token=row.refresh_token,
        details=row.details,
        named_host=row.named_host,
        account_settings=row.account_settings,
        token_version=row.token_version,
        token_expires_at=row.token_expires_at,
        disabled=row.disabled,
        needs_page=row.needs_page,
        disconnected_at=row.disconnected_at,
        deleted_at=row.channel_deleted_at,
        customer_id=row.customer_id,
    )


def open_connection(
    channel: OpenedChannel,
    *,
    mark_sending: Callable[[], None] = nothing_irrevocable,
    read_media: MediaReader = no_media,
    deadline: float | None = None,
) -> tuple[Provider, Api]:
    """Open a connection for a channel. `deadline` is a `time.monotonic()` value; see `Api` for the rest.

    Raises:
        AppMisconfigured: this server has no credentials for the platform.
        ChannelDisconnected: the channel no longer has a token.
        CannotOpen: the tokens were sealed for another organization.
    """
    acting = provider(channel.provider)
    api = Api(
        acting.spec,
        http_client(acting.spec),
        access=_access(channel, acting.spec),
        app=our_application(acting.spec),
        classify=acting.classify,
        mark_sending=mark_sending,
        read_media=read_media,
        deadline=deadline,
    )
    return acting, api


def open_new_connection(slug: str, *, deadline: float | None = None) -> tuple[Provider, Api]:
    """Open a connection for an account that is not connected yet.

    Raises:
        AppMisconfigured: this server has no credentials for the platform.
    """
    acting = provider(slug)
    return acting, Api(
        acting.spec,
        http_client(acting.spec),
        app=our_application(acting.spec),
        classify=acting.classify,
        deadline=deadline,
    )


def http_client(spec: ProviderSpec) -> httpx.Client:
    """Return the process's client for a platform, with its connections.

    If members can choose the server (an instance, or an address in the form), it is the guarded client, which only calls
    public addresses; for other platforms we choose the addresses.
    """
    if spec.members_name_servers:
        return _guarded()
    return _plain()


def our_application(spec: ProviderSpec) -> AppCredentials:
    """Return our application's credentials on a platform; empty if the platform needs none.

    Raises:
        AppMisconfigured: the providers' secret lacks them.
    """
    if isinstance(spec.auth, Fields) or not spec.auth.client_id_setting:
        return AppCredentials()  # without reading a secret that may not exist
    return app_credentials(spec, secret(settings().providers_secret_name))


def app_credentials(spec: ProviderSpec, secret: Mapping[str, str]) -> AppCredentials:
    """Read our application's credentials for a platform from the providers' secret.

    Raises:
        AppMisconfigured: they are missing; the message names the missing keys.
    """
    auth = spec.auth
    if isinstance(auth, Fields) or not auth.client_id_setting:
        return AppCredentials()
    names = (auth.client_id_setting, auth.client_secret_setting)
    if missing := [name for name in names if not secret.get(name)]:
        raise AppMisconfigured(
            f"{spec.name} is not set up on this server: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
            f"missing. Ask the operator of this server to add the keys of its {spec.name} "
            "application."
        )
    return AppCredentials(secret[names[0]], secret[names[1]])


def _access(channel: OpenedChannel, spec: ProviderSpec) -> ChannelAccess:
    if not channel.access_token:
        raise ChannelDisconnected(f"This channel has no token for {spec.name}. Reconnect it.")

    def opened(sealed: bytes) -> str:
        return open_sealed(sealed, Purpose.CHANNEL, channel.organization_id)

    details: dict[str, str] = json.loads(opened(channel.details)) if channel.details else {}
    return ChannelAccess(
        remote_id=channel.remote_id,
        username=channel.username,
        access_token=opened(channel.access_token),
        refresh_token=opened(channel.refresh_token) if channel.refresh_token else None,
        details=details,
        settings=channel.account_settings,
        expires_at=channel.token_expires_at,
    )


@functools.cache
def _plain() -> httpx.Client:
    return timed_client(limits=_LIMITS, max_time=LONGEST_REQUEST)


@functools.cache
def _guarded() -> httpx.Client:
    return guarded_client(max_time=LONGEST_REQUEST)
