"""Deletes an account or an organization, and brings it back.

Deleting sets a mark that whatever lets somebody in reads, so access ends in the same transaction. Two weeks later the function
`erase` removes everything (`shared/erasure`); until then a mailed link takes the mark away again.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from shared.access.actor import actor_of, person_of
from shared.access.context import ActingMember
from shared.access.endings import Ended, Event, end_access
from shared.access.errors import NobodyToReturnTo, OthersNeedAnOwner, ReturnRefused
from shared.audit.entries import Action, Actor, Entry
from shared.audit.record import record, record_all
from shared.aws.mail import mail_is_on
from shared.core.crypto import hash_secret
from shared.core.ids import OrganizationId, UserId
from shared.identity.errors import AddressInUse
from shared.identity.mails import queue_letter
from shared.identity.queries import LOCK_USER, MARK_USER, RESTORE_USER
from shared.organizations import deletion_letters as letters
from shared.organizations import deletion_queries as queries
from shared.organizations.deletion_queries import OwnedRow
from shared.organizations.deletions import add_deletion, return_url
from shared.organizations.errors import NoSuchOrganization
from shared.organizations.models import DeletionKind


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted. `return_url` brings it back until `erase_at`; None if it was mailed.

    `organizations` went with the account.
    """

    erase_at: datetime
    return_url: str | None
    organizations: tuple[OrganizationId, ...] = ()


def delete_account(session: Session, member: ActingMember) -> Deleted:
    """Delete the person's account, and the organizations in which they are alone. All access of the person ends.

    Raises:
        OthersNeedAnOwner: the person is the only owner of an organization that has other members.
    """
    user_id = member.person_id
    LOCK_USER.all(session, user_id)
    queries.LOCK_OWNED.all(session, user_id)
    owned = queries.LIST_OWNED.all(session, user_id)
    _check_others_have_owners(owned)
    alone = [row for row in owned if not row.other_members]
    marked = MARK_USER.one(session, user_id)
    for row in alone:
        _mark_organization(session, row.id, with_account=user_id)
    ended = end_access(session, Event.ACCOUNT_DELETED, user_id)
    secret, erase_at = add_deletion(session, user_id, DeletionKind.ACCOUNT)
    names = [row.name for row in alone]
    queue_letter(
        session, marked.email, letters.account_deleted(return_url(secret), erase_at, names)
    )
    _record_account(session, person_of(member), user_id, alone, ended)
    return Deleted(erase_at, _unless_mailed(secret), tuple(row.id for row in alone))


def delete_organization(session: Session, member: ActingMember) -> Deleted:
    """Delete the organization. Its owners are emailed the link that brings it back, and the other members that it was deleted.

    Raises:
        NoSuchOrganization: it was deleted at the same moment.
    """
    organization_id = member.organization_id
    name, secret, erase_at = _mark_organization(session, organization_id)
    for one in queries.LIST_TEAM_ADDRESSES.all(session, organization_id):
        letter = (
            letters.organization_deleted(name, return_url(secret), erase_at)
            if one.is_owner
            else letters.organization_deleted_for_member(name, erase_at)
        )
        queue_letter(session, one.email, letter)
    record(session, actor_of(member), Action.ORGANIZATION_DELETED, organization_id)
    return Deleted(erase_at, _unless_mailed(secret), (organization_id,))


def bring_back(session: Session, code: str) -> DeletionKind:
    """Restore what was deleted, with the code of a mailed link; return what it was. It signs nobody in.

    What has ended stays so: sessions, API keys and consents of the person. Those of an organization work again.

    Raises:
        ReturnRefused: the code is unknown or used, or erasing has begun.
        AddressInUse: another account has the address by now.
        NobodyToReturnTo: none of the organization's owners has an account.
    """
    taken = queries.TAKE_BACK.find(session, hash_secret(code))
    if taken is None:
        raise ReturnRefused
    if taken.kind is DeletionKind.ORGANIZATION:
        _restore_organization(session, OrganizationId(taken.subject_id), Actor())
        return taken.kind
    user_id = UserId(taken.subject_id)
    if RESTORE_USER.find(session, user_id) is None:
        raise AddressInUse
    actor = Actor(user_id=user_id)
    for one in queries.TAKE_BACK_WITH_ACCOUNT.all(session, user_id):
        _restore_organization(session, OrganizationId(one.subject_id), actor)
    record(session, actor, Action.ACCOUNT_RESTORED, user_id)
    return taken.kind


def _check_others_have_owners(owned: list[OwnedRow]) -> None:
    needed = [row for row in owned if row.other_members and not row.other_owners]
    if needed:
        raise OthersNeedAnOwner([row.name for row in needed], [row.id for row in needed])


def _mark_organization(
    session: Session, organization_id: OrganizationId, *, with_account: UserId | None = None
) -> tuple[str, str, datetime]:
    """Mark an organization; return its name, and the secret and the end of what brings it back."""
    marked = queries.MARK_ORGANIZATION.find(session, organization_id)
    if marked is None:
        raise NoSuchOrganization
    secret, erase_at = add_deletion(
        session, organization_id, DeletionKind.ORGANIZATION, with_account=with_account
    )
    return marked.name, secret, erase_at


def _restore_organization(session: Session, organization_id: OrganizationId, actor: Actor) -> None:
    if queries.RESTORE_ORGANIZATION.find(session, organization_id) is None:
        raise NobodyToReturnTo
    record(
        session,
        actor.in_organization(organization_id),
        Action.ORGANIZATION_RESTORED,
        organization_id,
    )


def _record_account(
    session: Session, actor: Actor, user_id: UserId, alone: list[OwnedRow], ended: Ended
) -> None:
    """Record the deletion in the person's own log, and in that of each organization what ended there."""
    record(session, actor, Action.ACCOUNT_DELETED, user_id)
    entries: list[tuple[OrganizationId, Action, UUID]] = [
        *((row.id, Action.ORGANIZATION_DELETED, row.id) for row in alone),
        *((key.organization_id, Action.API_KEY_REVOKED, key.id) for key in ended.keys),
        *((one.organization_id, Action.GRANT_REVOKED, one.id) for one in ended.consents),
    ]
    for organization_id, action, subject_id in entries:
        record_all(session, actor.in_organization(organization_id), [Entry(action, subject_id)])


def _unless_mailed(secret: str) -> str | None:
    """Return the link where this server sends no email that could contain it."""
    return None if mail_is_on() else return_url(secret)
