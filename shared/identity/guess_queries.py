"""The statements that count guesses of passwords.

A guess is counted before the password is checked, so that concurrent guesses cannot all be the first. The right password takes its
guess back.
"""

from datetime import timedelta
from typing import NamedTuple

from shared.audit.queries import recording
from shared.core.ids import SessionId, UserId
from shared.db.statement import Json, NoRow, Sql, Statement, sql
from shared.identity.pauses import ALL_NETWORKS, ONE_NETWORK, Pauses

FORGOTTEN_AFTER = timedelta(days=1)
"""How long after the last guess the count begins again."""


def counted_guess(key: Sql, condition: Sql, pauses: Pauses) -> Sql:
    """Count a guess under a key of `keys`, unless its pause lasts. The row's lock makes guesses at the same time wait."""
    number = sql(
        "(case when g.last_at < now() - make_interval(secs => {forgotten}) then 1 else g.count + 1 end)",
        forgotten=round(FORGOTTEN_AFTER.total_seconds()),
    )
    return sql(
        """
        insert into password_guesses as g (key, count, last_at)
        select {key}, 1, now() from keys where {condition}
        on conflict (key) do update set count = {number}, last_at = now(), paused_until = case when {number} >= {free}
            then now() + make_interval(secs => least(power(2, least({number} - {free}, 20)), {longest})) end
        where g.paused_until is null or g.paused_until <= now()
        returning g.key, g.count
        """,
        key=key,
        condition=condition,
        number=number,
        free=pauses.free,
        longest=round(pauses.longest.total_seconds()),
    )


HELD = sql("""
    select paused_until from password_guesses where key in (select unnest(array[own, everyone]) from keys)
        and paused_until > now()
""")
"""The pauses that last, of the keys in `keys`."""
WAIT = sql("cast((select extract(epoch from max(paused_until) - now()) from held) as float8)")
"""How long the pauses in `held` last."""


class Guess(NamedTuple):
    email: str
    network_key: str
    account_key: str
    devices: list[str]


class CountedGuess(NamedTuple):
    """The account, if there is one, and whether its password may be checked now; if not, how long to wait, if known.

    `everyone_key` is None if the guess comes from a device of the account.
    """

    user_id: UserId | None
    password_hash: str | None
    is_active: bool
    own_key: str
    everyone_key: str | None
    may_try: bool
    wait_seconds: float | None


COUNT_GUESS = Statement(
    "count_guess",
    sql(
        """
        with account as (
            select u.id as user_id, u.password_hash, u.activated_at is not null as is_active, d.id as device_id
            from (select cast(:email as text) as email) given
            left join users u on u.email = given.email and u.deleted_at is null
            left join lateral (
                select id from devices
                where user_id = u.id and encode(token_hash, 'hex') = any(cast(:devices as text[])) limit 1
            ) d on true
        ), keys as (
            select coalesce('device:' || device_id, cast(:network_key as text)) as own,
                case when device_id is null then cast(:account_key as text) end as everyone
            from account
        ), held as ({held}), counted as ({own}), counted_for_all as ({everyone})
        select account.user_id, account.password_hash, account.is_active, keys.own as own_key, keys.everyone as everyone_key,
            exists (select from counted) and (keys.everyone is null or exists (select from counted_for_all)) as may_try,
            {wait} as wait_seconds
        from account, keys
        """,
        held=HELD,
        own=counted_guess(sql("own"), sql("not exists (select from held)"), ONE_NETWORK),
        everyone=counted_guess(
            sql("everyone"),
            sql("everyone is not null and exists (select from counted)"),
            ALL_NETWORKS,
        ),
        wait=WAIT,
    ),
    params=Guess,
    row=CountedGuess,
)
"""Count a guess for an address, known or not, and find its account.

A device of the account has a count of its own, so guesses of others never keep it out. One statement, because every login waits
for it.
"""


class ConfirmingGuess(NamedTuple):
    user_id: UserId
    session_id: SessionId


class CountedConfirmation(NamedTuple):
    password_hash: str | None
    own_key: str
    may_try: bool
    wait_seconds: float | None


COUNT_CONFIRMATION = Statement(
    "count_confirmation",
    sql(
        """
        with keys as (
            select 'session:' || cast(:session_id as uuid) as own, cast(null as text) as everyone
        ), held as ({held}), counted as ({own})
        select u.password_hash, keys.own as own_key, exists (select from counted) as may_try, {wait} as wait_seconds
        from keys, users u where u.id = :user_id and u.deleted_at is null
        """,
        held=HELD,
        own=counted_guess(sql("own"), sql("not exists (select from held)"), ONE_NETWORK),
        wait=WAIT,
    ),
    params=ConfirmingGuess,
    row=CountedConfirmation,
)
"""Count a guess of a signed-in user in a session, and find the hash that it is compared with; no row if the user is gone."""


class RightGuess(NamedTuple):
    """`new_hash` replaces `old_hash`; None: it stays."""

    own_key: str
    everyone_key: str | None
    user_id: UserId
    old_hash: str | None
    new_hash: str | None


FORGIVE_GUESS = Statement(
    "forgive_guess",
    sql("""
        with own as (
            delete from password_guesses where key = :own_key
        ), everyone as (
            update password_guesses set count = greatest(count - 1, 0), paused_until = null
            where key = cast(:everyone_key as text)
        )
        update users set password_hash = :new_hash, updated_at = now()
        where id = :user_id and password_hash = :old_hash and cast(:new_hash as text) is not null and deleted_at is null
    """),
    params=RightGuess,
    row=NoRow,
)
"""Take back the guess that was right, and hash the password again if a newer pepper is to be used and nobody changed it.

One statement, because every login waits for it.
"""


class Forgotten(NamedTuple):
    keys: list[str]


FORGET_GUESSES = Statement(
    "forget_guesses",
    sql("delete from password_guesses where key = any(cast(:keys as text[]))"),
    params=Forgotten,
    row=NoRow,
)
"""Forget guesses, because the password that they were about is replaced."""


class RefusedLogin(NamedTuple):
    email: str
    audit: Json


class RecordedLogin(NamedTuple):
    stored: int


RECORD_REFUSED_LOGIN = Statement(
    "record_refused_login",
    sql(
        "with {recording} select count(*) as stored from recorded",
        recording=recording(
            found=sql("""
                select cast(null as uuid) as organization_id, cast(null as uuid) as user_id, id as subject_id
                from users where email = :email and deleted_at is null
            """)
        ),
    ),
    params=RefusedLogin,
    row=RecordedLogin,
)
"""Record that signing in to the account of an address was refused; an address without an account costs the same statement."""
