"""Are guesses slowed, concurrent ones too, without keeping the owner out or revealing whether there is an account?"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest import mock

import bcrypt
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session as DbSession

from shared.core.ids import SessionId, new_id
from shared.db.session import read_only, unit_of_work
from shared.identity import devices, sessions
from shared.identity.errors import GuessesPaused, LoginRefused, WrongPassword
from shared.identity.guesses import network_of
from shared.identity.models import PasswordGuesses, User
from shared.identity.pauses import ALL_NETWORKS, ONE_NETWORK
from shared.identity.sessions import Browser, SessionTokens
from tests.builders import PASSWORD, a_user
from tests.counting import count_statements
from tests.gateway import put_app_secret

HERE = Browser(ip="203.0.113.7")
NOBODY = "nobody@example.org"


@pytest.fixture(autouse=True)
def _secret(aws: None) -> None:
    put_app_secret()


@pytest.fixture
def ada(session: DbSession) -> User:
    return a_user(session)


def sign_in(
    session: DbSession, email: str, password: str = "wrong", browser: Browser = HERE
) -> SessionTokens:
    _user_id, tokens = sessions.log_in(session, email=email, password=password, browser=browser)
    assert isinstance(tokens, SessionTokens)
    return tokens


def guess(session: DbSession, email: str, times: int = 1, browser: Browser = HERE) -> None:
    """Enter a wrong password that is checked each time, because every pause is over."""
    for _ in range(times):
        with pytest.raises(LoginRefused):
            sign_in(session, email, browser=browser)
        over(session)


def over(session: DbSession) -> None:
    session.execute(text("update password_guesses set paused_until = now()"))


def pause(session: DbSession, email: str, browser: Browser = HERE) -> int:
    """Return the seconds of the pause that lasts; the guess is refused."""
    with pytest.raises(GuessesPaused) as refused:
        sign_in(session, email, PASSWORD, browser)
    return refused.value.retry_after_seconds


def elsewhere(number: int) -> Browser:
    return Browser(ip=f"198.51.100.{number}")


@pytest.mark.parametrize("known", [True, False])
class TestPauses:
    def test_grow_from_the_first_guess_that_is_not_free(
        self, session: DbSession, ada: User, known: bool
    ) -> None:
        email = ada.email if known else NOBODY
        guess(session, email, ONE_NETWORK.free - 1)
        lasting = []
        for _ in range(5):
            with pytest.raises(LoginRefused):
                sign_in(session, email)
            lasting.append(pause(session, email))
            over(session)
        assert lasting == [1, 2, 4, 8, 16]

    def test_have_a_longest(self, session: DbSession, ada: User, known: bool) -> None:
        email = ada.email if known else NOBODY
        guess(session, email)
        session.execute(text("update password_guesses set count = 1000"))
        with pytest.raises(LoginRefused):
            sign_in(session, email)
        assert pause(session, email) == ONE_NETWORK.longest.total_seconds()
        assert pause(session, email, elsewhere(1)) == ALL_NETWORKS.longest.total_seconds()

    def test_refused_guesses_lengthen_nothing(
        self, session: DbSession, ada: User, known: bool
    ) -> None:
        email = ada.email if known else NOBODY
        guess(session, email, ONE_NETWORK.free - 1)
        with pytest.raises(LoginRefused):
            sign_in(session, email)
        assert [pause(session, email) for _ in range(10)] == [1] * 10
        counts = set(session.scalars(select(PasswordGuesses.count)))
        assert counts == {ONE_NETWORK.free}

    def test_guesses_from_many_networks_are_slowed_too(
        self, session: DbSession, ada: User, known: bool
    ) -> None:
        email = ada.email if known else NOBODY
        for number in range(ALL_NETWORKS.free - 1):
            with pytest.raises(LoginRefused):
                sign_in(session, email, browser=elsewhere(number))
        with pytest.raises(LoginRefused):
            sign_in(session, email, browser=elsewhere(100))
        assert pause(session, email, elsewhere(101)) == 1

    def test_count_begins_anew_after_a_day(
        self, session: DbSession, ada: User, known: bool
    ) -> None:
        email = ada.email if known else NOBODY
        guess(session, email, ONE_NETWORK.free)
        session.execute(text("update password_guesses set last_at = now() - interval '25 h'"))
        guess(session, email)
        assert set(session.scalars(select(PasswordGuesses.count))) == {1}


class TestRightPassword:
    def test_takes_its_guess_back(self, session: DbSession, ada: User) -> None:
        for _ in range(ALL_NETWORKS.free * 2):
            sign_in(session, ada.email, PASSWORD)
        assert session.scalars(select(PasswordGuesses.count)).all() == [0]

    def test_ends_the_count_of_its_network_alone(self, session: DbSession, ada: User) -> None:
        guess(session, ada.email, ONE_NETWORK.free - 1)
        sign_in(session, ada.email, PASSWORD)
        assert session.scalars(select(PasswordGuesses.count)).all() == [ONE_NETWORK.free - 1]
        guess(session, ada.email, ONE_NETWORK.free - 1)

    def test_is_not_checked_during_a_pause(self, session: DbSession, ada: User) -> None:
        guess(session, ada.email, ONE_NETWORK.free - 1)
        with pytest.raises(LoginRefused):
            sign_in(session, ada.email)
        assert pause(session, ada.email) == 1
        over(session)
        assert sign_in(session, ada.email, PASSWORD).access


class TestDevice:
    def test_guesses_of_others_never_keep_it_out(self, session: DbSession, ada: User) -> None:
        cookie = sign_in(session, ada.email, PASSWORD).devices
        at_home = Browser(ip=HERE.ip, devices=devices.tokens_in(cookie))
        for number in range(40):
            guess(session, ada.email, browser=elsewhere(number))
            guess(session, ada.email)  # from the same network
        session.execute(text("update password_guesses set paused_until = now() + interval '1 h'"))
        assert sign_in(session, ada.email, PASSWORD, at_home).access

    def test_is_slowed_by_its_own_and_slows_nobody(self, session: DbSession, ada: User) -> None:
        cookie = sign_in(session, ada.email, PASSWORD).devices
        stolen = Browser(ip="192.0.2.1", devices=devices.tokens_in(cookie))
        guess(session, ada.email, ONE_NETWORK.free - 1, stolen)
        with pytest.raises(LoginRefused):
            sign_in(session, ada.email, browser=stolen)
        assert pause(session, ada.email, stolen) == 1
        assert sign_in(session, ada.email, PASSWORD, elsewhere(1)).access

    def test_of_another_account_is_no_known_one(self, session: DbSession, ada: User) -> None:
        """Otherwise an attacker signs in to their own account first."""
        cookie = sign_in(session, a_user(session).email, PASSWORD).devices
        attacker = Browser(ip=HERE.ip, devices=devices.tokens_in(cookie))
        guess(session, ada.email, ONE_NETWORK.free - 1, attacker)
        with pytest.raises(LoginRefused):
            sign_in(session, ada.email, browser=attacker)
        assert pause(session, ada.email, attacker) == 1


class TestEqualWork:
    def work(self, session: DbSession, email: str) -> tuple[type[Exception], int, list[int], int]:
        """Return what a guess does: its refusal, its statements, the rounds of each bcrypt, and its texts of SQL."""
        check = mock.Mock(side_effect=bcrypt.checkpw)
        with mock.patch.object(bcrypt, "checkpw", check), count_statements() as cost:
            try:
                sign_in(session, email)
            except (LoginRefused, GuessesPaused) as error:
                refusal = type(error)
        rounds = [int(call.args[1].split(b"$")[2]) for call in check.call_args_list]
        return refusal, cost.statements, rounds, len(set(cost.sql))

    @pytest.mark.parametrize("guesses", [0, ONE_NETWORK.free - 1, ONE_NETWORK.free])
    def test_for_known_and_unknown_addresses(self, session: DbSession, guesses: int) -> None:
        """Counted, not timed: the calls that take time are the database's and bcrypt's."""
        stored = bcrypt.hashpw(b"another", bcrypt.gensalt(11)).decode()
        done = []
        for email in (a_user(session, password_hash=stored).email, NOBODY):
            guess(session, email, min(guesses, ONE_NETWORK.free - 1))
            if guesses == ONE_NETWORK.free:
                with pytest.raises(LoginRefused):
                    sign_in(session, email)
            done.append(self.work(session, email))
        assert done[0] == done[1]
        assert done[0][2] == ([] if guesses == ONE_NETWORK.free else [11])

    def test_keys_do_not_show_the_address(self, session: DbSession, ada: User) -> None:
        guess(session, ada.email)
        keys = session.scalars(select(PasswordGuesses.key)).all()
        assert len(keys) == 2
        assert not any("example" in key or "203" in key for key in keys)


class TestConfirming:
    def test_is_slowed_in_its_session_alone(self, session: DbSession, ada: User) -> None:
        here, there = SessionId(new_id()), SessionId(new_id())
        for _ in range(ONE_NETWORK.free):
            over(session)
            with pytest.raises(WrongPassword):
                sessions.check_password(session, ada.id, here, "wrong")
        with pytest.raises(GuessesPaused):
            sessions.check_password(session, ada.id, here, PASSWORD)
        assert sessions.check_password(session, ada.id, there, PASSWORD) == ada.password_hash
        assert sign_in(session, ada.email, PASSWORD).access
        over(session)
        assert sessions.check_password(session, ada.id, here, PASSWORD) == ada.password_hash
        assert not session.scalars(
            select(PasswordGuesses.key).where(PasswordGuesses.key.startswith("session:"))
        ).all()


class TestNetwork:
    @pytest.mark.parametrize(
        ("ip", "network"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("unknown", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_is_what_one_customer_has(self, ip: str | None, network: str) -> None:
        assert network_of(ip) == network


def at_once(count: int, work: Callable[[int], bool]) -> int:
    """Return for how many of `count` calls at the same time `work` is true."""
    together = Barrier(count)

    def one(number: int) -> bool:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(one, range(count)))


class TestAtOnce:
    @pytest.mark.parametrize("known", [True, False])
    def test_no_more_are_checked_than_one_after_the_other(
        self, committed: Engine, known: bool
    ) -> None:
        """Read and then counted, eight at the same time were all the first."""
        with unit_of_work() as session:
            email = a_user(session).email if known else NOBODY
        with read_only() as session:
            for _ in range(ONE_NETWORK.free - 2):
                with pytest.raises(LoginRefused):
                    sign_in(session, email)

        def is_checked(_number: int) -> bool:
            with read_only() as session:
                try:
                    sign_in(session, email)
                except GuessesPaused:
                    return False
                except LoginRefused:
                    return True
            raise AssertionError

        assert at_once(8, is_checked) == 2

    def test_from_many_networks_none_is_lost_and_none_deadlocks(self, committed: Engine) -> None:
        with unit_of_work() as session:
            email = a_user(session).email

        def is_checked(number: int) -> bool:
            with read_only() as session, pytest.raises(LoginRefused):
                sign_in(session, email, browser=elsewhere(number))
            return True

        assert at_once(8, is_checked) == 8
        with DbSession(committed) as session:
            counts = sorted(session.scalars(select(PasswordGuesses.count)))
        assert counts == [1] * 8 + [8]

    def test_all_right_ones_get_in(self, committed: Engine) -> None:
        with unit_of_work() as session:
            email = a_user(session).email

        def gets_in(_number: int) -> bool:
            with read_only() as session:
                return bool(sign_in(session, email, PASSWORD).access)

        assert at_once(4, gets_in) == 4
