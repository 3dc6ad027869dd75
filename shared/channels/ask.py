"""Sends a request to a channel's platform while a member waits, with a renewed token if the old one has expired."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from shared.channels import queries
from shared.channels.connection import OpenedChannel, open_connection
from shared.channels.errors import PlatformSilent, refusal
from shared.channels.tokens import Disconnected, RefreshingElsewhere, refresh_tokens
from shared.core.ids import ChannelId
from shared.core.reach import Reach
from shared.db.session import read_only
from shared.providers.base import Provider
from shared.providers.errors import ChannelDisconnected, ProviderError, TokenExpired
from shared.providers.http import Api

T = TypeVar("T")

MEMBER_WAITS = timedelta(seconds=25)  # API Gateway times out after 30 s


def ask(reach: Reach, channel_id: ChannelId, question: Callable[[Provider, Api], T]) -> T:
    """Call `question` with a connection to a channel's platform; no transaction is open meanwhile.

    `question` may be called twice, so it must not create anything.

    Raises:
        ChannelNotFound: the caller sees no such channel.
        AppError: the platform refused, with its own reason, or did not answer.
    """
    until = time.monotonic() + MEMBER_WAITS.total_seconds()
    channel = _read(reach, channel_id)
    try:
        try:
            return question(*open_connection(channel, deadline=until))
        except TokenExpired:
            outcome = refresh_tokens(
                reach.organization_id, channel_id, sent_version=channel.token_version
            )
            if isinstance(outcome, Disconnected):
                raise ChannelDisconnected(outcome.reason) from None
            if isinstance(outcome, RefreshingElsewhere):
                message = f"Access to {channel.name} is being renewed. Try again in a moment."
                raise PlatformSilent(message) from None
            return question(*open_connection(_read(reach, channel_id), deadline=until))
    except ProviderError as error:
        raise refusal(error) from error


def _read(reach: Reach, channel_id: ChannelId) -> OpenedChannel:
    with read_only() as session:
        return queries.get_channel_to_open(session, reach, channel_id)
