"""Which mails were sent, as moto's SES keeps them."""

from dataclasses import dataclass
from email.utils import parseaddr

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from shared.core.config import settings


@dataclass(frozen=True, slots=True)
class SentMail:
    to: tuple[str, ...]
    subject: str
    body: str


def verify_sender() -> None:
    """Let SES send in our name, as a deployment's identity does."""
    _name, address = parseaddr(settings().mail_from)
    boto3.client("sesv2").create_email_identity(EmailIdentity=address)


def sent_mails() -> list[SentMail]:
    """Return the mails in the order they were sent."""
    backend = ses_backends[DEFAULT_ACCOUNT_ID][settings().aws_region]
    return [
        SentMail(
            tuple(message.destinations.get("ToAddresses", ())), message.subject, str(message.body)
        )
        for message in backend.sent_messages
    ]
