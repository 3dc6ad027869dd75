"""For how long a verified access token is taken at its word: never past its end, its keys, or five minutes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from shared.core import clock
from shared.core.ids import SessionId, UserId, new_id
from shared.identity import tokens
from shared.identity.tokens import SessionClaims, read_access_token, sign_access_token
from tests.conftest import Configure

CLAIMS = SessionClaims(UserId(new_id()), SessionId(new_id()))


class World:
    """The keys, the clock, and how often a signature was verified."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys = '{"a": "' + "a" * 32 + '"}'
        self.now = datetime.now(UTC)
        self.verified = 0
        verify = jwt.decode

        def counted(*given: Any, **options: Any) -> Any:
            self.verified += 1
            return verify(*given, **options)

        monkeypatch.setattr(jwt, "decode", counted)
        monkeypatch.setattr(tokens, "secret", lambda _name: {"jwtKeys": self.keys})
        monkeypatch.setattr(clock, "now", lambda: self.now)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    tokens._verified.clear()
    yield World(monkeypatch)
    tokens._verified.clear()


class TestReadAccessToken:
    def test_verified_token_is_remembered_for_five_minutes(self, world: World) -> None:
        token = sign_access_token(CLAIMS)
        assert [read_access_token(token) for _ in range(3)] == [CLAIMS] * 3
        assert world.verified == 1
        world.now += timedelta(minutes=5)
        assert read_access_token(token) == CLAIMS
        assert world.verified == 2

    def test_it_is_not_remembered_past_its_end(self, world: World, configure: Configure) -> None:
        configure(ACCESS_TOKEN_SECONDS="60")
        world.now -= timedelta(seconds=50)
        token = sign_access_token(CLAIMS)
        assert read_access_token(token) == CLAIMS
        world.now += timedelta(seconds=64)  # the leeway for two clocks is five seconds
        assert read_access_token(token) == CLAIMS
        assert world.verified == 1
        world.now += timedelta(seconds=1)
        read_access_token(token)
        assert world.verified == 2

    def test_clock_that_was_set_back_has_it_verified(self, world: World) -> None:
        token = sign_access_token(CLAIMS)
        read_access_token(token)
        world.now -= timedelta(seconds=1)
        read_access_token(token)
        assert world.verified == 2

    @pytest.mark.parametrize(
        ("keys", "claims"),
        [
            ('{"b": "' + "b" * 32 + '"}', None),  # taken away
            ('{"a": "' + "c" * 32 + '"}', None),  # replaced under its name
            ('{"a": "' + "a" * 32 + '", "b": "' + "b" * 32 + '"}', CLAIMS),  # kept beside a new one
        ],
    )
    def test_rotation_of_keys_has_it_verified(
        self, world: World, keys: str, claims: SessionClaims | None
    ) -> None:
        token = sign_access_token(CLAIMS)
        assert read_access_token(token) == CLAIMS
        world.keys = keys
        assert read_access_token(token) == claims

    def test_refused_token_is_not_remembered(self, world: World) -> None:
        other = SessionClaims(UserId(new_id()), CLAIMS.session_id)
        said, _, _ = sign_access_token(CLAIMS).rpartition(".")
        _, _, signature = sign_access_token(other).rpartition(".")
        token = f"{said}.{signature}"
        assert [read_access_token(token) for _ in range(2)] == [None, None]
        assert world.verified == 2
        assert not tokens._verified

    def test_renewing_token_is_no_access_token(self, world: World) -> None:
        token = tokens.sign_renew_token(CLAIMS.session_id)
        assert [read_access_token(token) for _ in range(2)] == [None, None]

    def test_memory_is_bounded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tokens, "MOST_REMEMBERED", 2)
        made = [
            sign_access_token(SessionClaims(UserId(new_id()), CLAIMS.session_id)) for _ in "abc"
        ]
        for token in made:
            read_access_token(token)
        assert list(tokens._verified) == made[1:]
