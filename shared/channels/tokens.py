"""Renews a channel's token: one process at a time, outside any transaction.

The lease on the row lets only one caller ask the platform; the token's version makes the answer apply only to the token that was
sent. A network failure does not disconnect a channel; only the platform's refusal of the permission does.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.aws.keys import seal
from shared.channels import token_queries as queries
from shared.channels.connection import OpenedChannel, get_opened_channel, open_connection
from shared.channels.errors import ChannelNotFound
from shared.channels.queries import ChannelSummary
from shared.core import clock
from shared.core.crypto import Purpose
from shared.core.ids import ChannelId, OrganizationId
from shared.core.log import about, log
from shared.db.insist import insist
from shared.db.session import run
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.providers.base import Provider, Tokens
from shared.providers.errors import GrantRejected, PlatformUnavailable, ProviderError
from shared.providers.oauth import OAuth2Provider
from shared.providers.registry import provider
from shared.providers.spec import OAuth2, ProviderSpec

ELSEWHERE_RETRY_AFTER = timedelta(seconds=3)
LEASE = timedelta(seconds=60)
# The request must end well before the lease; otherwise a second caller could send the same refresh token.
CALL_LIMIT = LEASE - timedelta(seconds=10)
ROOM_TO_STORE = 8.0  # seconds of the lease for storing, if the caller has no earlier deadline
# Platforms' answers that could not be stored yet: the version that was sent, and the sealed tokens.
_unstored: dict[ChannelId, tuple[int, "_Renewed"]] = {}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The channel has a newer token than the one that was sent. Read it and try again."""

    token_version: int


@dataclass(frozen=True, slots=True)
class RefreshingElsewhere:
    """Another process is renewing the token right now; check again after `retry_after`."""

    retry_after: timedelta = ELSEWHERE_RETRY_AFTER


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The member must reconnect the channel. `reason` is for them, with the platform's reason."""

    reason: str


class SealedTokens(NamedTuple):
    """Tokens as stored. `refresh_token` None: the platform sent none, and a stored one stays."""

    access_token: bytes
    refresh_token: bytes | None
    token_expires_at: datetime | None


class _Renewed(NamedTuple):
    tokens: SealedTokens
    named_host: str | None


def may_refresh(channel: OpenedChannel) -> bool:
    """Return whether the channel's token can be renewed.

    If the platform has refused the token, call `refresh_tokens` instead, which disconnects a channel without one.
    """
    acting = provider(channel.provider)
    renews = type(acting).refresh
    if renews is Provider.refresh:
        return False
    if isinstance(acting.spec.auth, OAuth2) and not acting.spec.auth.refreshable:
        return False
    return renews is not OAuth2Provider.refresh or channel.refresh_token is not None


def refresh_tokens(
    organization_id: OrganizationId,
    channel_id: ChannelId,
    *,
    sent_version: int,
    deadline: float | None = None,
) -> Refreshed | RefreshingElsewhere | Disconnected:
    """Renew a channel's token because the one with `sent_version` has expired or soon will.

    Opens its own transactions; none is open during requests to the platform. Many platforms accept a refresh token only once,
    so everything that may fail is done before the request, and storing the answer is retried until `deadline`, a
    `time.monotonic()` value. An answer that cannot be stored until then is kept for the next call in this process.

    Raises:
        ChannelNotFound: there is no such channel any more.
        ProviderError: the platform could not be reached, or gave no valid answer; the channel stays unchanged.
    """
    with about(organization_id=organization_id, channel_id=channel_id):
        return _refresh(organization_id, channel_id, sent_version=sent_version, deadline=deadline)


def _refresh(
    organization_id: OrganizationId,
    channel_id: ChannelId,
    *,
    sent_version: int,
    deadline: float | None,
) -> Refreshed | RefreshingElsewhere | Disconnected:
    claimed = run(
        lambda session: _claim(session, organization_id, channel_id, sent_version=sent_version)
    )
    if not isinstance(claimed, _Claim):
        return claimed
    lease_ends = time.monotonic() + CALL_LIMIT.total_seconds() + ROOM_TO_STORE
    until = lease_ends if deadline is None else min(lease_ends, deadline)
    kept = _unstored.get(channel_id)
    if kept is not None and kept[0] == sent_version:
        return _store(claimed.channel, kept[1], until=until)
    try:
        renewed = _ask(claimed.channel)
    except GrantRejected as error:
        return _give_up(claimed.channel, error)
    except ProviderError as error:
        _release(claimed)
        log.warning(
            "channel.refresh_failed",
            extra={
                "channel_id": channel_id,
                "provider": claimed.channel.provider,
                "code": error.detail_code,
                "answer": error.evidence.as_json(),
            },
        )
        raise
    except Exception:
        # A bug, or an unavailable key service: release the lease instead of waiting for its end.
        _release(claimed)
        raise
    return _store(claimed.channel, renewed, until=until)


def refresh_ahead(
    channel: OpenedChannel,
) -> Refreshed | RefreshingElsewhere | Disconnected | None:
    """Renew a token that is still valid but expires soon; None if it cannot be renewed.

    Raises:
        ChannelNotFound: there is no such channel any more.
        ProviderError: as `refresh_tokens`.
    """
    if not may_refresh(channel):
        return None
    return refresh_tokens(channel.organization_id, channel.id, sent_version=channel.token_version)


