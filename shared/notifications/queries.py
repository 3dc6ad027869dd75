"""Which statements read notifications, and claim those whose mail is to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId
from shared.db.types import AnyRow
from shared.notifications.models import NotificationKind

_IDS = ARRAY(Uuid())
# What was not mailed by then is old news: a mail about it would only puzzle.
_OLDEST = timedelta(days=3)
MOST_NUMBERED = 10_000  # notifications that numbered pages list


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notification whose mail this process is to send."""

    id: UUID
    organization_id: UUID
    kind: NotificationKind
    title: str
    content: str
    link: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """A member who may want a mail."""

    organization_id: UUID
    user_id: UUID
    email: str
    wants_successes: bool
    wants_failures: bool
    unsubscribe_seed: bytes


def count_unread(session: Session, organization_id: OrganizationId, user_id: UserId) -> int:
    """Count unread notifications; at most 1,000."""
    return int(
        session.execute(
            _COUNT_UNREAD, {"organization_id": organization_id, "user_id": user_id}
        ).scalar_one()
    )


def list_notifications(
    session: Session,
    organization_id: OrganizationId,
    user_id: UserId,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """List one page, newest first, each row with when the user last looked. The first page counts as looking.

    `before` is the time and id of the last row of the page before. Without notifications there is one row of which
    only `last_read_at` is set.
    """
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "user_id": user_id,
        "limit": limit,
    }
    if before is None:
        return session.execute(_FIRST_PAGE, values).all()
    created_at, notification_id = before
    return session.execute(
        _FURTHER_PAGE, {**values, "created_at": created_at, "id": notification_id}
    ).all()


def list_told(
    session: Session, organization_id: OrganizationId, *, limit: int, offset: int
) -> Sequence[AnyRow]:
    """List a stretch of the organization's newest notifications, each row with how many of those there are in `total`.

    They go back `MOST_NUMBERED`, which bounds the time: a numbered stretch is found by counting. Without any in the stretch
    there is one row of which only `total` is set. Nothing is marked as read.
    """
    values = {
        "organization_id": organization_id,
        "limit": max(0, min(limit, MOST_NUMBERED - offset)),
        "offset": min(offset, MOST_NUMBERED),
        "most": MOST_NUMBERED,
    }
    return session.execute(_TOLD, values).all()


def mark_read(session: Session, user_id: UserId) -> datetime:
    """Mark everything until now as seen by the user."""
    read_at: datetime = session.execute(_MARK_READ, {"user_id": user_id}).scalar_one()
    return read_at


def claim(session: Session, notification_ids: Sequence[UUID], lease: timedelta) -> list[Claimed]:
    """Claim the mails of those notifications that are neither sent nor claimed."""
    rows = session.execute(_CLAIM_THESE, {"ids": list(notification_ids), "lease": lease})
    return [_claimed(row) for row in rows]


def claim_overdue(
    session: Session, *, older_than: timedelta, lease: timedelta, limit: int
) -> list[Claimed]:
    """Claim failures and news that should have been mailed at once, and were not."""
    values = {"older_than": older_than, "oldest": _OLDEST, "lease": lease, "limit": limit}
    return [_claimed(row) for row in session.execute(_CLAIM_OVERDUE, values)]


def claim_digests(
    session: Session, *, after: timedelta, lease: timedelta, limit: int
) -> list[Claimed]:
    """Claim the successes of up to `limit` organizations whose oldest unmailed one has waited for `after`."""
    values = {"after": after, "oldest": _OLDEST, "lease": lease, "limit": limit}
    return [_claimed(row) for row in session.execute(_CLAIM_DIGESTS, values)]


def mark_mailed(session: Session, notification_ids: Sequence[UUID]) -> None:
    """Note that these need no mail any more."""
    session.execute(_MARK_MAILED, {"ids": list(notification_ids)})


def list_recipients(session: Session, organization_ids: Sequence[UUID]) -> list[Recipient]:
    """List the members of these organizations who can be mailed."""
    rows = session.execute(_RECIPIENTS, {"organization_ids": list(organization_ids)})
    return [Recipient(*row) for row in rows]


def _claimed(row: AnyRow) -> Claimed:
    return Claimed(
        row.id,
        row.organization_id,
        NotificationKind(row.kind),
        row.title,
        row.content,
        row.link,
        row.created_at,
    )


