"""Detects a file's type from its first bytes; its name and the browser's type are ignored.

Signatures: the PNG, GIF, TIFF and WebP specifications, ISO/IEC 14496-12 for `ftyp`, and mp4ra.org/registered-types/brands
(read 2026-11).
"""

from shared.media.errors import FileRefused

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/tiff": "tiff",
    "video/mp4": "mp4",
}
"""The allowed types with their extensions. SVG is not allowed, because it can contain scripts."""

HEAD_BYTES = 4_096

_MP4_BRANDS = frozenset({
    "isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8", "iso9", "isoa", "isob",
    "isoc", "mp41", "mp42", "mp71", "avc1", "hvc1", "dash", "msdh", "cmfc", "cmf2", "mmp4",
    "MSNV", "M4V", "M4VH", "M4VP", "F4V", "NDSC", "NDSM", "NDSP", "NDSS", "XAVC",
})  # fmt: skip
_HEIF_BRANDS = frozenset({"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"})
_REFUSED = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video; convert it to MP4"),
    (b"FLV\x01", "a Flash video; convert it to MP4"),
    (b"ID3", "an audio file"),
    (b"OggS", "an Ogg file; convert videos to MP4"),
    (b"8BPS", "a Photoshop document; export it as PNG or JPEG"),
    (b"\x00\x00\x01\xba", "an MPEG program stream; convert it to MP4"),
    (b"\xff\x0a", "a JPEG XL picture; save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture; save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture; save it as JPEG or PNG"),
    (b"II+\x00", "a BigTIFF picture; save it as TIFF or PNG"),
    (b"MM\x00+", "a BigTIFF picture; save it as TIFF or PNG"),
)


def sniff(head: bytes) -> str:
    """Return which of `EXTENSIONS` the file is; `head` is its first `HEAD_BYTES` bytes, or all of a smaller file.

    Raises:
        FileRefused: it has another type; the message names it if known.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "image/bmp"
    if head.startswith((b"II*\x00", b"MM\x00*")):
        return "image/tiff"
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    raise _unsupported(_name(head))


def is_video(content_type: str) -> bool:
    """Return whether a stored type is a video."""
    return content_type.startswith("video/")


def _iso_media(head: bytes) -> str:
    """Distinguish the many formats that begin with a `ftyp` box: by its main brand, then by the compatible ones."""
    end = min(int.from_bytes(head[:4]), len(head))
    fields = [head[8:12]] + [head[at : at + 4] for at in range(16, end - 3, 4)]
    brands = [field.decode("latin-1").strip() for field in fields]
    if not {"avif", "avis"}.isdisjoint(brands):
        return "image/avif"
    if not _HEIF_BRANDS.isdisjoint(brands):
        raise _unsupported(
            "a HEIC picture; save it as JPEG (on an iPhone: Camera, Formats, Most Compatible)"
        )
    if brands[0] == "qt":
        raise _unsupported("a QuickTime video (MOV); convert it to MP4")
    if brands[0] in {"M4A", "M4B"}:
        raise _unsupported("an audio file")
    if not _MP4_BRANDS.isdisjoint(brands):
        return "video/mp4"
    raise _unsupported(f"a media file of the unknown brand {brands[0]!r}; convert videos to MP4")


def _name(head: bytes) -> str:
    for signature, name in _REFUSED:
        if head.startswith(signature):
            return name
    if head.startswith(b"RIFF"):
        return "an AVI video or a WAV file; convert videos to MP4"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<") and b"<svg" in text:
        return "an SVG drawing, which can contain scripts; export it as PNG"
    if text.startswith(b"<"):
        return "a web page or an XML document"
    return "of an unknown type"


def _unsupported(what: str) -> FileRefused:
    return FileRefused(
        "unsupported_type",
        f"This file is {what}. Upload a JPEG, PNG, GIF, WebP, AVIF, BMP or TIFF picture, or an "
        "MP4 video.",
    )
