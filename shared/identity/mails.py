"""Sends emails about accounts through a queue, so that no answer and no timing reveals whether an address has an account.

    queue_mail(session, mail)                       an email to somebody whom the request knows
    request_account_mail(AccountMail.RESET_PASSWORD, email)   an email that depends on whether there is an account

The function `mails` takes both from the queue (`identity/account_mails.py`). For the second, it looks for the account and
makes the link's code, so a request does the same for every address and its message contains no secret. A message of the
first kind contains the whole email, links included; SQS encrypts it at rest.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.orm import Session

from shared.aws import queues
from shared.aws.mail import Mail, mail_is_on
from shared.core.config import settings
from shared.core.formats.email import Letter
from shared.db.session import after_commit, follow
from shared.identity.errors import MailNotQueued

MAIL, ABOUT, EMAIL, REGISTRATION = "mail", "about", "email", "registration"
"""The names in a message: a whole email, or its reason, the address and the challenge with the registration."""


class AccountMail(StrEnum):
    """Why an email about an account is requested. Which one is sent, if any, depends on the account."""

    REGISTRATION = "registration"
    ACTIVATION = "activation"
    RECOVERY = "recovery"
    RESET_PASSWORD = "reset_password"  # noqa: S105, a reason


def queue_mail(session: Session, mail: Mail) -> None:
    """Have an email sent after the commit. If the queue refuses it, that is logged and counted."""
    if mail_is_on():
        after_commit(session, partial(_queue, {MAIL: asdict(mail)}))


def queue_letter(session: Session, to: str, letter: Letter) -> None:
    """Have a letter sent to an address after the commit, as `queue_mail` does."""
    queue_mail(session, Mail(to=to, subject=letter.title, text=letter.text, html=letter.html))


def queue_letter_of_refusal(to: str, letter: Letter) -> None:
    """Have a letter sent about a request that is refused, so that nothing follows it."""
    if mail_is_on():
        mail = Mail(to=to, subject=letter.title, text=letter.text, html=letter.html)
        follow([partial(_queue, {MAIL: asdict(mail)})])


def request_account_mail(
    about: AccountMail, email: str, *, registration: str | None = None
) -> None:
    """Have the email to this address sent, if there is one to send.

    `registration` is the secret of a challenge without a user, which remembers what was registered and lets nobody in.

    Raises:
        MailNotQueued: the queue refused the message.
    """
    if not mail_is_on():
        return
    try:
        _queue({ABOUT: about, EMAIL: email, REGISTRATION: registration})
    except (BotoCoreError, ClientError, queues.MessagesNotTaken) as error:
        raise MailNotQueued from error


def _queue(body: Mapping[str, Any]) -> None:
    queues.send(settings().mails_queue_url, [queues.Message(body)])
