"""The statements that open, rotate, list and revoke sessions. Each is limited by the session's or the user's id."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session as DbSession

from shared.core.ids import DeviceId, SessionId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.identity.queries import OfUser, UserRow


class NewSession(NamedTuple):
    """`password_hash`: the password that was proven must still be this one; None if another login was proven."""

    user_id: UserId
    session_id: SessionId
    renew_hash: bytes
    life_seconds: float
    whole_life_seconds: float
    methods: list[str]
    password_hash: str | None
    most: int
    ip: str | None
    country: str | None
    user_agent: str | None
    devices: list[str]
    new_device_id: DeviceId
    new_device: bytes


class OpenedSession(NamedTuple):
    """Whether the device has signed in before, and whether the user has at all."""

    email: str
    is_known_device: bool
    has_signed_in: bool


# The lock serializes with whatever ends access (`access/endings.py`): a session that is opened meanwhile is ended too, or is not
# opened because the password has changed.
_LOCKED_PERSON = sql("""
    person as (
        select id, email from users
        where id = :user_id and deleted_at is null
            and (cast(:password_hash as text) is null or password_hash = cast(:password_hash as text))
        for no key update
    )
""")
OPEN_SESSION = Statement(
    "open_session",
    sql(
        """
        with {person}, known as (
            update devices set last_used_at = now(), user_agent = cast(:user_agent as text) from person
            where devices.user_id = person.id and encode(devices.token_hash, 'hex') = any(cast(:devices as text[]))
            returning devices.id
        ), added as (
            insert into devices (id, user_id, token_hash, user_agent)
            select cast(:new_device_id as uuid), person.id, cast(:new_device as bytea), cast(:user_agent as text) from person
            where not exists (select from known)
        ), crowded as (
            update sessions set revoked_at = now(), updated_at = now()
            where id in (
                select s.id from sessions s join person on s.user_id = person.id
                where s.revoked_at is null and s.expires_at > now()
                order by s.last_used_at desc, s.id desc offset cast(:most as integer) - 1
            )
        ), opened as (
            insert into sessions (id, user_id, renew_hash, expires_at, ends_at, methods, ip, country, user_agent)
            select cast(:session_id as uuid), person.id, cast(:renew_hash as bytea),
                now() + make_interval(secs => least(cast(:life_seconds as float8), cast(:whole_life_seconds as float8))),
                now() + make_interval(secs => cast(:whole_life_seconds as float8)),
                cast(:methods as text[]), cast(:ip as text), cast(:country as text), cast(:user_agent as text)
            from person
        )
        select person.email, exists (select from known) as is_known_device,
            exists (select from sessions where user_id = :user_id) as has_signed_in
        from person
        """,
        person=_LOCKED_PERSON,
    ),
    params=NewSession,
    row=OpenedSession,
)
"""Add a session, end the longest unused beyond `most`, and recognize or add the device.

No row if the user is gone or has another password by now. One statement, because every login waits for it.
"""


class Replacement(NamedTuple):
    user_id: UserId
    session_id: SessionId
    password_hash: str | None
    new_id: SessionId
    renew_hash: bytes
    life_seconds: float
    methods: list[str]
    ip: str | None
    country: str | None
    user_agent: str | None


REPLACE_SESSION = Statement(
    "replace_session",
    sql(
        """
        with {person}, old as (
            update sessions set revoked_at = now(), updated_at = now() from person
            where sessions.id = :session_id and sessions.user_id = person.id and sessions.revoked_at is null
                and sessions.expires_at > now() and sessions.ends_at > now()
            returning sessions.user_id, sessions.ends_at, sessions.connection_id, sessions.created_at
        )
        insert into sessions (id, user_id, renew_hash, expires_at, ends_at, methods, connection_id, created_at, ip, country,
            user_agent)
        select cast(:new_id as uuid), user_id, cast(:renew_hash as bytea),
            least(now() + make_interval(secs => :life_seconds), ends_at), ends_at, cast(:methods as text[]), connection_id,
            created_at, cast(:ip as text), cast(:country as text), cast(:user_agent as text)
        from old
        returning user_id
        """,
        person=_LOCKED_PERSON,
    ),
    params=Replacement,
    row=UserRow,
)
"""Put a session with a new proof in the place of a live one, which ends; no row if it has ended, or the password has changed."""


class SessionOfUser(NamedTuple):
    user_id: UserId
    session_id: SessionId


HOLD_SESSION = Statement(
    "hold_session",
    sql("""
        select user_id from sessions
        where id = :session_id and user_id = :user_id and revoked_at is null
        for share
    """),
    params=SessionOfUser,
    row=UserRow,
)
"""Keep a session from ending until the transaction ends; no row if it has ended."""


class Renewal(NamedTuple):
    session_id: SessionId
    renew_hash: bytes
    new_hash: bytes
    grace_seconds: float
    life_seconds: float
    ip: str | None
    country: str | None
    user_agent: str | None


ROTATE = Statement(
    "rotate_session",
    sql("""
        update sessions s set previous_renew_hash = s.renew_hash,
            previous_good_until = now() + make_interval(secs => :grace_seconds), renew_hash = :new_hash,
            expires_at = least(now() + make_interval(secs => :life_seconds), s.ends_at), last_used_at = now(),
            ip = :ip, country = :country, user_agent = :user_agent, updated_at = now()
        where s.id = :session_id and s.renew_hash = :renew_hash and s.revoked_at is null and s.expires_at > now()
            and s.ends_at > now() and exists (select from users u where u.id = s.user_id and u.deleted_at is null)
        returning s.user_id
    """),
    params=Renewal,
    row=UserRow,
)
"""Replace the renewing token if it is the current one of a live session; no row if it is not."""


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
    authenticated_at: datetime
    methods: list[str]
    expires_at: datetime
    ends_at: datetime
    ip: str | None
    country: str | None
    user_agent: str | None


LIST_SESSIONS = Statement(
    "list_sessions",
    sql("""
        select id, created_at, last_used_at, authenticated_at, methods, expires_at, ends_at, ip, country, user_agent
        from sessions
        where user_id = :user_id and revoked_at is null and expires_at > now() and ends_at > now()
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
