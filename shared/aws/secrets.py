"""Reads secrets by name from Secrets Manager and keeps them in memory for five minutes; adds what one lacks."""

import json
import time
from collections.abc import Callable, Mapping

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


def add_to_secret(name: str, key: str, make: Callable[[], str]) -> bool:
    """Add a value to the secret's JSON object unless it has one under `key`; the others stay. Return whether it was added."""
    secrets_manager = client("secretsmanager")
    stored = json.loads(secrets_manager.get_secret_value(SecretId=name)["SecretString"])
    if key in stored:
        return False
    stored[key] = make()
    secrets_manager.put_secret_value(SecretId=name, SecretString=json.dumps(stored))
    forget_secrets()
    return True


def forget_secrets() -> None:
    """Clear the memory, so that every secret is read again."""
    _kept.clear()
