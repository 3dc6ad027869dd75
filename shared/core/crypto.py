"""Encrypts ("seals") stored tokens: AES-256-GCM with a data key that a key service wraps (envelope encryption).

A sealed value can only be opened for its organization, whose id is the associated data and part of the key service's
encryption context. Layout: version (1 byte), length of the wrapped data key (2 bytes), wrapped data key, nonce (12 bytes),
ciphertext with its tag.
"""

import hashlib
import math
import os
import secrets
import struct
import time
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.core.ids import OrganizationId

_VERSION = 1
_NONCE_BYTES = 12
_KEPT_SECONDS = 300.0
# If the key service does not answer, a token that was just renewed must not be lost, so the last data key is used longer.
_KEPT_IN_NEED_SECONDS = 600.0


class CannotOpen(Exception):
    """The sealed value was changed, or belongs to another organization."""


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
        self._sealing: dict[OrganizationId, tuple[float, bytes, bytes]] = {}
        self._opening: dict[tuple[OrganizationId, bytes], tuple[float, bytes]] = {}

    def seal(self, plain: str, organization_id: OrganizationId) -> bytes:
        """Seal a text for an organization."""
        key, wrapped = self._sealing_key(organization_id)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, plain.encode(), organization_id.bytes)
        return struct.pack(">BH", _VERSION, len(wrapped)) + wrapped + nonce + sealed

    def open(self, sealed: bytes, organization_id: OrganizationId) -> str:
        """Open what `seal` made for the same organization.

        Raises:
            CannotOpen: the value was changed, or sealed for another organization.
        """
        version, length = struct.unpack_from(">BH", sealed)
        if version != _VERSION:
            raise CannotOpen(f"sealed with version {version}, this code knows {_VERSION}")
        wrapped, rest = sealed[3 : 3 + length], sealed[3 + length :]
        key = self._opening_key(wrapped, organization_id)
        try:
            return (
                AESGCM(key)
                .decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], organization_id.bytes)
                .decode()
            )
        except InvalidTag as error:
            raise CannotOpen("changed, or sealed for another organization") from error

    def _sealing_key(self, organization_id: OrganizationId) -> tuple[bytes, bytes]:
        known = self._sealing.get(organization_id)
        age = time.monotonic() - known[0] if known else math.inf
        if known and age < _KEPT_SECONDS:
            return known[1], known[2]
        try:
            key, wrapped = self._keys.new_key(_context(organization_id))
        except Exception:
            if known and age < _KEPT_IN_NEED_SECONDS:
                return known[1], known[2]
            raise
        self._sealing[organization_id] = (time.monotonic(), key, wrapped)
        return key, wrapped

    def _opening_key(self, wrapped: bytes, organization_id: OrganizationId) -> bytes:
        name = (organization_id, hashlib.sha256(wrapped).digest())
        known = self._opening.get(name)
        if known and time.monotonic() - known[0] < _KEPT_SECONDS:
            return known[1]
        key = self._keys.open_key(wrapped, _context(organization_id))
        if len(self._opening) > 1_000:
            self._opening.clear()
        self._opening[name] = (time.monotonic(), key)
        return key


def _context(organization_id: OrganizationId) -> dict[str, str]:
    return {"organization": str(organization_id), "purpose": "channel"}


def new_secret() -> str:
    """Return a random text of 43 URL-safe characters (256 bits)."""
    return secrets.token_urlsafe(32)


def hash_secret(value: str) -> bytes:
    """Return the SHA-256 of a random text for storage. Never use it for passwords."""
    return hashlib.sha256(value.encode()).digest()
