"""Which statements read and write third-party apps, consents under way, grants, and devices that wait.

What a member allowed belongs to an organization, and the statements about it say which. A program is known by its
client id and a secret alone, a code or a device by its hash: those statements cross organizations.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Double,
    LargeBinary,
    Uuid,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId, new_id
from shared.db.statement import sql
from shared.db.types import AnyRow
from shared.identity.models import User
from shared.oauth.credentials import TOKEN_LIFE, UNUSED_LIFE
from shared.oauth.models import DeviceCode, OAuthApp, OAuthCode, OAuthGrant
from shared.organizations.models import Member, Organization

_LIVES = OAuthApp.deleted_at.is_(None)
LIVE_GRANT = sql(
    """
    g.revoked_at is null and a.deleted_at is null and not m.disabled and m.created_at <= g.updated_at
    and coalesce(g.last_used_at, g.updated_at) > now() - make_interval(days => {unused_days})
    """,
    unused_days=UNUSED_LIFE.days,
)
"""Whether the consent `g` of the member `m` for the app `a` holds. Its access token may have ended and be refreshed."""


def find_program(session: Session, client_id: str) -> AnyRow | None:
    """Find a program by its client id, with the organization that made it."""
    return session.execute(
        select(
            *_APP_COLUMNS,
            OAuthApp.secret_hash,
            OAuthApp.scopes,
            OAuthApp.refreshes,
            Organization.name.label("organization_name"),
            Organization.created_at.label("organization_since"),
        )
        .outerjoin(Organization, Organization.id == OAuthApp.organization_id)
        .where(OAuthApp.client_id == client_id, _LIVES)
    ).one_or_none()


def find_app(session: Session, organization_id: OrganizationId) -> AnyRow | None:
    """Find the organization's own app."""
    return session.execute(
        select(*_APP_COLUMNS).where(OAuthApp.organization_id == organization_id, _LIVES)
    ).one_or_none()


def add_app(
    session: Session, organization_id: OrganizationId, values: dict[str, Any]
) -> AnyRow | None:
    """Add the organization's app; None if it has one."""
    return session.execute(
        upsert(OAuthApp)
        .values(organization_id=organization_id, **values)
        .on_conflict_do_nothing(index_elements=["organization_id"], index_where=_LIVES)
        .returning(*_APP_COLUMNS)
    ).one_or_none()


def update_app(
    session: Session, organization_id: OrganizationId, values: dict[str, Any]
) -> AnyRow | None:
    """Change the organization's app; None if it has none."""
    return session.execute(
        update(OAuthApp)
        .where(OAuthApp.organization_id == organization_id, _LIVES)
        .values(**values)
        .returning(*_APP_COLUMNS)
    ).one_or_none()


def delete_app(session: Session, organization_id: OrganizationId) -> UUID | None:
    """Delete the organization's app with every consent it was given, in one statement; None if it has none."""
    deleted: UUID | None = session.scalar(_DELETE_APP, {"organization_id": organization_id})
    return deleted


def add_registered_program(session: Session, values: dict[str, Any]) -> AnyRow:
    """Add a program that registers itself."""
    return session.execute(
        insert(OAuthApp).values(**values).returning(OAuthApp.client_id, OAuthApp.created_at)
    ).one()


def add_code(
    session: Session,
    organization_id: OrganizationId,
    user_id: UserId,
    values: dict[str, Any],
    *,
    life: timedelta,
) -> None:
    """Add a consent that waits to be exchanged."""
    session.execute(
        insert(OAuthCode).values(
            organization_id=organization_id,
            user_id=user_id,
            expires_at=func.now() + life,
            **values,
        )
    )


def find_code(session: Session, app_id: UUID, code_hash: bytes) -> AnyRow | None:
    """Find a code that a program was given, used or not, while it has not expired."""
    return session.execute(
        select(
            OAuthCode.code_hash,
            OAuthCode.redirect_uri,
            OAuthCode.code_challenge,
            OAuthCode.scopes,
            OAuthCode.used_at.is_not(None).label("is_used"),
        ).where(
            OAuthCode.app_id == app_id,
            OAuthCode.code_hash == code_hash,
            or_(OAuthCode.expires_at > func.now(), OAuthCode.used_at.is_not(None)),
        )
    ).one_or_none()


