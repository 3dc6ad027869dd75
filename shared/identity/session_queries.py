"""The statements that open, rotate, list and revoke sessions. Each is limited by the session's or the user's id."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session as DbSession

from shared.audit.queries import recording
from shared.core.ids import ConnectionId, DeviceId, FactorId, SessionId, UserId
from shared.db.statement import Json, NoRow, Sql, Statement, literals, sql
from shared.identity.models import ChallengeKind
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
    is_strong: bool
    challenge_hash: bytes
    challenge_seconds: float
    connection_id: ConnectionId | None
    audit: Json


class OpenedSession(NamedTuple):
    """Whether the device has signed in before, and whether the user has at all.

    `asked` are the methods of the second factor that is asked for; null if the session is open.
    """

    email: str
    is_known_device: bool
    has_signed_in: bool
    asked: list[str] | None


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


def _opened(remembered_until: Sql, *, is_strong: Sql, connection_id: Sql) -> Sql:
    """Open a session for the person in `admitted`, if there is one, record it, and recognize or add the device.

    A second factor that was proven (`is_strong`) stops the recovery that is to remove it.
    """
    return sql(
        """
        known as (
            update devices set last_used_at = now(), user_agent = cast(:user_agent as text),
                remembered_until = coalesce({remembered_until}, remembered_until)
            from admitted
            where devices.user_id = admitted.id and encode(devices.token_hash, 'hex') = any(cast(:devices as text[]))
            returning devices.id
        ), added as (
            insert into devices (id, user_id, token_hash, user_agent, remembered_until)
            select cast(:new_device_id as uuid), admitted.id, cast(:new_device as bytea), cast(:user_agent as text),
                {remembered_until}
            from admitted where not exists (select from known)
        ), stopped as (
            update recoveries r set stopped_at = now() from admitted
            where r.user_id = admitted.id and r.stopped_at is null and r.finished_at is null and {is_strong}
        ), crowded as (
            update sessions set revoked_at = now(), updated_at = now()
            where id in (
                select s.id from sessions s join admitted on s.user_id = admitted.id
                where s.revoked_at is null and s.expires_at > now()
                order by s.last_used_at desc, s.id desc offset cast(:most as integer) - 1
            )
        ), opened as (
            insert into sessions (id, user_id, renew_hash, expires_at, ends_at, methods, connection_id, ip, country,
                user_agent)
            select cast(:session_id as uuid), admitted.id, cast(:renew_hash as bytea),
                now() + make_interval(secs => least(cast(:life_seconds as float8), cast(:whole_life_seconds as float8))),
                now() + make_interval(secs => cast(:whole_life_seconds as float8)),
                cast(:methods as text[]), {connection_id}, cast(:ip as text), cast(:country as text),
                cast(:user_agent as text)
            from admitted
        ), {recording}
        """,
        remembered_until=remembered_until,
        is_strong=is_strong,
        connection_id=connection_id,
        recording=recording(sql("exists (select from admitted)")),
    )


_LEFT_AS_IT_IS = sql("cast(null as timestamptz)")
OPEN_SESSION = Statement(
    "open_session",
    sql(
        """
        with {person}, asked as (
            insert into challenges (hash, kind, user_id, remember, expires_at)
            select cast(:challenge_hash as bytea), {second_factor}, person.id,
                jsonb_build_object('methods', to_jsonb(cast(:methods as text[]))),
                now() + make_interval(secs => :challenge_seconds)
            from person
            where not cast(:is_strong as boolean) and cast(:connection_id as uuid) is null
                and exists (select from factors f where f.user_id = person.id and f.confirmed_at is not null)
                and not exists (
                    select from devices d where d.user_id = person.id and d.remembered_until > now()
                        and encode(d.token_hash, 'hex') = any(cast(:devices as text[]))
                )
            returning user_id
        ), admitted as (
            select id, email from person where not exists (select from asked)
        ), {opened}
        select person.email, exists (select from known) as is_known_device,
            exists (select from sessions where user_id = :user_id) as has_signed_in,
            case when exists (select from asked) then array(
                select cast(f.kind as text) from factors f where f.user_id = person.id and f.confirmed_at is not null
                union
                select 'recovery_code' from recovery_codes c where c.user_id = person.id and c.used_at is null
                order by 1
            ) end as asked
        from person
        """,
        person=_LOCKED_PERSON,
        second_factor=literals(ChallengeKind.SECOND_FACTOR),
        opened=_opened(
            _LEFT_AS_IT_IS,
            is_strong=sql("cast(:is_strong as boolean)"),
            connection_id=sql("cast(:connection_id as uuid)"),
        ),
    ),
    params=NewSession,
    row=OpenedSession,
)
"""Add a session, end the longest unused beyond `most`, recognize or add the device, and record it.

