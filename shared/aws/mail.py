"""Sends email by SES or SMTP, or not at all.

Every email says that it was generated automatically, so that vacation responders do not answer (RFC 3834, section 5). SES
writes `Date` and `Message-ID` itself; with SMTP they are ours, and the id ends in the sender's domain (RFC 5322, section 3.6).
An email of a kind that readers can turn off has two headers for that (RFC 2369, section 3.2; RFC 8058): mail programs show a
button, and large email providers expect it. The signer (SES or the SMTP server) must sign these headers too.

Domains are sent in ASCII (`xn--...`, RFC 5891), because few servers accept other letters (SMTPUTF8, RFC 6531).
"""

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, make_msgid, parseaddr

import idna
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.clients import client
from shared.aws.secrets import secret
from shared.core import clock
from shared.core.config import settings
from shared.core.errors import Unavailable
from shared.core.log import log
from shared.core.metrics import count_mail_not_sent

_HEADERS = {"Auto-Submitted": "auto-generated"}
_SMTP_TIMEOUT_SECONDS = 10.0
_LOCAL_PART = "the mail server accepts only plain letters before the @"


class MailNotSent(Unavailable):
    """The transport refused the email. `reason` is something that the reader can act on, if known."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            f"The email could not be sent{f': {reason}' if reason else ''}. Try again later."
        )


@dataclass(frozen=True, slots=True)
class Mail:
    """One email to one address, as text and as HTML.

    At `unsubscribe_url` its reader turns off this kind of email: a GET shows a page, and a POST does it. None means that this
    kind is always sent, such as emails about the account.
    """

    to: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers in addition to those that the transport adds to every email."""
        if self.unsubscribe_url is None:
            return _HEADERS
        return {
            **_HEADERS,
            "List-Unsubscribe": f"<{self.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }


class _Policy(EmailPolicy):
    """Writes the address in `List-Unsubscribe` unencoded.

    The library writes a word that is longer than a line as an encoded word (`=?utf-8?q?...?=`), which mail programs do not
    read there.
    """

    def fold(self, name: str, value: str) -> str:
        return self._whole(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        return self._whole(name, value).encode() or super().fold_binary(name, value)

    def _whole(self, name: str, value: str) -> str:
        return f"{name}: {value}{self.linesep}" if name == "List-Unsubscribe" else ""


def mail_is_on() -> bool:
    """Return whether email is sent at all; if not, accounts need no activation."""
    return settings().mail_transport != "none"


def send_mail(mail: Mail) -> None:
    """Pass an email to the transport. An address without an @ is skipped with a log line.

    Raises:
        MailNotSent: the transport refused it, or does not answer.
    """
    if "@" not in mail.to:
        log.warning("mail.skipped", extra={"reason": "no address"})
        return
    try:
        if settings().mail_transport == "ses":
            _send_by_ses(mail)
        elif settings().mail_transport == "smtp":
            _send_by_smtp(mail)
    except smtplib.SMTPNotSupportedError as error:
        # Raised for STARTTLS, login and SMTPUTF8; only the last depends on the email.
        count_mail_not_sent()
        is_plain = mail.to.rpartition("@")[0].isascii()
        raise MailNotSent("" if is_plain else _LOCAL_PART) from error
    except (BotoCoreError, ClientError, smtplib.SMTPException, OSError) as error:
        count_mail_not_sent()
        raise MailNotSent from error


def _send_by_ses(mail: Mail) -> None:
    client("sesv2").send_email(
        FromEmailAddress=with_ascii_domain(settings().mail_from),
        Destination={"ToAddresses": [with_ascii_domain(mail.to)]},
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": mail.text, "Charset": "UTF-8"},
                    "Html": {"Data": mail.html, "Charset": "UTF-8"},
                },
                "Headers": [{"Name": name, "Value": value} for name, value in mail.headers.items()],
            }
        },
    )


def _send_by_smtp(mail: Mail) -> None:
    message = EmailMessage(_Policy())
    message["From"] = with_ascii_domain(settings().mail_from)
    message["To"], message["Subject"] = with_ascii_domain(mail.to), mail.subject
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = make_msgid(domain=_sender_domain())
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    host, port, security = settings().smtp_host, settings().smtp_port, settings().smtp_security
    context = ssl.create_default_context()
    if security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, timeout=_SMTP_TIMEOUT_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(host, port, timeout=_SMTP_TIMEOUT_SECONDS)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if settings().smtp_user:
            server.login(settings().smtp_user, secret(settings().smtp_secret_name)["smtpPassword"])
        server.send_message(message)


def with_ascii_domain(address: str) -> str:
    """Return an address, or `Name <address>`, with its domain in ASCII. An invalid domain stays unchanged."""
    before, at, after = address.rpartition("@")
    if after.isascii():
        return address
    domain = after.rstrip("> ")
    try:
        return f"{before}{at}{idna.encode(domain, uts46=True).decode()}{after[len(domain) :]}"
    except idna.IDNAError:
        return address


def _sender_domain() -> str:
    _name, address = parseaddr(with_ascii_domain(settings().mail_from))
    return address.rpartition("@")[2]
