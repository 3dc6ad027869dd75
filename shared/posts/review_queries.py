"""The statements of reviews: the steps of a post's approval, who asked and who decided.

The transaction that writes them holds the lock of the post's root.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.audit.queries import recording
from shared.channels.queries import IN_REACH
from shared.core.ids import (
    ChangeId,
    ChannelId,
    CustomerId,
    GroupId,
    OrganizationId,
    PostId,
    UserId,
)
from shared.db.statement import Json, NoRow, Statement, sql

STEPS_OF_POST = sql("""(
    select asked.steps from reviews asked where asked.root_id = posts.id order by asked.created_at desc limit 1
)""")
"""The steps of a post's latest request, in the columns of `posts`; null: there was none."""

APPROVED_STEPS_OF_POST = sql("""array(
    select given.step from reviews given
    where given.root_id = posts.id and given.outcome = 'approved' and given.voided_at is null
)""")
"""The steps of a post whose approval counts."""

WAITS_FOR_STEP = sql("""(
    select waiting.step from reviews waiting where waiting.root_id = posts.id and waiting.outcome is null
)""")
"""The step of a post that is not decided yet; null: it waits for none."""


class Settle(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId | None
    posts: Json


SETTLE = Statement(
    "settle_reviews",
    sql("""
        with given as (
            select * from jsonb_to_recordset(cast(:posts as jsonb)) as post(
                root_id uuid, revision integer, steps text[], kept text[], approved text[], waits_for text)
        ), voided as (
            update reviews set voided_at = now() from given
            where reviews.root_id = given.root_id and reviews.organization_id = :organization_id
                and reviews.outcome = 'approved' and reviews.voided_at is null and reviews.step <> all(given.kept)
        ), waiting as (
            update reviews set revision = given.revision, steps = given.steps,
                step = coalesce(given.waits_for, reviews.step),
                reminders = case when given.waits_for = reviews.step then reviews.reminders else 0 end,
                outcome = case when given.waits_for is null then
                    case when reviews.step = any(given.approved) then 'approved' else 'withdrawn' end end,
                decided_by = case when given.waits_for is null then cast(:user_id as uuid) end,
                decided_at = case when given.waits_for is null then now() end
            from given
            where reviews.root_id = given.root_id and reviews.organization_id = :organization_id
                and reviews.outcome is null
            returning reviews.root_id, reviews.step, reviews.outcome
        ), decided as (
            insert into reviews (id, organization_id, root_id, step, steps, revision, outcome, requested_by, decided_by,
                decided_at)
            select gen_random_uuid(), :organization_id, given.root_id, own.step, given.steps, given.revision, 'approved',
                cast(:user_id as uuid), cast(:user_id as uuid), now()
            from given cross join unnest(given.approved) as own(step)
            where not exists (
                select from waiting
                where waiting.root_id = given.root_id and waiting.step = own.step and waiting.outcome = 'approved')
        )
        insert into reviews (id, organization_id, root_id, step, steps, revision, requested_by)
        select gen_random_uuid(), :organization_id, root_id, waits_for, steps, revision, cast(:user_id as uuid)
        from given
        where waits_for is not null and not exists (select from waiting where waiting.root_id = given.root_id)
    """),
    params=Settle,
    row=NoRow,
)
"""Bring the steps of posts in line with what was stored: void approvals, give those of the author, and wait for the next step.

One statement, so that a post never waits for two steps.
"""


class Decide(NamedTuple):
    """`then`: the step that the post waits for next. `change_id` None: the history is written elsewhere."""

    organization_id: OrganizationId
    root_id: PostId
    outcome: str
    user_id: UserId | None
    link_id: UUID | None
    note: str | None
    steps: list[str]
    then: str | None
    date: datetime | None
    change_id: ChangeId | None
    action: str
    changes: Json
    audit: Json


class Decided(NamedTuple):
    requested_by: UserId | None


DECIDE = Statement(
    "decide_review",
    sql(
        """
        with decided as (
            update reviews set outcome = :outcome, decided_by = cast(:user_id as uuid), link_id = cast(:link_id as uuid),
                note = :note, decided_at = now()
            where root_id = :root_id and organization_id = :organization_id and outcome is null
            returning id, root_id, revision, requested_by
        ), voided as (
            update reviews set voided_at = now()
            where root_id = :root_id and organization_id = :organization_id and outcome = 'approved'
                and voided_at is null and cast(:outcome as text) = 'declined'
        ), posted as (
            update posts set updated_at = now(),
                review = case when cast(:outcome as text) = 'declined' then 'declined' else review end,
                publish_at = coalesce(cast(:date as timestamptz), publish_at),
                revision = revision + case when cast(:date as timestamptz) is null then 0 else 1 end
            where root_id = :root_id and organization_id = :organization_id and deleted_at is null
                and (cast(:outcome as text) = 'declined' or cast(:date as timestamptz) is not null)
        ), next as (
            insert into reviews (id, organization_id, root_id, step, steps, revision, requested_by)
            select gen_random_uuid(), :organization_id, root_id, cast(:then as text), cast(:steps as text[]),
                revision + case when cast(:date as timestamptz) is null then 0 else 1 end, requested_by
            from decided where cast(:then as text) is not null
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select cast(:change_id as uuid), :organization_id, root_id, revision, cast(:user_id as uuid),
                cast(:action as text), cast(:changes as jsonb)
            from decided where cast(:change_id as uuid) is not null
        ), {recording}
        select requested_by from decided
        """,
        recording=recording(sql("exists (select from decided)")),
    ),
    params=Decide,
    row=Decided,
)
"""Decide on the step that a locked post waits for, go on to the next one, and record it.

One statement, so that a decision is never without its history. A time that a decision moves is the same for all later steps.
"""


class OfPost(NamedTuple):
    organization_id: OrganizationId
    root_id: PostId


class LastDecision(NamedTuple):
    outcome: str
    decided_by: str | None
    decided_at: datetime


LAST_DECISION = Statement(
    "last_decision",
    sql("""
        select reviews.outcome, nullif(trim(users.name || ' ' || users.last_name), '') as decided_by, reviews.decided_at
        from reviews left join users on users.id = reviews.decided_by
        where reviews.organization_id = :organization_id and reviews.root_id = :root_id and reviews.outcome is not null
        order by reviews.decided_at desc limit 1
    """),
    params=OfPost,
    row=LastDecision,
)
"""Return the latest decision on a post; no row: there was none."""


class Waiting(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    most: int


class WaitingRow(NamedTuple):
    id: PostId
    group: GroupId
    integration: ChannelId
    integration_name: str
    content: str
    publish_date: datetime
    overdue: bool
    revision: int
    step: str
    steps: list[str]
    requested_by: UserId | None
    requested_at: datetime


LIST_WAITING = Statement(
    "list_waiting_reviews",
    sql(
        """
        select p.id, p.group_id as "group", c.id as integration, c.name as integration_name, p.content,
            p.publish_at as publish_date, p.publish_at <= now() as overdue, p.revision, r.step, r.steps, r.requested_by,
            r.created_at as requested_at
        from reviews r join posts p on p.id = r.root_id join channels c on c.id = p.channel_id
        where r.organization_id = :organization_id and r.outcome is null and p.deleted_at is null and {in_reach}
        order by p.publish_at, p.id limit :most
        """,
        in_reach=IN_REACH,
    ),
    params=Waiting,
    row=WaitingRow,
)
"""List the posts that wait for approval, earliest first."""
