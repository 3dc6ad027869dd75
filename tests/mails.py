"""Which mails were sent, as moto's SES keeps them, and which wait in the queue of the function `mails`."""

import json
from dataclasses import dataclass
from email.utils import parseaddr
from types import SimpleNamespace
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from functions.mails.app import handler
from shared.core.config import settings
from tests.conftest import Configure

CONTEXT = SimpleNamespace(
    function_name="mails", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 60_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentMail:
    to: tuple[str, ...]
    subject: str
    body: str


def verify_sender() -> None:
    """Let SES send in our name, as a deployment's identity does."""
    _name, address = parseaddr(settings().mail_from)
    boto3.client("sesv2").create_email_identity(EmailIdentity=address)


def make_mails_queue(configure: Configure) -> None:
    """Make the queue of the function `mails`."""
    configure(MAILS_QUEUE_URL=boto3.client("sqs").create_queue(QueueName="mails")["QueueUrl"])


def queued_mails() -> list[dict[str, Any]]:
    """Take the bodies of the waiting messages from the queue, in the order they were sent."""
    sqs, url = boto3.client("sqs"), settings().mails_queue_url
    bodies: list[dict[str, Any]] = []
    while url and (taken := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)):
        if "Messages" not in taken:
            break
        for message in taken["Messages"]:
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def send(body: dict[str, Any]) -> bool:
    """Have the function `mails` send one message's mail; False if the message would return to the queue."""
    record = {"messageId": "m", "body": json.dumps(body), "attributes": {}}
    return handler({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}


def sent_mails() -> list[SentMail]:
    """Send the mails that wait in the queue, and return all that were sent, in that order."""
    for body in queued_mails():
        assert send(body)
    backend = ses_backends[DEFAULT_ACCOUNT_ID][settings().aws_region]
    return [
        SentMail(
            tuple(message.destinations.get("ToAddresses", ())), message.subject, str(message.body)
        )
        for message in backend.sent_messages
    ]
