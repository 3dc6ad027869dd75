"""Checks Solana's addresses and signatures: an address is an Ed25519 key in base58.

Source: solana.com/docs/core/accounts, github.com/phantom/sign-in-with-solana; read 2026-11.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.identity.login_providers import base58

CHAIN_ID = "mainnet"
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


def is_address(address: str) -> bool:
    """Return whether this is an address, in its only spelling."""
    return _read(address, _KEY_BYTES) is not None


def is_signed_by(address: str, text: str, signature: str) -> bool:
    """Return whether the key of an address signed a text. The signature is in base58."""
    key, raw = _read(address, _KEY_BYTES), _read(signature, _SIGNATURE_BYTES)
    if key is None or raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(raw, text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _read(text: str, length: int) -> bytes | None:
    try:
        data = base58.decode(text)
    except ValueError:
        return None
    return data if len(data) == length else None