_COUNT_UNREAD = text("""
select count(*) from (
  select 1 from notifications n
  where n.organization_id = :organization_id and n.deleted_at is null
    and n.created_at > (select last_read_notifications_at from users where id = :user_id)
  order by n.created_at desc  -- by the organization's index, whatever the planner thinks of a time it cannot know
  limit 1000
) unread
""")
_COLUMNS = """
select n.id, n.kind, n.title, n.content, n.link, n.created_at, u.last_read_notifications_at as last_read_at
from users u left join lateral (
  select * from notifications
  where organization_id = :organization_id and deleted_at is null {further}
  order by created_at desc, id desc limit :limit
) n on true
where u.id = :user_id
order by n.created_at desc, n.id desc
"""
# The statement's own changes are not seen by its SELECT, so the answer still says when the user had looked before.
_FIRST_PAGE = text(
    "with looked as (update users set last_read_notifications_at = now() where id = :user_id)"  # noqa: S608
    + _COLUMNS.format(further="")
)
_FURTHER_PAGE = text(
    _COLUMNS.format(
        further="and (created_at, id) < (cast(:created_at as timestamptz), cast(:id as uuid))"
    )
)
_TOLD = text("""
select counted.total, n.id, n.title, n.content, n.link, n.created_at
from (
  select count(*) as total from (
    select 1 from notifications where organization_id = :organization_id and deleted_at is null
    order by created_at desc, id desc limit :most
  ) newest
) counted left join (
  -- What is skipped is skipped in the index alone.
  select id from notifications
  where organization_id = :organization_id and deleted_at is null
  order by created_at desc, id desc limit :limit offset :offset
) shown on true left join notifications n on n.id = shown.id
order by n.created_at desc, n.id desc
""")
_MARK_READ = text("""
update users set last_read_notifications_at = now() where id = :user_id returning last_read_notifications_at
""")
_CLAIMED_COLUMNS = "n.id, n.organization_id, n.kind, n.title, n.content, n.link, n.created_at"
_FREE = "n.mailed_at is null and (n.mail_claimed_until is null or n.mail_claimed_until <= now())"
_CLAIM_THESE = text(f"""
update notifications n set mail_claimed_until = now() + cast(:lease as interval)
where n.id = any(:ids) and {_FREE}
returning {_CLAIMED_COLUMNS}
""").bindparams(bindparam("ids", type_=_IDS))  # noqa: S608  put together from constants
_CLAIM_OVERDUE = text(f"""
with due as (
  select n.id from notifications n
  where n.kind in ('failure', 'info') and {_FREE}
    and n.created_at between now() - cast(:oldest as interval) and now() - cast(:older_than as interval)
  order by n.created_at limit :limit
  for update skip locked
)
update notifications n set mail_claimed_until = now() + cast(:lease as interval)
from due where n.id = due.id
returning {_CLAIMED_COLUMNS}
""")  # noqa: S608  put together from constants
_CLAIM_DIGESTS = text(f"""
with organizations_due as (
  select n.organization_id from notifications n
  where n.kind = 'success' and {_FREE} and n.created_at > now() - cast(:oldest as interval)
  group by n.organization_id
  having min(n.created_at) <= now() - cast(:after as interval)
  order by min(n.created_at) limit :limit
), due as (
  select n.id from notifications n join organizations_due o on o.organization_id = n.organization_id
  where n.kind = 'success' and {_FREE} and n.created_at > now() - cast(:oldest as interval)
  for update of n skip locked
)
update notifications n set mail_claimed_until = now() + cast(:lease as interval)
from due where n.id = due.id
returning {_CLAIMED_COLUMNS}
""")  # noqa: S608  put together from constants
_MARK_MAILED = text("update notifications set mailed_at = now() where id = any(:ids)").bindparams(
    bindparam("ids", type_=_IDS)
)
_RECIPIENTS = text("""
select m.organization_id, u.id, u.email, u.sends_success_mails, u.sends_failure_mails, u.unsubscribe_seed
from members m join users u on u.id = m.user_id
where m.organization_id = any(:organization_ids) and not m.disabled
  and u.deleted_at is null and u.activated_at is not null
order by m.organization_id, u.email
""").bindparams(bindparam("organization_ids", type_=_IDS))
