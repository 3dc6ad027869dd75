"""Moves a running system ahead in time: through everything that falls due on the way, or past it.

A walk goes to the next moment at which anything is due, waits until queues and functions are idle, and continues. A jump
moves at once, as if the machine had slept: posts that fell due in between are late.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from local import database_clock
from local.clock import SharedOffset
from local.database_clock import DatabaseClock
from local.schedules import Timers
from shared.core import clock

STOPS_FOR_RATES = 100
"""In a walk, a rate shorter than an hour fires at most once per this interval; every other rate fires each time."""
_POLL_SECONDS = 0.002

# When the next post is due, and when reconcile should look: two minutes before a post that has no message.
_POSTS = """
    select
        (select min(due_at) from posts where state = 'queued' and deleted_at is null and due_at > now()),
        (select min(due_at) - interval '2 minutes' from posts
        where state = 'queued' and deleted_at is null and enqueued_at is null and due_at > now() + interval '2 minutes')
"""
_CONNECTED = """
    select distinct provider, named_host from channels where deleted_at is null and disconnected_at is null
    order by provider, named_host
"""


class Refused(Exception):
    """The clock cannot be moved now; the message says why and what to do."""


class Feed(Protocol):
    """The part of `QueueFeed` that a walk uses."""

    @property
    def is_busy(self) -> bool: ...
    def wake(self) -> None: ...
    def next_moment(self) -> datetime | None: ...


class Pool(Protocol):
    """The part of `FunctionPool` that a walk uses."""

    @property
    def is_busy(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Busy:
    """The parts with a next moment, and those that must be idle before the clock moves on."""

    timers: Timers
    feeds: Sequence[Feed]
    pools: Sequence[Pool]
    stand_ins: Sequence[Callable[[], datetime | None]]

    def wake(self) -> None:
        """Make everything that waits read the clock again."""
        self.timers.wake()
        for feed in self.feeds:
            feed.wake()

    async def until_idle(self) -> None:
        """Wait until nothing is due and nothing is being processed."""
        while (
            self.timers.is_busy
            or any(feed.is_busy for feed in self.feeds)
            or any(pool.is_busy for pool in self.pools)
        ):
            await asyncio.sleep(_POLL_SECONDS)

    def next_moment(self) -> datetime | None:
        """Return the earliest next moment."""
        moments = (self.timers.next_moment, *(feed.next_moment for feed in self.feeds))
        return _first(moment() for moment in (*moments, *self.stand_ins))


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of a move."""

    steps: int
    arrived: bool


@dataclass(frozen=True, slots=True)
class _Posts:
    """When the next post is due, and when reconcile should look for a post that has no message."""

    due: datetime | None
    unarmed: datetime | None


class MovableClock:
    """The clock of one running system."""

    def __init__(
        self,
        offset: SharedOffset,
        database_url: str,
        busy: Busy,
        *,
        own_addresses: Mapping[str, str],
        moved: Callable[[timedelta], object] = lambda _offset: None,
    ) -> None:
        """`own_addresses` are the addresses of platforms' own servers by provider. `moved` is called after every move."""
        self._offset, self._database_url, self._busy = offset, database_url, busy
        self._own_addresses = own_addresses
        self.moved = moved
        self._is_moving = False

    @property
    def offset(self) -> timedelta:
        """The offset from the machine's clock."""
        return self._offset.read()

    async def advance(self, by: timedelta, *, most_steps: int) -> Moved:
        """Walk ahead in at most `steps` steps.

        Raises:
            Refused: the clock is already being moved, or a channel is connected that is not on this machine.
        """
        async with AsyncExitStack() as stack:
            database = await self._alone(stack)
            stack.enter_context(self._busy.timers.thinned(by / STOPS_FOR_RATES))
            end = clock.now() + by
            await self._busy.until_idle()
            for step in range(most_steps):
                posts = await asyncio.to_thread(self._next_posts, database)
                moment = _first([self._busy.next_moment(), posts.due, posts.unarmed, end]) or end
                await self._move_to(database, moment)
                if moment == posts.unarmed:
                    self._busy.timers.fire_thinned()
                await self._busy.until_idle()
                if moment == end:
                    return Moved(step + 1, arrived=True)
            return Moved(most_steps, arrived=False)

    async def jump(self, by: timedelta) -> Moved:
        """Move ahead at once.

        Raises:
            Refused: as for `advance`.
        """
        async with AsyncExitStack() as stack:
            database = await self._alone(stack)
            await self._move_to(database, clock.now() + by)
            return Moved(1, arrived=True)

    async def _alone(self, stack: AsyncExitStack) -> DatabaseClock:
        """Lock the clock until `stack` ends, and connect to its database."""
        stack.enter_context(self._taken())
        opened = database_clock.opened(self._database_url)
        database = await asyncio.to_thread(stack.enter_context, opened)
        await asyncio.to_thread(self._refuse_other_machines, database)
        return database

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._is_moving:
            raise Refused(
                "The clock is already being moved. Try again when that request has been answered."
            )
        self._is_moving = True
        try:
            yield
        finally:
            self._is_moving = False
            self.moved(self.offset)

    def _refuse_other_machines(self, database: DatabaseClock) -> None:
        for provider, named_host in database.rows(_CONNECTED):
            host = named_host or urlsplit(self._own_addresses.get(provider, "")).hostname
            if not is_loopback(host):
                where = f"{provider} at {host}" if host else provider
                raise Refused(
                    f"A channel of {where} is connected, which is not on this machine: posts would go out there at the "
                    "wrong time. Delete the channel, or start with another ROOST_HOME."
                )

    def _next_posts(self, database: DatabaseClock) -> _Posts:
        """Read the posts' moments, and check again whether the clock may be moved, because channels can be connected meanwhile."""
        self._refuse_other_machines(database)
        ((due, unarmed),) = database.rows(_POSTS)
        return _Posts(due, unarmed)

    async def _move_to(self, database: DatabaseClock, moment: datetime) -> None:
        """Move ahead to a moment; do nothing if it has already passed."""
        offset = moment - clock.machine_time()
        if offset > self.offset:
            # The database first: a message delivered before its time there would be delayed by the whole difference.
            await asyncio.to_thread(database.move, offset)
            self._offset.write(offset)
        self._busy.wake()


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def is_loopback(host: str | None) -> bool:
    """Return whether a host's name alone shows that it is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
