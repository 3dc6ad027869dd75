"""An organization's settings and members, and the organizations of a user."""

from sqlalchemy.orm import Session

from shared.audit.entries import FIELDS, Action, Actor
from shared.audit.record import record
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import OrganizationId, UserId
from shared.db.statement import to_json
from shared.identity.queries import LOCK_USER
from shared.organizations import queries
from shared.organizations.errors import (
    NoSuchOrganization,
    OrganizationsClosed,
    TooManyOrganizations,
)
from shared.organizations.schemas import (
    Membership,
    NewOrganization,
    OrganizationIn,
    OrganizationOut,
    Seat,
    Security,
    SecurityIn,
)

MOST_OWNED = 50


def create_organization(
    session: Session,
    owner: UserId,
    wanted: NewOrganization,
    *,
    actor: Actor,
    timezone: str,
    is_super_admin: bool,
) -> OrganizationOut:
    """Create an organization with its owner; `timezone` is that of one that names none.

    Raises:
        OrganizationsClosed: this server accepts no new accounts, and the person is no super admin.
        TooManyOrganizations: the person owns `MOST_OWNED` already.
    """
    if settings().disable_registration and not is_super_admin:
        raise OrganizationsClosed
    LOCK_USER.all(session, owner)
    if queries.COUNT_OWNED.one(session, owner).total >= MOST_OWNED:
        raise TooManyOrganizations(MOST_OWNED)
    organization_id = queries.add_organization(
        session, owner, name=wanted.name, timezone=wanted.timezone or timezone
    )
    record(
        session,
        actor.in_organization(organization_id),
        Action.ORGANIZATION_CREATED,
        organization_id,
    )
    return OrganizationOut.model_validate(queries.get_organization(session, organization_id))


def change_organization(session: Session, actor: Actor, change: OrganizationIn) -> OrganizationOut:
    """Change the given fields; the others stay unchanged.

    Raises:
        InvalidInput: no field is given.
    """
    values = change.model_dump(exclude_none=True)
    if not values:
        problem = FieldProblem(
            "name",
            "missing",
            "There is nothing to change. Send at least one field.",
        )
        raise InvalidInput(
            "There is nothing to change. Send at least one field.",
            problems=[problem],
        )
    organization_id = actor.organization
    changed = queries.CHANGE_ORGANIZATION.one(session, organization_id, to_json(values))
    recorded = {
        name: value
        for name, value in change.model_dump(by_alias=True, exclude_none=True).items()
        if name in FIELDS
    }
    record(session, actor, Action.ORGANIZATION_UPDATED, organization_id, after=recorded)
    return OrganizationOut.model_validate(changed)


def get_security(session: Session, organization_id: OrganizationId) -> Security:
    """Return what the organization requires of its members' sign-ins."""
    since = queries.GET_SECURITY.one(session, organization_id).requires_mfa_from
    return Security(require_mfa=since is not None, require_mfa_from=since)


def change_security(session: Session, actor: Actor, wanted: SecurityIn) -> Security:
    """Require a second factor of all members after the days of grace, or require none."""
    days = wanted.grace_days if wanted.require_mfa else None
    since = queries.SET_SECURITY.one(session, actor.organization, days).requires_mfa_from
    record(
        session,
        actor,
        Action.ORGANIZATION_SECURITY_CHANGED,
        actor.organization,
        after={"requiresMfaFrom": since},
    )
    return Security(require_mfa=since is not None, require_mfa_from=since)


def list_organizations(session: Session, user_id: UserId) -> list[Membership]:
    """List a user's organizations, first joined first."""
    return [
        Membership(
            id=row.id,
            name=row.name,
            description=row.description,
            created_at=row.created_at,
            users=[Seat(role=row.role, disabled=row.disabled)],
        )
        for row in queries.list_memberships(session, user_id)
    ]


def check_membership(session: Session, organization_id: OrganizationId, user_id: UserId) -> None:
    """Check that a user can select an organization.

    Raises:
        NoSuchOrganization: they are not a member of it, or are disabled in it.
    """
    if queries.find_membership(session, organization_id, user_id) is None:
        raise NoSuchOrganization
