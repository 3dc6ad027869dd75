"""Which statements read and write organizations, their members and their API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Update, func, insert, literal, select, update
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId, new_id
from shared.db.statement import sql
from shared.db.types import AnyRow
from shared.identity.models import User
from shared.organizations.models import ApiKey, Member, Organization, Role

_LIVES = Organization.deleted_at.is_(None)
KEY_WRITES = "write"  # the scope of an API key that may change something
LIVE_KEY = sql("k.revoked_at is null and (k.expires_at is null or k.expires_at > now())")
"""Whether the API key `k` lets in."""


def add_organization(
    session: Session, owner: UserId, *, name: str, timezone: str
) -> OrganizationId:
    """Add an organization with its owner, in one statement."""
    organization_id = OrganizationId(new_id())
    added = (
        insert(Organization)
        .values(id=organization_id, name=name, timezone=timezone)
        .returning(Organization.id)
        .cte("added")
    )
    session.execute(
        insert(Member).from_select(
            ["id", "organization_id", "user_id", "role", "disabled"],
            select(
                literal(new_id(), Member.id.type),
                added.c.id,
                literal(owner, Member.user_id.type),
                literal(Role.OWNER, Member.role.type),
                literal(False, Member.disabled.type),
            ),
        )
    )
    return organization_id


def get_organization(session: Session, organization_id: OrganizationId) -> AnyRow:
    """Return an organization's name, description and time zone."""
    return session.execute(
        select(*_ORGANIZATION_COLUMNS).where(Organization.id == organization_id)
    ).one()


def lock_organization(session: Session, organization_id: OrganizationId) -> None:
    """Lock the organization's row for this transaction: take it before counting something that this transaction adds to."""
    session.execute(
        select(Organization.id)
        .where(Organization.id == organization_id)
        .with_for_update(key_share=True)
    )


def update_organization(
    session: Session, organization_id: OrganizationId, values: dict[str, Any]
) -> AnyRow:
    """Change an organization and return it."""
    return session.execute(
        update(Organization)
        .where(Organization.id == organization_id)
        .values(**values)
        .returning(*_ORGANIZATION_COLUMNS)
    ).one()


def list_members(session: Session, organization_id: OrganizationId) -> Sequence[AnyRow]:
    """List an organization's members, longest-standing first; at most 1,000."""
    return session.execute(
        select(
            Member.role,
            Member.disabled,
            User.id,
            User.email,
            User.name,
            User.sends_success_mails,
            User.sends_failure_mails,
        )
        .join(User, User.id == Member.user_id)
        .where(Member.organization_id == organization_id, User.deleted_at.is_(None))
        .order_by(Member.created_at, Member.id)
        .limit(1_000)
    ).all()


def list_memberships(session: Session, user_id: UserId) -> Sequence[AnyRow]:
    """List a user's organizations, first joined first; at most 1,000."""
    return session.execute(
        select(
            Organization.id,
            Organization.name,
            Organization.description,
            Organization.created_at,
            Member.role,
            Member.disabled,
        )
        .join(Member, Member.organization_id == Organization.id)
        .where(Member.user_id == user_id, _LIVES)
        .order_by(Member.created_at, Member.id)
        .limit(1_000)
    ).all()


def find_membership(
    session: Session, organization_id: OrganizationId, user_id: UserId
) -> UUID | None:
    """Find the id of a user's open membership of an organization."""
    return session.scalar(
        select(Member.id)
        .join(Organization, Organization.id == Member.organization_id)
        .where(
            Member.organization_id == organization_id,
            Member.user_id == user_id,
            Member.disabled.is_(False),
            _LIVES,
        )
    )


def search_members(session: Session, words: str) -> Sequence[AnyRow]:
    """List members of any organization by a part of the user's name or address, or by the user's id; at most 20.

    For super admins: it is the one statement here that crosses organizations.
    """
    pattern = f"%{words.replace('%', '')}%"
    return session.execute(
        select(
            Member.id,
            Member.role,
            User.id.label("user_id"),
            User.email,
            User.name,
            Organization.id.label("organization_id"),
            Organization.name.label("organization_name"),
            Organization.plan,
        )
        .join(User, User.id == Member.user_id)
        .join(Organization, Organization.id == Member.organization_id)
        .where(
            User.name.ilike(pattern) | User.email.ilike(pattern) | (User.id == _uuid(words)),
            User.deleted_at.is_(None),
            Member.disabled.is_(False),
            _LIVES,
        )
        .order_by(User.email, Member.id)
        .limit(20)
    ).all()


