"""Writes JPEGs into a PDF, one per page, without decoding them: a PDF contains a JPEG's bytes unchanged.

Only headers are in memory; a picture is read when its part of the document is read. img2pdf, fpdf2 and reportlab were
considered, but all of them load Pillow and build the whole document in memory.

Source: ISO 32000-1:2008 sections 7.5 (file structure), 8.6.5.5 (color profiles), 8.9.5 (images), 7.9.2.2 (text); read 2026-11.
"""

from collections.abc import Sequence

from shared.core.formats.exif import ON_ITS_SIDE
from shared.core.formats.jpeg import Jpeg
from shared.core.ranges import Assembled, Broken, Span

_HEADER = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"  # four bytes above 127 mark the file as binary
_COLOR_SPACES = {1: b"/DeviceGray", 3: b"/DeviceRGB", 4: b"/DeviceCMYK"}
_PAGES = 1  # the pages' parent is the first object, but is written last

# By Exif's orientation: the matrix that maps the unit square, in which a PDF draws a picture, to a page of width w and height h.
_MATRICES = {
    1: "{w} 0 0 {h} 0 0",
    2: "-{w} 0 0 {h} {w} 0",
    3: "-{w} 0 0 -{h} {w} {h}",
    4: "{w} 0 0 -{h} 0 {h}",
    5: "0 -{h} -{w} 0 {w} {h}",
    6: "0 -{h} {w} 0 0 {h}",
    7: "0 {h} {w} 0 0 0",
    8: "0 {h} -{w} 0 {w} 0",
}


def pdf_of(pictures: Sequence[Jpeg], *, title: str) -> Assembled:
    """Build a document with one page per picture, one point per pixel. The same pictures give the same bytes.

    Raises:
        Broken: a picture has a number of components that a PDF cannot show.
    """
    writer = _Writer()
    pages = [_page(writer, picture) for picture in pictures]
    kids = b" ".join(b"%d 0 R" % page for page in pages)
    writer.add(b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(pages), kids), number=_PAGES)
    catalog = writer.add(b"<< /Type /Catalog /Pages %d 0 R >>" % _PAGES)
    info = writer.add(b"<< /Title %b >>" % _text(title))
    return writer.finished(catalog, info)


def _page(writer: "_Writer", picture: Jpeg) -> int:
    width, height = picture.width, picture.height
    if picture.orientation in ON_ITS_SIDE:
        width, height = height, width
    image = _image(writer, picture)
    matrix = _MATRICES[picture.orientation].format(w=width, h=height)
    content = writer.add_stream(b"", [f"q {matrix} cm /Im Do Q".encode()])
    return writer.add(
        b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R "
        b"/Resources << /XObject << /Im %d 0 R >> >> >>" % (_PAGES, width, height, content, image)
    )


def _image(writer: "_Writer", picture: Jpeg) -> int:
    components = len(picture.sampling)
    if components not in _COLOR_SPACES:
        raise Broken(f"a picture of {components} components cannot be shown")
    space = _COLOR_SPACES[components]
    if picture.profile:
        entries = b" /N %d /Alternate %b" % (components, space)
        space = b"[/ICCBased %d 0 R]" % writer.add_stream(entries, picture.profile)
    inverted = b" /Decode [1 0 1 0 1 0 1 0]" if components == 4 and picture.adobe else b""
    entries = (
        b" /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace %b /BitsPerComponent 8"
        b" /Filter /DCTDecode%b" % (picture.width, picture.height, space, inverted)
    )
    return writer.add_stream(entries, picture.picture)


def _text(words: str) -> bytes:
    return b"<feff%b>" % words.encode("utf-16-be").hex().encode()


class _Writer:
    """A document that grows object by object. Objects are numbered, and their offsets are kept for the table at the end."""

    def __init__(self) -> None:
        self._pieces: list[bytes | Span] = [_HEADER]
        self._size = len(_HEADER)
        self._offsets = {_PAGES: 0}

    def add(self, *body: bytes | Span, number: int | None = None) -> int:
        number = number or len(self._offsets) + 1
        self._offsets[number] = self._size
        self._put(b"%d 0 obj\n" % number, *body, b"\nendobj\n")
        return number

    def add_stream(self, entries: bytes, content: Sequence[bytes | Span]) -> int:
        length = Assembled(content).size_bytes
        head = b"<< /Length %d%b >>\nstream\n" % (length, entries)
        return self.add(head, *content, b"\nendstream")

    def finished(self, catalog: int, info: int) -> Assembled:
        count, table_at = len(self._offsets) + 1, self._size
        lines = [b"%010d 00000 n \n" % self._offsets[number] for number in range(1, count)]
        self._put(
            b"xref\n0 %d\n0000000000 65535 f \n" % count,
            *lines,
            b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\n" % (count, catalog, info),
            b"startxref\n%d\n%%%%EOF\n" % table_at,
        )
        return Assembled(self._pieces)

    def _put(self, *pieces: bytes | Span) -> None:
        self._pieces += pieces
        self._size += Assembled(pieces).size_bytes
