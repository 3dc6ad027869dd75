"""Whether passwords are told apart, all of them, and no faster for who does not exist."""

import bcrypt
import pytest

from shared.identity.passwords import hash_password, is_password


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.identity.passwords._ROUNDS", 4)


@pytest.mark.parametrize("password", ["correct horse", "ü" * 64, "x" * 200, "nul\0inside", ""])
def test_only_the_right_one_matches(password: str) -> None:
    hashed = hash_password(password)
    assert is_password(password, hashed)
    assert not is_password(password + "x", hashed)


def test_characters_beyond_the_seventy_second_byte_count() -> None:
    assert not is_password("x" * 72 + "b", hash_password("x" * 72 + "a"))


def test_same_password_is_hashed_differently_each_time() -> None:
    assert hash_password("correct horse") != hash_password("correct horse")


def test_unknown_account_costs_as_many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    check = bcrypt.checkpw

    def note(password: bytes, hashed: bytes) -> bool:
        checked.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", note)
    known = hash_password("correct horse")
    assert is_password("correct horse", known)
    assert not is_password("correct horse", None)
    assert len(checked) == 2
    assert checked[0].split(b"$")[2] == known.encode().split(b"$")[2]
