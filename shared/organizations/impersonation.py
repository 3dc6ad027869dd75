"""Begins and ends impersonations: a super admin acts as a member, for a reason, for at most an hour, in one session.

    begun = begin_impersonation(session, operator, member_id, reason)
    end_impersonations(session, operator)

`access/context.py` lets in whose impersonation is live. Beginning and ending are recorded in the organization's audit log and in
the member's own, and the organization's owners get an email unless they have switched that off.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor, Entry
from shared.audit.record import record_all
from shared.core.formats.email import Letter
from shared.core.ids import ImpersonationId, MemberId, OrganizationId, SessionId, UserId, new_id
from shared.identity.mails import queue_letter
from shared.organizations import impersonation_queries as queries
from shared.organizations.errors import NoSuchMember
from shared.organizations.impersonation_queries import BegunImpersonation

IMPERSONATION_LIFE = timedelta(hours=1)
"""How long an impersonation lasts. Afterwards it can only be begun again."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The super admin and the session in which they act. `actor` names them in the audit log."""

    user_id: UserId
    session_id: SessionId
    actor: Actor


def begin_impersonation(
    session: Session, operator: Operator, member_id: MemberId, reason: str
) -> datetime:
    """Let a super admin act as a member, and return until when. What they acted as before in this session ends.

    Raises:
        NoSuchMember: there is no such member.
    """
    end_impersonations(session, operator)
    impersonation_id = ImpersonationId(new_id())
    begun = queries.BEGIN_IMPERSONATION.find(
        session,
        impersonation_id,
        operator_id=operator.user_id,
        session_id=operator.session_id,
        member_id=member_id,
        reason=reason,
        life_seconds=IMPERSONATION_LIFE.total_seconds(),
    )
    if begun is None:
        raise NoSuchMember
    entry = Entry(
        Action.IMPERSONATION_STARTED, impersonation_id, after={"expiresAt": begun.ends_at}
    )
    _record(session, operator, begun.organization_id, begun.user_id, entry)
    if begun.mails_impersonations:
        letter = _letter(begun, reason)
        for owner in queries.LIST_OWNER_ADDRESSES.all(session, begun.organization_id):
            queue_letter(session, owner.email, letter)
    return begun.ends_at


def end_impersonations(session: Session, operator: Operator) -> None:
    """End what a super admin acts as in their session."""
    for ended in queries.END_IMPERSONATIONS.all(session, operator.session_id):
        entry = Entry(Action.IMPERSONATION_ENDED, ended.id)
        _record(session, operator, ended.organization_id, ended.user_id, entry)


def _record(
    session: Session,
    operator: Operator,
    organization_id: OrganizationId,
    user_id: UserId,
    entry: Entry,
) -> None:
    for actor in _actors(operator, organization_id, user_id):
        record_all(session, actor, [entry])


def _actors(
    operator: Operator, organization_id: OrganizationId, user_id: UserId
) -> Iterator[Actor]:
    """List the operator as the organization's log names them, and as the member's own does."""
    in_their_place = replace(
        operator.actor,
        organization_id=None,
        user_id=user_id,
        impersonated_by=operator.user_id,
        session_id=operator.session_id,
    )
    yield in_their_place.in_organization(organization_id)
    yield in_their_place


def _letter(begun: BegunImpersonation, reason: str) -> Letter:
    return Letter(
        "An operator acts as a member of your organization",
        [
            f"An operator of this server acts as {begun.name} in {begun.organization_name}, until "
            f"{begun.ends_at:%Y-%m-%d %H:%M} UTC at the latest.",
            f"Reason: {reason}",
            "Everything that the operator does is in your audit log. They cannot change passwords, sign-in, keys, roles or "
            "payments, and cannot delete anything.",
            "To stop these emails, change the setting of your organization. The audit log always has the entry.",
        ],
    )
