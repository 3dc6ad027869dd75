"""Is what may be used once used once, whoever asks?"""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, UserId, new_id
from shared.oauth import queries
from shared.oauth.device import approve_device, start_device
from shared.oauth.models import DeviceCode, OAuthApp, OAuthCode, OAuthGrant
from shared.oauth.server import CODE_LIFE
from shared.organizations.models import Member
from tests.builders import a_member, an_organization


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def code(session: Session, member: Member) -> bytes:
    program = OAuthApp(id=new_id(), client_id="pca_1", name="Newsroom", redirect_uris=[])
    session.add(program)
    session.flush()
    values = {
        "code_hash": b"code",
        "app_id": program.id,
        "redirect_uri": "",
        "scopes": ["mcp:read"],
    }
    organization_id, user_id = OrganizationId(member.organization_id), UserId(member.user_id)
    queries.add_code(session, organization_id, user_id, values, life=CODE_LIFE)
    return b"code"


@pytest.fixture
def device(session: Session, member: Member) -> bytes:
    started = start_device(session)
    organization_id, user_id = OrganizationId(member.organization_id), UserId(member.user_id)
    approve_device(session, organization_id, user_id, started.user_code)
    return session.scalars(select(DeviceCode.device_code_hash)).one()


class TestExchangeCode:
    def test_once(self, session: Session, member: Member, code: bytes) -> None:
        row = queries.exchange_code(session, code, queries.NewToken(b"first"))
        assert row is not None
        assert (row.organization_id, row.scopes) == (member.organization_id, ["mcp:read"])
        assert queries.exchange_code(session, code, queries.NewToken(b"second")) is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"first"]
        assert session.scalars(select(OAuthApp.last_used_at)).one() is not None

    def test_not_after_it_expired(self, session: Session, code: bytes) -> None:
        session.execute(update(OAuthCode).values(expires_at=func.now()))
        assert queries.exchange_code(session, code, queries.NewToken(b"token")) is None

    def test_grant_that_was_revoked_is_in_force_again(self, session: Session, code: bytes) -> None:
        queries.exchange_code(session, code, queries.NewToken(b"first"))
        session.execute(update(OAuthGrant).values(revoked_at=func.now()))
        session.execute(update(OAuthCode).values(used_at=None))
        queries.exchange_code(session, code, queries.NewToken(b"second"))
        session.expire_all()
        grant = session.scalars(select(OAuthGrant)).one()
        assert (grant.token_hash, grant.revoked_at) == (b"second", None)


class TestExchangeDevice:
    def test_once(self, session: Session, device: bytes) -> None:
        assert queries.exchange_device(session, device, b"first", ["mcp:read"]) is not None
        assert queries.exchange_device(session, device, b"second", ["mcp:read"]) is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"first"]

    @pytest.mark.parametrize(
        "values", [{"approved_at": None}, {"expires_at": func.now()}], ids=["unapproved", "expired"]
    )
    def test_not_without_an_approval_in_time(
        self, session: Session, device: bytes, values: dict[str, object]
    ) -> None:
        session.execute(update(DeviceCode).values(**values))
        assert queries.exchange_device(session, device, b"token", []) is None


class TestRotate:
    def test_of_two_at_once_one_replaces_the_tokens(self, session: Session, code: bytes) -> None:
        """Both read the same refresh token before either replaced it; the second is told that it came twice."""
        first = queries.NewToken(b"token", 3600, b"family", b"refresh")
        queries.exchange_code(session, code, first)
        grant_id = session.scalars(select(OAuthGrant.id)).one()
        newer, newest = (
            queries.NewToken(name, 3600, b"family", name + b"-refresh")
            for name in (b"newer", b"newest")
        )
        assert queries.rotate_refreshed(session, grant_id, b"refresh", newer) is not None
        assert queries.rotate_refreshed(session, grant_id, b"refresh", newest) is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"newer"]

    def test_not_of_a_grant_that_was_taken_back(self, session: Session, code: bytes) -> None:
        queries.exchange_code(
            session, code, queries.NewToken(b"token", 3600, b"family", b"refresh")
        )
        grant_id = session.scalars(select(OAuthGrant.id)).one()
        queries.revoke_refreshed(session, grant_id)
        newer = queries.NewToken(b"newer", 3600, b"family", b"newer-refresh")
        assert queries.rotate_refreshed(session, grant_id, b"refresh", newer) is None
