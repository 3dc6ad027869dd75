"""The sweep of broken threads: finds queued parts that would wait forever, and sends or fails them.

A part waits for the part before it, whose record sets its time. If that record has already happened, or the part before it
was deleted or failed, nothing else would ever set it: no message, no schedule and no other step of the sweep.
"""

from typing import NamedTuple

from shared.core.ids import CustomerId, DeliveryId, OrganizationId, PostId
from shared.core.log import log
from shared.db.session import unit_of_work
from shared.db.statement import Sql, Statement, sql
from shared.posts.announce import announcing
from shared.posts.lifecycle import Hand, PostState, where_may_become
from shared.posts.obstacles import PREDECESSOR_FAILED, PREDECESSOR_MISSING, Step, sentence
from shared.publishing import notices
from shared.publishing.notices import notify_members
from shared.webhooks.announce import send_after_commit
from shared.webhooks.models import Event


class TakeStuck(NamedTuple):
    """`missing` and `failed` are the members' sentences if the part before was deleted, or failed."""

    page_size: int
    missing: str
    failed: str


class StuckRow(NamedTuple):
    """`messages` are those of the row's organization."""

    id: PostId
    root_id: PostId
    organization_id: OrganizationId
    generation: int
    position: int
    customer_id: CustomerId | None
    goes_on: bool
    messages: list[DeliveryId]


# A part that continues was never sent, so it cannot appear twice; its claim fails it if it is more than a day late. A part
# without the part before it fails with everything after it. Reads `ix_posts_waiting` up to now, which contains only threads
# in progress.
TAKE_STUCK = Statement(
    "take_stuck",
    sql(
        """
        with stuck as (
            select p.id, p.root_id, p.position, p.delay_seconds, q.published_at,
                p.position = 0 or q.state is not distinct from 'published' as goes_on, q.state is null as alone
            from posts p
            left join posts q on q.root_id = p.root_id and q.position = p.position - 1 and q.deleted_at is null
            where p.state = 'queued' and p.deleted_at is null and p.due_at is null
                and p.publish_at <= now() - interval '1 minute'
                and (p.position = 0 or q.state is null or q.state in ('published', 'failed', 'draft'))
            order by p.publish_at, p.id limit :page_size
            for update of p skip locked
        ), going as (
            update posts set due_at = greatest(now(), stuck.published_at + make_interval(secs => stuck.delay_seconds)),
                armed_revision = null, arm_count = arm_count + 1, enqueued_at = null, next_check_at = null,
                updated_at = now() - interval '1 minute'
            from stuck where posts.id = stuck.id and stuck.goes_on
            returning posts.*
        ), broken as (
            update posts set state = 'failed', updated_at = now(),
                error_code = case when stuck.alone then {predecessor_missing}
                    else {predecessor_failed} end,
                error_message = case when stuck.alone then cast(:missing as text) else cast(:failed as text) end
            from stuck
            where posts.root_id = stuck.root_id and posts.position >= stuck.position and not stuck.goes_on
                and {may_become} and posts.deleted_at is null
                and posts.due_at is null
            returning posts.*
        ), {events}
        select part.id, part.root_id, part.organization_id, part.generation, part.position, part.state = 'queued' as goes_on,
            (select c.customer_id from channels c where c.id = part.channel_id) as customer_id,
            array(select messages.id from messages where messages.organization_id = part.organization_id) as messages
        from (select * from going union all select * from broken) part
        order by part.root_id, part.position
        """,
        predecessor_missing=Sql(f"'{PREDECESSOR_MISSING.verdict}'"),
        predecessor_failed=Sql(f"'{PREDECESSOR_FAILED.verdict}'"),
        may_become=where_may_become(PostState.FAILED, by=Hand.SWEEP),
        events=announcing("broken", Event.FAILED),
    ),
    params=TakeStuck,
    row=StuckRow,
)
"""Set the time of a page of stuck parts, or fail them with their replies, and notify webhooks.

One statement, so that of two reconcilers one acts on a part.
"""


def free_stuck(page_size: int) -> int:
    """Send or fail queued parts that nothing else would ever process, and notify their organizations."""
    with unit_of_work() as session:
        rows = TAKE_STUCK.all(
            session,
            page_size=page_size,
            missing=sentence(PREDECESSOR_MISSING, Step.CLAIM),
            failed=sentence(PREDECESSOR_FAILED, Step.CLAIM),
        )
        for row in rows:
            notice = notices.stuck(row.id, row.generation, row.root_id, goes_on=row.goes_on)
            notify_members(session, row.organization_id, row.customer_id, notice)
            log.error(
                "post.stuck",
                extra={
                    "part_id": row.id,
                    "organization_id": row.organization_id,
                    "goes_on": row.goes_on,
                },
            )
        messages = {row.organization_id: row.messages for row in rows}
        for organization_id, delivery_ids in messages.items():
            send_after_commit(session, organization_id, delivery_ids)
    return len(rows)
