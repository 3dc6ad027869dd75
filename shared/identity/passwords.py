"""Hashes and checks passwords with bcrypt, in the same time whether the account exists or not.

A password is keyed with a pepper before it is hashed, so a stolen table alone cannot be guessed at. The peppers are in the
application's secret (`passwordPepper`, JSON: id to pepper, newest last); the migrate function adds the first one. A stored hash
names its pepper: `<id>:<bcrypt>`. Without a pepper's id, it is from before there were peppers.
"""

import base64
import functools
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping

import bcrypt

from shared.aws.secrets import add_to_secret, forget_secrets, secret
from shared.core.config import settings
from shared.core.crypto import new_secret
from shared.core.log import log
from shared.identity.password_rules import normal_form

_ROUNDS = 11  # 2 to the 11th: about 100 ms on a Lambda of 1 vCPU
# Of a text that no password is prepared to, with as many rounds. Made here, it would take the first caller twice the time.
_NOBODYS_HASH = "$2b$11$oYnvF6.jkrj6iM/5HKAJHeSXuU6Lp67IXiLNWk45gNdH7P/7Lx4pe"
_PEPPERS = "passwordPepper"
_PURPOSE = b"roost-password-v1"
_SEPARATOR = ":"  # in no bcrypt hash


def hash_password(password: str) -> str:
    """Hash a password for storage with the newest pepper. An environment without a pepper hashes as before."""
    peppers = _peppers()
    if not peppers:
        return _hashed(_before_peppers(password))
    pepper_id, pepper = list(peppers.items())[-1]
    return f"{pepper_id}{_SEPARATOR}{_hashed(_keyed(password, pepper))}"


def is_password(password: str, stored: str | None) -> bool:
    """Return whether `password` matches a stored hash; without one it takes the same time and returns False.

    A hash from before there were peppers is compared with the password as it was typed.
    """
    peppers = _peppers()  # always, because reading the secret again takes time
    pepper_id, hashed = _parts(stored)
    if pepper_id is None:
        prepared = _before_peppers(password)
    elif (pepper := peppers.get(pepper_id)) or (pepper := _peppers(again=True).get(pepper_id)):
        prepared = _keyed(password, pepper)
    else:
        log.error("password.pepper_missing", extra={"pepper_id": pepper_id})
        prepared, hashed = _before_peppers(password), None
    matches = bcrypt.checkpw(prepared, (hashed or _NOBODYS_HASH).encode())
    return matches and hashed is not None


def is_outdated(stored: str) -> bool:
    """Return whether a hash should be replaced, because there is a newer pepper than its own."""
    newest = list(_peppers())[-1:]
    return bool(newest) and _parts(stored)[0] != newest[0]


def add_first_pepper() -> bool:
    """Add a pepper to the application's secret if it has none; return whether one was added.

    Its id is random too, so a secret that is restored without it never gets another one under the same id.
    """
    return add_to_secret(
        settings().app_secret_name,
        _PEPPERS,
        lambda: json.dumps({secrets.token_hex(4): new_secret()}),
    )


def _parts(stored: str | None) -> tuple[str | None, str | None]:
    """Return a stored hash's pepper and its bcrypt text."""
    if stored is None:
        return None, None
    pepper_id, separator, hashed = stored.rpartition(_SEPARATOR)
    return (pepper_id if separator else None), hashed


def _keyed(password: str, pepper: str) -> bytes:
    """Prepare a password for bcrypt, which reads only 72 bytes and stops at a NUL."""
    message = _PURPOSE + normal_form(password).encode()
    return base64.b64encode(hmac.digest(pepper.encode(), message, hashlib.sha256))


def _before_peppers(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode()).digest())


def _hashed(prepared: bytes) -> str:
    return bcrypt.hashpw(prepared, bcrypt.gensalt(_ROUNDS)).decode()


def _peppers(*, again: bool = False) -> Mapping[str, str]:
    if again:
        forget_secrets()
    return _parsed(secret(settings().app_secret_name).get(_PEPPERS, "{}"))


@functools.lru_cache(maxsize=1)
def _parsed(peppers: str) -> Mapping[str, str]:
    parsed: dict[str, str] = json.loads(peppers)
    return parsed
