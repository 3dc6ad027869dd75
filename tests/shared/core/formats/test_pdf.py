"""Whether a document of pictures is one that others can read, page by page."""

import io
from collections.abc import Iterable
from typing import Any

import pytest
from PIL import Image, ImageOps
from pypdf import PdfReader
from pypdf.generic import ContentStream

from shared.core.formats.jpeg import Jpeg
from shared.core.formats.pdf import pdf_of
from shared.core.ranges import Assembled, Span
from tests.shared.core.pictures import CAMERA, a_jpeg, a_profile, read


def written(*pictures: bytes | Jpeg, title: str = "slides") -> bytes:
    document = pdf_of(
        [one if isinstance(one, Jpeg) else read(one) for one in pictures], title=title
    )
    return document.read(0, document.size_bytes)


def opened(document: bytes) -> PdfReader:
    """The document as another program reads it; strictly: a wrong offset is an error."""
    return PdfReader(io.BytesIO(document), strict=True)


def image_of(document: bytes, page: int = 0) -> Any:
    return opened(document).pages[page]["/Resources"]["/XObject"]["/Im"]  # type: ignore[index]


def corner(color: Any) -> tuple[int, ...]:
    """The color that was meant, since a JPEG's is never quite it."""
    return tuple(round(value / 255) for value in color)


def whole(pieces: Iterable[Span]) -> bytes:
    assembled = Assembled(pieces)
    return assembled.read(0, assembled.size_bytes)


class TestPdfOf:
    def test_has_a_page_for_each_picture_as_large_as_it(self) -> None:
        document = opened(written(a_jpeg(60, 40), a_jpeg(30, 90), a_jpeg(400, 200, mode="L")))
        assert [tuple(page.mediabox) for page in document.pages] == [
            (0, 0, 60, 40),
            (0, 0, 30, 90),
            (0, 0, 400, 200),
        ]

    def test_its_table_says_where_each_object_begins(self) -> None:
        document = written(a_jpeg(), a_jpeg(icc_profile=a_profile()), title="slides")
        start = int(document.rpartition(b"startxref\n")[2].split()[0])
        title, span, free, *entries = document[start:].partition(b"trailer")[0].splitlines(True)
        assert (title, span) == (b"xref\n", b"0 %d\n" % (len(entries) + 1))
        assert {len(entry) for entry in (free, *entries)} == {20}
        for number, entry in enumerate(entries, 1):
            assert document[int(entry.split()[0]) :].startswith(b"%d 0 obj\n" % number)

    @pytest.mark.parametrize("title", ["slides", "Eulen (schön) \\ 🦉", ""])
    def test_has_a_title_in_any_script(self, title: str) -> None:
        document = written(a_jpeg(), title=title)
        metadata = opened(document).metadata
        assert metadata is not None
        assert (metadata.title or "") == title
        assert b"<feff%b>" % title.encode("utf-16-be").hex().encode() in document

    def test_holds_the_pictures_as_they_are_without_their_origin(self) -> None:
        first, second = a_jpeg(), a_jpeg(30, 90, progressive=True)
        document = written(first, second)
        assert CAMERA.encode() not in document
        for page, content in enumerate((first, second)):
            image = image_of(document, page)
            stream = image._data
            assert stream == whole(read(content).picture)
            assert Image.open(io.BytesIO(stream)).tobytes() == Image.open(io.BytesIO(content)).tobytes()  # fmt: skip

    @pytest.mark.parametrize(
        ("mode", "space"), [("L", "/DeviceGray"), ("RGB", "/DeviceRGB"), ("CMYK", "/DeviceCMYK")]
    )
    def test_says_how_colors_are_stored(self, mode: str, space: str) -> None:
        image = image_of(written(a_jpeg(mode=mode)))
        assert (image["/Filter"], image["/ColorSpace"]) == ("/DCTDecode", space)
        inverted = [1, 0] * 4 if mode == "CMYK" else None
        assert image.get("/Decode") == inverted

    def test_keeps_the_colors_profile(self) -> None:
        image = image_of(written(a_jpeg(icc_profile=a_profile())))
        kind, profile = image["/ColorSpace"]
        assert kind == "/ICCBased"
        assert profile.get_object()["/N"] == 3
        assert profile.get_object().get_data() == a_profile()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_turns_a_picture_as_the_camera_asked(self, orientation: int) -> None:
        content = a_jpeg(60, 40, orientation=orientation)
        stored = Image.open(io.BytesIO(content)).convert("RGB")
        upright = ImageOps.exif_transpose(stored)
        page = opened(written(content)).pages[0]
        assert tuple(page.mediabox[2:]) == upright.size
        drawn = ContentStream(page.get_contents(), page.pdf)
        a, b, c, d, e, f = next(
            map(float, operands) for operands, operator in drawn.operations if operator == b"cm"
        )
        for right, down in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
            across, up = right, 1 - down  # a PDF's origin is below
            x, y = a * across + c * up + e, b * across + d * up + f
            shown = upright.getpixel((int(x), int(upright.height - y)))
            assert corner(shown) == corner(stored.getpixel((int(right * 60), int(down * 40))))

    def test_the_same_pictures_give_the_same_bytes(self) -> None:
        assert written(a_jpeg(), a_jpeg()) == written(a_jpeg(), a_jpeg())

    @pytest.mark.parametrize("size", [1, 7, 1_000, 10**6])
    def test_can_be_read_in_ranges_of_any_size(self, size: int) -> None:
        document = pdf_of([read(a_jpeg()), read(a_jpeg(30, 90))], title="slides")
        starts = range(0, document.size_bytes, size)
        parts = [document.read(start, size) for start in starts]
        assert b"".join(parts) == document.read(0, document.size_bytes)
        assert max(map(len, parts)) <= size

    def test_three_hundred_pages(self) -> None:
        picture = read(a_jpeg(8, 8))
        document = opened(written(*[picture] * 300))
        assert len(document.pages) == 300
        assert tuple(document.pages[299].mediabox) == (0, 0, 8, 8)
