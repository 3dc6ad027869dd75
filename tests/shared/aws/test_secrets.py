"""For how long a secret is remembered."""

import json
from datetime import timedelta
from types import SimpleNamespace

import boto3
import pytest

from shared.aws import secrets

KEPT = timedelta(minutes=5)


def test_a_rotated_secret_is_read_again_within_minutes(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy environment lives for hours; until its end it would use what was taken out of use."""
    passed = timedelta(0)
    monkeypatch.setattr(secrets, "time", SimpleNamespace(monotonic=lambda: passed.total_seconds()))
    manager = boto3.client("secretsmanager")
    manager.create_secret(Name="app", SecretString=json.dumps({"key": "old"}))
    assert secrets.secret("app") == {"key": "old"}
    manager.put_secret_value(SecretId="app", SecretString=json.dumps({"key": "new"}))
    passed = KEPT - timedelta(seconds=1)
    assert secrets.secret("app") == {"key": "old"}
    passed = KEPT
    assert secrets.secret("app") == {"key": "new"}
