"""Whether the text that a wallet signs is read strictly: what is read is exactly what would be written."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identity.login_providers.signed_message import (
    MessageUnreadable,
    SignInMessage,
    read_message,
)

ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
PLAIN = SignInMessage(
    domain="app.example.com",
    account="Ethereum",
    address=ADDRESS,
    uri="https://app.example.com/auth",
    chain_id="1",
    nonce="abcdefgh12345",
    issued_at="2026-11-22T12:00:00Z",
)
WHOLE = replace(
    PLAIN,
    scheme="https",
    statement="Sign in (really?)",
    expiration_time="2026-11-22T12:10:00.5+02:00",
    not_before="2026-11-22T11:59:00Z",
    request_id="7",
    resources=("https://example.org/a?b=c#d", "ipfs://bafy"),
)
WRITTEN = f"""https://app.example.com wants you to sign in with your Ethereum account:
{ADDRESS}

Sign in (really?)

URI: https://app.example.com/auth
Version: 1
Chain ID: 1
Nonce: abcdefgh12345
Issued At: 2026-11-22T12:00:00Z
Expiration Time: 2026-11-22T12:10:00.5+02:00
Not Before: 2026-11-22T11:59:00Z
Request ID: 7
Resources:
- https://example.org/a?b=c#d
- ipfs://bafy"""

_LETTERS = st.text("abcXYZ019", min_size=1, max_size=12)
_TIMES = st.datetimes().map(lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z")
_URIS = st.text("abc019-._~:/?#[]@!$&'()*+,;=", min_size=1, max_size=20).map("https:{}".format)
MESSAGES = st.builds(
    SignInMessage,
    domain=st.sampled_from(["app.example.com", "127.0.0.1:3000", "[::1]:8", "localhost"]),
    account=st.sampled_from(["Ethereum", "Solana"]),
    address=_LETTERS,
    uri=_URIS,
    chain_id=_LETTERS,
    nonce=st.text("abcXYZ019", min_size=8, max_size=20),
    issued_at=_TIMES,
    scheme=st.none() | st.sampled_from(["https", "http"]),
    statement=st.none() | st.text("abc XYZ:/?#[]@!$&'()*+,;=-._~", min_size=1, max_size=30),
    expiration_time=st.none() | _TIMES,
    not_before=st.none() | _TIMES,
    request_id=st.none() | st.text("abc019-._~!$&'()*+,;=:@", max_size=10),
    resources=st.none() | st.lists(_URIS, max_size=3).map(tuple),
)


def test_every_part_has_its_place() -> None:
    assert WHOLE.text() == WRITTEN
    assert read_message(WRITTEN) == WHOLE


def test_text_without_optional_parts_has_two_blank_lines() -> None:
    assert f"{ADDRESS}\n\n\nURI: " in PLAIN.text()
    assert read_message(PLAIN.text()) == PLAIN


@given(MESSAGES)
def test_what_is_written_is_read_again(message: SignInMessage) -> None:
    assert read_message(message.text()) == message


@given(MESSAGES, st.data())
def test_a_changed_text_is_refused_or_read_letter_by_letter(
    message: SignInMessage, data: st.DataObject
) -> None:
    """No two texts have one reading: else a wallet could show one and we could read another."""
    text = message.text()
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(st.text("\n\r\t :-AZaz09\u00a0é", max_size=3))
    taken = data.draw(st.integers(0, 3))
    changed = text[:at] + put + text[at + taken :]
    try:
        read = read_message(changed)
    except MessageUnreadable:
        return
    assert read.text() == changed


@pytest.mark.parametrize("line", range(WRITTEN.count("\n") + 1))
def test_no_line_may_be_missing_twice_or_elsewhere(line: int) -> None:
    lines = WRITTEN.split("\n")
    for changed in (lines[:line] + lines[line + 1 :], [*lines[:line], lines[line], *lines[line:]]):
        text = "\n".join(changed)
        try:
            assert read_message(text).text() == text
        except MessageUnreadable:
            continue
        # Only what is optional, or listed, may be left out or repeated.
        assert lines[line].partition(":")[0] in {
            "Sign in (really?)", "Expiration Time", "Not Before", "Request ID", "- https", "- ipfs",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Ethereum account", "ethereum account", "first line"),
        ("Ethereum account", "Bitcoin account", "first line"),
        ("app.example.com wants", "user@app.example.com wants", "first line"),
        ("app.example.com wants", "app.example.com/x wants", "first line"),
        ("https://app.example.com wants", "://app.example.com wants", "first line"),
        ("account:", "account: ", "first line"),
        (ADDRESS, "", "address"),
        (ADDRESS, f"{ADDRESS} ", "address"),
        ("(really?)", "%", "statement"),
        ("(really?)", '"', "statement"),
        ("(really?)", "é", "statement"),
        ("URI: https://app", "URI: app", "URI"),
        ("URI: ", "URI:", "URI"),
        ("URI: ", "URI:  ", "URI"),
        ("Version: 1", "Version: 2", "Version"),
        ("Version: 1", "Version: 01", "Version"),
        ("Chain ID: 1", "Chain ID: ", "Chain ID"),
        ("abcdefgh12345", "abcdefg", "Nonce"),
        ("abcdefgh12345", "abcdefgh-2345", "Nonce"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-11-22 12:00:00Z", "Issued At"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-11-22T12:00:00", "Issued At"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-11-22t12:00:00z", "Issued At"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-02-30T12:00:00Z", "time"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-11-22T24:61:00Z", "time"),
        ("Request ID: 7", "Request ID: a b", "Request ID"),
        ("- ipfs://bafy", "- not an address", "Resources"),
        ("- ipfs://bafy", "* ipfs://bafy", "last line"),
        ("- ipfs://bafy", "- ipfs://bafy\n", "last line"),
        ("\n", "\r\n", "first line"),
        ("wants you", "wants you" + "x" * 2_000, "length"),
    ],
)
def test_what_is_not_of_the_form_is_refused(old: str, new: str, named: str) -> None:
    assert old in WRITTEN
    with pytest.raises(MessageUnreadable) as refused:
        read_message(WRITTEN.replace(old, new, 1))
    assert str(refused.value) == named


def test_every_part_is_drawn_above() -> None:
    drawn = {"domain", "account", "address", "uri", "chain_id", "nonce", "issued_at", "scheme",
             "statement", "expiration_time", "not_before", "request_id", "resources"}  # fmt: skip
    assert {field.name for field in fields(SignInMessage)} == drawn | {"version"}
