"""Finds people to mention on a channel's platform."""

from collections.abc import Sequence

from shared.channels.ask import ask
from shared.core.ids import ChannelId
from shared.core.reach import Reach
from shared.providers.base import CanMention, Mention, Provider
from shared.providers.errors import Unsupported
from shared.providers.http import Api


def find_mentions(reach: Reach, channel_id: ChannelId, query: str) -> Sequence[Mention]:
    """List people on the channel's platform matching `query`, best first.

    Raises:
        ChannelNotFound: the caller sees no such channel.
        AppError: the platform has no mentions, or refused, with its own reason.
    """

    def look(acting: Provider, api: Api) -> Sequence[Mention]:
        if not isinstance(acting, CanMention):
            raise Unsupported(f"{acting.spec.name} does not support mentions.")
        return acting.find_mentions(api, query)

    return ask(reach, channel_id, look)
