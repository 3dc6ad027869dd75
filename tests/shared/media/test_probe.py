"""What uploads are taken for, which are refused, and how little of them is read."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.ranges import MAX_READS, WINDOW, Ranges
from shared.media.errors import FileRefused
from shared.media.probe import FileInfo, probe
from tests.conftest import Configure
from tests.shared.media.files import a_bitmap, a_file, a_picture, an_animation, an_mp4

PICTURES = {
    "jpeg": (a_picture(".jpg"), "image/jpeg"),
    "progressive jpeg": (a_picture(".jpg", interlace=True), "image/jpeg"),
    "png": (a_picture(".png"), "image/png"),
    "interlaced png": (a_picture(".png", interlace=True), "image/png"),
    "gif": (a_picture(".gif"), "image/gif"),
    "lossy webp": (a_picture(".webp"), "image/webp"),
    "lossless webp": (a_picture(".webp", lossless=True), "image/webp"),
    "extended webp": (a_picture(".webp", alpha=True), "image/webp"),
    "avif": (a_picture(".avif"), "image/avif"),
    "tiff": (a_picture(".tif"), "image/tiff"),
    "bmp": (a_bitmap(width=64, height=48), "image/bmp"),
}


class TestPictures:
    @pytest.mark.parametrize("name", PICTURES)
    def test_type_and_size_are_read(self, name: str) -> None:
        content, content_type = PICTURES[name]
        assert probe(a_file(content)) == FileInfo(content_type, len(content), 64, 48)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    @pytest.mark.parametrize(
        ("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)]
    )
    def test_size_is_as_shown(self, suffix: str, orientation: int, turned: bool) -> None:
        info = probe(a_file(a_picture(suffix, orientation=orientation)))
        assert (info.width, info.height) == ((48, 64) if turned else (64, 48))
        assert info.turned == (orientation != 1)

    def test_more_than_40_megapixels_are_refused(self) -> None:
        with pytest.raises(FileRefused, match=r"at most 40 megapixels; this one has 41\.0"):
            probe(a_file(_png_header(8_200, 5_000)))

    def test_40_megapixels_are_taken(self) -> None:
        assert probe(a_file(_png_header(8_000, 5_000))).width == 8_000

    def test_what_cannot_be_decoded_in_small_memory_is_refused_with_what_can(self) -> None:
        with pytest.raises(
            FileRefused, match=r"interlaced PNG\) may have at most 33\.6 megapixels"
        ):
            probe(a_file(_png_header(8_000, 5_000, interlaced=True)))

    def test_animations_are_taken(self) -> None:
        for suffix in (".gif", ".png", ".webp"):
            assert probe(a_file(an_animation(suffix))).width == 32


class TestVideos:
    def test_size_and_length_are_read(self) -> None:
        content = an_mp4(width=1920, height=1080, duration_ms=61_500)
        assert probe(a_file(content)) == FileInfo("video/mp4", len(content), 1920, 1080, 61_500)

    def test_header_behind_the_film_is_found_without_reading_the_film(self) -> None:
        content = an_mp4(moov_last=True, media_bytes=30_000_000, large_sizes=True)
        read: list[int] = []

        def counted(start: int, length: int) -> bytes:
            read.append(length)
            return content[start : start + length]

        assert probe(Ranges(counted, len(content))).duration_ms == 12_345
        assert sum(read) <= 3 * WINDOW

    def test_upright_phone_video_is_upright(self) -> None:
        info = probe(a_file(an_mp4(width=1920, height=1080, turned=True)))
        assert (info.width, info.height) == (1080, 1920)

    def test_length_of_fragments_is_added_up(self) -> None:
        assert probe(a_file(an_mp4(fragments=[4_000, 4_000, 1_500]))).duration_ms == 9_500

    def test_unknown_length_is_none(self) -> None:
        assert probe(a_file(an_mp4(duration_ms=None))).duration_ms is None

    def test_sound_without_pictures_is_refused(self) -> None:
        with pytest.raises(FileRefused, match="no video track"):
            probe(a_file(an_mp4(sound_only=True)))

    def test_cut_off_film_is_refused(self) -> None:
        whole = an_mp4(moov_last=True)
        with pytest.raises(FileRefused, match="cannot be read"):
            probe(a_file(whole[: len(whole) - 200]))


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "SVG"),
            (b"<?xml version='1.0'?><svg/>", "SVG"),
            (b"<!doctype html><script>alert(1)</script>", "web page"),
            (b"%PDF-1.7", "PDF"),
            (b"PK\x03\x04", "ZIP"),
            (b"\x1aE\xdf\xa3", "WebM"),
            (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI"),
            (an_mp4(brand=b"qt  "), "QuickTime"),
            (an_mp4(brand=b"heic"), "HEIC"),
            (an_mp4(brand=b"M4A "), "audio"),
            (b"just words", "unknown type"),
            (b"", "empty"),
        ],
    )
    def test_reason_names_what_it_is(self, content: bytes, said: str) -> None:
        with pytest.raises(FileRefused, match=said):
            probe(a_file(content))

    @pytest.mark.parametrize("content", [a_picture(".jpg"), an_mp4()])
    def test_larger_than_this_installation_stores(
        self, content: bytes, configure: Configure
    ) -> None:
        configure(MEDIA_MAX_IMAGE_BYTES=100, MEDIA_MAX_VIDEO_BYTES=100)
        with pytest.raises(FileRefused, match="at most 100 bytes"):
            probe(a_file(content))

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(sorted(PICTURES)), st.integers(0, 2**32), st.integers(1, 40))
    def test_damage_is_refused_or_survived(self, name: str, seed: int, changes: int) -> None:
        content = bytearray(PICTURES[name][0])
        chance = random.Random(seed)
        for _ in range(changes):
            content[chance.randrange(len(content))] = chance.randrange(256)
        _probe_or_refuse(bytes(content[: chance.randrange(len(content)) + 1]))

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 40))
    def test_damaged_film_is_refused_or_survived(self, seed: int, changes: int) -> None:
        chance = random.Random(seed)
        content = bytearray(
            an_mp4(media_bytes=20, moov_last=bool(seed % 2), fragments=[1] * (seed % 3))
        )
        for _ in range(changes):
            content[chance.randrange(len(content))] = chance.randrange(256)
        _probe_or_refuse(bytes(content))


class TestRanges:
    def test_header_scattered_over_the_file_is_given_up(self) -> None:
        # Comments of 60 kB, one after the other, before any frame.
        content = b"\xff\xd8" + (b"\xff\xfe\xea\x60" + bytes(60_000 - 2)) * (MAX_READS * 3)
        with pytest.raises(FileRefused, match="scattered"):
            probe(a_file(content))


def _png_header(width: int, height: int, *, interlaced: bool = False) -> bytes:
    size = width.to_bytes(4) + height.to_bytes(4)
    header = b"\x00\x00\x00\x0dIHDR" + size + b"\x08\x02\x00\x00" + bytes([interlaced]) + bytes(4)
    return b"\x89PNG\r\n\x1a\n" + header + bytes(4) + b"IDAT" + bytes(4)


def _probe_or_refuse(content: bytes) -> None:
    try:
        probe(a_file(content))
    except FileRefused:
        return
