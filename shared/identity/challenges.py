"""Adds and uses challenges: everything in signing in that works once, such as a mailed link.

A challenge is a random secret whose hash is stored, so a copy of the table lets nobody in.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import UserId
from shared.db.statement import to_json
from shared.identity import challenge_queries as queries
from shared.identity.models import ChallengeKind


@dataclass(frozen=True, slots=True)
class Used:
    """A challenge that was used up: its user, if it has one, and what was remembered for this step."""

    user_id: UserId | None
    remember: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `most` mails of one kind to a user within `window`."""

    most: int
    window: timedelta


def add_challenge(
    session: Session,
    kind: ChallengeKind,
    *,
    life: timedelta,
    user_id: UserId | None = None,
    remember: Mapping[str, Any] | None = None,
    secret: str | None = None,
) -> str:
    """Add a challenge and return its secret, which is made here unless it is given."""
    secret = secret or new_secret()
    queries.ADD_CHALLENGE.run(
        session,
        hash=hash_secret(secret),
        kind=kind,
        user_id=user_id,
        remember=to_json(dict(remember or {})),
        life_seconds=life.total_seconds(),
    )
    return secret


def add_mailed_challenge(
    session: Session,
    kind: ChallengeKind,
    user_id: UserId,
    *,
    life: timedelta,
    pace: Pace,
    remember: Mapping[str, Any] | None = None,
) -> str | None:
    """Add a challenge that is going to be mailed and return its secret; None if the user was sent too many."""
    secret = new_secret()
    added = queries.ADD_MAILED_CHALLENGE.run(
        session,
        hash=hash_secret(secret),
        kind=kind,
        user_id=user_id,
        remember=to_json(dict(remember or {})),
        life_seconds=life.total_seconds(),
        most=pace.most,
        window_seconds=pace.window.total_seconds(),
    )
    return secret if added else None


def use_challenge(session: Session, kind: ChallengeKind, secret: str) -> Used | None:
    """Use up a challenge; None if it is unknown, used or too old."""
    row = queries.USE_CHALLENGE.find(session, hash_secret(secret), kind)
    return Used(row.user_id, row.remember) if row else None


def find_challenge(session: Session, kind: ChallengeKind, secret: str) -> Used | None:
    """Find a challenge without using it up; None if it is unknown, used or too old."""
    row = queries.FIND_CHALLENGE.find(session, hash_secret(secret), kind)
    return Used(row.user_id, row.remember) if row else None


def void_challenges(
    session: Session, user_id: UserId, *, keep: Collection[ChallengeKind] = ()
) -> None:
    """Make a user's challenges useless, except those of the kinds in `keep`."""
    queries.VOID_CHALLENGES.run(session, user_id, [kind.value for kind in keep])
