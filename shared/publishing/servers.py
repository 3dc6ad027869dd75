"""How a part's server is asked again what it is, before something is sent that may have to be repeated."""

import dataclasses

from shared.channels.queries import keep_account_settings
from shared.core.log import log
from shared.db.session import run
from shared.providers.base import CanReadServer, Provider
from shared.providers.http import Api
from shared.publishing.claim import Claim, channel_ids


def know_server(claimed: Claim, provider: Provider, api: Api) -> tuple[Claim, Api]:
    """Read again what the channel's server says of itself, unless that is known recently enough.

    Sends nothing that cannot be taken back, so it comes before the mark. A server that does not answer changes nothing:
    it stays unknown, and what is unknown promises nothing.
    """
    part = claimed.part
    known = part.channel.account_settings
    if not isinstance(provider, CanReadServer) or provider.knows_server(known, at=part.read_at):
        return claimed, api
    found = provider.read_server(api)
    if found is None:
        log.warning("server.unknown", extra={"channel_id": part.channel.id})
        return claimed, api
    run(lambda session: keep_account_settings(session, *channel_ids(part), dict(found)))
    channel = dataclasses.replace(part.channel, account_settings=found)
    current = dataclasses.replace(claimed, part=part.with_channel(channel))
    return current, api.acting_as(dataclasses.replace(api.access, settings=found))
