"""Encrypts ("seals") stored tokens: AES-256-GCM with a data key that a key service wraps (envelope encryption).

A sealed value can only be opened for its purpose and its owner, an organization or a person: both are the associated data
and the key service's encryption context. Layout: version (1 byte), length of the wrapped data key (2 bytes), wrapped data key,
nonce (12 bytes), ciphertext with its tag.

Version 1 knew one purpose for everything of an organization; its values can still be opened.
"""

import hashlib
import math
import os
import secrets
import struct
import time
from enum import StrEnum
from typing import Protocol, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 2
_OF_ORGANIZATIONS = 1  # the version that is bound to an organization alone
_NONCE_BYTES = 12
_KEPT_SECONDS = 300.0
# If the key service does not answer, a token that was just renewed must not be lost, so the last data key is used longer.
_KEPT_IN_NEED_SECONDS = 600.0
_MOST_KEPT = 1_000


class Purpose(StrEnum):
    """What a sealed value is for."""

    CHANNEL = "channel"
    CONNECTING = "connecting"
    WEBHOOK = "webhook"
    FACTOR = "factor"
    COMPANY_LOGIN = "company_login"

    @property
    def owner(self) -> str:
        """Return what owns such values: an organization or a person."""
        return "person" if self is Purpose.FACTOR else "organization"


class CannotOpen(Exception):
    """The sealed value was changed, or has another purpose or owner."""


class KeySource(Protocol):
    """A key service, which creates and unwraps data keys bound to a context."""

    def new_key(self, context: dict[str, str]) -> tuple[bytes, bytes]:
        """Return a new 32-byte data key, plain and wrapped."""

    def open_key(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        """Unwrap a data key. Raises `CannotOpen` for another context."""


class Sealer:
    """Seals and opens. Data keys stay in memory for five minutes, or ten while the key service does not answer."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        self._sealing: dict[_Bound, tuple[float, bytes, bytes]] = {}
        self._opening: dict[tuple[_Bound, bytes], tuple[float, bytes]] = {}

    def seal(self, plain: str, purpose: Purpose, owner: UUID) -> bytes:
        """Seal a text for a purpose and its owner: the id of an organization or a user, as the purpose says."""
        bound = (purpose, owner)
        key, wrapped = self._sealing_key(bound)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, plain.encode(), _associated(bound))
        return struct.pack(">BH", _VERSION, len(wrapped)) + wrapped + nonce + sealed

    def open(self, sealed: bytes, purpose: Purpose, owner: UUID) -> str:
        """Open what `seal` made for the same purpose and owner.

        Raises:
            CannotOpen: the value was changed, or has another purpose or owner.
        """
        version, length = struct.unpack_from(">BH", sealed)
        if version not in {_VERSION, _OF_ORGANIZATIONS}:
            raise CannotOpen(f"sealed with version {version}, this code knows {_VERSION}")
        bound, associated = (purpose, owner), _associated((purpose, owner))
        if version == _OF_ORGANIZATIONS:
            if purpose.owner != "organization":
                raise CannotOpen(f"sealed with version {version}, which has no {purpose}")
            bound, associated = (Purpose.CHANNEL, owner), owner.bytes
        wrapped, rest = sealed[3 : 3 + length], sealed[3 + length :]
        key = self._opening_key(wrapped, bound)
        try:
            return (
                AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], associated).decode()
            )
        except InvalidTag as error:
            raise CannotOpen("changed, or sealed for another purpose or owner") from error

    def _sealing_key(self, bound: "_Bound") -> tuple[bytes, bytes]:
        known = self._sealing.get(bound)
        age = time.monotonic() - known[0] if known else math.inf
        if known and age < _KEPT_SECONDS:
            return known[1], known[2]
        try:
            key, wrapped = self._keys.new_key(_context(bound))
        except Exception:
            if known and age < _KEPT_IN_NEED_SECONDS:
                return known[1], known[2]
            raise
        if len(self._sealing) > _MOST_KEPT:
            self._sealing.clear()
        self._sealing[bound] = (time.monotonic(), key, wrapped)
        return key, wrapped

    def _opening_key(self, wrapped: bytes, bound: "_Bound") -> bytes:
        name = (bound, hashlib.sha256(wrapped).digest())
        known = self._opening.get(name)
        if known and time.monotonic() - known[0] < _KEPT_SECONDS:
            return known[1]
        key = self._keys.open_key(wrapped, _context(bound))
        if len(self._opening) > _MOST_KEPT:
            self._opening.clear()
        self._opening[name] = (time.monotonic(), key)
        return key


_Bound: TypeAlias = tuple[Purpose, UUID]


def _associated(bound: _Bound) -> bytes:
    purpose, owner = bound
    return f"{purpose}:{owner}".encode()


def _context(bound: _Bound) -> dict[str, str]:
    purpose, owner = bound
    return {purpose.owner: str(owner), "purpose": purpose.value}


def new_secret() -> str:
    """Return a random text of 43 URL-safe characters (256 bits)."""
    return secrets.token_urlsafe(32)


def hash_secret(value: str) -> bytes:
    """Return the SHA-256 of a random text for storage. Never use it for passwords."""
    return hashlib.sha256(value.encode()).digest()