def is_super_admin(session: Session, organization_id: OrganizationId, user_id: UserId) -> bool:
    """Return whether a member of the organization administers the whole installation."""
    found = session.scalar(
        select(Member.id)
        .join(User, User.id == Member.user_id)
        .where(
            Member.organization_id == organization_id,
            Member.user_id == user_id,
            Member.disabled.is_(False),
            User.is_super_admin,
            User.activated_at.is_not(None),
            User.deleted_at.is_(None),
        )
        .limit(1)
    )
    return found is not None


def member_exists(session: Session, member_id: UUID) -> bool:
    """Return whether anybody may be impersonated by this membership. For super admins."""
    found = session.scalar(
        select(Member.id).where(Member.id == member_id, Member.disabled.is_(False))
    )
    return found is not None


def count_api_keys(session: Session, organization_id: OrganizationId) -> int:
    """Count the keys that are not revoked."""
    return (
        session.scalar(
            select(func.count())
            .select_from(ApiKey)
            .where(ApiKey.organization_id == organization_id, ApiKey.revoked_at.is_(None))
        )
        or 0
    )


def add_api_key(
    session: Session,
    organization_id: OrganizationId,
    *,
    created_by: UserId | None,
    name: str,
    key_hash: bytes,
    hint: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> AnyRow:
    """Add a key and return its row."""
    return session.execute(
        insert(ApiKey)
        .values(
            organization_id=organization_id,
            created_by=created_by,
            name=name,
            key_hash=key_hash,
            hint=hint,
            scopes=list(scopes),
            expires_at=expires_at,
        )
        .returning(*_KEY_COLUMNS)
    ).one()


def list_api_keys(session: Session, organization_id: OrganizationId) -> Sequence[AnyRow]:
    """List the keys that are not revoked, newest first."""
    return session.execute(
        select(*_KEY_COLUMNS)
        .where(ApiKey.organization_id == organization_id, ApiKey.revoked_at.is_(None))
        .order_by(ApiKey.id.desc())
    ).all()


def change_api_key(
    session: Session, organization_id: OrganizationId, key_id: UUID, values: Mapping[str, Any]
) -> AnyRow | None:
    """Change a key's name, scopes or end, and return its row; None if there is no such key."""
    return session.execute(
        _living_key(organization_id, key_id).values(**values).returning(*_KEY_COLUMNS)
    ).one_or_none()


def rotate_api_key(
    session: Session,
    organization_id: OrganizationId,
    key_id: UUID,
    *,
    key_hash: bytes,
    hint: str,
    keep_old_for: timedelta,
) -> AnyRow | None:
    """Replace a key, which still works for a while; None if there is no such key."""
    kept = bool(keep_old_for)
    return session.execute(
        _living_key(organization_id, key_id)
        .values(
            key_hash=key_hash,
            hint=hint,
            previous_hash=ApiKey.key_hash if kept else None,
            previous_ends_at=func.now() + keep_old_for if kept else None,
        )
        .returning(*_KEY_COLUMNS)
    ).one_or_none()


def revoke_api_key(session: Session, organization_id: OrganizationId, key_id: UUID) -> bool:
    """Revoke a key; False if there is no such key to revoke."""
    revoked = session.scalar(
        _living_key(organization_id, key_id)
        .values(revoked_at=func.now(), previous_hash=None)
        .returning(ApiKey.id)
    )
    return revoked is not None


def _living_key(organization_id: OrganizationId, key_id: UUID) -> Update:
    return update(ApiKey).where(
        ApiKey.organization_id == organization_id,
        ApiKey.id == key_id,
        ApiKey.revoked_at.is_(None),
    )


_ORGANIZATION_COLUMNS = (
    Organization.id,
    Organization.name,
    Organization.description,
    Organization.timezone,
    Organization.plan,
)
_KEY_COLUMNS = (
    ApiKey.id,
    ApiKey.name,
    ApiKey.hint,
    ApiKey.scopes,
    ApiKey.created_by,
    ApiKey.previous_ends_at,
    ApiKey.created_at,
    ApiKey.last_used_at,
    ApiKey.expires_at,
)


def _uuid(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None
