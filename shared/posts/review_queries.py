"""The statements of reviews: the steps of a post's approval, who asked and who decided.

The transaction that writes them holds the lock of the post's root.
"""

from typing import NamedTuple

from shared.core.ids import OrganizationId, UserId
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
