"""The statements that read and change channels, within a caller's reach; `token_queries.py` has those of tokens."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from shared.channels.connection import (
    OPENED_CHANNEL,
    OpenedChannel,
    OpenedChannelRow,
    get_opened_channel,
)
from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.core.ids import ChannelId, CustomerId, OrganizationId
from shared.core.reach import Reach
from shared.db.reach import WHOLE, in_reach, of_customers
from shared.db.statement import Json, NoRow, Sql, Statement, sql
from shared.organizations.models import Approval, ApprovedBy

IN_REACH = in_reach(sql("c.customer_id"))
"""The condition that the caller may see the channel of a table `channels c`."""

OF_CUSTOMERS = of_customers(sql("c.customer_id"))
"""The same for a caller who is limited to customers, whose channels an index finds; for others it fails."""


def channel_in_reach(channel: Sql) -> Sql:
    """Return the condition that the caller may see a channel by its id, where its table is not joined."""
    return sql(
        """
        ({whole} or exists (select from channels c where c.id = {channel} and {in_reach}))
        """,
        whole=WHOLE,
        channel=channel,
        in_reach=IN_REACH,
    )


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """A channel without its tokens, for members and for composing."""

    id: ChannelId
    organization_id: OrganizationId
    customer_id: CustomerId | None
    customer_name: str | None
    provider: str
    remote_id: str
    root_remote_id: str | None
    name: str
    username: str | None
    picture_url: str | None
    token_expires_at: datetime | None
    disabled: bool
    needs_page: bool
    disconnected_at: datetime | None
    disconnected_reason: str | None
    posting_times: list[dict[str, Any]]
    timezone: str
    account_settings: dict[str, Any]
    additional_settings: list[dict[str, Any]]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ComposedChannel(ChannelSummary):
    """A channel with the rule for the approval of its posts: its customer's, or else the organization's."""

    approval: Approval
    approved_by: ApprovedBy


SUMMARY = sql("""
    c.id, c.organization_id, c.customer_id,
    (select owner.name from customers owner where owner.id = c.customer_id) as customer_name,
    c.provider, c.remote_id, c.root_remote_id, c.name, c.username, c.picture_url, c.token_expires_at, c.disabled,
    c.needs_page, c.disconnected_at, c.disconnected_reason, c.posting_times, c.timezone, c.account_settings,
    c.additional_settings, c.created_at
""")
"""The columns of a `ChannelSummary`, of a table `channels c`."""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None


LIST_CHANNELS = Statement(
    "list_channels",
    sql(
        """
        select {summary} from channels c
        where c.organization_id = :organization_id and c.deleted_at is null and {in_reach}
        order by c.created_at, c.id
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=OfOrganization,
    row=ChannelSummary,
)
"""List an organization's channels, the oldest first."""


class ListedChannels(NamedTuple):
    """`customer_id`: whose channels; None: everybody's."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    customer_id: CustomerId | None


class BriefChannel(NamedTuple):
    """What programs see of a channel in a list."""

    id: ChannelId
    customer_id: CustomerId | None
    customer_name: str | None
    provider: str
    name: str
    username: str | None
    picture_url: str | None
    disabled: bool


LIST_CHANNELS_BRIEFLY = Statement(
    "list_channels_briefly",
    sql(
        """
        select c.id, c.customer_id, owner.name as customer_name, c.provider, c.name, c.username, c.picture_url, c.disabled
        from channels c left join customers owner on owner.id = c.customer_id
        where c.organization_id = :organization_id and c.deleted_at is null
            and (cast(:customer_id as uuid) is null or c.customer_id = :customer_id) and {in_reach}
        order by c.created_at, c.id
        """,
        in_reach=IN_REACH,
    ),
    params=ListedChannels,
    row=BriefChannel,
)
"""List channels for programs, the oldest first: to read whole rows would be most of the list's cost."""


