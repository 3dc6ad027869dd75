"""Finds the next free slot: the first posting time without a post."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound, NoFreeSlot, NoSlots
from shared.channels.queries import IN_REACH
from shared.channels.slots import SEARCHED_DAYS, PostingTimes, next_free_slot
from shared.core.ids import ChannelId, CustomerId, OrganizationId
from shared.core.reach import Reach
from shared.db.statement import Statement, sql

# Most calendars have a free slot soon; only a full one is read to its end.
_WINDOWS_DAYS = (14, 90, SEARCHED_DAYS)


class Calendar(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId | None
    days: int


class CalendarRow(NamedTuple):
    """`channels` are pairs of posting times and time zone; `taken` are minutes since 1970."""

    now: datetime
    channels: list[Any] | None
    taken: list[int] | None


# A minute with several posts is returned once, as a number, because the driver reads thousands of times slowly.
SLOTS_AND_POSTS = Statement(
    "slots_and_posts",
    sql(
        """
        with chosen as materialized (
            select c.id, c.posting_times, c.timezone from channels c
            where c.organization_id = :organization_id and c.deleted_at is null and {in_reach}
                and (c.id = cast(:channel_id as uuid) or (cast(:channel_id as uuid) is null and not c.disabled))
        )
        select now() as now,
            (select json_agg(json_build_array(posting_times, timezone)) from chosen) as channels,
            (select json_agg(distinct cast(floor(extract(epoch from p.publish_at) / 60) as bigint))
                from chosen join posts p on p.channel_id = chosen.id
                where p.organization_id = :organization_id and p.position = 0 and p.deleted_at is null
                    and p.state <> 'failed'
                    and p.publish_at between now() - interval '1 minute' and now() + make_interval(days => :days)
            ) as taken
        """,
        in_reach=IN_REACH,
    ),
    params=Calendar,
    row=CalendarRow,
)
"""List the posting times of a channel, or of all enabled ones, and the taken minutes of the next `days`.

One statement, so that both are from one moment.
"""


def find_slot(session: Session, reach: Reach, channel_id: ChannelId | None = None) -> datetime:
    """Find the next free slot of a channel, or of all enabled ones that the caller sees.

    Raises:
        ChannelNotFound: the caller sees no such channel.
        NoSlots: there are no posting times.
        NoFreeSlot: all of them are taken for more than a year.
    """
    for days in _WINDOWS_DAYS:
        row = SLOTS_AND_POSTS.one(session, *reach, channel_id, days)
        if not row.channels:
            raise NoSlots if channel_id is None else ChannelNotFound
        found = _first_free(row.channels, row.taken or [], row.now)
        if found < row.now + timedelta(days=days):  # taken minutes beyond that are unknown
            return found
    raise NoFreeSlot


def _first_free(listed: list[Any], minutes: list[int], now: datetime) -> datetime:
    channels = [PostingTimes(times, zone) for times, zone in listed]
    taken = {datetime.fromtimestamp(minute * 60, UTC) for minute in minutes}
    return next_free_slot(channels, taken=taken, after=now)
