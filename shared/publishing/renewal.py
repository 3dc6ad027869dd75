"""How a part gets its channel's new token, after the platform has refused the old one."""

from shared.channels.errors import ChannelNotFound
from shared.channels.queries import get_channel_to_open
from shared.channels.tokens import Disconnected, Refreshed, RefreshingElsewhere, refresh_tokens
from shared.db.session import read_only
from shared.providers.errors import ChannelDisconnected, ProviderError, RateLimited
from shared.publishing.claim import DuePart, channel_ids


def with_new_token(part: DuePart) -> DuePart | ProviderError:
    """Renew the channel's token and return the part with it, or the error that says what to do instead."""
    organization_id, channel_id = channel_ids(part)
    try:
        answer = refresh_tokens(
            organization_id, channel_id, sent_version=part.channel.token_version
        )
        match answer:
            case RefreshingElsewhere(retry_after=retry_after):
                return RateLimited("The channel's token is being renewed.", retry_after=retry_after)
            case Disconnected(reason=reason):
                return ChannelDisconnected(reason)
            case Refreshed():
                with read_only() as session:
                    return part.with_channel(
                        get_channel_to_open(session, organization_id, channel_id)
                    )
    except ChannelNotFound:
        return ChannelDisconnected("The channel was deleted.")
    except ProviderError as error:
        return error
