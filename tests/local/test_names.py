"""Whether the name server of a laptop answers for `.test` names, and for no others."""

from pathlib import Path

import dns.message
import dns.rcode
import pytest

from local.names import add_record, answer_to, main


def ask(records: Path, name: str, kind: str = "TXT") -> dns.message.Message:
    answered = answer_to(dns.message.make_query(name, kind).to_wire(), records)
    assert answered is not None
    return dns.message.from_wire(answered)


def test_texts_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    for text in ("roost=a", "roost=b", "roost=a"):
        add_record(path, "A.test.", text)
    (found,) = ask(path, "a.TEST").answer
    assert sorted(record.strings[0] for record in found) == [b"roost=a", b"roost=b"]


def test_unknown_names_and_names_of_others(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    assert ask(path, "b.test").rcode() == dns.rcode.NXDOMAIN
    assert ask(path, "example.com").rcode() == dns.rcode.REFUSED
    assert answer_to(b"nonsense", path) is None


def test_command_adds_to_the_running_systems_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOST_HOME", str(tmp_path))
    main(["_roost-verification.acme.test", "roost=1"])
    assert ask(tmp_path / "names.json", "_roost-verification.acme.test").answer
