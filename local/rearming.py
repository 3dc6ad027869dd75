"""Restores the schedules and messages of queued posts after a start.

Queues and schedules live in memory and are lost at the end of a run, while the database still says that posts are armed.
Once the system is ready, this module marks posts due within the hour as not armed, earliest first and a page at a time,
and reconcile arms each page. Later posts follow when they are an hour away, so a start with many posts costs no more than
one with few. If this misses a post, reconcile sends its message three minutes before its time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pg8000.dbapi

from local.database import connect
from shared.core.ids import PostId

PAGE_SIZE = 200
# Much longer than a schedule's lead and a queue's longest delay: no lost hint is due later.
AHEAD = timedelta(hours=1)
LOOK_EVERY = timedelta(minutes=5)
RETRY_AFTER = timedelta(seconds=2)

# A post written since the start was armed by this run, and a locked one is being processed. The others get an `updated_at`
# one minute ago, because reconcile does not arm a post that was just written.
_FORGET = """
    with forgotten as (
        select id, due_at from posts
        where state = 'queued' and deleted_at is null and due_at is not null
            and due_at <= now() + make_interval(secs => %s) and (due_at, id) > (%s, cast(%s as uuid))
            and updated_at < %s
        order by due_at, id limit %s
        for update skip locked
    ), cleared as (
        update posts set armed_revision = null, enqueued_at = null, next_check_at = null,
            updated_at = least(updated_at, now() - interval '1 minute')
        from forgotten where posts.id = forgotten.id
    )
    select due_at, id from forgotten order by due_at, id
"""


class _Place(NamedTuple):
    """The last post of a page, in the order of the pages."""

    due_at: datetime
    post_id: PostId


_BEGINNING = _Place(datetime.min.replace(tzinfo=UTC), PostId(UUID(int=0)))


class Rearming:
    """Restores the hints of one database's posts, once each."""

    def __init__(
        self,
        database_url: str,
        reconcile: Callable[[], Awaitable[object]],
        *,
        look_every: timedelta = LOOK_EVERY,
    ) -> None:
        self._database_url, self._reconcile = database_url, reconcile
        self._look_every = look_every
        self._began: datetime | None = None  # by the database's clock
        self._reached = _BEGINNING

    async def run(self) -> None:
        """Rearm posts that are due soon, and later ones as time passes, until cancelled."""
        while True:
            pause = self._look_every
            try:
                await self.rearm()
            except pg8000.dbapi.Error:  # the database is being restarted; the position is kept
                pause = RETRY_AFTER
            await asyncio.sleep(pause.total_seconds())

    async def rearm(self) -> int:
        """Rearm the remaining posts of the next hour and return their number; reconcile runs at least once."""
        count = 0
        while True:
            page = await asyncio.to_thread(self._forget_page)
            count += page
            await self._reconcile()
            if page < PAGE_SIZE:
                return count

    def _forget_page(self) -> int:
        with contextlib.closing(connect(self._database_url)) as connection:
            cursor = connection.cursor()
            if self._began is None:
                cursor.execute("select now()")
                self._began = cursor.fetchone()[0]
            values: tuple[Any, ...] = (
                AHEAD.total_seconds(),
                *self._reached,
                self._began,
                PAGE_SIZE,
            )
            cursor.execute(_FORGET, values)
            rows = cursor.fetchall()
            connection.commit()
        if rows:
            self._reached = _Place(*rows[-1])
        return len(rows)
