"""Sends the emails of the queue. The function `mails` runs this, where nobody waits for an answer."""

from collections.abc import Mapping
from typing import Any

from shared.aws.mail import Mail, send_mail
from shared.core.log import log
from shared.db.session import unit_of_work
from shared.identity import codes
from shared.identity.mails import ABOUT, EMAIL, MAIL, REGISTRATION, AccountMail


def send_queued(body: Mapping[str, Any]) -> None:
    """Send the email of a message, if there is one to send.

    Raises:
        MailNotSent: the transport refused it. The message returns to the queue, and its next try makes another code.
    """
    mail = Mail(**body[MAIL]) if MAIL in body else _write(body)
    if mail is not None:
        send_mail(mail)


def is_queued_mail(body: Mapping[str, Any]) -> bool:
    """Return whether a message is for `send_queued`."""
    return MAIL in body or ABOUT in body


def give_up(body: Mapping[str, Any], *, queue: str) -> None:
    """Log that an email was not sent, without its address and its text."""
    log.error("mail.lost", extra={"queue": queue, "about": body.get(ABOUT)})


def _write(body: Mapping[str, Any]) -> Mail | None:
    about, registration = AccountMail(body[ABOUT]), body.get(REGISTRATION)
    with unit_of_work() as session:
        return codes.write_mail(session, about, body[EMAIL], registration=registration)
