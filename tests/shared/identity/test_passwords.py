"""Are passwords told apart, all of them, by the pepper they were hashed with, and no faster for who does not exist?"""

import base64
import hashlib
import hmac
import io
import json
from unittest import mock

import bcrypt
import pytest

from shared.aws import secrets as aws_secrets
from shared.aws.secrets import forget_secrets, secret
from shared.core.config import settings
from shared.identity import passwords
from shared.identity.passwords import (
    add_first_pepper,
    hash_password,
    is_outdated,
    is_password,
)
from tests.gateway import put_app_secret, put_peppers

FIRST, SECOND = {"1": "p" * 43}, {"1": "p" * 43, "2": "q" * 43}


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch, aws: None) -> None:
    monkeypatch.setattr(passwords, "_ROUNDS", 4)
    put_app_secret()
    put_peppers(FIRST)
    secret(settings().app_secret_name)


def of_before(password: str) -> str:
    """Hash a password as it was hashed before there were peppers."""
    prepared = base64.b64encode(hashlib.sha256(password.encode()).digest())
    return bcrypt.hashpw(prepared, bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize(
    "password", ["correct horse", "\u00fc" * 64, "x" * 256, "nul\0inside", "", "\U0001f426" * 8]
)
def test_only_the_right_one_matches(password: str) -> None:
    hashed = hash_password(password)
    assert is_password(password, hashed)
    assert not is_password(password + "x", hashed)


def test_characters_beyond_the_seventy_second_byte_count() -> None:
    assert not is_password("x" * 72 + "b", hash_password("x" * 72 + "a"))


def test_same_password_is_hashed_differently_each_time() -> None:
    assert hash_password("correct horse") != hash_password("correct horse")


def test_same_password_from_every_keyboard() -> None:
    assert is_password("cafe\u0301 noir", hash_password("caf\u00e9 noir"))


def test_unknown_account_costs_as_many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    checked: list[bytes] = []

    def note(_password: bytes, hashed: bytes) -> bool:
        checked.append(hashed)
        return False

    monkeypatch.setattr(bcrypt, "checkpw", note)
    monkeypatch.setattr(bcrypt, "hashpw", lambda *_: pytest.fail("hashed while it is checked"))
    assert not is_password("correct horse", None)
    (nobodys,) = checked
    assert int(nobodys.split(b"$")[2]) == passwords._ROUNDS


class TestPepper:
    def test_input_of_bcrypt_is_keyed(self) -> None:
        pepper_id, hashed = hash_password("caf\u00e9 noir").split(":")
        message = b"roost-password-v1" + "caf\u00e9 noir".encode()
        keyed = hmac.digest(FIRST["1"].encode(), message, hashlib.sha256)
        assert pepper_id == "1"
        assert bcrypt.checkpw(base64.b64encode(keyed), hashed.encode())

    def test_newest_hashes_and_a_retired_one_still_checks(self) -> None:
        old = hash_password("correct horse")
        put_peppers(SECOND)
        assert is_password("correct horse", old)
        assert is_outdated(old)
        new = hash_password("correct horse")
        assert new.startswith("2:")
        assert not is_outdated(new)

    def test_another_pepper_opens_nothing(self) -> None:
        stored = hash_password("correct horse")
        put_peppers({"1": "z" * 43})
        assert not is_password("correct horse", stored)

    def test_lost_pepper_is_reported_and_costs_as_much(
        self, log_lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored = hash_password("correct horse")
        put_peppers({"2": "q" * 43})
        check = mock.Mock(side_effect=bcrypt.checkpw)
        monkeypatch.setattr(bcrypt, "checkpw", check)
        assert not is_password("correct horse", stored)
        assert check.call_count == 1
        assert json.loads(log_lines.getvalue())["message"] == "password.pepper_missing"

    def test_pepper_that_another_process_uses_already_is_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A secret is remembered for five minutes: somebody who just changed the password could not sign in."""
        remembered = dict(aws_secrets._kept)
        put_peppers(SECOND)
        stored = hash_password("correct horse")
        monkeypatch.setattr(aws_secrets, "_kept", remembered)
        assert list(passwords._peppers()) == ["1"]
        assert is_password("correct horse", stored)

    def test_environment_without_a_pepper_works_as_before(self) -> None:
        put_app_secret()
        stored = hash_password("correct horse")
        assert stored.startswith("$2b$")
        assert is_password("correct horse", stored)
        assert not is_outdated(stored)

    def test_hash_of_before_is_compared_with_the_text_as_typed(self) -> None:
        stored = of_before("cafe\u0301 noir")
        assert is_password("cafe\u0301 noir", stored)
        assert not is_password("caf\u00e9 noir", stored)
        assert is_outdated(stored)


class TestAddFirstPepper:
    def test_adds_one_and_keeps_the_rest(self) -> None:
        put_app_secret(**{"7": "k" * 32})
        assert add_first_pepper()
        forget_secrets()
        stored = secret(settings().app_secret_name)
        assert json.loads(stored["jwtKeys"]) == {"7": "k" * 32}
        ((pepper_id, pepper),) = json.loads(stored["passwordPepper"]).items()
        assert len(pepper) == 43
        assert hash_password("correct horse").startswith(f"{pepper_id}:")

    def test_keeps_the_one_that_is_there(self) -> None:
        assert not add_first_pepper()
        assert json.loads(secret(settings().app_secret_name)["passwordPepper"]) == FIRST

    def test_never_the_same_id_twice(self) -> None:
        """Hashes name their pepper: another one of the same id would refuse everybody."""
        ids = set()
        for _ in range(2):
            put_app_secret()
            add_first_pepper()
            ids.add(hash_password("correct horse").partition(":")[0])
        assert len(ids) == 2
