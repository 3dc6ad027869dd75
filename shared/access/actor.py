"""The caller as the audit log names them."""

from dataclasses import replace

from shared.access.context import NO_ORGANIZATION, ActingMember
from shared.access.errors import PersonNeeded
from shared.audit.entries import Actor
from shared.organizations.impersonation import Operator


def actor_of(member: ActingMember) -> Actor:
    """Return the caller as an actor in their organization, if they have one."""
    return Actor(
        organization_id=None
        if member.organization_id == NO_ORGANIZATION
        else member.organization_id,
        user_id=member.user_id,
        impersonated_by=member.impersonated_by,
        session_id=member.session_id,
        api_key_id=member.api_key_id,
        grant_id=member.grant_id,
        request_id=member.request_id,
        address=member.address,
    )


def person_of(member: ActingMember) -> Actor:
    """Return the caller as an actor on their own account, whatever the organization."""
    return replace(actor_of(member), organization_id=None)


def operator_of(member: ActingMember) -> Operator:
    """Return the super admin who calls, as themselves also while they act as a member.

    Raises:
        PersonNeeded: a program calls.
    """
    if member.session_id is None:
        raise PersonNeeded
    user_id = member.impersonated_by or member.person_id
    return Operator(user_id, member.session_id, actor_of(member))