If the user has a second factor, it has not been proven, and the device is not remembered, no session is added but a challenge;
a company login asks for one itself.
No row if the user is gone or has another password by now. One statement, because every login waits for it, and so that no way
in is without the second factor.
"""


class NewProvenSession(NamedTuple):
    """What proves the factor: the others of `step`, `sign_count` (of a passkey) and `code_hash` (of a recovery code) are null.

    `remember_seconds`: how long the device is remembered; null: not longer than it is already. `own_key` is that of the guess.
    """

    user_id: UserId
    challenge_hash: bytes
    factor_id: FactorId | None
    step: int | None
    sign_count: int | None
    code_hash: bytes | None
    own_key: str
    remember_seconds: float | None
    session_id: SessionId
    renew_hash: bytes
    life_seconds: float
    whole_life_seconds: float
    methods: list[str]
    most: int
    ip: str | None
    country: str | None
    user_agent: str | None
    devices: list[str]
    new_device_id: DeviceId
    new_device: bytes
    audit: Json


class OpenedProvenSession(NamedTuple):
    """`codes_left`: how many recovery codes are left."""

    email: str
    is_known_device: bool
    has_signed_in: bool
    codes_left: int


_FOR_LONGER = sql("now() + make_interval(secs => cast(:remember_seconds as float8))")
OPEN_PROVEN_SESSION = Statement(
    "open_proven_session",
    sql(
        """
        with person as (
            select id, email from users where id = :user_id and deleted_at is null for no key update
        ), stepped as (
            update factors set last_step = cast(:step as bigint), last_used_at = now(), updated_at = now() from person
            where factors.user_id = person.id and factors.id = cast(:factor_id as uuid) and factors.confirmed_at is not null
                and coalesce(factors.last_step, -1) < cast(:step as bigint)
            returning factors.user_id
        ), signed as (
            update factors set sign_count = cast(:sign_count as bigint), last_used_at = now(), updated_at = now() from person
            where factors.user_id = person.id and factors.id = cast(:factor_id as uuid) and factors.kind = 'passkey'
                and factors.confirmed_at is not null
                and (
                    coalesce(factors.sign_count, 0) < cast(:sign_count as bigint)
                    or (coalesce(factors.sign_count, 0) = 0 and cast(:sign_count as bigint) = 0)
                )
            returning factors.user_id
        ), recovered as (
            update recovery_codes set used_at = now() from person
            where recovery_codes.user_id = person.id and recovery_codes.code_hash = cast(:code_hash as bytea)
                and recovery_codes.used_at is null
            returning recovery_codes.user_id
        ), proven as (
            select user_id from stepped union all select user_id from signed union all select user_id from recovered
        ), used as (
            update challenges set used_at = now() from proven
            where challenges.hash = :challenge_hash and challenges.kind = {second_factor}
                and challenges.user_id = proven.user_id and challenges.used_at is null and challenges.expires_at > now()
            returning challenges.user_id
        ), admitted as (
            select person.id, person.email from person join used on used.user_id = person.id
        ), forgiven as (
            update password_guesses set count = greatest(count - 1, 0), paused_until = null
            from admitted where key = cast(:own_key as text)
        ), {opened}
        select admitted.email, exists (select from known) as is_known_device,
            exists (select from sessions where user_id = :user_id) as has_signed_in,
            (
                select cast(count(*) as integer) from recovery_codes c
                where c.user_id = admitted.id and c.used_at is null and c.code_hash is distinct from cast(:code_hash as bytea)
            ) as codes_left
        from admitted
        """,
        second_factor=literals(ChallengeKind.SECOND_FACTOR),
        opened=_opened(_FOR_LONGER, is_strong=sql("true"), connection_id=sql("cast(null as uuid)")),
    ),
    params=NewProvenSession,
    row=OpenedProvenSession,
)
"""Use up a second factor and the challenge that asked for it, take back its guess, and open the session.

