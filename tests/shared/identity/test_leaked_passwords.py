"""Is a leaked password recognized without being told to anybody, and is nobody kept waiting?"""

import hashlib
import io
import json
from collections.abc import Iterator

import httpx
import pytest
import respx

from shared.identity.errors import PasswordRefused
from shared.identity.leaked_passwords import LONGEST_REQUEST, is_leaked
from shared.identity.new_password import check_new_password
from shared.identity.password_rules import Person
from tests.conftest import Configure

PASSWORD = "seven owls at noon"
DIGEST = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
RANGE = "https://leaks.example/range"
ADA = Person("ada@example.org")


@pytest.fixture
def server(configure: Configure) -> Iterator[respx.Route]:
    configure(PASSWORD_RANGE_URL=f"{RANGE}/")
    with respx.mock(assert_all_called=False) as router:
        yield router.get(url__startswith=RANGE).respond(text="")


def lines(*counts: tuple[str, int]) -> str:
    return "\r\n".join(f"{rest}:{count}" for rest, count in counts)


class TestIsLeaked:
    def test_only_five_digits_of_the_hash_are_sent(self, server: respx.Route) -> None:
        assert not is_leaked(PASSWORD)
        (call,) = server.calls
        assert str(call.request.url) == f"{RANGE}/{DIGEST[:5]}"
        assert call.request.headers["add-padding"] == "true"
        sent = f"{call.request.url}{call.request.headers}"
        assert DIGEST[5:] not in sent.upper()

    @pytest.mark.parametrize(
        ("answer", "known"),
        [
            (lines(("0" * 35, 4), (DIGEST[5:], 7)), True),
            (lines((DIGEST[5:].lower(), 1)), True),
            (lines(("0" * 35, 4)), False),
            (lines((DIGEST[5:], 0)), False),  # a line that pads
            ("<html>no list</html>", False),
            ("", False),
        ],
    )
    def test_known_by_the_rest_of_its_hash(
        self, server: respx.Route, answer: str, known: bool
    ) -> None:
        server.respond(text=answer)
        assert is_leaked(PASSWORD) is known

    @pytest.mark.parametrize(
        "failure",
        [
            httpx.Response(503),
            httpx.Response(302, headers={"location": "https://elsewhere.example/"}),
            httpx.ReadTimeout("late"),
            httpx.ConnectError("gone"),
        ],
    )
    def test_server_that_fails_refuses_nobody(
        self, server: respx.Route, failure: httpx.Response | Exception, log_lines: io.StringIO
    ) -> None:
        server.side_effect = [failure]
        assert not is_leaked(PASSWORD)
        line = json.loads(log_lines.getvalue())
        assert line["message"] == "password.not_looked_up"
        assert DIGEST[:5] not in log_lines.getvalue()

    def test_nobody_waits_longer_than_a_second(self) -> None:
        assert LONGEST_REQUEST.total_seconds() == 1

    def test_address_inside_the_network_is_not_called(
        self, configure: Configure, log_lines: io.StringIO
    ) -> None:
        configure(PASSWORD_RANGE_URL="https://127.0.0.1/range")
        assert not is_leaked(PASSWORD)
        assert "password.not_looked_up" in log_lines.getvalue()


class TestCheckNewPassword:
    def test_leaked_one_is_refused(self, server: respx.Route) -> None:
        server.respond(text=lines((DIGEST[5:], 7)))
        with pytest.raises(PasswordRefused) as refused:
            check_new_password(PASSWORD, ADA, path="newPassword")
        (problem,) = refused.value.problems
        assert (problem.path, problem.code) == ("newPassword", "leaked_password")

    def test_weak_one_is_told_to_nobody(self, server: respx.Route) -> None:
        with pytest.raises(PasswordRefused):
            check_new_password("password", ADA)
        assert not server.called

    def test_without_a_server_nobody_is_asked(self) -> None:
        with respx.mock as router:
            check_new_password(PASSWORD, ADA)
        assert not router.calls
