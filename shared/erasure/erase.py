"""Erases what was deleted two weeks ago, a page at a time, so that it can stop anywhere and go on there.

The order makes that safe: grants at the platforms first, then the objects in the bucket, then the rows in pages, and the row of
the organization or person last, with the deletion that names it. Whatever a killed process had done is not found again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws import storage
from shared.channels.revoke import revoke_grants
from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import OrganizationId, UserId
from shared.core.log import log
from shared.db.session import after_commit, run, unit_of_work
from shared.db.statement import NoRow, Statement
from shared.db.sweep import PAGE_SIZE
from shared.erasure import queries
from shared.identity.mails import queue_letter
from shared.media.keys import prefixes_of
from shared.organizations import deletion_letters as letters
from shared.organizations import deletion_queries as deletions
from shared.organizations.deletion_queries import DueRow
from shared.organizations.deletions import REMINDED_BEFORE, request_deletions, return_url
from shared.organizations.models import DeletionKind
from shared.organizations.queries import get_organization

Subject = TypeVar("Subject", UserId, OrganizationId)
Step = Callable[[], int]
"""Erases one page and returns how much it was; 0: there is nothing left."""


def carry_out(kind: DeletionKind, subject_id: UUID, *, has_time: Callable[[], bool]) -> None:
    """Carry out a deletion whose time has come, or send its reminder; otherwise do nothing.

    If there is no time for the rest, a message has it continued.
    """
    begun = run(lambda session: deletions.BEGIN_ERASING.find(session, subject_id, kind))
    if begun is None:
        _remind(kind, subject_id)
        return
    for step in _steps(kind, subject_id):
        while step():
            if not has_time():
                log.info("erasure.continues")
                request_deletions([DueRow(subject_id, kind)])
                return
    if kind is DeletionKind.ACCOUNT:
        _end_account(UserId(subject_id))
    else:
        _end_organization(OrganizationId(subject_id), begun.with_account)


def _steps(kind: DeletionKind, subject_id: UUID) -> Sequence[Step]:
    if kind is DeletionKind.ACCOUNT:
        of_person = (
            *queries.UNSIGN,
            queries.ERASE_ADDRESSES,
            queries.ERASE_COUNTS,
            queries.ERASE_NOTICES,
        )
        return [partial(_page, one, UserId(subject_id)) for one in of_person]
    organization_id = OrganizationId(subject_id)
    return [
        partial(revoke_grants, organization_id),
        *(partial(storage.delete_page, prefix) for prefix in prefixes_of(organization_id)),
        *(partial(_page, one, organization_id) for one in queries.ERASE_ROWS),
    ]


def _page(erase: Statement[[Subject, int], NoRow], subject: Subject) -> int:
    """Erase a page in its own transaction, so that locks are short."""
    with unit_of_work() as session:
        return erase.run(session, subject, PAGE_SIZE)


def _end_organization(organization_id: OrganizationId, with_account: UserId | None) -> None:
    """Delete the organization's row. The account that it went with may be erased now."""
    with unit_of_work() as session:
        if not deletions.END_DELETION.run(session, organization_id, DeletionKind.ORGANIZATION):
            return
        team = deletions.LIST_TEAM_ADDRESSES.all(session, organization_id)
        erased = queries.ERASE_ORGANIZATION.find(session, organization_id)
        if erased is not None:
            for one in team:
                if one.is_owner:
                    queue_letter(session, one.email, letters.organization_erased(erased.name))
        actor = Actor(organization_id=organization_id)
        record(session, actor, Action.ORGANIZATION_ERASED, organization_id)
        if with_account is not None:
            due = DueRow(with_account, DeletionKind.ACCOUNT)
            after_commit(session, partial(request_deletions, [due]))
    log.info("organization.erased")


def _end_account(user_id: UserId) -> None:
    """Delete the person's row."""
    with unit_of_work() as session:
        if not deletions.END_DELETION.run(session, user_id, DeletionKind.ACCOUNT):
            return
        erased = queries.ERASE_USER.find(session, user_id)
        if erased is not None:
            queue_letter(session, erased.email, letters.account_erased())
        record(session, Actor(user_id=user_id), Action.ACCOUNT_ERASED, user_id)
    log.info("account.erased")


def _remind(kind: DeletionKind, subject_id: UUID) -> None:
    """Send the reminder of a deletion, if it is due and was not sent."""
    secret = new_secret()
    with unit_of_work() as session:
        reminder = deletions.TAKE_REMINDER.find(
            session,
            subject_id=subject_id,
            kind=kind,
            reminder_hash=hash_secret(secret),
            remind_seconds=REMINDED_BEFORE.total_seconds(),
        )
        if reminder is None:
            log.info("erasure.not_due")
            return
        link = return_url(secret)
        if kind is DeletionKind.ACCOUNT:
            found = deletions.FIND_DELETED_ADDRESS.find(session, UserId(subject_id))
            if found is not None:
                queue_letter(session, found.email, letters.account_ends(link, reminder.erase_at))
            return
        organization_id = OrganizationId(subject_id)
        name = get_organization(session, organization_id).name
        for one in deletions.LIST_TEAM_ADDRESSES.all(session, organization_id):
            if one.is_owner:
                letter = letters.organization_ends(name, link, reminder.erase_at)
                queue_letter(session, one.email, letter)