No row if the code or the challenge was used up or made useless. One statement, so that of two requests with the same code one gets
in; the user's row is locked first, as in whatever ends access.
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
    audit: Json


REPLACE_SESSION = Statement(
    "replace_session",
    sql(
        """
        with {person}, old as (
            update sessions set revoked_at = now(), updated_at = now() from person
            where sessions.id = :session_id and sessions.user_id = person.id and sessions.revoked_at is null
                and sessions.expires_at > now() and sessions.ends_at > now()
            returning sessions.user_id, sessions.ends_at, sessions.connection_id, sessions.created_at
        ), {recording}
        insert into sessions (id, user_id, renew_hash, expires_at, ends_at, methods, connection_id, created_at, ip, country,
            user_agent)
        select cast(:new_id as uuid), user_id, cast(:renew_hash as bytea),
            least(now() + make_interval(secs => :life_seconds), ends_at), ends_at, cast(:methods as text[]), connection_id,
            created_at, cast(:ip as text), cast(:country as text), cast(:user_agent as text)
        from old
        returning user_id
        """,
        person=_LOCKED_PERSON,
        recording=recording(sql("exists (select from old)")),
    ),
    params=Replacement,
    row=UserRow,
)
"""Put a session with a new proof in the place of a live one, which ends, and record it.

No row if it has ended, or the password has changed. One statement, so that the old session never outlives the proof.
"""


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
            and exists (select from users u where u.id = sessions.user_id and u.deleted_at is null)
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
    audit: Json


class EndedSession(NamedTuple):
    id: SessionId


REVOKE_SESSION = Statement(
    "revoke_session",
    sql(
        """
        with ended as (
            update sessions set revoked_at = now(), updated_at = now() where id = :session_id and revoked_at is null
            returning id, user_id
        ), {recording}
        select id from ended
        """,
        recording=recording(
            found=sql(
                "select cast(null as uuid) as organization_id, user_id, id as subject_id from ended"
            )
        ),
    ),
    params=OneSession,
    row=EndedSession,
)
"""End a session and record it for its user. One statement, because a stolen token is refused without a transaction."""


def revoke_session(session: DbSession, session_id: SessionId, audit: Json) -> bool:
    """End a session and record that; False if it had ended."""
    return REVOKE_SESSION.find(session, session_id, audit) is not None


class OwnSession(NamedTuple):
    user_id: UserId
    session_id: SessionId
    audit: Json


REVOKE_SESSION_OF = Statement(
    "revoke_session_of",
    sql(
        """
        with ended as (
            update sessions set revoked_at = now(), updated_at = now()
            where id = :session_id and user_id = :user_id and revoked_at is null
            returning id
        ), {recording}
        select id from ended
        """,
        recording=recording(sql("exists (select from ended)")),
    ),
    params=OwnSession,
    row=EndedSession,
)
"""End one of a user's sessions and record it. One statement, because signing out is no transaction."""


def revoke_session_of(
    session: DbSession, user_id: UserId, session_id: SessionId, audit: Json
) -> bool:
    """End one of a user's sessions and record that; False if there is none."""
    return REVOKE_SESSION_OF.find(session, user_id, session_id, audit) is not None


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


class Through(NamedTuple):
    connection_id: ConnectionId


REVOKE_SESSIONS_THROUGH = Statement(
    "revoke_sessions_through",
    sql("""
        update sessions set revoked_at = now(), updated_at = now()
        where connection_id = :connection_id and revoked_at is null and expires_at > now()
    """),
    params=Through,
    row=NoRow,
)
"""End the sessions that came through a company login."""


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
