"""What a JPEG's header says, and which of its bytes are the picture itself.

Sources: ITU-T T.81 annex B (segments), CIPA DC-008 4.5.4 (Exif in APP1), ICC.1:2022 annex B.4 (profiles in APP2), Adobe's
technical note 5116 (APP14); read 2026-11.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.exif import UPRIGHT, orientation
from shared.core.ranges import Broken, Ranges, Span

_MAX_SEGMENTS = 2_000  # real files have a few dozen before the picture
_SOF = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SOS, _EOI, _COMMENT = 0xDA, 0xD9, 0xFE
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_ICC = b"ICC_PROFILE\x00"
_COLOR_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A picture as stored, before it is turned as `orientation` (Exif's, 1 to 8) asks.

    `sampling` is each component's share of samples. `profile` are the pieces of its color profile, empty where there is
    none or it does not fit. `picture` are the pieces that a decoder needs: neither Exif data (place, camera), which tell
    more than the picture shows, nor comments, nor the profile. `adobe`: written by Adobe's rules, with CMYK inverted.
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
class _Segment:
    marker: int
    start: int  # of the marker
    end: int

    @property
    def body(self) -> int:
        return self.start + 4


def read_jpeg(file: Ranges) -> Jpeg:
    """Read a JPEG's header.

    Raises:
        Broken: it is damaged.
    """
    segments = list(_segments(file))
    frame = next((one for one in segments if one.marker in _SOF), None)
    if frame is None:
        raise Broken("no JPEG frame was found")
    components = file.number(frame.body + 5, 1)
    factors = [file.number(frame.body + 7 + 3 * index, 1) for index in range(components)]
    sampling = tuple((factor >> 4) * (factor & 15) for factor in factors)
    if not sampling or 0 in sampling:
        raise Broken("a JPEG component has no samples")
    exif = next((one for one in segments if _is(file, one, _APP1, b"Exif\x00\x00")), None)
    return Jpeg(
        width=file.number(frame.body + 3, 2),
        height=file.number(frame.body + 1, 2),
        sampling=sampling,
        progressive=frame.marker in _PROGRESSIVE,
        orientation=orientation(file, exif.body + 6, exif.end) if exif else UPRIGHT,
        adobe=any(_is(file, one, _APP14, b"Adobe") for one in segments),
        profile=_profile(file, segments, components),
        picture=_picture(file, segments),
    )


def _segments(file: Ranges) -> Iterator[_Segment]:
    """Yield the segments before the picture's data."""
    at = 2
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
        yield _Segment(marker, at, end)
        at = end
    raise Broken("it has too many JPEG segments")


def _is(file: Ranges, segment: _Segment, marker: int, name: bytes) -> bool:
    if segment.marker != marker or segment.end - segment.body < len(name):
        return False
    return file.at(segment.body, len(name)) == name


def _profile(file: Ranges, segments: list[_Segment], components: int) -> tuple[Span, ...]:
    """Name the pieces of the color profile, if they are complete, in order, and for these components."""
    found = [one for one in segments if _is(file, one, _APP2, _ICC) and one.end - one.body > 14]
    numbers = [file.at(one.body + len(_ICC), 2) for one in found]
    if numbers != [bytes((number, len(found))) for number in range(1, len(found) + 1)]:
        return ()
    if not found or found[0].end - found[0].body < 34:
        return ()
    if file.at(found[0].body + 14 + 16, 4) != _COLOR_SPACES.get(components):
        return ()
    return tuple(file.span(one.body + 14, one.end) for one in found)


def _picture(file: Ranges, segments: list[_Segment]) -> tuple[Span, ...]:
    pieces, at = [], 0
    for one in segments:
        if not _is_needed(file, one):
            pieces.append(file.span(at, one.start))
            at = one.end
    return (*pieces, file.span(at, file.size))


def _is_needed(file: Ranges, segment: _Segment) -> bool:
    """Keep what says how colors are stored (JFIF's and Adobe's own segments) and everything that is no metadata."""
    if segment.marker == _COMMENT:
        return False
    if segment.marker not in _APPLICATION:
        return True
    return _is(file, segment, _APP0, b"JFIF\x00") or _is(file, segment, _APP14, b"Adobe")
