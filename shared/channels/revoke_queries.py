"""The statements that find the channels whose platforms still hold a grant, and forget their tokens."""

from typing import NamedTuple

from shared.channels.connection import OPENED_CHANNEL, OpenedChannelRow
from shared.core.ids import ChannelId, OrganizationId
from shared.db.statement import NoRow, Statement, sql


class PageOfOrganization(NamedTuple):
    organization_id: OrganizationId
    page_size: int


LIST_GRANTED_CHANNELS = Statement(
    "list_granted_channels",
    sql(
        """
        select {opened_channel} from channels c
        where c.organization_id = :organization_id and length(c.access_token) > 0
        order by c.id limit :page_size
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=PageOfOrganization,
    row=OpenedChannelRow,
)
"""List a page of an organization's channels that have tokens.

The organization is being erased, so there is no reach.
"""


class OneChannel(NamedTuple):
    organization_id: OrganizationId
    channel_id: ChannelId


FORGET_TOKENS = Statement(
    "forget_tokens",
    sql("""
        update channels set access_token = '', refresh_token = null, details = null, updated_at = now(),
            token_version = token_version + 1
        where organization_id = :organization_id and id = :channel_id
    """),
    params=OneChannel,
    row=NoRow,
)
"""Forget the tokens of a channel."""
