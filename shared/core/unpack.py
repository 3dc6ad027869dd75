"""Reads a compressed HTTP response piece by piece, so that a small one cannot fill the memory."""

import zlib
from collections.abc import Iterable, Iterator

import httpx

MAX_LAYERS = 2
_PIECE = 64 * 1024
_AS_IS = frozenset(
    {"", "identity", "aws-chunked"}
)  # S3 stores and serves the encoding that an upload declared
_GZIP = frozenset({"gzip", "x-gzip"})
_EITHER = 32 + zlib.MAX_WBITS  # zlib detects whether the header is gzip's or zlib's


class CannotUnpack(Exception):
    """The response uses a compression that we do not support, or is corrupt or truncated."""


def layers(content_encoding: str) -> tuple[str, ...]:
    """Return the compressions of a response in the order in which they were applied; empty if it is not compressed.

    Raises:
        CannotUnpack: an encoding is unsupported, or there are too many.
    """
    named = tuple(name.strip().lower() for name in content_encoding.split(","))
    packed = tuple(name for name in named if name not in _AS_IS)
    if unknown := [name for name in packed if name not in _GZIP and name != "deflate"]:
        raise CannotUnpack(f"The response uses the unsupported compression {unknown[0]!r}.")
    if len(packed) > MAX_LAYERS:
        raise CannotUnpack(f"The response is compressed {len(packed)} times.")
    return packed


def unpacked(chunks: Iterable[bytes], packed: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the decompressed content of `chunks` in pieces of at most 64 KiB, undoing the layers of `packed` from the last.

    Raises:
        CannotUnpack: the compressed data is corrupt or truncated.
    """
    pieces: Iterable[bytes] = chunks
    for name in reversed(packed):
        pieces = _inflated(pieces, may_be_raw=name == "deflate")
    return iter(pieces)


def _inflated(chunks: Iterable[bytes], *, may_be_raw: bool) -> Iterator[bytes]:
    """Undo one layer. "deflate" is zlib's format (RFC 9110, section 8.4.1.2), but some servers omit its header."""
    inflater = zlib.decompressobj(_EITHER)
    begun = False
    for chunk in chunks:
        waiting = chunk
        while waiting:
            if inflater.eof:  # gzip may have several concatenated members
                inflater = zlib.decompressobj(_EITHER)
            try:
                piece = inflater.decompress(waiting, _PIECE)
            except zlib.error as error:
                if begun or not may_be_raw:
                    raise CannotUnpack("The compressed response is corrupt.") from error
                inflater, may_be_raw = zlib.decompressobj(-zlib.MAX_WBITS), False
                continue
            begun = True
            waiting = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if piece:
                yield piece
    while begun and not inflater.eof:
        piece = inflater.decompress(inflater.unconsumed_tail, _PIECE)
        if not piece:
            raise CannotUnpack("The compressed response is truncated.")
        yield piece


class Unpacked(httpx.SyncByteStream):
    """The decompressed body of a response."""

    def __init__(self, stream: httpx.SyncByteStream, packed: tuple[str, ...]) -> None:
        self._stream = stream
        self._packed = packed

    def __iter__(self) -> Iterator[bytes]:
        yield from unpacked(self._stream, self._packed)

    def close(self) -> None:
        self._stream.close()
