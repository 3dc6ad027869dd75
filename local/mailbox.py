"""The mailbox for emails that functions send: kept below the runtime's home and shown as html."""

import email
import email.policy
import html
import json
import threading
from base64 import b64decode
from dataclasses import asdict, dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from local.home import write_private
from shared.core import clock

_KEPT = 500
# SES writes Date and Message-ID itself; the id ends in this domain.
_SES_DOMAIN = "email.amazonses.com"


@dataclass(frozen=True, slots=True)
class SentMail:
    """One email as passed to SES. `number` counts from 1.

    `headers` are pairs in the order of the email, including those that SES writes itself.
    """

    number: int
    sent_at: str
    sender: str
    to: list[str]
    subject: str
    text: str
    html: str
    headers: list[list[str]] = field(default_factory=list)


class Mailbox:
    """The latest emails, newest last."""

    def __init__(self, folder: Path) -> None:
        """Open the mailbox below `folder` and load its kept emails."""
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
        self._mails = [SentMail(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def keep(self, request: dict[str, Any]) -> None:
        """Store the email of a `SendEmail` request on disk before returning."""
        addresses = [
            address for kind in request.get("Destination", {}).values() for address in kind
        ]
        content = request["Content"]
        subject, text, markup, given = (
            _raw_parts(content["Raw"]["Data"])
            if "Raw" in content
            else _simple_parts(content["Simple"])
        )
        now = clock.now()
        with self._lock:
            number = self._mails[-1].number + 1 if self._mails else 1
            by_ses = [
                ["From", request.get("FromEmailAddress", "")],
                ["To", ", ".join(addresses)],
                ["Subject", subject],
                ["Date", format_datetime(now)],
                ["Message-ID", f"<{number}@{_SES_DOMAIN}>"],
            ]
            names = {name.lower() for name, _ in given}
            mail = SentMail(
                number=number,
                sent_at=now.isoformat(timespec="seconds"),
                sender=request.get("FromEmailAddress", ""),
                to=addresses,
                subject=subject,
                text=text,
                html=markup,
                headers=[each for each in by_ses if each[0].lower() not in names] + given,
            )
            write_private(
                self._folder / f"{mail.number}.json", json.dumps(asdict(mail), ensure_ascii=False)
            )
            self._mails.append(mail)
            for old in self._mails[:-_KEPT]:
                (self._folder / f"{old.number}.json").unlink(missing_ok=True)
            del self._mails[:-_KEPT]

    def newest_first(self) -> list[SentMail]:
        """Return the kept emails."""
        with self._lock:
            return list(reversed(self._mails))

    def as_json(self) -> bytes:
        """Return the kept emails as a JSON array, newest first."""
        return json.dumps(
            [asdict(mail) for mail in self.newest_first()], ensure_ascii=False
        ).encode()

    def as_page(self) -> bytes:
        """Return the kept emails as html, newest first."""
        mails = (
            "\n".join(_article(mail) for mail in self.newest_first())
            or "<p>No email has been sent yet.</p>"
        )
        return _PAGE.replace("{mails}", mails).encode()


def _simple_parts(simple: dict[str, Any]) -> tuple[str, str, str, list[list[str]]]:
    body = simple.get("Body", {})
    return (
        simple["Subject"]["Data"],
        body.get("Text", {}).get("Data", ""),
        body.get("Html", {}).get("Data", ""),
        [[each["Name"], each["Value"]] for each in simple.get("Headers", [])],
    )


def _raw_parts(data: str) -> tuple[str, str, str, list[list[str]]]:
    message = email.message_from_bytes(b64decode(data), policy=email.policy.default)
    text, markup = message.get_body(("plain",)), message.get_body(("html",))
    return (
        str(message["Subject"] or ""),
        text.get_content() if text else "",
        markup.get_content() if markup else "",
        [[name, str(value)] for name, value in message.items()],
    )


def _article(mail: SentMail) -> str:
    content = (
        f'<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="{html.escape(mail.html)}"></iframe>'
        if mail.html
        else f"<pre>{html.escape(mail.text)}</pre>"
    )
    headers = "\n".join(f"{name}: {value}" for name, value in mail.headers)
    return (
        f"<details{' open' if mail.number else ''}><summary><b>{html.escape(mail.subject)}</b> "
        f"to {html.escape(', '.join(mail.to))} <time>{html.escape(mail.sent_at)}</time></summary>"
        f"{content}<details class=text><summary>as text</summary><pre>{html.escape(mail.text)}</pre></details>"
        f"<details class=text><summary>headers</summary><pre>{html.escape(headers)}</pre></details></details>"
    )


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Emails</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width">
<style>
 :root { color-scheme: light dark }
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
 details { border: 1px solid #8886; border-radius: 8px; margin: 0 0 1rem; padding: .6rem 1rem }
 details.text { border: 0; padding: 0; margin: .5rem 0 0; opacity: .75 }
 summary { cursor: pointer } time { color: #888; float: right }
 iframe { width: 100%; height: 22rem; border: 0; background: #fff; margin-top: .6rem } pre { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>Sent emails</h1>
{mails}
</html>"""
