"""Checks that the queue and the object storage answer."""

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import storage
from shared.aws.clients import client
from shared.core.config import settings
from shared.core.errors import Unavailable

_NO_SUCH_KEY = "ready"


class QueueUnavailable(Unavailable):
    """The publish queue does not answer."""

    def __init__(self) -> None:
        super().__init__("The queue does not answer. Try again in a moment.")


def ask_queue() -> None:
    """Check that the queue answers.

    Raises:
        QueueUnavailable: the queue does not answer.
    """
    try:
        client("sqs").get_queue_attributes(
            QueueUrl=settings().publish_queue_url, AttributeNames=["QueueArn"]
        )
    except (BotoCoreError, ClientError) as error:
        raise QueueUnavailable from error


def ask_storage() -> None:
    """Check that the object storage answers.

    Raises:
        StorageUnavailable: the storage does not answer.
    """
    try:
        storage.head(_NO_SUCH_KEY)
    except storage.ObjectMissing:
        return