@dataclass(frozen=True, slots=True)
class NewToken:
    """What is kept of a token. The last three are None where the program does not refresh it."""

    token_hash: bytes
    life_seconds: int | None = None
    family_hash: bytes | None = None
    refresh_hash: bytes | None = None


def exchange_code(session: Session, code_hash: bytes, token: NewToken) -> AnyRow | None:
    """Use a code up and put its grant in force, in one statement; None if somebody else was first."""
    values = {"id": new_id(), "code_hash": code_hash, **asdict(token)}
    return session.execute(_EXCHANGE_CODE, values).one_or_none()


def find_refreshed(
    session: Session, app_id: UUID, family_hash: bytes, *, grace: timedelta
) -> AnyRow | None:
    """Find the living grant of a program by the part of its refresh tokens that stays.

    `is_fresh`: its tokens were replaced less than `grace` ago.
    """
    return session.execute(
        select(
            OAuthGrant.id,
            OAuthGrant.organization_id,
            OAuthGrant.refresh_hash,
            OAuthGrant.scopes,
            (OAuthGrant.token_ends_at > func.now() + (TOKEN_LIFE - grace)).label("is_fresh"),
        )
        .join(
            Member,
            and_(
                Member.organization_id == OAuthGrant.organization_id,
                Member.user_id == OAuthGrant.user_id,
                Member.disabled.is_(False),
                Member.created_at <= OAuthGrant.updated_at,
            ),
        )
        .where(
            OAuthGrant.app_id == app_id,
            OAuthGrant.family_hash == family_hash,
            OAuthGrant.revoked_at.is_(None),
            _in_use(),
        )
    ).one_or_none()


def rotate_refreshed(
    session: Session, grant_id: UUID, old_refresh_hash: bytes, token: NewToken
) -> AnyRow | None:
    """Replace a grant's tokens if `old_refresh_hash` is the current one; None if somebody else was first."""
    values = {"id": grant_id, "old_refresh_hash": old_refresh_hash, **asdict(token)}
    return session.execute(_ROTATE, values).one_or_none()


def revoke_refreshed(session: Session, grant_id: UUID) -> bool:
    """Revoke a grant whose refresh token was used twice."""
    return _revoked(session, OAuthGrant.id == grant_id)


def revoke_token(session: Session, app_id: UUID, token_hash: bytes, family_hash: bytes) -> bool:
    """Revoke the grant of a program by its access token, or by any of its refresh tokens; False if there is none."""
    known = or_(OAuthGrant.token_hash == token_hash, OAuthGrant.family_hash == family_hash)
    return _revoked(session, and_(OAuthGrant.app_id == app_id, known))


def revoke_what_code_gave(session: Session, code_hash: bytes) -> bool:
    """Revoke the token that a code was exchanged for, refreshed or not, if it is still in force."""
    refreshed = and_(
        OAuthGrant.family_hash.is_not(None),
        OAuthGrant.app_id == OAuthCode.app_id,
        OAuthGrant.user_id == OAuthCode.user_id,
        OAuthGrant.organization_id == OAuthCode.organization_id,
        OAuthGrant.updated_at == OAuthCode.used_at,  # one statement wrote both
    )
    given = or_(OAuthGrant.token_hash == OAuthCode.token_hash, refreshed)
    return _revoked(session, and_(OAuthCode.code_hash == code_hash, given))


