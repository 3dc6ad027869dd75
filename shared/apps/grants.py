"""Lists and revokes the consents that members gave to apps."""

from sqlalchemy.orm import Session

from shared.apps import queries
from shared.apps.errors import NoSuchGrant
from shared.apps.schemas import GrantApp, GrantList, GrantOut, GrantUser
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.ids import GrantId, OrganizationId, UserId


def list_grants(
    session: Session, organization_id: OrganizationId, *, of_user: UserId | None
) -> GrantList:
    """List a member's consents, newest first; None lists those of all members."""
    rows = queries.LIST_GRANTS.all(session, organization_id, of_user=of_user)
    return GrantList(
        grants=[
            GrantOut(
                id=row.id,
                app=GrantApp(
                    name=row.name,
                    description=row.description,
                    picture=row.picture_url,
                    client_id=row.client_id,
                ),
                user=GrantUser(id=row.user_id, name=row.user_name, email=row.email),
                device=row.device or None,
                scopes=row.scopes,
                granted_at=row.granted_at,
                last_used_at=row.last_used_at,
            )
            for row in rows
        ]
    )


def revoke_grant(
    session: Session, actor: Actor, grant_id: GrantId, *, of_user: UserId | None
) -> None:
    """Revoke a consent: the next request with its token is refused.

    Raises:
        NoSuchGrant: the member (None: any member) has no such consent.
    """
    if not queries.REVOKE_GRANT.run(session, actor.organization, grant_id, of_user=of_user):
        raise NoSuchGrant
    record(session, actor, Action.GRANT_REVOKED, grant_id)
