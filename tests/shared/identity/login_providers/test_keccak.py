"""Whether our Keccak-256 is the one that Ethereum uses."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identity.login_providers.keccak import SHA3, keccak256


@given(st.binary(max_size=500))
def test_it_is_sha3_but_for_the_padding(data: bytes) -> None:
    assert keccak256(data, padding=SHA3) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 273, 2_000])
def test_lengths_around_a_block(length: int) -> None:
    data = bytes(number % 251 for number in range(length))
    assert keccak256(data, padding=SHA3) == hashlib.sha3_256(data).digest()
    assert keccak256(data) != hashlib.sha3_256(data).digest()


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        # The hash of no code and of an empty list: Ethereum's yellow paper, appendix B and section 4.1.
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"\xc0", "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
        # The event of every token's transfer: EIP-20.
        (
            b"Transfer(address,address,uint256)",
            "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        ),
    ],
)
def test_published_digests(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest
