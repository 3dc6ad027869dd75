"""Is a browser recognized that has signed in before, and only by a token that is ours?"""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session as DbSession

from shared.core.crypto import hash_secret
from shared.identity import devices
from shared.identity.models import Device, Method, User
from shared.identity.sessions import Browser, Evidence, SessionTokens, open_session
from tests.builders import a_user
from tests.gateway import put_app_secret


@pytest.fixture(autouse=True)
def _secret(aws: None) -> None:
    put_app_secret()


@pytest.fixture
def ada(session: DbSession) -> User:
    return a_user(session)


def sign_in(session: DbSession, user: User, cookie: str | None) -> SessionTokens:
    browser = Browser(user_agent="Lynx", devices=devices.tokens_in(cookie))
    tokens = open_session(session, user.id, Evidence({Method.PASSWORD}), browser)
    assert isinstance(tokens, SessionTokens)
    return tokens


def known(session: DbSession, user: User) -> list[bytes]:
    found = select(Device.token_hash).where(Device.user_id == user.id).order_by(Device.id)
    return list(session.scalars(found))


class TestSigningIn:
    def test_first_device_is_no_new_one(self, session: DbSession, ada: User) -> None:
        tokens = sign_in(session, ada, None)
        assert not tokens.is_new_device
        assert known(session, ada) == [hash_secret(tokens.devices or "")]
        assert session.scalars(select(Device.user_agent)).one() == "Lynx"

    def test_device_is_recognized_and_keeps_its_token(self, session: DbSession, ada: User) -> None:
        first = sign_in(session, ada, None)
        again = sign_in(session, ada, first.devices)
        assert (again.devices, again.is_new_device) == (first.devices, False)
        assert len(known(session, ada)) == 1

    def test_another_device_is_new_once(self, session: DbSession, ada: User) -> None:
        sign_in(session, ada, None)
        second = sign_in(session, ada, None)
        assert second.is_new_device
        assert not sign_in(session, ada, second.devices).is_new_device

    def test_two_people_of_one_browser_are_both_recognized(
        self, session: DbSession, ada: User
    ) -> None:
        grace = a_user(session)
        of_both = sign_in(session, grace, sign_in(session, ada, None).devices).devices
        for user in (ada, grace):
            assert sign_in(session, user, of_both).devices == of_both
            assert len(known(session, user)) == 1

    def test_token_that_is_not_ours_is_never_adopted(self, session: DbSession, ada: User) -> None:
        """Otherwise who plants a cookie in a browser knows the token of its user's device."""
        sign_in(session, ada, None)
        planted = "x" * 43
        answer = sign_in(session, ada, planted)
        assert answer.is_new_device
        assert hash_secret(planted) not in known(session, ada)

    def test_device_of_another_person_is_not_ones_own(self, session: DbSession, ada: User) -> None:
        theirs = sign_in(session, a_user(session), None).devices
        sign_in(session, ada, None)
        assert sign_in(session, ada, theirs).is_new_device


class TestCookie:
    def test_oldest_token_is_dropped_first(self) -> None:
        tokens = [str(number) * 43 for number in range(devices.MOST_TOKENS + 1)]
        cookie = ""
        for token in tokens:
            cookie = devices.as_cookie(devices.tokens_in(cookie), token)
        assert devices.tokens_in(cookie) == tuple(tokens[1:])

    @pytest.mark.parametrize("cookie", [None, "", ".", "short", "a" * 44, "\u0100" * 43, "a b"])
    def test_what_is_no_token_is_ignored(self, cookie: str | None) -> None:
        assert devices.tokens_in(cookie) == ()

    def test_no_more_are_read_than_are_kept(self) -> None:
        many = ".".join(["a" * 43] * 1_000)
        assert len(devices.tokens_in(many)) == devices.MOST_TOKENS
