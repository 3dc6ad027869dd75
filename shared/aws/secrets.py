"""Reads secrets by name from Secrets Manager and keeps them in memory for five minutes."""

import json
import time
from collections.abc import Mapping

from shared.aws.clients import client

_KEPT_SECONDS = 300.0
_kept: dict[str, tuple[float, Mapping[str, str]]] = {}


def secret(name: str) -> Mapping[str, str]:
    """Return the secret's JSON object; a missing name is not set."""
    known = _kept.get(name)
    if known and time.monotonic() - known[0] < _KEPT_SECONDS:
        return known[1]
    value: Mapping[str, str] = json.loads(
        client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    )
    _kept[name] = (time.monotonic(), value)
    return value


def forget_secrets() -> None:
    """Clear the memory, so that every secret is read again."""
    _kept.clear()
