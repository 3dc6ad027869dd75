"""When may the next post go out? The first posting time that no post holds yet."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound, NoSlots
from shared.channels.slots import SEARCHED_DAYS, PostingTimes, next_free_slot
from shared.core.ids import OrganizationId

_SLOTS_AND_POSTS = text("""
    select c.posting_times, c.timezone, now() as now, array(
        select distinct p.publish_at from posts p
        where p.channel_id = c.id and p.organization_id = :organization_id and p.position = 0
            and p.deleted_at is null and p.state <> 'failed'
            and p.publish_at between now() - interval '1 minute' and now() + make_interval(days => :days)
        ) as taken
    from channels c
    where c.organization_id = :organization_id and c.deleted_at is null
        and (c.id = cast(:channel_id as uuid) or (cast(:channel_id as uuid) is null and not c.disabled))
""")


def find_slot(
    session: Session, organization_id: OrganizationId, channel_id: UUID | None = None
) -> datetime:
    """Find the next free slot of a channel, or of all that are switched on.

    Raises:
        ChannelNotFound: the organization has no such channel.
        NoSlots: there is no posting time.
        NoFreeSlot: all of them are taken for a year and more.
    """
    rows = session.execute(
        _SLOTS_AND_POSTS,
        {"organization_id": organization_id, "channel_id": channel_id, "days": SEARCHED_DAYS},
    ).all()
    if not rows:
        raise NoSlots if channel_id is None else ChannelNotFound
    channels = [PostingTimes(row.posting_times, row.timezone) for row in rows]
    taken = {moment for row in rows for moment in row.taken}
    return next_free_slot(channels, taken=taken, after=rows[0].now)
