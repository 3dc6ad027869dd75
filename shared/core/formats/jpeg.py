"""Reads a JPEG's header and finds the bytes that are the picture.

Sources: ITU-T T.81 annex B (segments), CIPA DC-008 4.5.4 (Exif in APP1), ICC.1:2022 annex B.4 (profiles in APP2), Adobe's
technical note 5116 (APP14); read 2026-11.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.core.formats.exif import UPRIGHT, orientation
from shared.core.ranges import Broken, Ranges, Span

_MAX_SEGMENTS = 2_000  # real files have a few dozen before the picture
_SOF = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SOS, _EOI, _COMMENT = 0xDA, 0xD9, 0xFE
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_JFIF, _EXIF, _ICC, _ADOBE = b"JFIF\x00", b"Exif\x00\x00", b"ICC_PROFILE\x00", b"Adobe"
_ICC_DATA = len(_ICC) + 2  # after the piece's number and the number of pieces
_HEAD_BYTES = (
    _ICC_DATA + 20
)  # up to the profile's color space; a frame of up to four components is shorter
_COLOR_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A picture as stored, before it is rotated by `orientation` (Exif's, 1 to 8).

    `sampling` is each component's share of samples. `profile` contains the pieces of its color profile, and is empty if there
    is none or it does not match. `picture` contains the pieces that a decoder needs, without Exif data (such as place and
    camera, which reveal more than the picture shows), comments and the profile. `adobe` means Adobe's rules: inverted CMYK.
    """

    width: int
    height: int
    sampling: tuple[int, ...]
    progressive: bool
    orientation: int
    adobe: bool
    profile: tuple[Span, ...]
    picture: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with its data, in the file from `start` to `end`.

    `head` contains the first bytes after the marker and the length.
    """

    marker: int
    start: int
    end: int
    head: bytes

    def is_a(self, marker: int, name: bytes) -> bool:
        """Return whether it is an application segment with this name."""
        return self.marker == marker and self.head.startswith(name)

    @property
    def is_exif(self) -> bool:
        """True if it contains Exif data, which begin at `exif_start`."""
        return self.is_a(_APP1, _EXIF)

    @property
    def exif_start(self) -> int:
        """The position of its Exif data in the file."""
        return self.start + 4 + len(_EXIF)

    @property
    def is_jfif(self) -> bool:
        """True if it is JFIF's segment, which can contain a thumbnail."""
        return self.is_a(_APP0, _JFIF)

    @property
    def is_profile(self) -> bool:
        """True if it is a piece of the color profile."""
        return self.is_a(_APP2, _ICC)

    @property
    def is_picture(self) -> bool:
        """True if a decoder needs it: color information, and everything that is not metadata."""
        if self.marker == _COMMENT:
            return False
        if self.marker not in _APPLICATION:
            return True
        return self.is_jfif or self.is_a(_APP14, _ADOBE)


def read_jpeg(file: Ranges) -> Jpeg:
    """Read a JPEG's header.

    Raises:
        Broken: the file is damaged.
    """
    found = list(segments(file))
    frame = next((one for one in found if one.marker in _SOF), None)
    if frame is None:
        raise Broken("no JPEG frame was found")
    sampling = _sampling(frame.head)
    exif = next((one for one in found if one.is_exif), None)
    turned = orientation(file, exif.exif_start, exif.end) if exif else UPRIGHT
    return Jpeg(
        width=int.from_bytes(frame.head[3:5]),
        height=int.from_bytes(frame.head[1:3]),
        sampling=sampling,
        progressive=frame.marker in _PROGRESSIVE,
        orientation=turned,
        adobe=any(one.is_a(_APP14, _ADOBE) for one in found),
        profile=_profile(file, found, len(sampling)),
        picture=_picture(file, found),
    )


def segments(file: Ranges, at: int = 2) -> Iterator[Segment]:
    """Yield the segments from `at` to the picture's data, in one pass: some profiles are longer than several windows.

    Raises:
        Broken: the file ends before, or contains something else.
    """
    for _ in range(_MAX_SEGMENTS):
        if file.number(at, 1) != 0xFF:
            raise Broken(f"no JPEG segment begins at {at}")
        marker = file.number(at + 1, 1)
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in {_SOS, _EOI}:
            return
        end = at + 2 + file.number(at + 2, 2)
        yield Segment(marker, at, end, file.at(at + 4, max(0, min(_HEAD_BYTES, end - at - 4))))
        at = end
    raise Broken("it has too many JPEG segments")


def _sampling(frame: bytes) -> tuple[int, ...]:
    components = frame[5] if len(frame) > 5 else 0
    factors = frame[7 : 7 + 3 * components : 3]
    sampling = tuple((factor >> 4) * (factor & 15) for factor in factors)
    if not sampling or len(sampling) != components or 0 in sampling:
        raise Broken("a JPEG component has no samples")
    return sampling


def _profile(file: Ranges, before: Sequence[Segment], components: int) -> tuple[Span, ...]:
    """Return the pieces of the color profile, if they are complete, in order, and match the components."""
    found = [one for one in before if one.is_profile]
    numbers = [one.head[len(_ICC) : _ICC_DATA] for one in found]
    if not found or len(found) > 255:
        return ()
    if numbers != [bytes((number, len(found))) for number in range(1, len(found) + 1)]:
        return ()
    if found[0].head[_ICC_DATA + 16 : _ICC_DATA + 20] != _COLOR_SPACES.get(components):
        return ()
    return tuple(file.span(one.start + 4 + _ICC_DATA, one.end) for one in found)


def _picture(file: Ranges, before: Sequence[Segment]) -> tuple[Span, ...]:
    pieces, at = [], 0
    for one in before:
        if not one.is_picture:
            pieces.append(file.span(at, one.start))
            at = one.end
    return (*pieces, file.span(at, file.size))
