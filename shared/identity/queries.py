"""Which statements read and write users, sessions and mailed codes.

Users and sessions belong to no organization: the user's or the session's own id is what limits each statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    Update,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session as DbSession

from shared.core.ids import SessionId, UserId
from shared.db.statement import sql
from shared.db.types import AnyRow
from shared.identity.models import (
    LoginProvider,
    MailedCode,
    MailedCodePurpose,
    MailKind,
    Session,
    User,
)

_LIVES = User.deleted_at.is_(None)
LIVE_LOGIN = sql(
    "s.revoked_at is null and s.expires_at > now() and u.activated_at is not null and u.deleted_at is null"
)
"""Whether the session `s` of the user `u` lets in."""


@dataclass(frozen=True, slots=True)
class Account:
    """What deciding about a login needs."""

    user_id: UserId
    password_hash: str | None
    is_active: bool
    is_locked: bool


def find_account(session: DbSession, email: str) -> Account | None:
    """Find the local account with a lower-case address."""
    row = session.execute(
        select(
            User.id,
            User.password_hash,
            User.activated_at.is_not(None),
            func.coalesce(User.locked_until > func.now(), False),
        ).where(User.email == email, User.login_provider == LoginProvider.LOCAL, _LIVES)
    ).one_or_none()
    if row is None:
        return None
    user_id, password_hash, is_active, is_locked = row
    return Account(UserId(user_id), password_hash, is_active, is_locked)


def add_user(
    session: DbSession, *, email: str, password_hash: str, name: str, timezone: str, active: bool
) -> UserId | None:
    """Add a local account; None if the address has one."""
    return session.scalar(
        upsert(User)
        .values(
            email=email,
            password_hash=password_hash,
            name=name,
            timezone=timezone,
            activated_at=func.now() if active else None,
        )
        .on_conflict_do_nothing(index_elements=["login_provider", "email"], index_where=_LIVES)
        .returning(User.id)
    )


def any_user(session: DbSession) -> bool:
    """Return whether anybody has registered."""
    return bool(session.scalar(select(exists().where(_LIVES))))


def count_failure(
    session: DbSession, user_id: UserId, *, allowed: int, locked_for: timedelta
) -> None:
    """Count a wrong password; the last of `allowed` in a row locks the account and begins a new count."""
    last = User.failed_logins + 1 >= allowed
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            failed_logins=func.mod(User.failed_logins + 1, allowed),
            locked_until=case((last, func.now() + locked_for), else_=User.locked_until),
        )
    )


def open_session(
    session: DbSession,
    user_id: UserId,
    session_id: SessionId,
    *,
    renew_hash: bytes,
    life: timedelta,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Add a session and reset the count of wrong passwords."""
    forgotten = (
        update(User)
        .where(User.id == user_id, User.failed_logins > 0)
        .values(failed_logins=0, locked_until=None)
        .returning(User.id)
        .cte("forgotten")
    )
    session.execute(
        insert(Session)
        .values(
            id=session_id,
            user_id=user_id,
            renew_hash=renew_hash,
            expires_at=func.now() + life,
            ip=ip,
            user_agent=user_agent,
        )
        .add_cte(forgotten)
    )


def rotate(
    session: DbSession,
    session_id: SessionId,
    *,
    renew_hash: bytes,
    new_hash: bytes,
    grace: timedelta,
    life: timedelta,
) -> UserId | None:
    """Replace the renewing token if `renew_hash` is the current one of a live session; whose it is."""
    found = session.scalar(
        update(Session)
        .where(
            Session.id == session_id,
            Session.renew_hash == renew_hash,
            _session_lives(),
            exists().where(User.id == Session.user_id, _LIVES),
        )
        .values(
            previous_renew_hash=Session.renew_hash,
            previous_good_until=func.now() + grace,
            renew_hash=new_hash,
            expires_at=func.now() + life,
            last_used_at=func.now(),
        )
        .returning(Session.user_id)
    )
    return UserId(found) if found else None


def find_in_grace(session: DbSession, session_id: SessionId, *, renew_hash: bytes) -> UserId | None:
    """Find whose live session it is, if `renew_hash` was its token until moments ago."""
    found = session.scalar(
        select(Session.user_id).where(
            Session.id == session_id,
            Session.previous_renew_hash == renew_hash,
            Session.previous_good_until > func.now(),
            _session_lives(),
        )
    )
    return UserId(found) if found else None


def revoke_session(session: DbSession, session_id: SessionId) -> bool:
    """End a session; False if it had ended."""
    return _changed(
        session,
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .values(revoked_at=func.now()),
    )


def revoke_session_of(session: DbSession, user_id: UserId, session_id: SessionId) -> bool:
    """End one of a user's sessions; False if there is none."""
    return _changed(
        session,
        update(Session)
        .where(Session.id == session_id, Session.user_id == user_id, Session.revoked_at.is_(None))
        .values(revoked_at=func.now()),
    )


