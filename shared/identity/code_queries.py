"""The statements that count guesses of the codes that prove a second factor.

A guess is counted before the code is checked, so that concurrent guesses cannot all be the first. They are counted per user over
all sign-ins, confirmations and networks; a device that is remembered has a count of its own, so guesses of others never keep it
out.
"""

from typing import Any, NamedTuple

from shared.core.ids import FactorId, UserId
from shared.db.statement import NoRow, Statement, literals, sql
from shared.identity.guess_queries import HELD, WAIT, counted_guess
from shared.identity.models import ChallengeKind
from shared.identity.pauses import CODES

MOST_TRIES = 5
"""How many codes may be tried for one sign-in."""

_KEYS = sql("""
    select coalesce('codes of device:' || d.id, 'codes:' || person.id) as own, cast(null as text) as everyone
    from person left join lateral (
        select id from devices
        where user_id = person.id and remembered_until > now() and encode(token_hash, 'hex') = any(cast(:devices as text[]))
        limit 1
    ) d on true
""")
_COUNTED = counted_guess(sql("own"), sql("not exists (select from held)"), CODES)


class LoginCode(NamedTuple):
    """A code for the challenge with this hash."""

    hash: bytes
    devices: list[str]


class CountedLoginCode(NamedTuple):
    """One row for each of the user's authenticator apps; one with nulls if there is none.

    The code may be checked with `may_try`, if the challenge allowed another try (`is_tried`); `guesses` is how many there were.
    """

    user_id: UserId
    email: str
    remember: dict[str, Any]
    own_key: str
    may_try: bool
    is_tried: bool
    wait_seconds: float | None
    guesses: int | None
    factor_id: FactorId | None
    secret: bytes | None


COUNT_LOGIN_CODE = Statement(
    "count_login_code",
    sql(
        """
        with challenge as (
            select user_id, remember from challenges
            where hash = :hash and kind = {second_factor} and used_at is null and expires_at > now() and tries < {most_tries}
        ), person as (
            select u.id, u.email, challenge.remember from challenge join users u on u.id = challenge.user_id
            where u.deleted_at is null
        ), keys as ({keys}), held as ({held}), counted as ({counted}), tried as (
            update challenges set tries = tries + 1 from counted
            where hash = :hash and used_at is null and expires_at > now() and tries < {most_tries}
            returning hash
        )
        select person.id as user_id, person.email, person.remember, keys.own as own_key,
            exists (select from counted) as may_try, exists (select from tried) as is_tried, {wait} as wait_seconds,
            (select count from counted) as guesses, f.id as factor_id, f.secret
        from person cross join keys
        left join factors f on f.user_id = person.id and f.kind = 'totp' and f.confirmed_at is not null
        order by f.last_used_at desc nulls last
        limit 100
        """,
        second_factor=literals(ChallengeKind.SECOND_FACTOR),
        most_tries=MOST_TRIES,
        keys=_KEYS,
        held=HELD,
        counted=_COUNTED,
        wait=WAIT,
    ),
    params=LoginCode,
    row=CountedLoginCode,
)
"""Count a code for a sign-in and find what it is compared with; no row if the challenge is unknown, used, too old or tried too often.

One statement, because every sign-in with a second factor waits for it.
"""


class ConfirmingCode(NamedTuple):
    user_id: UserId
    devices: list[str]


class CountedCode(NamedTuple):
    email: str
    own_key: str
    may_try: bool
    wait_seconds: float | None
    guesses: int | None


COUNT_CODE = Statement(
    "count_code",
    sql(
        """
        with person as (
            select id, email from users where id = :user_id and deleted_at is null
        ), keys as ({keys}), held as ({held}), counted as ({counted})
        select person.email, keys.own as own_key, exists (select from counted) as may_try, {wait} as wait_seconds,
            (select count from counted) as guesses
        from person cross join keys
        """,
        keys=_KEYS,
        held=HELD,
        counted=_COUNTED,
        wait=WAIT,
    ),
    params=ConfirmingCode,
    row=CountedCode,
)
"""Count a code of a signed-in user; no row if the user is gone."""


class OneKey(NamedTuple):
    own_key: str


FORGIVE_CODE = Statement(
    "forgive_code",
    sql("""
        update password_guesses set count = greatest(count - 1, 0), paused_until = null where key = :own_key
    """),
    params=OneKey,
    row=NoRow,
)
"""Take back the guess that was right. Those of others stay counted."""
