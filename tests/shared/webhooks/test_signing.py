"""Whether what we sign is what receivers verify, by the specification's own library."""

import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.core import clock
from shared.webhooks.signing import new_signing_secret, sign

BODY = '[{"content":"Grüße"}]'.encode()


def headers(keys: list[str], *, message_id: str = "m") -> dict[str, str]:
    timestamp = int(clock.now().timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, message_id, timestamp, BODY),
    }


def test_signature_is_the_one_expected() -> None:
    # The same by hand: printf '%s' 'msg_1.1614265330.{"test": 2432232314}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:... -binary | base64
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign([secret], "msg_1", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,9o7UeFkn1GjVbcY4emAJruJCYqgH2EIf8u/slvVRBZI="


def test_new_secrets_differ_and_verify() -> None:
    old, new = new_signing_secret(), new_signing_secret()
    assert old != new
    sent = headers([new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, sent) == [{"content": "Grüße"}]


def test_other_secret_body_or_id_does_not_verify() -> None:
    secret = new_signing_secret()
    sent = headers([secret])
    for bad_secret, body, changed in (
        (new_signing_secret(), BODY, {}),
        (secret, BODY + b" ", {}),
        (secret, BODY, {"webhook-id": "n"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(bad_secret).verify(body, sent | changed)


def test_the_example_in_the_documentation_verifies() -> None:
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    defined: dict[str, Any] = {}
    exec(example, defined)
    old, new = new_signing_secret(), new_signing_secret()
    sent = headers([new, old])
    assert defined["verified"](sent, BODY, old)
    assert defined["verified"](sent, BODY, new)
    assert not defined["verified"](sent, BODY + b" ", new)
    assert not defined["verified"](sent | {"webhook-timestamp": "1700000000"}, BODY, new)