def list_sessions(session: DbSession, user_id: UserId) -> Sequence[AnyRow]:
    """List a user's live sessions, last used first; at most 100."""
    return session.execute(
        select(
            Session.id,
            Session.created_at,
            Session.last_used_at,
            Session.expires_at,
            Session.ip,
            Session.user_agent,
        )
        .where(Session.user_id == user_id, _session_lives())
        .order_by(Session.last_used_at.desc(), Session.id.desc())
        .limit(100)
    ).all()


def add_code(
    session: DbSession,
    user_id: UserId,
    purpose: MailedCodePurpose,
    *,
    code_hash: bytes,
    life: timedelta,
    pause: timedelta,
) -> bool:
    """Add a mailed code; False if the user was sent one for the same purpose less than `pause` ago."""
    recent = exists().where(
        MailedCode.user_id == user_id,
        MailedCode.purpose == purpose,
        MailedCode.expires_at > func.now() + (life - pause),
    )
    added = session.execute(
        insert(MailedCode)
        .from_select(
            ["code_hash", "user_id", "purpose", "expires_at"],
            select(
                literal(code_hash),
                literal(user_id),
                literal(purpose, MailedCode.purpose.type),
                func.now() + life,
            ).where(~recent),
        )
        .returning(MailedCode.user_id)
    )
    return added.one_or_none() is not None


def use_code(session: DbSession, purpose: MailedCodePurpose, *, code_hash: bytes) -> UserId | None:
    """Use up a code; return its user, or None if it is unknown, used or too old."""
    return session.scalar(
        update(MailedCode)
        .where(
            MailedCode.code_hash == code_hash,
            MailedCode.purpose == purpose,
            MailedCode.used_at.is_(None),
            MailedCode.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(MailedCode.user_id)
    )


def activate(session: DbSession, user_id: UserId) -> bool:
    """Mark the address as proven; False if the user is gone."""
    return _changed(
        session,
        update(User)
        .where(User.id == user_id, _LIVES)
        .values(activated_at=func.coalesce(User.activated_at, func.now())),
    )


def make_super_admin(session: DbSession, email: str) -> UserId | None:
    """Activate the local account with this lower-case address and make it a super admin; None if there is none."""
    return session.scalar(
        update(User)
        .where(User.email == email, User.login_provider == LoginProvider.LOCAL, _LIVES)
        .values(is_super_admin=True, activated_at=func.coalesce(User.activated_at, func.now()))
        .returning(User.id)
    )


def replace_password(session: DbSession, user_id: UserId, password_hash: str) -> None:
    """Set a password by a mailed code, which proves the address too, and end every session of the user."""
    ended = (
        update(Session)
        .where(Session.user_id == user_id, Session.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(Session.id)
        .cte("ended")
    )
    session.execute(
        update(User)
        .where(User.id == user_id, _LIVES)
        .values(
            password_hash=password_hash,
            activated_at=func.coalesce(User.activated_at, func.now()),
            failed_logins=0,
            locked_until=None,
        )
        .add_cte(ended)
    )


def update_personal(
    session: DbSession,
    user_id: UserId,
    *,
    name: str,
    bio: str,
    picture_url: str | None,
    timezone: str | None,
) -> AnyRow:
    """Change a user's profile and return it; a time zone of None stays as it is."""
    return session.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            name=name,
            bio=bio,
            picture_url=picture_url,
            timezone=func.coalesce(timezone, User.timezone),
        )
        .returning(User.id, User.email, User.name, User.bio, User.picture_url, User.timezone)
    ).one()


def set_mail_preferences(
    session: DbSession, user_id: UserId, *, success: bool, failure: bool
) -> None:
    """Choose which mails a user gets."""
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(sends_success_mails=success, sends_failure_mails=failure)
    )


_SWITCH = {
    MailKind.SUCCESS: User.sends_success_mails,
    MailKind.FAILURE: User.sends_failure_mails,
}


def switch_mails_off(session: DbSession, user_id: UserId, kind: MailKind) -> None:
    """Record that a user wants no more mails of a kind."""
    session.execute(update(User).where(User.id == user_id).values({_SWITCH[kind]: False}))


def find_unsubscribe_seed(session: DbSession, user_id: UserId) -> bytes | None:
    """Return the seed of a user's unsubscribe links; None if there is no such user."""
    return session.execute(
        select(User.unsubscribe_seed).where(User.id == user_id)
    ).scalar_one_or_none()


def get_mail_preferences(session: DbSession, user_id: UserId) -> AnyRow:
    """Return which mails a user wants."""
    return session.execute(
        select(User.sends_success_mails, User.sends_failure_mails).where(User.id == user_id)
    ).one()


def _session_lives() -> ColumnElement[bool]:
    return and_(Session.revoked_at.is_(None), Session.expires_at > func.now())


def _changed(session: DbSession, statement: Update) -> bool:
    return bool(session.execute(statement).rowcount)  # type: ignore[attr-defined]
