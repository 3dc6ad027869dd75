"""The statements that add and use what works once in signing in. A challenge is found by the hash of its secret."""

from typing import Any, NamedTuple

from shared.core.ids import UserId
from shared.db.statement import Json, NoRow, Statement, sql
from shared.identity.models import ChallengeKind


class NewChallenge(NamedTuple):
    hash: bytes
    kind: ChallengeKind
    user_id: UserId | None
    remember: Json
    life_seconds: float


ADD_CHALLENGE = Statement(
    "add_challenge",
    sql("""
        insert into challenges (hash, kind, user_id, remember, expires_at)
        values (:hash, :kind, :user_id, cast(:remember as jsonb), now() + make_interval(secs => :life_seconds))
    """),
    params=NewChallenge,
    row=NoRow,
)
"""Add a challenge."""


class NewMailedChallenge(NamedTuple):
    hash: bytes
    kind: ChallengeKind
    user_id: UserId
    remember: Json
    life_seconds: float
    most: int
    window_seconds: float


ADD_MAILED_CHALLENGE = Statement(
    "add_mailed_challenge",
    sql("""
        insert into challenges (hash, kind, user_id, remember, expires_at)
        select cast(:hash as bytea), cast(:kind as text), cast(:user_id as uuid), cast(:remember as jsonb),
            now() + make_interval(secs => :life_seconds)
        where (
            select count(*) from challenges
            where user_id = :user_id and kind = :kind and created_at > now() - make_interval(secs => :window_seconds)
        ) < cast(:most as integer)
    """),
    params=NewMailedChallenge,
    row=NoRow,
)
"""Add a challenge that is mailed, unless the user was sent `most` of this kind within the window."""


class OneChallenge(NamedTuple):
    hash: bytes
    kind: ChallengeKind


class ChallengeRow(NamedTuple):
    """`user_id` is None if nobody was signed in."""

    user_id: UserId | None
    remember: dict[str, Any]


USE_CHALLENGE = Statement(
    "use_challenge",
    sql("""
        update challenges set used_at = now()
        where hash = :hash and kind = :kind and used_at is null and expires_at > now()
        returning user_id, remember
    """),
    params=OneChallenge,
    row=ChallengeRow,
)
"""Use up a challenge; no row if it is unknown, used or too old. Only one of two concurrent requests gets it."""

FIND_CHALLENGE = Statement(
    "find_challenge",
    sql("""
        select user_id, remember from challenges
        where hash = :hash and kind = :kind and used_at is null and expires_at > now()
    """),
    params=OneChallenge,
    row=ChallengeRow,
)
"""Find a challenge without using it up."""


class ChallengesOf(NamedTuple):
    user_id: UserId
    kept: list[str]


VOID_CHALLENGES = Statement(
    "void_challenges",
    sql("""
        update challenges set used_at = now()
        where user_id = :user_id and used_at is null and expires_at > now() and kind <> all(cast(:kept as text[]))
    """),
    params=ChallengesOf,
    row=NoRow,
)
"""Make a user's challenges useless, except those of some kinds."""
