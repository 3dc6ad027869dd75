"""The statements that add and read notifications, and claim those to be emailed."""

from datetime import datetime, timedelta
from typing import NamedTuple

from shared.core.ids import CustomerId, NotificationId, OrganizationId, UserId
from shared.db.reach import in_reach
from shared.db.statement import NoRow, Statement, sql


class New(NamedTuple):
    organization_id: OrganizationId
    id: NotificationId
    kind: str
    title: str
    content: str
    link: str | None
    dedupe_key: str | None
    customer_id: CustomerId | None


class Added(NamedTuple):
    id: NotificationId
    organization_id: OrganizationId


ADD = Statement(
    "add_notification",
    sql("""
        insert into notifications (id, organization_id, kind, title, content, link, dedupe_key, customer_id)
        values (:id, :organization_id, :kind, :title, :content, :link, :dedupe_key, :customer_id)
        on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
        returning id, organization_id
    """),
    params=New,
    row=Added,
)
"""Add a notification; no row if there is one of its `dedupe_key`."""


class NewOnes(NamedTuple):
    ids: list[NotificationId]
    organization_ids: list[OrganizationId]
    kinds: list[str]
    titles: list[str]
    contents: list[str]
    links: list[str | None]
    dedupe_keys: list[str]
    customer_ids: list[CustomerId | None]
    mailed: bool


ADD_MANY = Statement(
    "add_notifications",
    sql("""
        insert into notifications (id, organization_id, kind, title, content, link, dedupe_key, customer_id, mailed_at)
        select id, organization_id, kind, title, content, link, dedupe_key, customer_id, case when :mailed then now() end
        from unnest(cast(:ids as uuid[]), cast(:organization_ids as uuid[]), cast(:kinds as text[]),
            cast(:titles as text[]), cast(:contents as text[]), cast(:links as text[]), cast(:dedupe_keys as text[]),
            cast(:customer_ids as uuid[]))
            as given(id, organization_id, kind, title, content, link, dedupe_key, customer_id)
        on conflict (organization_id, dedupe_key) where dedupe_key is not null do nothing
        returning id, organization_id
    """),
    params=NewOnes,
    row=Added,
)
"""Add new notifications of any organizations. One statement, because an outage causes hundreds of them."""


