"""Reads and writes base58, in which Solana writes addresses and signatures.

Source: datatracker.ietf.org/doc/html/draft-msporny-base58-03, read 2026-11.
"""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
MAX_CHARACTERS = 128  # the time grows with the square of the length


def encode(data: bytes) -> str:
    """Write bytes. Every leading zero byte is a `1`."""
    number, letters = int.from_bytes(data), ""
    while number:
        number, value = divmod(number, 58)
        letters = _ALPHABET[value] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


def decode(text: str) -> bytes:
    """Read bytes.

    Raises:
        ValueError: a letter is not in the alphabet, or the text is longer than `MAX_CHARACTERS`.
    """
    if len(text) > MAX_CHARACTERS or not set(text) <= _VALUES.keys():
        raise ValueError("this is not base58")
    number = 0
    for letter in text:
        number = number * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
