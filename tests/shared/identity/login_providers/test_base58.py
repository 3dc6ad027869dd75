"""Whether base58 is read and written as Solana does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identity.login_providers import base58

# datatracker.ietf.org/doc/html/draft-msporny-base58-03, section 5
PUBLISHED = [
    (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
    (
        b"The quick brown fox jumps over the lazy dog.",
        "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
    ),
    (bytes.fromhex("0000287fb4cd"), "11233QC4"),
]


@pytest.mark.parametrize(("data", "text"), PUBLISHED)
def test_published_examples(data: bytes, text: str) -> None:
    assert base58.encode(data) == text
    assert base58.decode(text) == data


@given(st.binary(max_size=64))
def test_what_is_written_is_read_again(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@given(st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", max_size=90))
def test_every_text_has_one_reading(text: str) -> None:
    assert base58.encode(base58.decode(text)) == text


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "a b", "é", "a\n", "1" * 129])
def test_other_letters_and_long_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        base58.decode(text)
