"""Whether copies keep the limits, lose no more than they must, and are made in little memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from shared.media.convert import Converted, Unreadable, WillNotFit, convert, decode
from shared.providers.variants import VariantPlan
from tests.shared.media.files import a_bitmap, a_picture, noise

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def stored(folder: Path, content: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(content)
    return path


def copy_of(source: Path, plan: VariantPlan, to: Path) -> Converted:
    """Decode at the plan's size and convert."""
    rows = to.with_name("rows")
    return convert(decode(source, rows, width=plan.width, height=plan.height), plan, to)


class TestConvert:
    @pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif", ".gif"])
    @pytest.mark.parametrize(
        ("content_type", "loader"), [(JPEG, "jpegload"), (PNG, "pngload"), (WEBP, "webpload")]
    )
    def test_every_type_becomes_every_type(
        self, folder: Path, suffix: str, content_type: str, loader: str
    ) -> None:
        made = copy_of(
            stored(folder, a_picture(suffix)),
            VariantPlan(content_type, 64, 48, None),
            folder / "copy",
        )
        copy = pyvips.Image.new_from_file(str(made.path))
        assert copy.get("vips-loader") == loader
        assert (copy.width, copy.height) == (made.width, made.height) == (64, 48)
        assert made.size_bytes == made.path.stat().st_size

    def test_ratio_is_kept(self, folder: Path) -> None:
        source = stored(folder, a_picture(".png", width=400, height=100))
        made = copy_of(source, VariantPlan(JPEG, 200, 200, None), folder / "copy")
        assert (made.width, made.height) == (200, 50)

    def test_small_pictures_are_not_blown_up(self, folder: Path) -> None:
        made = copy_of(
            stored(folder, a_picture()), VariantPlan(JPEG, 512, 512, None), folder / "copy"
        )
        assert (made.width, made.height) == (64, 48)

    def test_picture_is_turned_and_says_nothing_of_its_origin(self, folder: Path) -> None:
        source = stored(folder, a_picture(orientation=6))
        made = copy_of(source, VariantPlan(JPEG, 48, 64, None), folder / "copy")
        copy = pyvips.Image.new_from_file(str(made.path))
        assert (copy.width, copy.height) == (48, 64)
        assert not [
            name for name in copy.get_fields() if name.startswith(("exif", "icc", "orient"))
        ]

    def test_transparency_becomes_white_in_a_jpeg(self, folder: Path) -> None:
        clear = pyvips.Image.black(32, 32, bands=4).cast("uchar").copy(interpretation="srgb")
        source = stored(folder, clear.write_to_buffer(".png"))
        made = copy_of(source, VariantPlan(JPEG, 32, 32, None), folder / "copy")
        assert pyvips.Image.new_from_file(str(made.path)).getpoint(16, 16) == [255, 255, 255]

    def test_gray_with_transparency_becomes_white_too(self, folder: Path) -> None:
        clear = pyvips.Image.black(32, 32, bands=2).cast("uchar").copy(interpretation="b-w")
        made = copy_of(
            stored(folder, clear.write_to_buffer(".png")),
            VariantPlan(JPEG, 32, 32, None),
            folder / "copy",
        )
        assert set(pyvips.Image.new_from_file(str(made.path)).getpoint(16, 16)) == {255}

    def test_transparency_stays_in_a_png(self, folder: Path) -> None:
        source = stored(folder, a_picture(".png", width=100, alpha=True))
        made = copy_of(source, VariantPlan(PNG, 50, 50, None), folder / "copy")
        assert pyvips.Image.new_from_file(str(made.path)).hasalpha()

    @pytest.mark.parametrize(("mode", "pixel"), [("RGB", 3), ("RGBA", 4)])
    def test_bitmap_has_its_pixels_in_their_places(
        self, folder: Path, mode: str, pixel: int
    ) -> None:
        source = stored(folder, a_bitmap(mode=mode))
        made = copy_of(source, VariantPlan(PNG, 63, 40, None), folder / "copy")
        copy, expected = pyvips.Image.new_from_file(str(made.path)), noise(63, 40)
        assert (copy - expected).abs().max() == 0

    def test_damaged_picture_is_unreadable(self, folder: Path) -> None:
        content = a_picture(".png", width=300, height=300)
        with pytest.raises(Unreadable):
            copy_of(
                stored(folder, content[: len(content) // 2]),
                VariantPlan(JPEG, 300, 300, None),
                folder / "copy",
            )


class TestLimit:
    def test_quality_gives_way_before_pixels(self, folder: Path) -> None:
        source = stored(folder, a_picture(width=600, height=400, Q=100))
        best = copy_of(source, VariantPlan(JPEG, 600, 400, None), folder / "best")
        limit = int(best.size_bytes * 0.35)
        made = copy_of(source, VariantPlan(JPEG, 600, 400, limit), folder / "copy")
        assert (made.width, made.height) == (600, 400)
        assert 0.8 * limit <= made.size_bytes <= limit, "compressed more than the limit demands"

    def test_what_fits_at_the_best_quality_keeps_it(self, folder: Path) -> None:
        source = stored(folder, a_picture(width=600, height=400, Q=100))
        without = copy_of(source, VariantPlan(JPEG, 600, 400, None), folder / "free").size_bytes
        assert (
            copy_of(source, VariantPlan(JPEG, 600, 400, without), folder / "copy").size_bytes
            == without
        )

    @pytest.mark.parametrize("content_type", [JPEG, PNG, WEBP])
    def test_pixels_give_way_when_quality_is_used_up(self, folder: Path, content_type: str) -> None:
        source = stored(folder, a_picture(".png", width=600, height=400))
        made = copy_of(source, VariantPlan(content_type, 600, 400, 10_000), folder / "copy")
        assert 5_000 <= made.size_bytes <= 10_000
        assert made.width < 600
        assert abs(made.width / made.height - 1.5) < 0.05

    def test_impossible_limit_is_given_up(self, folder: Path) -> None:
        with pytest.raises(WillNotFit):
            copy_of(stored(folder, a_picture()), VariantPlan(JPEG, 64, 48, 10), folder / "copy")


# Everything the function imports, then one conversion at full size; prints the peak of resident memory in MiB. Not what
# getrusage says: that includes this process, from before the other one began.
MEASURE = """
import re, sys
from pathlib import Path
import functions.variants.app
from shared.aws import storage
from shared.media.convert import convert, decode
from shared.media.probe import MAX_PIXELS, probe
from shared.core.ranges import Ranges
from shared.providers.registry import specs
from shared.providers.variants import VariantPlan
source = Path(sys.argv[1])
with source.open("rb") as file:
    probe(Ranges(lambda start, length: (file.seek(start), file.read(length))[1], source.stat().st_size))
storage._client()
rules = {rules.images for spec in specs() for rules in spec.all_media}
rows = decode(source, source.with_name("rows"), width=8000, height=5000)
made = convert(rows, VariantPlan("image/jpeg", 8000, 5000, None), source.with_name("copy"))
assert made.width * made.height > 1_000_000
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says it")
class TestMemory:
    """40 megapixels, or as many as `probe` lets through of what must be decoded as a whole."""

    @pytest.mark.parametrize(
        ("suffix", "width", "height", "save"),
        [
            (".jpg", 8_000, 5_000, {}),
            (".png", 8_000, 5_000, {"compression": 1}),
            (".jpg", 6_600, 5_000, {"interlace": True}),
            (".webp", 3_300, 3_000, {"lossless": True, "effort": 0}),
            (".avif", 2_700, 2_400, {"effort": 0}),
        ],
        ids=str,
    )
    def test_stays_under_256_mib(
        self, folder: Path, suffix: str, width: int, height: int, save: dict[str, object]
    ) -> None:
        source = folder / f"source{suffix}"
        across = pyvips.Image.grey(width, height, uchar=True)
        picture = across.bandjoin([across.fliphor(), across.invert()]).copy(interpretation="srgb")
        picture.write_to_file(str(source), **save)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(source)],
            capture_output=True, text=True, timeout=100, check=False,
            cwd=Path(__file__).parents[3], env={"STAGE": "test"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 256
