"""Do challenges, sessions and devices go when nobody needs them, and not before?"""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session as DbSession

from shared.identity.models import (
    Challenge,
    ChallengeKind,
    Device,
    MailedCode,
    MailedCodePurpose,
    PasswordGuesses,
    Session,
)
from shared.identity.sweep import (
    delete_old_challenges,
    delete_old_devices,
    delete_old_guesses,
    delete_old_mailed_codes,
    delete_old_sessions,
)
from shared.organizations.models import Member
from tests.builders import a_member, an_organization


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session))


def ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@pytest.mark.parametrize(("expired", "stays"), [(ago(6), 1), (ago(8), 0)])
def test_mailed_codes_go_a_week_after_they_expired(
    session: DbSession, member: Member, expired: datetime, stays: int
) -> None:
    session.add(
        MailedCode(
            code_hash=b"c",
            user_id=member.user_id,
            purpose=next(iter(MailedCodePurpose)),
            expires_at=expired,
        )
    )
    session.flush()
    assert delete_old_mailed_codes() == 1 - stays
    assert session.scalar(select(func.count()).select_from(MailedCode)) == stays


@pytest.mark.parametrize(("expired", "stays"), [(ago(6), 1), (ago(8), 0)])
def test_challenges_go_a_week_after_they_expired(
    session: DbSession, expired: datetime, stays: int
) -> None:
    session.add(Challenge(hash=b"c", kind=ChallengeKind.LOGIN_STATE, expires_at=expired))
    session.flush()
    assert delete_old_challenges() == 1 - stays
    assert session.scalar(select(func.count()).select_from(Challenge)) == stays


@pytest.mark.parametrize(("expired", "stays"), [(ago(29), 1), (ago(31), 0)])
def test_sessions_go_30_days_after_they_expired(
    session: DbSession, member: Member, expired: datetime, stays: int
) -> None:
    session.add(Session(user_id=member.user_id, renew_hash=b"r", expires_at=expired))
    session.flush()
    assert delete_old_sessions() == 1 - stays
    assert session.scalar(select(func.count()).select_from(Session)) == stays


@pytest.mark.parametrize(("used", "stays"), [(ago(399), 1), (ago(401), 0)])
def test_devices_go_with_their_cookie(
    session: DbSession, member: Member, used: datetime, stays: int
) -> None:
    session.add(Device(user_id=member.user_id, token_hash=b"d", last_used_at=used))
    session.flush()
    assert delete_old_devices() == 1 - stays
    assert session.scalar(select(func.count()).select_from(Device)) == stays


@pytest.mark.parametrize(("guessed", "stays"), [(timedelta(hours=23), 1), (timedelta(hours=25), 0)])
def test_guesses_go_when_the_next_one_begins_anew(
    session: DbSession, guessed: timedelta, stays: int
) -> None:
    session.add(PasswordGuesses(key="a", count=3, last_at=datetime.now(UTC) - guessed))
    session.flush()
    assert delete_old_guesses() == 1 - stays
    assert session.scalar(select(func.count()).select_from(PasswordGuesses)) == stays