def list_grants(
    session: Session, organization_id: OrganizationId, *, of_user: UserId | None
) -> Sequence[AnyRow]:
    """List the apps that members allowed, latest first; at most 1,000. None: of every member."""
    statement = (
        select(
            OAuthGrant.id,
            OAuthGrant.device,
            OAuthGrant.scopes,
            OAuthGrant.updated_at.label("granted_at"),
            OAuthGrant.last_used_at,
            OAuthGrant.user_id,
            User.name.label("user_name"),
            User.email,
            OAuthApp.client_id,
            OAuthApp.name,
            OAuthApp.description,
            OAuthApp.picture_url,
        )
        .join(OAuthApp, OAuthApp.id == OAuthGrant.app_id)
        .join(User, User.id == OAuthGrant.user_id)
        .where(
            OAuthGrant.organization_id == organization_id,
            OAuthGrant.revoked_at.is_(None),
            _in_use(),
            _LIVES,
        )
        .order_by(OAuthGrant.updated_at.desc(), OAuthGrant.id)
        .limit(1_000)
    )
    if of_user is not None:
        statement = statement.where(OAuthGrant.user_id == of_user)
    return session.execute(statement).all()


def revoke_grant(
    session: Session, organization_id: OrganizationId, grant_id: UUID, *, of_user: UserId | None
) -> bool:
    """Revoke a grant; False if there is no such one. None: whichever member gave it."""
    statement = (
        update(OAuthGrant)
        .where(
            OAuthGrant.organization_id == organization_id,
            OAuthGrant.id == grant_id,
            OAuthGrant.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
        .returning(OAuthGrant.id)
    )
    if of_user is not None:
        statement = statement.where(OAuthGrant.user_id == of_user)
    return session.scalar(statement) is not None


def add_device(session: Session, program: dict[str, Any], values: dict[str, Any]) -> bool:
    """Add a device that waits, and its program when it is the first; False if the user code is taken."""
    known = (
        upsert(OAuthApp)
        .values(id=new_id(), **program)
        .on_conflict_do_update(index_elements=["client_id"], set_={"name": program["name"]})
        .returning(OAuthApp.id)
        .cte("known")
    )
    life: timedelta = values.pop("life")
    added = session.scalar(
        upsert(DeviceCode)
        .values(
            app_id=select(known.c.id).scalar_subquery(),
            expires_at=func.now() + life,
            **values,
        )
        .on_conflict_do_nothing(index_elements=["user_code"])
        .returning(DeviceCode.user_code)
    )
    return added is not None


def settle_device(
    session: Session,
    organization_id: OrganizationId,
    user_id: UserId,
    user_code: str,
    values: dict[str, Any],
) -> bool:
    """Write a member's decision about a waiting device; False if none waits with that code."""
    settled = session.scalar(
        update(DeviceCode)
        .where(
            DeviceCode.user_code == user_code,
            DeviceCode.expires_at > func.now(),
            DeviceCode.approved_at.is_(None),
            DeviceCode.denied_at.is_(None),
        )
        .values(organization_id=organization_id, user_id=user_id, **values)
        .returning(DeviceCode.user_code)
    )
    return settled is not None


def ask_device(
    session: Session, device_code_hash: bytes, *, not_within: timedelta
) -> AnyRow | None:
    """Note that a device asks, and return how it stands; `too_soon` if it asked `not_within` of the last time."""
    values = {
        "device_code_hash": device_code_hash,
        "seconds": not_within.total_seconds(),
    }
    return session.execute(_ASK_DEVICE, values).one_or_none()


def exchange_device(
    session: Session, device_code_hash: bytes, token_hash: bytes, scopes: Sequence[str]
) -> AnyRow | None:
    """Use an approved device code up and put its grant in force; None if somebody else was first."""
    values = {
        "id": new_id(),
        "device_code_hash": device_code_hash,
        **asdict(NewToken(token_hash)),
        "scopes": list(scopes),
    }
    return session.execute(_EXCHANGE_DEVICE, values).one_or_none()


def _in_use() -> ColumnElement[bool]:
    used_at = func.coalesce(OAuthGrant.last_used_at, OAuthGrant.updated_at)
    return used_at > func.now() - UNUSED_LIFE


def _revoked(session: Session, which: ColumnElement[bool]) -> bool:
    revoked = session.scalar(
        update(OAuthGrant)
        .where(which, OAuthGrant.revoked_at.is_(None))
        .values(revoked_at=func.now(), updated_at=OAuthGrant.updated_at)
        .returning(OAuthGrant.id)
    )
    return revoked is not None


_APP_COLUMNS = (
    OAuthApp.id,
    OAuthApp.organization_id,
    OAuthApp.client_id,
    OAuthApp.name,
    OAuthApp.description,
    OAuthApp.picture_url,
    OAuthApp.redirect_uris,
    OAuthApp.created_at,
)
_DELETE_APP = text("""
with deleted as (
  update oauth_apps set deleted_at = now()
  where organization_id = :organization_id and deleted_at is null
  returning id
),
revoked as (
  update oauth_grants set revoked_at = now() from deleted
  where oauth_grants.app_id = deleted.id and oauth_grants.revoked_at is null
),
forgotten as (delete from oauth_codes using deleted where oauth_codes.app_id = deleted.id)
select id from deleted
""").bindparams(bindparam("organization_id", type_=Uuid()))
_OF_TOKEN: tuple[BindParameter[Any], ...] = (
    bindparam("id", type_=Uuid()),
    bindparam("token_hash", type_=LargeBinary()),
    bindparam("life_seconds", type_=Double()),
    bindparam("family_hash", type_=LargeBinary()),
    bindparam("refresh_hash", type_=LargeBinary()),
)
_ROTATE = text("""
update oauth_grants set token_hash = :token_hash, token_ends_at = now() + make_interval(secs => :life_seconds),
  family_hash = :family_hash, refresh_hash = :refresh_hash, last_used_at = now()
where id = :id and refresh_hash = :old_refresh_hash and revoked_at is null
returning organization_id, scopes
""").bindparams(*_OF_TOKEN)
# One grant a program, member, organization and device: the previous token ends with the statement that gives the new
# one. A device is new each time, so that signing in on one computer does not sign out another.
# The lock on the code's row serializes concurrent exchanges, and the
# second finds it used.
_GRANTED = sql("""
touched as (update oauth_apps set last_used_at = now() from used where oauth_apps.id = used.app_id)
insert into oauth_grants as g (id, app_id, organization_id, user_id, device, scopes, token_hash, token_ends_at,
  family_hash, refresh_hash)
select cast(:id as uuid), app_id, organization_id, user_id, device, scopes, :token_hash,
  now() + make_interval(secs => :life_seconds), :family_hash, :refresh_hash from used
on conflict (app_id, user_id, organization_id, device) do update set
  token_hash = excluded.token_hash, token_ends_at = excluded.token_ends_at, family_hash = excluded.family_hash,
  refresh_hash = excluded.refresh_hash, scopes = excluded.scopes, revoked_at = null, last_used_at = null, updated_at = now()
returning g.organization_id, g.scopes
""")
# The app's row is locked before the code's, as the deletion of an app does it: else each may wait for the other.
_EXCHANGE_CODE = text(
    sql(
        """
with app as (
  select a.id from oauth_apps a
  where a.id = (select app_id from oauth_codes where code_hash = :code_hash) and a.deleted_at is null
  for update
),
used as (
  update oauth_codes set used_at = now(), token_hash = :token_hash from app
  where code_hash = :code_hash and app_id = app.id and used_at is null and expires_at > now()
  returning app_id, organization_id, user_id, '' as device, scopes
),
{granted}""",
        granted=_GRANTED,
    )
).bindparams(*_OF_TOKEN)
_ASK_DEVICE = text("""
with found as (
  select * from device_codes where device_code_hash = :device_code_hash for update
),
asked as (
  update device_codes set last_asked_at = now() from found
  where device_codes.device_code_hash = found.device_code_hash
)
select denied_at is not null as is_denied, approved_at is not null as is_approved,
  used_at is not null or expires_at <= now() as is_over,
  coalesce(last_asked_at > now() - make_interval(secs => :seconds), false) as too_soon
from found
""")
_EXCHANGE_DEVICE = text(
    sql(
        """
with used as (
  update device_codes set used_at = now()
  where device_code_hash = :device_code_hash
    and approved_at is not null and used_at is null and expires_at > now()
  returning app_id, organization_id, user_id, user_code as device, cast(:scopes as text[]) as scopes
),
{granted}""",
        granted=_GRANTED,
    )
).bindparams(*_OF_TOKEN)
