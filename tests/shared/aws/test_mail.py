"""What a mail says of itself to other people's mail systems."""

import email
import email.policy
import smtplib
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest

from shared.aws.clients import client
from shared.aws.mail import Mail, MailNotSent, send_mail, with_ascii_domain
from shared.core import clock
from tests.conftest import Configure

MAIL = Mail("ada@example.org", "Grüße", "Hello", "<p>Hello</p>")
NOW = datetime(2026, 11, 30, 12, 30, tzinfo=UTC)


class _Server:
    """Stands for a mail server, and keeps what it took as it was on its way."""

    def __init__(self, taken: list[EmailMessage]) -> None:
        self.taken = taken

    def __call__(self, *_: Any, **__: Any) -> "_Server":
        return self

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def starttls(self, **_: Any) -> None:
        pass

    def send_message(self, message: EmailMessage) -> None:
        read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
        assert isinstance(read, EmailMessage)
        self.taken.append(read)


@pytest.mark.parametrize("sender", ["Roost <posts@mails.example.org>", "posts@mails.example.org"])
def test_by_smtp(configure: Configure, monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    """Finding 4.5: a mail without a date, with an id at no domain, is what spam looks like."""
    taken: list[EmailMessage] = []
    configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", SMTP_PORT="25", MAIL_FROM=sender)
    monkeypatch.setattr("smtplib.SMTP", _Server(taken))
    monkeypatch.setattr(clock, "now", lambda: NOW)
    send_mail(MAIL)
    send_mail(MAIL)
    first, second = taken
    assert first["Date"].datetime == NOW
    assert first["Message-ID"].endswith("@mails.example.org>")
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Subject"] == MAIL.subject


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("Roost <posts@BÜCHER.example>", "Roost <posts@xn--bcher-kva.example>"),
        ("Grüße <posts@example.org>", "Grüße <posts@example.org>"),
        ("ada@example.org", "ada@example.org"),
        ("ada@\u200b.example", "ada@\u200b.example"),
    ],
)
def test_domains_are_ascii(address: str, expected: str) -> None:
    """Servers without SMTPUTF8 refused the mail, so an account at such a domain could not be activated."""
    assert with_ascii_domain(address) == expected


def test_sent_by_smtp_to_an_ascii_domain(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[EmailMessage] = []
    configure(
        MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", MAIL_FROM="Roost <posts@bücher.example>"
    )
    monkeypatch.setattr("smtplib.SMTP", _Server(taken))
    send_mail(replace(MAIL, to="ada@bücher.example"))
    [mail] = taken
    assert (mail["To"], mail["From"]) == (
        "ada@xn--bcher-kva.example",
        "Roost <posts@xn--bcher-kva.example>",
    )
    assert mail["Message-ID"].endswith("@xn--bcher-kva.example>")


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (
            "bücher@example.org",
            "The email could not be sent: the mail server accepts only plain letters before the @. Try again later.",
        ),
        ("ada@bücher.example", "The email could not be sent. Try again later."),
    ],
)
def test_server_that_takes_only_ascii(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, to: str, said: str
) -> None:
    def refuse(self: _Server, message: EmailMessage) -> None:
        raise smtplib.SMTPNotSupportedError

    configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", MAIL_FROM="posts@example.org")
    monkeypatch.setattr(_Server, "send_message", refuse)
    monkeypatch.setattr("smtplib.SMTP", _Server([]))
    with pytest.raises(MailNotSent) as refused:
        send_mail(replace(MAIL, to=to))
    assert str(refused.value) == said


def test_by_ses_to_an_ascii_domain(
    aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(MAIL_TRANSPORT="ses", MAIL_FROM="Roost <posts@bücher.example>")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(client("sesv2"), "send_email", lambda **request: sent.append(request))
    send_mail(replace(MAIL, to="ada@bücher.example"))
    [request] = sent
    assert request["Destination"] == {"ToAddresses": ["ada@xn--bcher-kva.example"]}
    assert request["FromEmailAddress"] == "Roost <posts@xn--bcher-kva.example>"


def test_by_ses(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding 4.5: SES writes the date and the id, and takes the other headers from us."""
    sent: list[dict[str, Any]] = []
    ses = client("sesv2")
    monkeypatch.setattr(ses, "send_email", lambda **request: sent.append(request))
    send_mail(MAIL)
    [request] = sent
    shape = ses.meta.service_model.operation_model("SendEmail").input_shape
    headers = shape.members["Content"].members["Simple"].members["Headers"]
    assert set(request["Content"]["Simple"]["Headers"][0]) == set(headers.member.members)
    assert request["Content"]["Simple"]["Headers"] == [
        {"Name": "Auto-Submitted", "Value": "auto-generated"}
    ]


def test_the_way_to_switch_it_off_by_ses(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding 4.5: RFC 2369 and RFC 8058, within what SES takes (870 printable ASCII characters)."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(client("sesv2"), "send_email", lambda **request: sent.append(request))
    send_mail(replace(MAIL, unsubscribe_url="https://roost.example/user/unsubscribe?token=a.b.c"))
    [request] = sent
    assert request["Content"]["Simple"]["Headers"] == [
        {"Name": "Auto-Submitted", "Value": "auto-generated"},
        {
            "Name": "List-Unsubscribe",
            "Value": "<https://roost.example/user/unsubscribe?token=a.b.c>",
        },
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]
