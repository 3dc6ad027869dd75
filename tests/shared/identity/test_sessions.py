"""Whether two tabs that renew at the same moment keep one session."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session as DbSession

from shared.core.ids import UserId
from shared.db.session import read_only, unit_of_work
from shared.identity import passwords, sessions
from shared.identity.models import Method, Session, User
from shared.identity.sessions import Browser, Evidence, SessionTokens
from tests.builders import PASSWORD, a_user
from tests.gateway import put_app_secret, put_peppers


@pytest.fixture(autouse=True)
def _secret(aws: None) -> None:
    put_app_secret()


def opened(session: DbSession, user_id: UserId, browser: Browser | None = None) -> SessionTokens:
    tokens = sessions.open_session(
        session, user_id, Evidence({Method.PASSWORD}), browser or Browser()
    )
    assert isinstance(tokens, SessionTokens)
    return tokens


def test_one_rotates_and_the_other_gets_an_access_token(committed: Engine) -> None:
    with unit_of_work() as session:
        user_id = a_user(session).id
        renew = opened(session, user_id).renew or ""
    together = Barrier(2)

    def tab() -> SessionTokens:
        with read_only() as session:
            together.wait()
            return sessions.renew(session, renew, Browser())

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(tab) for _ in range(2)])
    assert {first.renew is None, second.renew is None} == {True, False}
    with DbSession(committed) as session:
        assert session.scalars(select(Session.revoked_at)).one() is None


def test_two_sign_ins_at_once_replace_an_old_hash_and_both_get_in(
    committed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session is opened only for the hash that was checked: the second one's was replaced by the first."""
    put_peppers({"1": "p" * 43})
    monkeypatch.setattr("shared.identity.passwords._ROUNDS", 4)
    with unit_of_work() as session:
        email = a_user(session).email
    together = Barrier(2)

    def replace(password: str) -> str:
        together.wait()
        return passwords.hash_password(password)

    monkeypatch.setattr(sessions, "hash_password", replace)

    def sign_in() -> SessionTokens:
        with read_only() as session:
            _user, tokens = sessions.log_in(
                session, email=email, password=PASSWORD, browser=Browser()
            )
            assert isinstance(tokens, SessionTokens)
            return tokens

    with ThreadPoolExecutor(2) as pool:
        opened = [future.result() for future in [pool.submit(sign_in) for _ in range(2)]]
    assert len({each.access for each in opened}) == 2
    with DbSession(committed) as session:
        stored = session.scalars(select(User.password_hash)).one()
        assert not passwords.is_outdated(stored or "")
        assert passwords.is_password(PASSWORD, stored)
