"""Gives the permissions of an organization's channels back to their platforms, where a platform offers that."""

from shared.channels.connection import OpenedChannelRow, get_opened_channel, open_connection
from shared.channels.revoke_queries import FORGET_TOKENS, LIST_GRANTED_CHANNELS
from shared.core.crypto import CannotOpen
from shared.core.ids import OrganizationId
from shared.core.log import about, log
from shared.db.session import read_only, unit_of_work
from shared.providers.base import CanRevoke
from shared.providers.errors import ProviderError
from shared.providers.registry import UnknownProvider

_PAGE = 10  # a platform that does not answer takes half a minute


def revoke_grants(organization_id: OrganizationId) -> int:
    """Revoke the grants of a page of channels, and forget their tokens; return how many channels.

    A platform is asked once. If it refuses or does not answer, that is logged, and the tokens are forgotten all the same: a
    server that is gone must not keep an organization from being erased.
    """
    with read_only() as session:
        channels = LIST_GRANTED_CHANNELS.all(session, organization_id, _PAGE)
    for row in channels:
        with about(channel_id=row.channel_id):
            _revoke(row)
        with unit_of_work() as session:
            FORGET_TOKENS.run(session, organization_id, row.channel_id)
    return len(channels)


def _revoke(row: OpenedChannelRow) -> None:
    try:
        acting, api = open_connection(get_opened_channel(row))
        if isinstance(acting, CanRevoke):
            acting.revoke(api)
            log.info("channel.revoked", extra={"provider": row.provider})
    except (ProviderError, UnknownProvider, CannotOpen) as error:
        log.warning(
            "channel.not_revoked", extra={"provider": row.provider, "reason": type(error).__name__}
        )
