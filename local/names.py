"""A name server on this machine, for TXT records of names that end in `.test`: `python -m local.names NAME TEXT` adds one.

Records are in `names.json` of the runtime's folder (`ROOST_HOME`), which is read for each question. A company's domain is proven on a
laptop by it: add the record that `POST /settings/company-login/domains` names, then verify the domain.
"""

import argparse
import json
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

FILE = "names.json"
_TTL_SECONDS = 1
_MAX_BYTES = 4_096


class NameServer:
    """Answers on a random UDP port of this machine until it is closed."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Return where it answers, as the setting `TEST_NAMES_SERVER` takes it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Stop answering."""
        # Closing alone does not wake the thread, so it gets an empty message.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def __enter__(self) -> "NameServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            sent, sender = self._socket.recvfrom(_MAX_BYTES)
            if not sent:
                return
            if (answer := answer_to(sent, self._records)) is not None:
                self._socket.sendto(answer, sender)


def answer_to(sent: bytes, records: Path) -> bytes | None:
    """Answer a question as it was sent; None for what is no question."""
    try:
        query = dns.message.from_wire(sent)
        response = dns.message.make_response(query)
    except dns.exception.DNSException:
        return None
    response.flags |= dns.flags.AA
    for question in query.question:
        name = question.name.to_text(omit_final_dot=True).lower()
        texts = read_records(records).get(name, [])
        if not name.endswith(".test"):
            response.set_rcode(dns.rcode.REFUSED)
        elif not texts:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.TXT:
            quoted = [json.dumps(text) for text in texts]
            response.answer.append(
                dns.rrset.from_text(question.name, _TTL_SECONDS, "IN", "TXT", *quoted)
            )
    return response.to_wire()


def read_records(path: Path) -> dict[str, list[str]]:
    """Return the texts of each name; none if there is no file yet."""
    try:
        found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def add_record(path: Path, name: str, text: str) -> None:
    """Add a text to a name."""
    records = read_records(path)
    texts = records.setdefault(name.lower().rstrip("."), [])
    if text not in texts:
        texts.append(text)
    path.write_text(json.dumps(records, indent=2), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Add a record to the runtime's folder."""
    parser = argparse.ArgumentParser(prog="python -m local.names", description=__doc__)
    parser.add_argument("name", help="_roost-verification.example.test")
    parser.add_argument("text", help="roost=...")
    parsed = parser.parse_args(arguments)
    home = Path(os.environ.get("ROOST_HOME") or ".roost")
    add_record(home / FILE, parsed.name, parsed.text)


if __name__ == "__main__":
    main()
