"""Secrets and signatures of webhook messages, by the Standard Webhooks specification.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0, read 2026-11. The
symmetric scheme: HMAC-SHA256 over `{id}.{timestamp}.{body}`; the secret is base64 after `whsec_`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification requires 24 to 64


def new_signing_secret() -> str:
    """Create a secret in the form that its owner sees."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(keys: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Write the header `webhook-signature`: one signature for each secret, newest first, `timestamp` in seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(_signature(key, signed) for key in keys)


def _signature(key: str, signed: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()
