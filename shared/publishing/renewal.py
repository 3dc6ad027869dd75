"""Renews a channel's token after the platform has refused it while publishing a part."""

import time
from datetime import timedelta

from shared.channels.errors import ChannelNotFound
from shared.channels.queries import get_channel_to_open
from shared.channels.tokens import Disconnected, Refreshed, RefreshingElsewhere, refresh_tokens
from shared.core.errors_report import report
from shared.core.reach import Reach
from shared.db.session import read_only
from shared.providers.errors import (
    ChannelDisconnected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.publishing.claim import DuePart, channel_ids

ROOM_TO_RENEW = timedelta(seconds=30)  # for the platform's answer and for storing it
RENEW_LATER = timedelta(seconds=3)


def with_new_token(part: DuePart, *, deadline: float) -> DuePart | ProviderError:
    """Renew the channel's token and return the part with it, or the error that says what to do instead.

    Many platforms accept a refresh token only once: if a process is killed before it has stored the new one, the channel is
    disconnected. So a renewal is not started shortly before `deadline`, a `time.monotonic()` value.
    """
    if deadline - time.monotonic() < ROOM_TO_RENEW.total_seconds():
        return RateLimited("The channel's token is about to be renewed.", retry_after=RENEW_LATER)
    organization_id, channel_id = channel_ids(part)
    try:
        answer = refresh_tokens(
            organization_id,
            channel_id,
            sent_version=part.channel.token_version,
            deadline=deadline,
        )
        match answer:
            case RefreshingElsewhere(retry_after=retry_after):
                return RateLimited("The channel's token is being renewed.", retry_after=retry_after)
            case Disconnected(reason=reason):
                return ChannelDisconnected(reason)
            case Refreshed():
                with read_only() as session:
                    return part.with_channel(
                        get_channel_to_open(session, Reach(organization_id), channel_id)
                    )
    except ChannelNotFound:
        return ChannelDisconnected("The channel was deleted.")
    except ProviderError as error:
        return error
    except Exception as error:  # noqa: BLE001  a mistake of ours in a renewal is a failure of this try alone
        report(error, part_id=str(part.id))
        return PlatformUnavailable(
            f"Roost failed to renew the channel's token ({type(error).__name__})."
        )