class Reader(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId


class Unread(NamedTuple):
    total: int


COUNT_UNREAD = Statement(
    "count_unread_notifications",
    sql(
        """
        select count(*) as total from (
          select 1 from notifications n
          where n.organization_id = :organization_id and n.deleted_at is null and {in_reach}
            and n.created_at > (select last_read_notifications_at from users where id = :user_id)
          order by n.created_at desc  -- by the organization's index, whatever the planner thinks of a time it cannot know
          limit 1000
        ) unread
        """,
        in_reach=in_reach(sql("n.customer_id")),
    ),
    params=Reader,
    row=Unread,
)
"""Count the notifications since the user last looked that the caller may see; at most 1,000."""


class FirstPage(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId
    limit: int


class FurtherPage(NamedTuple):
    """`created_at` and `id` are those of the last row of the page before."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId
    limit: int
    created_at: datetime
    id: NotificationId


class PageRow(NamedTuple):
    """Without notifications there is one row of nulls, in which only `last_read_at` is set."""

    id: NotificationId
    kind: str
    title: str
    content: str
    link: str | None
    created_at: datetime
    last_read_at: datetime
    is_there: bool


FIRST_PAGE = Statement(
    "first_page_of_notifications",
    sql(
        """
        with looked as (update users set last_read_notifications_at = now() where id = :user_id)
        select n.id, n.kind, n.title, n.content, n.link, n.created_at, u.last_read_notifications_at as last_read_at,
            n.id is not null as is_there
        from users u left join lateral (
          select id, kind, title, content, link, created_at from notifications
          where organization_id = :organization_id and deleted_at is null and {in_reach}
          order by created_at desc, id desc limit :limit
        ) n on true
        where u.id = :user_id
        order by n.created_at desc, n.id desc
        """,
        in_reach=in_reach(sql("customer_id")),
    ),
    params=FirstPage,
    row=PageRow,
)
"""List the newest notifications, newest first, and record that the user has read them.

One statement, because its SELECT does not see its own change: the answer has the user's previous read time.
"""

FURTHER_PAGE = Statement(
    "further_page_of_notifications",
    sql(
        """
        select n.id, n.kind, n.title, n.content, n.link, n.created_at, u.last_read_notifications_at as last_read_at,
            n.id is not null as is_there
        from users u left join lateral (
          select id, kind, title, content, link, created_at from notifications
          where organization_id = :organization_id and deleted_at is null and {in_reach}
            and (created_at, id) < (cast(:created_at as timestamptz), cast(:id as uuid))
          order by created_at desc, id desc limit :limit
        ) n on true
        where u.id = :user_id
        order by n.created_at desc, n.id desc
        """,
        in_reach=in_reach(sql("customer_id")),
    ),
    params=FurtherPage,
    row=PageRow,
)
"""List the notifications after those of a page, the newest first."""


class NumberedPage(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    limit: int
    offset: int
    most: int


class NumberedRow(NamedTuple):
    """Without notifications in the range there is one row of nulls, in which only `total` is set."""

    total: int
    is_there: bool
    id: NotificationId
    title: str
    content: str
    link: str | None
    created_at: datetime


NUMBERED_PAGE = Statement(
    "numbered_page_of_notifications",
    sql(
        """
        select counted.total, n.id is not null as is_there, n.id, n.title, n.content, n.link, n.created_at
        from (
          select count(*) as total from (
            select 1 from notifications where organization_id = :organization_id and deleted_at is null and {in_reach}
            order by created_at desc, id desc limit :most
          ) newest
        ) counted left join (
          -- What is skipped is skipped in the index alone.
          select id from notifications
          where organization_id = :organization_id and deleted_at is null and {in_reach}
          order by created_at desc, id desc limit :limit offset :offset
        ) shown on true left join notifications n on n.id = shown.id
        order by n.created_at desc, n.id desc
        """,
        in_reach=in_reach(sql("customer_id")),
    ),
    params=NumberedPage,
    row=NumberedRow,
)
"""List a range of the newest notifications, and count them up to `most`. Nothing is marked as read."""


class OfUser(NamedTuple):
    user_id: UserId


class Looked(NamedTuple):
    read_at: datetime


MARK_READ = Statement(
    "mark_notifications_read",
    sql("""
        update users set last_read_notifications_at = now() where id = :user_id
        returning last_read_notifications_at as read_at
    """),
    params=OfUser,
    row=Looked,
)
"""Mark everything until now as read by the user."""


# --- emails -----------------------------------------------------------------------------------------------------


class ClaimThese(NamedTuple):
    ids: list[NotificationId]
    lease: timedelta


class Claimed(NamedTuple):
    """A notification whose email this process is to send."""

    id: NotificationId
    organization_id: OrganizationId
    customer_id: CustomerId | None
    kind: str
    title: str
    content: str
    link: str | None
    created_at: datetime


_CLAIMED = sql(
    "n.id, n.organization_id, n.customer_id, n.kind, n.title, n.content, n.link, n.created_at"
)
_FREE = sql(
    "n.mailed_at is null and (n.mail_claimed_until is null or n.mail_claimed_until <= now())"
)
CLAIM_THESE = Statement(
    "claim_these_mails",
    sql(
        """
        update notifications n set mail_claimed_until = now() + cast(:lease as interval)
        where n.id = any(cast(:ids as uuid[])) and {free}
        returning {claimed}
        """,
        free=_FREE,
        claimed=_CLAIMED,
    ),
    params=ClaimThese,
    row=Claimed,
)
"""Claim the emails of those notifications that are neither sent nor claimed."""


class ClaimOverdue(NamedTuple):
    older_than: timedelta
    oldest: timedelta
    lease: timedelta
    limit: int


CLAIM_OVERDUE = Statement(
    "claim_overdue_mails",
    sql(
        """
        with due as (
          select n.id from notifications n
          where n.kind in ('failure', 'info') and {free}
            and n.created_at between now() - cast(:oldest as interval) and now() - cast(:older_than as interval)
          order by n.created_at limit :limit
          for update skip locked
        )
        update notifications n set mail_claimed_until = now() + cast(:lease as interval)
        from due where n.id = due.id
        returning {claimed}
        """,
        free=_FREE,
        claimed=_CLAIMED,
    ),
    params=ClaimOverdue,
    row=Claimed,
)
"""Claim failures and news that should have been emailed at once, and were not. One statement, so that concurrent sweeps do not claim the same ones."""


class ClaimDigests(NamedTuple):
    after: timedelta
    oldest: timedelta
    lease: timedelta
    limit: int


CLAIM_DIGESTS = Statement(
    "claim_digests",
    sql(
        """
        with organizations_due as (
          select n.organization_id from notifications n
          where n.kind = 'success' and {free} and n.created_at > now() - cast(:oldest as interval)
          group by n.organization_id
          having min(n.created_at) <= now() - cast(:after as interval)
          order by min(n.created_at) limit :limit
        ), due as (
          select n.id from notifications n join organizations_due o on o.organization_id = n.organization_id
          where n.kind = 'success' and {free} and n.created_at > now() - cast(:oldest as interval)
          for update of n skip locked
        )
        update notifications n set mail_claimed_until = now() + cast(:lease as interval)
        from due where n.id = due.id
        returning {claimed}
        """,
        free=_FREE,
        claimed=_CLAIMED,
    ),
    params=ClaimDigests,
    row=Claimed,
)
"""Claim the successes of up to `limit` organizations whose oldest unmailed one has waited for `after`."""


class Ids(NamedTuple):
    ids: list[NotificationId]


MARK_MAILED = Statement(
    "mark_notifications_mailed",
    sql("update notifications set mailed_at = now() where id = any(cast(:ids as uuid[]))"),
    params=Ids,
    row=NoRow,
)
"""Record that these need no email anymore."""


class OfOrganizations(NamedTuple):
    organization_ids: list[OrganizationId]


class Recipient(NamedTuple):
    """A member who may want an email. `customers`: those whose notifications the member sees; None: all."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId
    email: str
    wants_successes: bool
    wants_failures: bool
    unsubscribe_seed: bytes


LIST_RECIPIENTS = Statement(
    "list_recipients",
    sql("""
        select m.organization_id, m.customers, u.id as user_id, u.email, u.sends_success_mails as wants_successes,
            u.sends_failure_mails as wants_failures, u.unsubscribe_seed
        from members m join users u on u.id = m.user_id
        where m.organization_id = any(cast(:organization_ids as uuid[])) and not m.disabled
          and u.deleted_at is null and u.activated_at is not null
          and exists (select from organizations o where o.id = m.organization_id and o.deleted_at is null)
        order by m.organization_id, u.email
    """),
    params=OfOrganizations,
    row=Recipient,
)
"""List the members of these organizations who can be emailed; nobody of a deleted one."""
