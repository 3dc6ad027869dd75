"""Identifies a part's server again before a request that may have to be repeated."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.channels.connection import OpenedChannel, open_connection
from shared.channels.queries import KEEP_ACCOUNT_SETTINGS, KEEP_NAMED_HOST
from shared.core.log import log
from shared.db.session import run
from shared.db.statement import to_json
from shared.providers import registry
from shared.providers.base import CanReadServer, Provider
from shared.providers.errors import ProviderError
from shared.providers.http import Api
from shared.providers.registry import UnknownProvider
from shared.publishing.claim import Claim


def know_server_ahead(channel: OpenedChannel, *, at: datetime) -> None:
    """Read a channel's server minutes before a part is due, unless it was read recently.

    So it rarely must be read at the due time, and members who compose meanwhile see the server's current limits. A server that
    does not answer is asked again when the part is due.
    """
    try:
        provider = registry.provider(channel.provider)
    except UnknownProvider:
        return
    if not isinstance(provider, CanReadServer):
        return
    if provider.knows_server(channel.account_settings, at=at):
        return
    try:
        _, api = open_connection(channel)
    except ProviderError as error:
        log.warning("server.not_asked", extra={"channel_id": channel.id, "code": error.detail_code})
        return
    _read(channel, provider, api)


def name_host(claimed: Claim, provider: Provider, api: Api) -> None:
    """Store the host of a channel that was connected before hosts were stored. Its sealed server has just been opened.

    The limits apply from the next try on.
    """
    channel = claimed.part.channel
    host = provider.spec.named_host(api.access.details)
    if channel.named_host is None and host is not None:
        run(lambda session: KEEP_NAMED_HOST.run(session, channel.organization_id, channel.id, host))


def know_server(claimed: Claim, provider: Provider, api: Api) -> tuple[Claim, Api]:
    """Read the channel's server again, unless it was read recently.

    Sends nothing irrevocable, so it comes before the mark. A server that does not answer stays unknown, and an unknown server
    promises nothing.
    """
    part = claimed.part
    known = part.channel.account_settings
    if not isinstance(provider, CanReadServer) or provider.knows_server(known, at=part.read_at):
        return claimed, api
    found = _read(part.channel, provider, api)
    if found is None:
        return claimed, api
    channel = dataclasses.replace(part.channel, account_settings=found)
    current = dataclasses.replace(claimed, part=part.with_channel(channel))
    return current, api.acting_as(dataclasses.replace(api.access, settings=found))


def _read(channel: OpenedChannel, provider: CanReadServer, api: Api) -> Mapping[str, Any] | None:
    """Ask the server and store its answer with the channel; None if it gives no valid answer."""
    found = provider.read_server(api)
    if found is None:
        log.warning("server.unknown", extra={"channel_id": channel.id})
        return None
    run(
        lambda session: KEEP_ACCOUNT_SETTINGS.run(
            session, channel.organization_id, channel.id, to_json(dict(found))
        )
    )
    return found
