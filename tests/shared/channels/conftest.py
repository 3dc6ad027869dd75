"""What tests of channels stand on: a key that seals tokens, and credentials of our applications."""

import json
from collections.abc import Iterator

import boto3
import pytest

from shared.aws import keys
from tests.conftest import Configure

PROVIDERS_SECRET = {
    "MASTODON_CLIENT_ID": "our-id",
    "MASTODON_CLIENT_SECRET": "our-secret-of-mastodon",
    "LINKEDIN_CLIENT_ID": "our-linkedin-id",
    "LINKEDIN_CLIENT_SECRET": "our-secret-of-linkedin",
}


@pytest.fixture
def sealing(aws: None, configure: Configure) -> Iterator[None]:
    """Make the key service and the providers' secret as the template does."""
    key_id = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    boto3.client("secretsmanager").create_secret(
        Name="roost/providers", SecretString=json.dumps(PROVIDERS_SECRET)
    )
    configure(KMS_KEY_ID=key_id, MASTODON_URL="https://social.example")
    keys._sealer.cache_clear()
    yield
    keys._sealer.cache_clear()
