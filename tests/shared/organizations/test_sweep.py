"""Do accounts go that nobody activated, with the organization made for them, and nothing else?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from shared.identity.models import Challenge, ChallengeKind, User
from shared.organizations.models import Organization
from shared.organizations.sweep import (
    delete_expired_idempotency_keys,
    delete_old_rate_limits,
    forget_never_activated,
)
from tests.builders import a_member, a_user, an_organization


def ago(**time: int) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


NEVER: dict[str, Any] = {"activated_at": None, "created_at": ago(days=31)}


def left(session: Session) -> tuple[int, int]:
    """Return how many users and organizations there are after the sweep."""
    forget_never_activated()
    users = session.scalar(select(func.count()).select_from(User)) or 0
    return users, session.scalar(select(func.count()).select_from(Organization)) or 0


@pytest.mark.parametrize(
    ("columns", "stay"),
    [
        (NEVER, 0),
        ({"activated_at": None, "created_at": ago(days=29)}, 1),
        ({"activated_at": ago(days=31), "created_at": ago(days=31)}, 1),
    ],
)
def test_never_activated_account_goes_after_thirty_days(
    session: Session, columns: dict[str, Any], stay: int
) -> None:
    """Finding 2.18: users who never activated were kept for ever."""
    a_member(session, an_organization(session), a_user(session, **columns))
    assert left(session) == (stay, stay)


def test_organization_of_others_stays(session: Session) -> None:
    """Finding 2.18: somebody else is in it."""
    organization = an_organization(session)
    a_member(session, organization, a_user(session, **NEVER))
    a_member(session, organization)
    assert left(session) == (1, 1)


@pytest.mark.parametrize(("minutes", "stay"), [(5, 1), (-5, 0)])
def test_mailed_link_stays_good(session: Session, minutes: int, stay: int) -> None:
    """Finding 2.18: who has just had another mail sent can still activate."""
    user = a_user(session, **NEVER)
    code = Challenge(
        hash=b"c", user_id=user.id, kind=ChallengeKind.ACTIVATE,
        expires_at=datetime.now(UTC) + timedelta(minutes=minutes),
    )  # fmt: skip
    session.add(code)
    session.flush()
    assert left(session) == (stay, 0)


class TestLapsed:
    @pytest.mark.parametrize(("ends_in", "stays"), [("1 minute", 1), ("-1 second", 0)])
    def test_an_idempotency_key_stays_until_it_expires(
        self, session: Session, ends_in: str, stays: int
    ) -> None:
        """Finding 8.15: swept at once, a client that repeats its request would post twice."""
        organization = an_organization(session)
        session.execute(
            text(
                "insert into idempotency_keys (organization_id, scope, key, request_hash, expires_at)"
                " values (:id, '', 'k', '', now() + cast(:ends_in as interval))"
            ),
            {"id": organization.id, "ends_in": ends_in},
        )
        assert delete_expired_idempotency_keys() == 1 - stays

    @pytest.mark.parametrize(("age", "stays"), [("23 hours", 1), ("25 hours", 0)])
    def test_a_count_stays_for_a_day(self, session: Session, age: str, stays: int) -> None:
        """Finding 8.15."""
        session.execute(
            text(
                "insert into rate_limits (key, count, window_started_at)"
                " values ('k', 1, now() - cast(:age as interval))"
            ),
            {"age": age},
        )
        assert delete_old_rate_limits() == 1 - stays
