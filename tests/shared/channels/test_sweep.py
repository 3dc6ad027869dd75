"""Do unfinished logins at platforms and old pauses go when nobody needs them, and not before?"""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.channels.models import OAuthState, ProviderPause
from shared.channels.sweep import delete_expired_oauth_states, delete_old_pauses
from tests.builders import a_member, an_organization


def ago(age: timedelta) -> datetime:
    return datetime.now(UTC) - age


@pytest.mark.parametrize(("age", "stays"), [(-timedelta(minutes=5), 1), (timedelta(minutes=5), 0)])
def test_a_login_goes_when_it_expires(session: Session, age: timedelta, stays: int) -> None:
    member = a_member(session, an_organization(session))
    session.add(
        OAuthState(
            state="s",
            organization_id=member.organization_id,
            user_id=member.user_id,
            provider="mastodon",
            redirect_uri="https://example.org",
            remember=b"",
            expires_at=ago(age),
        )
    )
    session.flush()
    assert delete_expired_oauth_states() == 1 - stays
    assert session.scalar(select(func.count()).select_from(OAuthState)) == stays


@pytest.mark.parametrize(("age", "stays"), [(timedelta(hours=23), 1), (timedelta(hours=25), 0)])
def test_a_pause_goes_a_day_after_it_ended(session: Session, age: timedelta, stays: int) -> None:
    """Swept too soon, a platform would be asked although it wants to be left alone."""
    session.add(ProviderPause(provider="mastodon", until=ago(age), reason=""))
    session.flush()
    assert delete_old_pauses() == 1 - stays
    assert session.scalar(select(func.count()).select_from(ProviderPause)) == stays
