"""What is read of a JPEG's header, and what of it is left behind."""

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.core.formats.jpeg import read_jpeg
from shared.core.ranges import Assembled, Broken, Ranges
from tests.shared.core.pictures import CAMERA, a_jpeg, a_profile, ranges, read

DAMAGEABLE = a_jpeg(icc_profile=a_profile(), orientation=6)


def pixels(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).tobytes()


class TestReadJpeg:
    @pytest.mark.parametrize(
        ("mode", "components", "adobe"), [("L", 1, False), ("RGB", 3, False), ("CMYK", 4, True)]
    )
    def test_size_components_and_writer(self, mode: str, components: int, adobe: bool) -> None:
        jpeg = read(a_jpeg(mode=mode))
        assert (jpeg.width, jpeg.height, len(jpeg.sampling)) == (60, 40, components)
        assert jpeg.adobe is adobe
        assert not jpeg.progressive

    @pytest.mark.parametrize(("asked", "orientation"), [(1, 1), (3, 3), (6, 6), (8, 8), (9, 1)])
    def test_orientation(self, asked: int, orientation: int) -> None:
        jpeg = read(a_jpeg(orientation=asked))
        assert jpeg.orientation == orientation
        assert (jpeg.width, jpeg.height) == (60, 40)

    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_the_picture_is_whole_and_tells_nothing_of_its_origin(
        self, mode: str, progressive: bool
    ) -> None:
        content = a_jpeg(
            mode=mode, progressive=progressive, comment=b"said aside", icc_profile=a_profile()
        )
        jpeg = read(content)
        assert jpeg.progressive is progressive
        kept = Assembled(jpeg.picture)
        bare = kept.read(0, kept.size_bytes)
        assert pixels(bare) == pixels(content)
        for told in (CAMERA.encode(), b"said aside", b"ICC_PROFILE"):
            assert told in content
            assert told not in bare

    def test_a_profile_in_several_pieces_is_put_together(self) -> None:
        # Longer than a segment, and than several windows.
        profile = a_profile() + random.Random(1).randbytes(500_000)
        reads: list[int] = []
        content = a_jpeg(icc_profile=profile)

        def counted(start: int, length: int) -> bytes:
            reads.append(length)
            return content[start : start + length]

        jpeg = read_jpeg(Ranges(counted, len(content)))
        assert len(jpeg.profile) == 8
        assert len(reads) <= 12
        found = Assembled(jpeg.profile)
        assert found.read(0, found.size_bytes) == profile

    def test_a_profile_of_other_colors_is_left_out(self) -> None:
        assert read(a_jpeg(icc_profile=a_profile())).profile
        assert read(a_jpeg(mode="L", icc_profile=a_profile())).profile == ()

    def test_a_profile_with_a_piece_missing_is_left_out(self) -> None:
        content = a_jpeg(icc_profile=a_profile())
        assert read(content.replace(b"ICC_PROFILE\x00\x01\x01", b"ICC_PROFILE\x00\x01\x02")).profile == ()  # fmt: skip

    @pytest.mark.parametrize("end", [0, 1, 3, 20, 200])
    def test_one_that_ends_early_is_broken(self, end: int) -> None:
        with pytest.raises(Broken):
            read(a_jpeg()[:end])

    @settings(max_examples=300)
    @given(st.integers(0, 2**32), st.integers(1, 40))
    def test_damage_is_said_or_does_no_harm(self, seed: int, count: int) -> None:
        damaged = bytearray(DAMAGEABLE)
        random_bytes = random.Random(seed)
        for _ in range(count):
            damaged[random_bytes.randrange(min(len(damaged), 4_000))] = random_bytes.randrange(256)
        try:
            jpeg = read_jpeg(ranges(bytes(damaged)))
        except Broken:
            return
        assert 1 <= jpeg.orientation <= 8
        kept = Assembled([*jpeg.picture, *jpeg.profile])
        assert len(kept.read(0, kept.size_bytes)) == kept.size_bytes