class OneChannel(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId


FIND_CHANNEL = Statement(
    "find_channel",
    sql(
        """
        select {summary} from channels c
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null and {in_reach}
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=OneChannel,
    row=ChannelSummary,
)
"""Find a channel."""


class GivenIds(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    ids: list[ChannelId]


FIND_CHANNELS = Statement(
    "find_channels",
    sql(
        """
        select {summary}, coalesce(client.approval, o.approval) as approval,
            coalesce(client.approved_by, o.approved_by) as approved_by
        from channels c join organizations o on o.id = c.organization_id left join customers client on client.id = c.customer_id
        where c.organization_id = :organization_id and c.id = any(cast(:ids as uuid[])) and c.deleted_at is null
            and {in_reach}
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=GivenIds,
    row=ComposedChannel,
)
"""Find those of the ids that are channels that the caller may see, each with the rule for the approval of its posts."""


class IdRow(NamedTuple):
    id: ChannelId


FIND_UNKNOWN = Statement(
    "find_unknown_channels",
    sql(
        """
        select given.id from unnest(cast(:ids as uuid[])) as given(id)
        where not exists (
            select 1 from channels c
            where c.id = given.id and c.organization_id = :organization_id and c.deleted_at is null and {in_reach})
        """,
        in_reach=IN_REACH,
    ),
    params=GivenIds,
    row=IdRow,
)
"""List the ids that are not channels that the caller may see."""


class NamedChannel(NamedTuple):
    """`id_text`: the name in small letters, as our ids are written."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    provider: str
    remote_id: str
    id_text: str


FIND_CHANNEL_BY_NAME = Statement(
    "find_channel_by_name",
    sql(
        """
        select {summary} from channels c
        where c.organization_id = :organization_id and c.provider = :provider and c.deleted_at is null
            and (c.remote_id = :remote_id or cast(c.id as text) = :id_text) and {in_reach}
        limit 1
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=NamedChannel,
    row=ChannelSummary,
)
"""Find a platform's channel by our id or by the account's id there."""

OPEN = Statement(
    "open_channel",
    sql(
        """
        select {opened_channel} from channels c
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null and {in_reach}
        """,
        opened_channel=OPENED_CHANNEL,
        in_reach=IN_REACH,
    ),
    params=OneChannel,
    row=OpenedChannelRow,
)
"""Find a channel with its sealed tokens."""


class ChangedChannel(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId
    changes: Json


CHANGE_CHANNEL = Statement(
    "change_channel",
    sql(
        """
        update channels c set updated_at = now(),
            (customer_id, name, picture_url, posting_times, timezone, disabled, disabled_by, additional_settings) = (
                select changed.customer_id, changed.name, changed.picture_url, changed.posting_times,
                    changed.timezone, changed.disabled, changed.disabled_by, changed.additional_settings
                from jsonb_populate_record(c, cast(:changes as jsonb)) changed)
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null and {in_reach}
        returning {summary}
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=ChangedChannel,
    row=ChannelSummary,
)
"""Change a channel's fields for members; no row: there is no such channel."""

DELETE_CHANNEL = Statement(
    "delete_channel",
    sql(
        """
        update channels c set deleted_at = now(), access_token = '', refresh_token = null, details = null,
            updated_at = now()
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null and {in_reach}
        returning {summary}
        """,
        summary=SUMMARY,
        in_reach=IN_REACH,
    ),
    params=OneChannel,
    row=ChannelSummary,
)
"""Mark a channel as deleted and delete its tokens; no row: there is no such channel."""


class ServerSettings(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    account_settings: Json


KEEP_ACCOUNT_SETTINGS = Statement(
    "keep_account_settings",
    sql("""
        update channels set account_settings = cast(:account_settings as jsonb), updated_at = now()
        where organization_id = :organization_id and id = :channel_id
    """),
    params=ServerSettings,
    row=NoRow,
)
"""Replace the stored data about the channel's server."""


class NamedHost(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId
    named_host: str


KEEP_NAMED_HOST = Statement(
    "keep_named_host",
    sql("""
        update channels set named_host = :named_host, updated_at = now()
        where organization_id = :organization_id and id = :channel_id
    """),
    params=NamedHost,
    row=NoRow,
)
"""Store the host of a channel that was connected before hosts were stored."""


def list_channels(session: Session, reach: Reach) -> Sequence[ChannelSummary]:
    """List the organization's channels, oldest first."""
    return LIST_CHANNELS.all(session, *reach)


def list_channels_briefly(
    session: Session, reach: Reach, *, customer_id: CustomerId | None
) -> Sequence[BriefChannel]:
    """List the organization's channels, or those of one of its customers, oldest first."""
    return LIST_CHANNELS_BRIEFLY.all(session, *reach, customer_id)


def get_channel(session: Session, reach: Reach, channel_id: ChannelId) -> ChannelSummary:
    """Return one channel.

    Raises:
        ChannelNotFound: the caller sees no such channel, or it was deleted.
    """
    return found(FIND_CHANNEL.find(session, *reach, channel_id))


def get_channels(
    session: Session, reach: Reach, ids: Collection[ChannelId]
) -> Mapping[ChannelId, ComposedChannel]:
    """Return the channels of `ids` by id, in one statement.

    Raises:
        ChannelsNotFound: the caller does not see some of them, or they were deleted; the error names them.
    """
    rows = FIND_CHANNELS.all(session, *reach, list(ids))
    found: dict[ChannelId, ComposedChannel] = {row.id: row for row in rows}
    if missing := set(ids) - found.keys():
        raise ChannelsNotFound(missing)
    return found


def find_channel_by_name(
    session: Session, reach: Reach, provider: str, name: str
) -> ChannelSummary | None:
    """Find a platform's channel by our id or by the account's id there."""
    return FIND_CHANNEL_BY_NAME.find(session, *reach, provider, name, name.lower())


def find_unknown_channels(
    session: Session, reach: Reach, ids: Sequence[ChannelId]
) -> set[ChannelId]:
    """Return the ids that are not channels that the caller may see."""
    return {row.id for row in FIND_UNKNOWN.all(session, *reach, list(ids))}


def get_channel_to_open(session: Session, reach: Reach, channel_id: ChannelId) -> OpenedChannel:
    """Return a channel with its sealed tokens.

    Raises:
        ChannelNotFound: the caller sees no such channel, or it was deleted.
    """
    row = OPEN.find(session, *reach, channel_id)
    if row is None:
        raise ChannelNotFound
    return get_opened_channel(row)


def found(channel: ChannelSummary | None) -> ChannelSummary:
    """Return a channel that a statement found or wrote.

    Raises:
        ChannelNotFound: there is none.
    """
    if channel is None:
        raise ChannelNotFound
    return channel
