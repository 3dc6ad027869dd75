"""The statements that renew and invalidate the tokens of channels. Each checks the version of the token that was sent."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.channels.connection import OPENED_CHANNEL, OpenedChannelRow
from shared.channels.queries import SUMMARY, ChannelSummary
from shared.core.ids import ChannelId, OrganizationId
from shared.db.statement import NoRow, Statement, sql


class RefreshOfChannel(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    sent_version: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class RefreshRow(OpenedChannelRow):
    refresh_lease_until: datetime


CLAIM_REFRESH = Statement(
    "claim_refresh",
    sql(
        """
        update channels c set refresh_lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now()
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null
            and c.token_version = :sent_version and c.disconnected_at is null
            and (c.refresh_lease_until is null or c.refresh_lease_until <= now())
        returning {opened_channel}, c.refresh_lease_until
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=RefreshOfChannel,
    row=RefreshRow,
)
"""Take the lease for renewing a channel's token; no row: it is renewed or being renewed, or the channel was deleted."""


class DueRefreshes(NamedTuple):
    """`seconds` are the horizons of the platforms `slugs`; the page begins after a position, or with the first."""

    slugs: list[str]
    seconds: list[float]
    without_refresh: float
    longest: float
    after_time: datetime | None
    after_id: ChannelId | None
    limit: int


@dataclass(frozen=True, slots=True, repr=False)
class ExpiringRow(OpenedChannelRow):
    seconds_left: float
    paused: bool


# `longest` makes the index on the expiry usable; the line below it is the rule.
DUE_REFRESHES = Statement(
    "due_refreshes",
    sql(
        """
        select {opened_channel},
            extract(epoch from c.token_expires_at - now())::float8 as seconds_left,
            exists (select 1 from provider_pauses pause where pause.provider = c.provider and pause.until > now()) as paused
        from channels c
        join unnest(cast(:slugs as text[]), cast(:seconds as float8[])) as horizon(slug, seconds)
            on horizon.slug = c.provider
        where c.deleted_at is null and c.disconnected_at is null
            and c.token_expires_at < now() + make_interval(secs => cast(:longest as float8))
            and c.token_expires_at < now() + make_interval(secs => greatest(
                horizon.seconds, case when c.refresh_token is null then cast(:without_refresh as float8) else 0 end))
            and (c.refresh_lease_until is null or c.refresh_lease_until <= now())
            and (cast(:after_time as timestamptz) is null
                or (c.token_expires_at, c.id) > (cast(:after_time as timestamptz), cast(:after_id as uuid)))
        order by c.token_expires_at, c.id
        limit :limit
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=DueRefreshes,
    row=ExpiringRow,
)
"""List a page of the tokens that end within their platform's horizon, of all organizations, the first to end first."""


class OneChannel(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId


class TokenStatus(NamedTuple):
    """The status of a channel's token. `disconnected_reason` is null while the channel is connected."""

    token_version: int
    disconnected_reason: str | None


FIND_TOKEN = Statement(
    "find_token",
    sql("""
        select token_version,
            case when disconnected_at is not null then coalesce(disconnected_reason, '') end as disconnected_reason
        from channels
        where organization_id = :organization_id and id = :channel_id and deleted_at is null
    """),
    params=OneChannel,
    row=TokenStatus,
)
"""Find the status of a channel's token; no row: the channel was deleted."""


class RenewedTokens(NamedTuple):
    """`refresh_token` None keeps the stored one."""

    organization_id: OrganizationId
    channel_id: ChannelId
    sent_version: int
    access_token: bytes
    refresh_token: bytes | None
    token_expires_at: datetime | None
    named_host: str | None


class Version(NamedTuple):
    token_version: int


# A refusal of the old token that came in meanwhile is removed, because the new one is valid.
STORE_TOKENS = Statement(
    "store_tokens",
    sql("""
        update channels set access_token = :access_token,
            refresh_token = coalesce(cast(:refresh_token as bytea), refresh_token),
            token_expires_at = :token_expires_at, named_host = :named_host, token_version = token_version + 1,
            refresh_lease_until = null, disconnected_at = null, disconnected_reason = null, updated_at = now()
        where organization_id = :organization_id and id = :channel_id and deleted_at is null
            and token_version = :sent_version
        returning token_version
    """),
    params=RenewedTokens,
    row=Version,
)
"""Store renewed tokens and return their version; no row: others have been stored since."""


class Lease(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    lease: datetime


RELEASE_REFRESH = Statement(
    "release_refresh",
    sql("""
        update channels set refresh_lease_until = null, updated_at = now()
        where organization_id = :organization_id and id = :channel_id and refresh_lease_until = :lease
    """),
    params=Lease,
    row=NoRow,
)
"""Release the lease that ends at `lease`; another process's lease stays."""


class Disconnection(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    sent_version: int
    reason: str


DISCONNECT = Statement(
    "disconnect_channel",
    sql(
        """
        update channels c set disconnected_at = now(), disconnected_reason = :reason, refresh_lease_until = null,
            updated_at = now()
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null
            and c.token_version = :sent_version and c.disconnected_at is null
        returning {summary}
        """,
        summary=SUMMARY,
    ),
    params=Disconnection,
    row=ChannelSummary,
)
"""Record that a member must reconnect; no row: the refusal was for an old token, or is already recorded."""
