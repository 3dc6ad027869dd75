"""Checks Ethereum's addresses and signatures: EIP-55, EIP-191, and the recovery of the key that signed.

Sources: eips.ethereum.org/EIPS/eip-55, eip-191, eip-1271 and eip-6492; read 2026-11.
"""

import re

from shared.identity.login_providers.keccak import keccak256

CHAIN_ID = "1"
_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")
_SIGNATURE = re.compile("0x[0-9A-Fa-f]{130}")
_LONGER = re.compile("0x(?:[0-9A-Fa-f]{2}){66,}")


class SignatureUnreadable(Exception):
    """The text is not a signature."""


class ContractSignature(Exception):
    """The signature is for a contract (EIP-1271), which only a node of the chain could check."""


def checksum_address(address: str) -> str | None:
    """Return an address in the form of EIP-55; None if it is not an address, or its capitals contradict it."""
    if not _ADDRESS.fullmatch(address):
        return None
    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    checked = "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit
        for digit, nibble in zip(digits, digest, strict=False)
    )
    has_no_checksum = address[2:] in {digits, digits.upper()}
    return checked if has_no_checksum or address == checked else None


def signer(text: str, signature: str) -> str | None:
    """Return the address whose key signed a text (EIP-191, version 0x45); None if no key did.

    Raises:
        SignatureUnreadable: the signature is not hexadecimal, or too short.
        ContractSignature: it is longer than a key's signature.
    """
    if _LONGER.fullmatch(signature):
        raise ContractSignature
    if not _SIGNATURE.fullmatch(signature):
        raise SignatureUnreadable
    from coincurve import PublicKey  # loads its library: only for this login

    raw = bytes.fromhex(signature[2:])
    parity = raw[64] - 27 if raw[64] >= 27 else raw[64]  # some wallets count from 0
    data = text.encode()
    digest = keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)
    try:
        if parity not in {0, 1}:
            return None
        key = PublicKey.from_signature_and_message(raw[:64] + bytes([parity]), digest, hasher=None)
    except ValueError:
        return None
    return checksum_address(f"0x{keccak256(key.format(compressed=False)[1:])[-20:].hex()}")
