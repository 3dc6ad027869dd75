"""Is what may be used once used once, whoever asks?"""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.apps import token_queries
from shared.apps.credentials import NewToken
from shared.apps.device import approve_device, start_device
from shared.apps.models import DeviceCode, OAuthApp, OAuthCode, OAuthGrant
from shared.apps.server import CODE_LIFE
from shared.audit.entries import Actor
from shared.core.ids import GrantId, new_id
from shared.organizations.models import Member
from tests.builders import a_member, an_organization

NO_ENTRY = "[]"


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def code(session: Session, member: Member) -> bytes:
    program = OAuthApp(id=new_id(), client_id="pca_1", name="Newsroom", redirect_uris=[])
    session.add(program)
    session.flush()
    organization_id, user_id = member.organization_id, member.user_id
    token_queries.ADD_CODE.run(
        session,
        organization_id,
        user_id,
        code_hash=b"code",
        app_id=program.id,
        redirect_uri="",
        code_challenge=None,
        scopes=["mcp:read"],
        life_seconds=CODE_LIFE.total_seconds(),
    )
    return b"code"


def exchange_code(session: Session, code: bytes, token: NewToken) -> token_queries.Granted | None:
    return token_queries.EXCHANGE_CODE.find(
        session, GrantId(new_id()), code, **token._asdict(), audit=NO_ENTRY
    )


def exchange_device(
    session: Session, device: bytes, token_hash: bytes
) -> token_queries.Granted | None:
    token = NewToken(token_hash)
    return token_queries.EXCHANGE_DEVICE.find(
        session, GrantId(new_id()), device, ["mcp:read"], **token._asdict(), audit=NO_ENTRY
    )


def rotate(session: Session, token: NewToken) -> token_queries.Granted | None:
    grant_id = session.scalars(select(OAuthGrant.id)).one()
    return token_queries.ROTATE.find(session, grant_id, b"refresh", *token)


@pytest.fixture
def device(session: Session, member: Member) -> bytes:
    started = start_device(session)
    actor = Actor(organization_id=member.organization_id, user_id=member.user_id)
    approve_device(session, actor, started.user_code)
    return session.scalars(select(DeviceCode.device_code_hash)).one()


class TestExchangeCode:
    def test_once(self, session: Session, member: Member, code: bytes) -> None:
        row = exchange_code(session, code, NewToken(b"first"))
        assert row is not None
        assert (row.organization_id, row.scopes) == (member.organization_id, ["mcp:read"])
        assert exchange_code(session, code, NewToken(b"second")) is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"first"]
        assert session.scalars(select(OAuthApp.last_used_at)).one() is not None

    def test_not_after_it_expired(self, session: Session, code: bytes) -> None:
        session.execute(update(OAuthCode).values(expires_at=func.now()))
        assert exchange_code(session, code, NewToken(b"token")) is None

    def test_grant_that_was_revoked_is_in_force_again(self, session: Session, code: bytes) -> None:
        exchange_code(session, code, NewToken(b"first"))
        session.execute(update(OAuthGrant).values(revoked_at=func.now()))
        session.execute(update(OAuthCode).values(used_at=None))
        exchange_code(session, code, NewToken(b"second"))
        session.expire_all()
        grant = session.scalars(select(OAuthGrant)).one()
        assert (grant.token_hash, grant.revoked_at) == (b"second", None)


class TestExchangeDevice:
    def test_once(self, session: Session, device: bytes) -> None:
        assert exchange_device(session, device, b"first") is not None
        assert exchange_device(session, device, b"second") is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"first"]

    @pytest.mark.parametrize(
        "values", [{"approved_at": None}, {"expires_at": func.now()}], ids=["unapproved", "expired"]
    )
    def test_not_without_an_approval_in_time(
        self, session: Session, device: bytes, values: dict[str, object]
    ) -> None:
        session.execute(update(DeviceCode).values(**values))
        assert exchange_device(session, device, b"token") is None


class TestRotate:
    def test_of_two_at_once_one_replaces_the_tokens(self, session: Session, code: bytes) -> None:
        """Both read the same refresh token before either replaced it; the second is told that it came twice."""
        first = NewToken(b"token", 3600, b"family", b"refresh")
        exchange_code(session, code, first)
        newer, newest = (
            NewToken(name, 3600, b"family", name + b"-refresh") for name in (b"newer", b"newest")
        )
        assert rotate(session, newer) is not None
        assert rotate(session, newest) is None
        assert session.scalars(select(OAuthGrant.token_hash)).all() == [b"newer"]

    def test_not_of_a_grant_that_was_taken_back(self, session: Session, code: bytes) -> None:
        exchange_code(session, code, NewToken(b"token", 3600, b"family", b"refresh"))
        grant_id = session.scalars(select(OAuthGrant.id)).one()
        token_queries.REVOKE_REFRESHED.all(session, grant_id, NO_ENTRY)
        newer = NewToken(b"newer", 3600, b"family", b"newer-refresh")
        assert rotate(session, newer) is None
