"""Whether what is put together from pieces reads like one file, and reads no more than it must."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.ranges import Assembled, Blank, Span


def part_of(file: bytes, reads: list[tuple[int, int]], start: int, length: int) -> bytes:
    reads.append((start, length))
    return file[start : start + length]


class TestAssembled:
    @given(
        st.lists(st.tuples(st.binary(max_size=20), st.booleans(), st.integers(0, 5)), max_size=8),
        st.integers(1, 50),
    )
    def test_reads_like_one_file_in_ranges_of_any_size(
        self, pieces: list[tuple[bytes, bool, int]], size: int
    ) -> None:
        reads: list[tuple[int, int]] = []
        whole = b"".join(piece for piece, _, _ in pieces)
        assembled = Assembled(
            Span(partial(part_of, bytes(before) + piece + b"behind", reads), before, len(piece))
            if is_stored
            else piece
            for piece, is_stored, before in pieces
        )
        assert assembled.size_bytes == len(whole)
        ranges = range(0, len(whole), size)
        assert b"".join(assembled.read(start, size) for start in ranges) == whole
        assert sum(length for _, length in reads) == sum(
            len(piece) for piece, is_stored, _ in pieces if is_stored
        )

    def test_nothing_is_read_before_it_is_asked_for(self) -> None:
        reads: list[tuple[int, int]] = []
        assembled = Assembled([b"ab", Span(partial(part_of, b"0123456789", reads), 3, 5), b"cd"])
        assert reads == []
        assert assembled.read(3, 2) == b"45"
        assert reads == [(4, 2)]

    @pytest.mark.parametrize(("start", "length"), [(4, 5), (9, 1), (0, 0)])
    def test_at_the_end_there_is_less(self, start: int, length: int) -> None:
        assert Assembled([b"ab", b"", b"cd"]).read(start, length) == b""


class TestPatched:
    @given(
        st.binary(min_size=1, max_size=60),
        st.lists(st.tuples(st.integers(0, 59), st.integers(1, 8), st.booleans()), max_size=6),
        st.integers(1, 50),
    )
    def test_what_is_written_over_a_file_reads_as_written(
        self, file: bytes, patches: list[tuple[int, int, bool]], size: int
    ) -> None:
        reads: list[tuple[int, int]] = []
        read = partial(part_of, file, reads)
        pieces: list[bytes | Span | Blank] = []
        wanted, at = bytearray(file), 0
        for start, length, is_blank in sorted(patches):
            end = min(start + length, len(file))
            if start < at or start >= end:
                continue
            pieces.append(Span(read, at, start - at))
            content = bytes(end - start) if is_blank else b"\xaa" * (end - start)
            pieces.append(Blank(len(content)) if is_blank else content)
            wanted[start:end], at = content, end
        assembled = Assembled([*pieces, Span(read, at, len(file) - at)])
        found = [assembled.read(start, size) for start in range(0, len(file), size)]
        assert b"".join(found) == wanted
        assert len(reads) <= len(found), "pieces that lie in place were read one by one"
