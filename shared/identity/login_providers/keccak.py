"""Hashes with Keccak-256, which Ethereum uses: SHA3-256 with another padding byte, so `hashlib` does not have it.

Sources: FIPS 202 (sections 3.2, 3.3 and 4), keccak.team/keccak_specs_summary.html for the padding; read 2026-11.
"""

_ROUNDS = 24
_RATE_BYTES = 136
_DIGEST_BYTES = 32
_KECCAK, SHA3 = 0x01, 0x06
"""The padding bytes. SHA3's exists for the comparison with `hashlib.sha3_256`."""
_LANE = (1 << 64) - 1


def keccak256(data: bytes, *, padding: int = _KECCAK) -> bytes:
    """Return the 32-byte digest of `data`."""
    padded = bytearray(data)
    padded.append(padding)
    padded.extend(bytes(-len(padded) % _RATE_BYTES))
    padded[-1] |= 0x80
    lanes = [0] * 25  # lane (x, y) is at x + 5 * y
    for start in range(0, len(padded), _RATE_BYTES):
        for index in range(_RATE_BYTES // 8):
            at = start + 8 * index
            lanes[index] ^= int.from_bytes(padded[at : at + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[: _DIGEST_BYTES // 8])


def _permuted(lanes: list[int]) -> list[int]:
    for constant in _CONSTANTS:
        columns = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        mixed = [
            columns[(x + 4) % 5] ^ _rotated(columns[(x + 1) % 5], 1) for x in range(5)
        ]  # theta
        moved = [0] * 25
        for index, lane in enumerate(lanes):  # rho and pi
            moved[_TARGETS[index]] = _rotated(lane ^ mixed[index % 5], _OFFSETS[index])
        lanes = [  # chi
            moved[x + row] ^ (~moved[(x + 1) % 5 + row] & moved[(x + 2) % 5 + row])
            for row in range(0, 25, 5)
            for x in range(5)
        ]
        lanes[0] ^= constant  # iota
    return lanes


def _rotated(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & _LANE


def _offsets() -> list[int]:
    """Return by how many bits rho rotates each lane (FIPS 202, algorithm 2)."""
    offsets = [0] * 25
    x, y = 1, 0
    for step in range(24):
        offsets[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return offsets


def _constants() -> list[int]:
    """Return the constant of each round, made by a shift register of 8 bits (FIPS 202, algorithms 5 and 6)."""
    constants, register = [], 1
    for _ in range(_ROUNDS):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


_OFFSETS = _offsets()
_TARGETS = [y + 5 * ((2 * x + 3 * y) % 5) for y in range(5) for x in range(5)]
_CONSTANTS = _constants()
