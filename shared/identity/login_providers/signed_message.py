"""Reads and writes the text that a wallet signs to sign in (EIP-4361, and CAIP-122 for Solana).

The parser is strict: a text is read only if writing the result gives the same text again, letter by letter. It checks the form;
`wallet.py` checks the content.

Sources: eips.ethereum.org/EIPS/eip-4361, chainagnostic.org/CAIPs/caip-122, RFC 3986, RFC 3339; read 2026-11.
"""

import re
from dataclasses import dataclass
from datetime import datetime

MAX_CHARACTERS = 2_000

_HEADER = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<domain>(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r" wants you to sign in with your (?P<chain>Ethereum|Solana) account:"
)
_ADDRESS = re.compile(r"[A-Za-z0-9]{1,64}")
_STATEMENT = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+")
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
)
_VERSION = re.compile("1")
_CHAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NONCE = re.compile(r"[A-Za-z0-9]{8,}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_REQUEST_ID = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*")


class MessageUnreadable(Exception):
    """The text is not a message of this form; the message names the part that is wrong."""


@dataclass(frozen=True, slots=True)
class SignInMessage:
    """A message, each part as it is written. Optional parts are None where they are missing."""

    domain: str
    account: str
    """`Ethereum` or `Solana`."""
    address: str
    uri: str
    chain_id: str
    nonce: str
    issued_at: str
    scheme: str | None = None
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None
    version: str = "1"

    def text(self) -> str:
        """Write the message."""
        origin = f"{self.scheme}://{self.domain}" if self.scheme is not None else self.domain
        lines = [
            f"{origin} wants you to sign in with your {self.account} account:",
            self.address,
            "",
        ]
        if self.statement is not None:
            lines += [self.statement, ""]
        else:
            lines += [""]
        lines += [
            f"URI: {self.uri}",
            f"Version: {self.version}",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {self.issued_at}",
        ]
        optional = {
            "Expiration Time": self.expiration_time,
            "Not Before": self.not_before,
            "Request ID": self.request_id,
        }
        lines += [f"{label}: {value}" for label, value in optional.items() if value is not None]
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)


def read_message(text: str) -> SignInMessage:
    """Read a message.

    Raises:
        MessageUnreadable: the text is not exactly of the form that `SignInMessage.text` writes.
    """
    if len(text) > MAX_CHARACTERS:
        raise MessageUnreadable("length")
    lines = _Lines(text)
    header = _HEADER.fullmatch(lines.take())
    if header is None:
        raise MessageUnreadable("first line")
    address = lines.matching(_ADDRESS, "address")
    lines.blank()
    statement = lines.matching(_STATEMENT, "statement") if lines.peek() else None
    lines.blank()
    message = SignInMessage(
        scheme=header["scheme"],
        domain=header["domain"],
        account=header["chain"],
        address=address,
        statement=statement,
        uri=lines.labelled("URI", _URI),
        version=lines.labelled("Version", _VERSION),
        chain_id=lines.labelled("Chain ID", _CHAIN_ID),
        nonce=lines.labelled("Nonce", _NONCE),
        issued_at=lines.time("Issued At"),
        expiration_time=lines.time("Expiration Time") if lines.has("Expiration Time") else None,
        not_before=lines.time("Not Before") if lines.has("Not Before") else None,
        request_id=lines.labelled("Request ID", _REQUEST_ID) if lines.has("Request ID") else None,
        resources=lines.resources(),
    )
    if lines.left:
        raise MessageUnreadable("last line")
    return message


def read_time(value: str) -> datetime:
    """Read one of a message's times, in the offset it has.

    Raises:
        MessageUnreadable: there is no such moment.
    """
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise MessageUnreadable("time") from error


class _Lines:
    """The lines that are not read yet."""

    def __init__(self, text: str) -> None:
        self.left = text.split("\n")

    def peek(self) -> str:
        return self.left[0] if self.left else ""

    def take(self) -> str:
        if not self.left:
            raise MessageUnreadable("missing line")
        return self.left.pop(0)

    def blank(self) -> None:
        if self.take():
            raise MessageUnreadable("blank line")

    def matching(self, pattern: re.Pattern[str], what: str) -> str:
        value = self.take()
        if not pattern.fullmatch(value):
            raise MessageUnreadable(what)
        return value

    def has(self, label: str) -> bool:
        return self.peek().startswith(f"{label}: ")

    def labelled(self, label: str, pattern: re.Pattern[str]) -> str:
        line = self.take()
        value = line.removeprefix(f"{label}: ")
        if line == value or not pattern.fullmatch(value):
            raise MessageUnreadable(label)
        return value

    def time(self, label: str) -> str:
        value = self.labelled(label, _TIME)
        read_time(value)
        return value

    def resources(self) -> tuple[str, ...] | None:
        if self.peek() != "Resources:":
            return None
        self.take()
        found = []
        while self.peek().startswith("- "):
            found.append(self.take().removeprefix("- "))
        if not all(_URI.fullmatch(resource) for resource in found):
            raise MessageUnreadable("Resources")
        return tuple(found)
