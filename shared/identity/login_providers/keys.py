"""Finds the key that signed an ID token, among the keys of OpenID providers (JWKS), kept in memory for an hour.

Only asymmetric algorithms are accepted, and each only with a key of its own kind. A key id that is not among the kept keys is
looked up again at most once a minute, so that made-up ones do not become requests to the provider.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shared.core import clock
from shared.identity.errors import Trouble
from shared.identity.login_providers.base import Doubt
from shared.identity.login_providers.peer import Peer

KEPT = timedelta(hours=1)
PAUSE = timedelta(minutes=1)
MOST_KEPT = 50
"""For how many addresses keys are kept; the ones used longest ago are dropped first."""
MIN_RSA_BITS = 2048
# Never `none`, and never HS*: those would take the public key as a shared secret.
KEY_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""The accepted algorithms, each with the type of its keys (RFC 7518, section 6.1; RFC 8037)."""


class KeyRefused(Exception):
    """There is no key for the token."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__(doubt)
        self.doubt = doubt


@dataclass(slots=True)
class _Kept:
    """Keys as they were read, and when they were last asked for, even without success."""

    keys: tuple[Mapping[str, Any], ...]
    read_at: datetime
    asked_at: datetime


_kept: OrderedDict[str, _Kept] = OrderedDict()


def signing_key(peer: Peer, address: str, header: Mapping[str, Any]) -> jwt.PyJWK:
    """Return the key of a token with this header, from the key set at `address`.

    Raises:
        KeyRefused: the algorithm is not accepted, or there is no such key.
        LoginProviderUnavailable: the keys cannot be read.
    """
    algorithm, key_id = str(header.get("alg")), header.get("kid")
    if algorithm not in KEY_TYPES:
        raise KeyRefused(Doubt.ALGORITHM)
    found = _find(_keys(peer, address), algorithm, key_id)
    if found is None and clock.now() - _kept[address].asked_at >= PAUSE:
        _kept[address].asked_at = clock.now()
        found = _find(_read(peer, address), algorithm, key_id)
    if found is None:
        raise KeyRefused(Doubt.KEY_ID)
    return _usable(found, algorithm)


def forget_keys() -> None:
    """Clear the memory, so that all keys are read again."""
    _kept.clear()


def _keys(peer: Peer, address: str) -> tuple[Mapping[str, Any], ...]:
    known = _kept.get(address)
    if known and timedelta(0) <= clock.now() - known.read_at < KEPT:
        _kept.move_to_end(address)
        return known.keys
    return _read(peer, address)


def _read(peer: Peer, address: str) -> tuple[Mapping[str, Any], ...]:
    response = peer.get(address)
    listed = peer.read(response).get("keys") if response.is_success else None
    if not isinstance(listed, list):
        raise peer.unavailable(Trouble.UNREADABLE, what="keys", status=response.status_code)
    keys = tuple(key for key in listed if isinstance(key, dict))
    _kept[address] = _Kept(keys, clock.now(), clock.now())
    _kept.move_to_end(address)
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return keys


def _find(
    keys: tuple[Mapping[str, Any], ...], algorithm: str, key_id: object
) -> Mapping[str, Any] | None:
    """Return the key that the token names; if it names none, the only key of the right kind."""
    fitting = [
        key
        for key in keys
        if key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _usable(found: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
    public = {name: value for name, value in found.items() if name != "d"}
    try:
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise KeyRefused(Doubt.KEY) from error
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        raise KeyRefused(Doubt.KEY_LENGTH)
    return key
