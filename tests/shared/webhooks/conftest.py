"""What tests of webhooks stand on: their queue, a key that seals their secrets, and a server that listens."""

from collections.abc import Iterator

import boto3
import pytest

from shared.aws import keys
from shared.webhooks import post
from tests.conftest import Configure
from tests.shared.webhooks.receiver import Receiver, a_receiver


@pytest.fixture
def webhooks_queue(aws: None, configure: Configure) -> Iterator[str]:
    """Make the queue and the key; return the queue's URL."""
    url = boto3.client("sqs").create_queue(QueueName="webhooks")["QueueUrl"]
    key = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    configure(WEBHOOKS_QUEUE_URL=url, KMS_KEY_ID=key, ALLOW_LOOPBACK_ADDRESSES="true")
    yield url
    keys._sealer.cache_clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a server that listens on loopback."""
    post.client.cache_clear()
    with a_receiver() as listening:
        yield listening
        post.client().close()
    post.client.cache_clear()
