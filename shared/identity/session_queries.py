"""The statements that open, rotate, list and revoke sessions. Each is limited by the session's or the user's id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session as DbSession

from shared.core.ids import DeviceId, SessionId, UserId, new_id
from shared.db.statement import NoRow, Statement, sql
from shared.identity.queries import OfUser, UserRow


class NewSession(NamedTuple):
    user_id: UserId
    session_id: SessionId
    renew_hash: bytes
    life_seconds: float
    ip: str | None
    user_agent: str | None
    devices: list[str]
    new_device_id: DeviceId
    new_device: bytes


class OpenedSession(NamedTuple):
    """Whether the device has signed in before, and whether any other has."""

    is_known_device: bool
    has_devices: bool


OPEN_SESSION = Statement(
    "open_session",
    sql("""
        with forgotten as (
            update users set failed_logins = 0, locked_until = null, updated_at = now()
            where id = :user_id and failed_logins > 0
        ), known as (
            update devices set last_used_at = now(), user_agent = cast(:user_agent as text)
            where user_id = :user_id and encode(token_hash, 'hex') = any(cast(:devices as text[]))
            returning id
        ), added as (
            insert into devices (id, user_id, token_hash, user_agent)
            select cast(:new_device_id as uuid), cast(:user_id as uuid), cast(:new_device as bytea), cast(:user_agent as text)
            where not exists (select from known)
        ), opened as (
            insert into sessions (id, user_id, renew_hash, expires_at, ip, user_agent)
            values (:session_id, :user_id, :renew_hash, now() + make_interval(secs => :life_seconds), :ip, :user_agent)
        )
        select exists (select from known) as is_known_device,
            exists (select from devices where user_id = :user_id) as has_devices
    """),
    params=NewSession,
    row=OpenedSession,
)
"""Add a session, reset the count of wrong passwords, and recognize or add the device.

One statement, because every login waits for it.
"""


def open_session(
    session: DbSession,
    user_id: UserId,
    session_id: SessionId,
    *,
    renew_hash: bytes,
    life: timedelta,
    ip: str | None,
    user_agent: str | None,
    devices: list[str],
    new_device: bytes,
) -> OpenedSession:
    """Add a session, and the device with the hash `new_device` unless the user has one of `devices`."""
    return OPEN_SESSION.one(
        session,
        user_id=user_id,
        session_id=session_id,
        renew_hash=renew_hash,
        life_seconds=life.total_seconds(),
        ip=ip,
        user_agent=user_agent,
        devices=devices,
        new_device_id=DeviceId(new_id()),
        new_device=new_device,
    )


class Renewal(NamedTuple):
    session_id: SessionId
    renew_hash: bytes
    new_hash: bytes
    grace_seconds: float
    life_seconds: float


ROTATE = Statement(
    "rotate_session",
    sql("""
        update sessions s set previous_renew_hash = s.renew_hash,
            previous_good_until = now() + make_interval(secs => :grace_seconds), renew_hash = :new_hash,
            expires_at = now() + make_interval(secs => :life_seconds), last_used_at = now(), updated_at = now()
        where s.id = :session_id and s.renew_hash = :renew_hash and s.revoked_at is null and s.expires_at > now()
            and exists (select from users u where u.id = s.user_id and u.deleted_at is null)
        returning s.user_id
    """),
    params=Renewal,
    row=UserRow,
)
"""Replace the renewing token if it is the current one of a live session; no row if it is not."""


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
    row = ROTATE.find(
        session,
        session_id,
        renew_hash=renew_hash,
        new_hash=new_hash,
        grace_seconds=grace.total_seconds(),
        life_seconds=life.total_seconds(),
    )
    return row.user_id if row else None


class OldToken(NamedTuple):
    session_id: SessionId
    renew_hash: bytes


FIND_IN_GRACE = Statement(
    "find_in_grace",
    sql("""
        select user_id from sessions
        where id = :session_id and previous_renew_hash = :renew_hash and previous_good_until > now()
            and revoked_at is null and expires_at > now()
    """),
    params=OldToken,
    row=UserRow,
)
"""Find whose live session it is, if this was its token until moments ago."""


def find_in_grace(session: DbSession, session_id: SessionId, *, renew_hash: bytes) -> UserId | None:
    """Find whose live session it is, if `renew_hash` was its token until moments ago."""
    row = FIND_IN_GRACE.find(session, session_id, renew_hash)
    return row.user_id if row else None


class OneSession(NamedTuple):
    session_id: SessionId


REVOKE_SESSION = Statement(
    "revoke_session",
    sql("""
        update sessions set revoked_at = now(), updated_at = now() where id = :session_id and revoked_at is null
    """),
    params=OneSession,
    row=NoRow,
)
"""End a session."""


def revoke_session(session: DbSession, session_id: SessionId) -> bool:
    """End a session; False if it had ended."""
    return REVOKE_SESSION.run(session, session_id) > 0


class SessionOfUser(NamedTuple):
    user_id: UserId
    session_id: SessionId


REVOKE_SESSION_OF = Statement(
    "revoke_session_of",
    sql("""
        update sessions set revoked_at = now(), updated_at = now()
        where id = :session_id and user_id = :user_id and revoked_at is null
    """),
    params=SessionOfUser,
    row=NoRow,
)
"""End one of a user's sessions."""


def revoke_session_of(session: DbSession, user_id: UserId, session_id: SessionId) -> bool:
    """End one of a user's sessions; False if there is none."""
    return REVOKE_SESSION_OF.run(session, user_id, session_id) > 0


class SessionsOf(NamedTuple):
    """`kept`: the session that stays; None: none."""

    user_id: UserId
    kept: SessionId | None


REVOKE_SESSIONS_OF = Statement(
    "revoke_sessions_of",
    sql("""
        update sessions set revoked_at = now(), updated_at = now()
        where user_id = :user_id and revoked_at is null and expires_at > now() and id is distinct from cast(:kept as uuid)
    """),
    params=SessionsOf,
    row=NoRow,
)
"""End a user's sessions, except one if it is given."""


class SessionRow(NamedTuple):
    id: SessionId
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None


LIST_SESSIONS = Statement(
    "list_sessions",
    sql("""
        select id, created_at, last_used_at, expires_at, ip, user_agent from sessions
        where user_id = :user_id and revoked_at is null and expires_at > now()
        order by last_used_at desc, id desc
        limit 100
    """),
    params=OfUser,
    row=SessionRow,
)
"""List a user's live sessions, last used first; at most 100."""


def list_sessions(session: DbSession, user_id: UserId) -> Sequence[SessionRow]:
    """List a user's live sessions, last used first; at most 100."""
    return LIST_SESSIONS.all(session, user_id)