def disconnect(
    session: Session,
    organization_id: OrganizationId,
    channel_id: ChannelId,
    *,
    sent_version: int,
    reason: str,
) -> bool:
    """Record that the member must reconnect, and notify them once.

    Does nothing and returns False if the refused token is no longer the channel's.
    """
    channel = queries.DISCONNECT.find(
        session, organization_id, channel_id, sent_version=sent_version, reason=reason
    )
    if channel is None:
        return False
    _notify(session, channel, reason, sent_version)
    log.warning(
        "channel.disconnected", extra={"channel_id": channel_id, "provider": channel.provider}
    )
    return True


def sealed_tokens(
    organization_id: OrganizationId, tokens: Tokens, spec: ProviderSpec
) -> SealedTokens:
    """Seal tokens for storage.

    An empty refresh token never replaces a stored one. If the platform does not say when the token expires,
    `spec.token_lifetime` does.

    Raises:
        PlatformUnavailable: the platform sent an empty token.
    """
    if not tokens.access:
        raise PlatformUnavailable(f"{spec.name} sent an empty token. Try again.")
    lifetime = spec.token_lifetime
    return SealedTokens(
        access_token=seal(tokens.access, Purpose.CHANNEL, organization_id),
        refresh_token=seal(tokens.refresh, Purpose.CHANNEL, organization_id)
        if tokens.refresh
        else None,
        token_expires_at=tokens.expires_at or (clock.now() + lifetime if lifetime else None),
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    channel: OpenedChannel
    lease: datetime


def _claim(
    session: Session, organization_id: OrganizationId, channel_id: ChannelId, *, sent_version: int
) -> _Claim | Refreshed | RefreshingElsewhere | Disconnected:
    row = queries.CLAIM_REFRESH.find(
        session,
        organization_id=organization_id,
        channel_id=channel_id,
        sent_version=sent_version,
        lease_seconds=LEASE.total_seconds(),
    )
    if row:
        return _Claim(get_opened_channel(row), row.refresh_lease_until)
    return _token_status(session, organization_id, channel_id, sent_version=sent_version)


def _token_status(
    session: Session, organization_id: OrganizationId, channel_id: ChannelId, *, sent_version: int
) -> Refreshed | RefreshingElsewhere | Disconnected:
    """Return why the lease could not be taken."""
    now = queries.FIND_TOKEN.find(session, organization_id, channel_id)
    if now is None:
        raise ChannelNotFound
    if now.disconnected_reason is not None:
        return Disconnected(now.disconnected_reason)
    if now.token_version != sent_version:
        return Refreshed(now.token_version)
    return RefreshingElsewhere()


def _ask(channel: OpenedChannel) -> _Renewed:
    if not may_refresh(channel):
        name = provider(channel.provider).spec.name
        raise GrantRejected(f"{name} no longer accepts this authorization. Reconnect the channel.")
    seal(
        "", Purpose.CHANNEL, channel.organization_id
    )  # fetches the data key, which later seals the answer
    acting, api = open_connection(channel, deadline=time.monotonic() + CALL_LIMIT.total_seconds())
    return _Renewed(
        sealed_tokens(channel.organization_id, acting.refresh(api), acting.spec),
        acting.spec.named_host(api.access.details),
    )


def _release(claim: _Claim) -> None:
    channel = claim.channel

    def release(session: Session) -> None:
        queries.RELEASE_REFRESH.run(session, channel.organization_id, channel.id, lease=claim.lease)

    run(release)


def _store(
    channel: OpenedChannel, renewed: _Renewed, *, until: float
) -> Refreshed | RefreshingElsewhere | Disconnected:
    """Store the platform's answer, retrying until it succeeds: the old token may no longer be valid."""

    def store(session: Session) -> Refreshed | RefreshingElsewhere | Disconnected:
        stored = _store_tokens(session, channel, renewed)
        if stored:
            return Refreshed(stored.token_version)
        return _token_status(
            session, channel.organization_id, channel.id, sent_version=channel.token_version
        )

    _unstored[channel.id] = (channel.token_version, renewed)
    stored = insist(lambda: run(store), deadline=until)
    _unstored.pop(channel.id, None)
    log.info("channel.refreshed", extra={"channel_id": channel.id, "provider": channel.provider})
    return stored


def _store_tokens(
    session: Session, channel: OpenedChannel, renewed: _Renewed
) -> queries.Version | None:
    return queries.STORE_TOKENS.find(
        session,
        channel.organization_id,
        channel.id,
        sent_version=channel.token_version,
        **renewed.tokens._asdict(),
        named_host=renewed.named_host,
    )


def _give_up(
    channel: OpenedChannel, error: GrantRejected
) -> Refreshed | RefreshingElsewhere | Disconnected:
    def note(session: Session) -> Refreshed | RefreshingElsewhere | Disconnected:
        ended = disconnect(
            session,
            channel.organization_id,
            channel.id,
            sent_version=channel.token_version,
            reason=error.message,
        )
        if ended:
            return Disconnected(error.message)
        return _token_status(
            session, channel.organization_id, channel.id, sent_version=channel.token_version
        )

    return run(note)


def _notify(session: Session, channel: ChannelSummary, reason: str, version: int) -> None:
    notify(
        session,
        channel.organization_id,
        NotificationKind.INFO,
        title=f"{channel.name} must be reconnected",
        content=f"{reason} Nothing is published there until then.",
        dedupe_key=f"channel-disconnected:{channel.id}:{version}",
        customer_id=channel.customer_id,
    )
