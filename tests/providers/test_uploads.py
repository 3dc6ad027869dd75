import time

import httpx
import pytest
import respx

from shared.providers.errors import PlatformUnavailable
from shared.providers.platforms.mastodon import Mastodon
from shared.providers.uploads import MAX_RANGE, RangeFile, chunks, read_range
from tests.providers.builders import Storage, an_api


class TestChunks:
    def test_numbers_pieces_and_marks_the_last(self, storage: Storage) -> None:
        video = storage.video(content=b"abcdefgh")
        pieces = list(chunks(an_api(Mastodon(), storage=storage), video, size=3))
        assert [(piece.index, piece.start, piece.data, piece.is_last) for piece in pieces] == [
            (0, 0, b"abc", False),
            (1, 3, b"def", False),
            (2, 6, b"gh", True),
        ]

    def test_goes_on_from_a_piece(self, storage: Storage) -> None:
        video = storage.video(content=b"abcdefgh")
        api = an_api(Mastodon(), storage=storage)
        assert [piece.data for piece in chunks(api, video, size=3, first=2)] == [b"gh"]

    def test_ends_after_a_piece_when_time_is_short(self, storage: Storage) -> None:
        video = storage.video(content=b"abcdefgh")
        api = an_api(Mastodon(), storage=storage, deadline=time.monotonic() + 10)
        assert [piece.data for piece in chunks(api, video, size=3)] == [b"abc"]

    def test_refuses_pieces_above_a_range(self, storage: Storage) -> None:
        with pytest.raises(ValueError, match="1 to"):
            list(chunks(an_api(Mastodon()), storage.video(), size=MAX_RANGE + 1))


class TestReadRange:
    def test_a_file_that_shrank_is_not_sent(self, storage: Storage) -> None:
        picture = storage.picture(content=b"abc")
        storage.files[picture.key] = b"ab"
        with pytest.raises(PlatformUnavailable, match="2 of 3 bytes"):
            read_range(an_api(Mastodon(), storage=storage), picture, 0, 3)


class TestRangeFile:
    def test_reads_range_by_range_and_holds_one(self, storage: Storage) -> None:
        video = storage.video(content=bytes(range(100)))
        file = RangeFile(an_api(Mastodon(), storage=storage), video, range_bytes=40)
        read = b"".join(iter(lambda: file.read(7), b""))
        assert read == bytes(range(100))
        assert [(start, length) for _, start, length in storage.reads] == [
            (0, 40),
            (40, 40),
            (80, 20),
        ]

    def test_a_request_s_body_is_streamed_with_its_length(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        video = storage.video(content=b"v" * (9 * 1024**2))
        route = platform.put("https://up.example/1").respond(200)
        api = an_api(Mastodon(), storage=storage)
        api.request("PUT", "https://up.example/1", content=RangeFile(api, video))
        sent: httpx.Request = route.calls.last.request
        assert sent.headers["content-length"] == str(video.size_bytes)
        assert len(sent.content) == video.size_bytes
        assert max(length for _, _, length in storage.reads) <= MAX_RANGE
        assert len(storage.reads) == 3

    def test_stops_when_the_time_is_over(self, storage: Storage) -> None:
        api = an_api(Mastodon(), storage=storage, deadline=time.monotonic() - 1)
        with pytest.raises(PlatformUnavailable, match="did not end in time"):
            RangeFile(api, storage.video()).read(10)
