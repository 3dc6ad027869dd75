"""The statements that mark accounts and organizations as deleted, bring them back, and find those whose time has come."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.core.ids import OrganizationId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.member_queries import ACTIVE_OWNER
from shared.organizations.models import DeletionKind


class OfUser(NamedTuple):
    user_id: UserId


class LockedRow(NamedTuple):
    id: OrganizationId


LOCK_OWNED = Statement(
    "lock_owned_organizations",
    sql("""
        select o.id from organizations o join members m on m.organization_id = o.id
        where m.user_id = :user_id and m.role = 'owner' and o.deleted_at is null
        order by o.id
        for no key update of o
    """),
    params=OfUser,
    row=LockedRow,
)
"""Lock the organizations that a user owns, always in the same order, until the transaction ends."""


class OwnedRow(NamedTuple):
    """`other_owners` can act as an owner; `other_members` are all members but the user, disabled ones too."""

    id: OrganizationId
    name: str
    other_owners: int
    other_members: int


LIST_OWNED = Statement(
    "list_owned_organizations",
    sql(
        """
        select o.id, o.name,
            (select count(*) from members m join users u on u.id = m.user_id
             where m.organization_id = o.id and m.user_id <> :user_id and {active_owner}) as other_owners,
            (select count(*) from members m join users u on u.id = m.user_id
             where m.organization_id = o.id and m.user_id <> :user_id and u.deleted_at is null) as other_members
        from organizations o join members own on own.organization_id = o.id
        where own.user_id = :user_id and own.role = 'owner' and o.deleted_at is null
        order by o.name, o.id
        limit 1000
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=OfUser,
    row=OwnedRow,
)
"""List the organizations that a user owns, and who else is in them. Lock them first (`LOCK_OWNED`)."""


class NewDeletion(NamedTuple):
    subject_id: UUID
    kind: DeletionKind
    with_account: UserId | None
    return_hash: bytes
    wait_seconds: float


class DeletionRow(NamedTuple):
    erase_at: datetime


ADD_DELETION = Statement(
    "add_deletion",
    sql("""
        insert into deletions (subject_id, kind, with_account, return_hash, erase_at)
        values (:subject_id, :kind, :with_account, :return_hash, now() + make_interval(secs => :wait_seconds))
        returning erase_at
    """),
    params=NewDeletion,
    row=DeletionRow,
)
"""Record that something was deleted, and return when it is erased."""


class OneOrganization(NamedTuple):
    organization_id: OrganizationId


class NamedRow(NamedTuple):
    name: str


MARK_ORGANIZATION = Statement(
    "mark_organization_deleted",
    sql("""
        update organizations set deleted_at = now(), updated_at = now()
        where id = :organization_id and deleted_at is null
        returning name
    """),
    params=OneOrganization,
    row=NamedRow,
)
"""Mark an organization as deleted; no row: it is already. Whatever lets somebody in reads the mark."""

RESTORE_ORGANIZATION = Statement(
    "restore_organization",
    sql(
        """
        update organizations set deleted_at = null, updated_at = now()
        where id = :organization_id and exists (
            select from members m join users u on u.id = m.user_id
            where m.organization_id = organizations.id and {active_owner})
        returning name
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=OneOrganization,
    row=NamedRow,
)
"""Remove the mark, unless the organization has no owner who can act."""


class TeamRow(NamedTuple):
    email: str
    is_owner: bool


LIST_TEAM_ADDRESSES = Statement(
    "list_team_addresses",
    sql(
        """
        select u.email, {active_owner} as is_owner from members m join users u on u.id = m.user_id
        where m.organization_id = :organization_id and u.deleted_at is null and u.activated_at is not null
            and not m.disabled
        order by m.created_at, m.id
        limit 1000
        """,
        active_owner=ACTIVE_OWNER,
    ),
    params=OneOrganization,
    row=TeamRow,
)
"""List the addresses of an organization's members, longest-standing first; at most 1,000."""


class ReturnHash(NamedTuple):
    return_hash: bytes


class ReturnedRow(NamedTuple):
    subject_id: UUID
    kind: DeletionKind


TAKE_BACK = Statement(
    "take_back",
    sql("""
        delete from deletions
        where (return_hash = :return_hash or reminder_hash = :return_hash) and erasing_at is null
        returning subject_id, kind
    """),
    params=ReturnHash,
    row=ReturnedRow,
)
"""Take a deletion back by the secret of a mailed link; no row: the secret is unknown or used, or erasing has begun."""

TAKE_BACK_WITH_ACCOUNT = Statement(
    "take_back_with_account",
    sql("""
        delete from deletions where with_account = :user_id and erasing_at is null
        returning subject_id, kind
    """),
    params=OfUser,
    row=ReturnedRow,
)
"""Take back the deletions of the organizations that went with an account."""


# An account waits for the organizations that went with it.
_DUE = sql("""
    d.erase_at <= now() and not exists (select from deletions other where other.with_account = d.subject_id)
""")


class Ahead(NamedTuple):
    remind_seconds: float
    page_size: int


class DueRow(NamedTuple):
    subject_id: UUID
    kind: DeletionKind


LIST_DUE_DELETIONS = Statement(
    "list_due_deletions",
    sql(
        """
        select d.subject_id, d.kind from deletions d
        where ({due}) or (d.reminded_at is null and d.with_account is null
            and d.erase_at between now() and now() + make_interval(secs => :remind_seconds))
        order by d.erase_at limit :page_size
        """,
        due=_DUE,
    ),
    params=Ahead,
    row=DueRow,
)
"""List a page of the deletions that are to be carried out, or whose reminder is due."""


class OneDeletion(NamedTuple):
    subject_id: UUID
    kind: DeletionKind


class BegunRow(NamedTuple):
    with_account: UserId | None


BEGIN_ERASING = Statement(
    "begin_erasing",
    sql(
        """
        update deletions d set erasing_at = coalesce(d.erasing_at, now())
        where d.subject_id = :subject_id and d.kind = :kind and {due}
        returning d.with_account
        """,
        due=_DUE,
    ),
    params=OneDeletion,
    row=BegunRow,
)
"""Begin to erase, or go on with it; no row: it is not time, or it is done. From now on nothing comes back."""


class Reminder(NamedTuple):
    subject_id: UUID
    kind: DeletionKind
    reminder_hash: bytes
    remind_seconds: float


TAKE_REMINDER = Statement(
    "take_reminder",
    sql("""
        update deletions set reminded_at = now(), reminder_hash = :reminder_hash
        where subject_id = :subject_id and kind = :kind and reminded_at is null and with_account is null
            and erase_at between now() and now() + make_interval(secs => :remind_seconds)
        returning erase_at
    """),
    params=Reminder,
    row=DeletionRow,
)
"""Take the reminder of a deletion, with the secret of its link; no row: it was sent, or is not due."""

END_DELETION = Statement(
    "end_deletion",
    sql("delete from deletions where subject_id = :subject_id and kind = :kind"),
    params=OneDeletion,
    row=NoRow,
)
"""Forget a deletion whose subject is gone. Only one of two callers deletes the row."""


class AddressRow(NamedTuple):
    email: str


FIND_DELETED_ADDRESS = Statement(
    "find_deleted_address",
    sql("select email from users where id = :user_id and deleted_at is not null"),
    params=OfUser,
    row=AddressRow,
)
"""Find the address of a deleted account."""
