"""Renews the tokens of all organizations that expire soon, or warns their members."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from shared.channels.connection import OpenedChannel, get_opened_channel
from shared.channels.errors import ChannelNotFound
from shared.channels.token_queries import DUE_REFRESHES
from shared.channels.tokens import Disconnected, Refreshed, may_refresh, refresh_ahead
from shared.core.ids import ChannelId
from shared.core.log import log
from shared.db.session import read_only, run
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.providers.errors import ProviderError
from shared.providers.registry import specs

PAGE_SIZE = 100
# Platforms without refresh tokens give 60 days: warn two weeks ahead, and once more.
WARNINGS = (timedelta(days=3), timedelta(days=14))
LEAST_TIME_TO_ASK = timedelta(seconds=60)  # a renewal can take its whole lease


class Done(StrEnum):
    """The result for one token."""

    RENEWED = "renewed"
    DISCONNECTED = "disconnected"
    WARNED = "warned"
    NOT_YET = "not_yet"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ExpiringToken:
    """A channel whose token expires soon. `seconds_left` is by the database's clock, negative after the expiry.

    `paused`: its platform limits our whole application.
    """

    channel: OpenedChannel
    expires_at: datetime
    seconds_left: float
    paused: bool


def renew_expiring(*, deadline: float) -> Mapping[Done, int]:
    """Renew every token that expires soon and can be renewed; warn members of the others. Return the number per result.

    Stops well before `deadline`, a `time.monotonic()` value; the next run continues with the remaining tokens, which
    still expire first. A failure of one channel does not affect the others.
    """
    ahead = {spec.slug: spec.refresh_ahead for spec in specs()}
    done: Counter[Done] = Counter()
    for token in _expiring(ahead):
        if deadline - time.monotonic() < LEAST_TIME_TO_ASK.total_seconds():
            log.warning("tokens.out_of_time", extra={"done": sum(done.values())})
            break
        done[_see_to(token, ahead[token.channel.provider])] += 1
    log.info("tokens.renewed", extra={"counts": {str(way): done[way] for way in done}})
    return done


def _expiring(ahead: Mapping[str, timedelta]) -> Iterator[ExpiringToken]:
    after = None
    while True:
        with read_only() as session:
            page = _due_refreshes(
                session, ahead, without_refresh=max(WARNINGS), after=after, limit=PAGE_SIZE
            )
        yield from page
        if len(page) < PAGE_SIZE:
            return
        after = (page[-1].expires_at, page[-1].channel.id)


def _due_refreshes(
    session: Session,
    horizons: Mapping[str, timedelta],
    *,
    without_refresh: timedelta,
    after: tuple[datetime, ChannelId] | None,
    limit: int,
) -> Sequence[ExpiringToken]:
    """List the next page of all organizations' tokens that expire within their platform's horizon, earliest first.

    `without_refresh` is the horizon of channels without a refresh token. Channels whose token is being renewed are left out.
    """
    seconds = {slug: ahead.total_seconds() for slug, ahead in horizons.items()}
    without = without_refresh.total_seconds()
    rows = DUE_REFRESHES.all(
        session,
        slugs=list(seconds),
        seconds=list(seconds.values()),
        without_refresh=without,
        longest=max(without, *seconds.values()),
        after_time=after[0] if after else None,
        after_id=after[1] if after else None,
        limit=limit,
    )
    return [
        ExpiringToken(get_opened_channel(row), row.token_expires_at, row.seconds_left, row.paused)
        for row in rows
        if row.token_expires_at is not None
    ]


def _see_to(token: ExpiringToken, ahead: timedelta) -> Done:
    if not may_refresh(token.channel):
        return _warn(token)
    if token.paused or token.seconds_left > ahead.total_seconds():
        return Done.NOT_YET
    try:
        outcome = refresh_ahead(token.channel)
    except (
        ProviderError,
        ChannelNotFound,
    ):  # logged where it was raised; the channel stays unchanged
        return Done.FAILED
    except Exception:  # noqa: BLE001  a mistake in one platform's code must not let everybody else's tokens end
        log.exception("channel.refresh_broke", extra={"channel_id": token.channel.id})
        return Done.FAILED
    match outcome:
        case Refreshed():
            return Done.RENEWED
        case Disconnected():
            return Done.DISCONNECTED
    return Done.NOT_YET  # another process renews it


def _warn(token: ExpiringToken) -> Done:
    """Notify the members once for each of `WARNINGS`, and once after the expiry."""
    channel, left = token.channel, timedelta(seconds=token.seconds_left)
    level = next((warning.days for warning in WARNINGS if left <= warning), None)
    if level is None:
        return Done.NOT_YET
    if left <= timedelta(0):
        level, when = 0, "has ended"
    else:
        when = f"ends on {token.expires_at:%d %B %Y}"

    def notify_expiring(session: Session) -> None:
        notify(
            session,
            channel.organization_id,
            NotificationKind.INFO,
            title=f"Access to {channel.name} {when}",
            content=(
                f"The platform does not let Roost renew it. Reconnect {channel.name} to keep "
                "publishing there."
            ),
            dedupe_key=f"channel-expiring:{channel.id}:{channel.token_version}:{level}",
            customer_id=channel.customer_id,
        )

    run(notify_expiring)
    return Done.WARNED
