"""Whether metadata leave every type of file, the picture stays as it was, and damage is found on the way."""

import io
import struct

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.core.ranges import Ranges
from shared.media.errors import FileRefused
from shared.media.probe import Examined, examine
from tests.shared.media.files import (
    SECRET,
    a_bitmap,
    a_file,
    a_picture,
    a_track,
    an_animation,
    an_mp4,
    box,
    with_metadata,
    with_samples,
)

PICTURES = [".jpg", ".png", ".webp", ".tif", ".avif"]


def cleaned(content: bytes) -> bytes:
    examined = examine(a_file(content))
    return stored(examined)


def stored(examined: Examined) -> bytes:
    content = examined.content.read(0, examined.info.size_bytes)
    assert len(content) == examined.info.size_bytes
    return content


class TestPictures:
    """Finding 2.10: a JPEG, PNG or WebP with GPS and serial number was published and served with both."""

    @pytest.mark.parametrize("suffix", PICTURES)
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_nothing_but_profile_and_orientation_stays(self, suffix: str, orientation: int) -> None:
        content = with_metadata(suffix, orientation=orientation)
        clean = cleaned(content)
        assert SECRET not in clean
        assert b"xmpmeta" not in clean
        before = pyvips.Image.new_from_buffer(content, "")
        after = pyvips.Image.new_from_buffer(clean, "", fail_on="warning")
        assert (before - after).abs().max() == 0, "its pixels have changed"
        assert after.get("icc-profile-data") == before.get("icc-profile-data")
        assert _turned(after) == _turned(before)

    @pytest.mark.parametrize("suffix", PICTURES)
    def test_cleaning_again_changes_nothing(self, suffix: str) -> None:
        clean = cleaned(with_metadata(suffix, orientation=6))
        again = examine(a_file(clean))
        assert (again.changed, stored(again)) == (False, clean)

    def test_a_note_behind_the_picture_turns_it_too(self) -> None:
        """Some programs write a PNG's Exif data behind the picture, where a header's reader does not look."""
        upright, noted = a_picture(".png"), a_picture(".png", orientation=6)
        at, end = noted.index(b"eXIf") - 4, upright.index(b"IEND") - 4
        chunk = noted[at : at + 12 + int.from_bytes(noted[at : at + 4])]
        examined = examine(a_file(upright[:end] + chunk + upright[end:]))
        assert (examined.info.turned, examined.info.width, examined.info.height) == (
            True,
            48,
            64,
        )
        shown = pyvips.Image.new_from_buffer(stored(examined), "").autorot()
        assert (shown.width, shown.height) == (48, 64)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
    def test_what_lies_behind_the_picture_leaves(self, suffix: str) -> None:
        content = a_picture(suffix, keep="none")
        assert cleaned(content + SECRET * 3_000) == content

    def test_gif_keeps_frames_and_loops_and_loses_comments(self) -> None:
        content = an_animation(".gif")
        comment = b"\x21\xfe" + bytes([len(SECRET)]) + SECRET + b"\x00"
        xmp = b"\x21\xff\x0bXMP DataXMP" + SECRET + b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
        at = content.index(b"\x21\xf9")
        clean = cleaned(content[:at] + comment + xmp + content[at:])
        assert clean == content

    def test_a_thumbnail_of_an_earlier_picture_leaves_a_jpeg(self) -> None:
        written = io.BytesIO()
        Image.new("RGB", (64, 48)).save(written, "jpeg")
        content = written.getvalue()
        assert content[2:4] == b"\xff\xe0"
        pixels = (SECRET * 3)[:108]
        jfif = b"\xff\xe0" + struct.pack(">H", 16 + 108) + content[6:18] + b"\x06\x06" + pixels
        assert cleaned(content[:2] + jfif + content[20:]) == content

    def test_metadata_between_scans_leave(self) -> None:
        content = a_picture(".jpg", interlace=True, keep="none")
        comment = b"\xff\xfe" + struct.pack(">H", len(SECRET) + 2) + SECRET
        at = content.rindex(b"\xff\xda")
        assert cleaned(content[:at] + comment + content[at:]) == content

    def test_picture_without_metadata_is_not_rewritten(self) -> None:
        for content in (a_picture(".jpg", keep="none"), a_picture(".png", keep="none"), a_bitmap()):
            assert not examine(a_file(content)).changed

    def test_tiff_loses_what_no_kept_entry_leads_to(self) -> None:
        content = with_metadata(".tif")
        assert cleaned(content + SECRET).count(bytes(len(SECRET))) >= 1
        assert SECRET not in cleaned(content + SECRET)


def _turned(picture: pyvips.Image) -> int:
    return int(picture.get("orientation")) if picture.get_typeof("orientation") else 1


PLACE = box(b"\xa9xyz", struct.pack(">HH", len(SECRET), 0) + SECRET)
ITEMS = box(b"meta", bytes(4) + box(b"ilst", box(b"\xa9mak", SECRET)))
XMP = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + SECRET)


class TestFilms:
    """Finding 2.10: in MP4 the boxes with place, device and names are overwritten where they lie."""

    @pytest.mark.parametrize(
        "content",
        [
            an_mp4(in_moov=box(b"udta", PLACE + ITEMS)),
            an_mp4(in_moov=box(b"meta", box(b"keys", SECRET)), moov_last=True),
            an_mp4(in_moov=XMP),
            an_mp4(in_moov=a_track(b"soun", name=SECRET)),
            an_mp4(in_moov=box(b"free", SECRET)),
            an_mp4(in_track=box(b"udta", box(b"loci", SECRET)) + XMP),
            an_mp4(in_moov=a_track(b"meta", more=box(b"udta", PLACE))),
            an_mp4(behind=XMP + box(b"skip", SECRET) + box(b"SEFT", SECRET)),
            an_mp4(behind=box(b"uuid", SECRET, large=True)),
            an_mp4(behind=box(b"meta", bytes(4) + box(b"xml ", SECRET))),
            an_mp4(behind=box(b"emsg", SECRET)),
            an_mp4(in_moov=a_track(b"soun", table=box(b"stts", bytes(8)) + box(b"udta", PLACE))),
            an_mp4(behind=box(b"moof", box(b"traf", box(b"uuid", SECRET)) + box(b"meta", SECRET))),
        ],
    )
    def test_nothing_is_said_and_nothing_has_moved(self, content: bytes) -> None:
        assert SECRET in content
        clean = cleaned(content)
        assert SECRET not in clean
        assert len(clean) == len(content)
        assert clean.index(b"mdat") == content.index(b"mdat")
        assert examine(a_file(clean)).info == examine(a_file(content)).info
        assert cleaned(clean) == clean

    def test_how_a_film_for_glasses_is_projected_stays(self) -> None:
        spherical = box(b"uuid", bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + b"<rdf/>")
        assert spherical in cleaned(an_mp4(in_track=spherical))

    def test_times_of_recording_leave(self) -> None:
        content = an_mp4()
        at = content.index(b"mvhd") + 8
        told = content[:at] + b"\xde\xad\xbe\xef" + content[at + 4 :]
        assert cleaned(told) == cleaned(content)

    def test_tracks_that_are_neither_seen_nor_heard_become_free(self) -> None:
        clean = cleaned(an_mp4(in_moov=a_track(b"meta")))
        assert (clean.count(b"trak"), clean.count(b"free")) == (2, 1)

    @pytest.mark.parametrize("moov_last", [False, True])
    @pytest.mark.parametrize("wide", [False, True])
    @pytest.mark.parametrize("handler", [b"meta", b"text", b"tmcd"])
    def test_samples_of_such_tracks_leave_the_data(
        self, moov_last: bool, wide: bool, handler: bytes
    ) -> None:
        """Finding 2.10: GPMF and places along the way stayed in `mdat` when their track had become `free`."""
        samples = [(1_000, SECRET * 3), (30_000, SECRET), (31_000, SECRET * 2)]
        content = with_samples(samples, [(1, 1)], wide=wide, moov_last=moov_last, handler=handler)
        assert content.count(SECRET) == 6
        clean = cleaned(content)
        assert SECRET not in clean
        assert len(clean) == len(content)
        start = content.index(b"mdat") + 4
        kept = bytearray(content[start : start + 100_000])
        for at, sample in samples:
            kept[at : at + len(sample)] = bytes(len(sample))
        assert clean[start : start + 100_000] == kept, "something of picture or sound has changed"
        assert cleaned(clean) == clean

    def test_samples_that_share_a_chunk(self) -> None:
        samples = [(100, SECRET), (100 + len(SECRET), SECRET * 2), (5_000, SECRET * 4)]
        content = with_samples(samples, [(1, 2), (2, 1)], chunks=[100, 5_000])
        assert content.count(SECRET) == 7
        assert SECRET not in cleaned(content)

    def test_samples_of_one_size_need_no_list(self) -> None:
        content = with_samples([(at, SECRET) for at in (10, 500, 900)], [(1, 1)])
        assert SECRET not in cleaned(content)

    def test_an_hour_of_places_is_cleaned_with_few_reads(self) -> None:
        samples = [(at * 1_000, SECRET) for at in range(3_600)]
        content = with_samples(samples, [(1, 1)], media_bytes=3_700_000)
        read: list[int] = []

        def counted(start: int, length: int) -> bytes:
            read.append(length)
            return content[start : start + length]

        examined = examine(Ranges(counted, len(content)))
        assert SECRET not in stored(examined)
        assert len(read) < 50

    @pytest.mark.parametrize("table", [b"stsz", b"stsc"])
    def test_a_track_whose_samples_cannot_be_found_is_refused(self, table: bytes) -> None:
        content = with_samples([(1_000, SECRET)], [(1, 1)]).replace(table, b"xxxx")
        with pytest.raises(FileRefused, match="the position of a metadata track is missing"):
            examine(a_file(content))

    def test_a_film_that_would_be_sent_anew_for_minutes_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.media.clean_boxes._MOST_REWRITTEN", 50_000)
        cleaned(with_samples([(at * 900, SECRET) for at in range(100)], [(1, 1)]))
        with pytest.raises(FileRefused, match="is spread over more than 1 GiB"):
            cleaned(with_samples([(at * 900, SECRET) for at in range(101)], [(1, 1)]))

    def test_such_a_track_in_fragments_is_refused(self) -> None:
        header = box(b"tfhd", struct.pack(">II", 0, 9))
        content = with_samples([(1_000, SECRET)], [(1, 1)]) + box(b"moof", box(b"traf", header))
        with pytest.raises(FileRefused, match="continues in fragments"):
            examine(a_file(content))
        other = box(b"moof", box(b"traf", box(b"tfhd", struct.pack(">II", 0, 1))))
        assert SECRET not in cleaned(with_samples([(1_000, SECRET)], [(1, 1)]) + other)

    def test_a_table_that_points_elsewhere_overwrites_nothing_else(self) -> None:
        content = with_samples([(1_000, SECRET)], [(1, 1)], chunks=[-40])
        clean = cleaned(content)
        at = content.index(b"mdat")
        assert clean[at : at + 4] == b"mdat"
        assert examine(a_file(clean)).info == examine(a_file(content)).info

    def test_little_of_a_large_film_is_read(self) -> None:
        content = an_mp4(in_moov=box(b"udta", PLACE), moov_last=True, media_bytes=30_000_000)
        read: list[int] = []

        def counted(start: int, length: int) -> bytes:
            read.append(length)
            return content[start : start + length]

        examine(Ranges(counted, len(content)))
        assert sum(read) < 1_000_000


class TestDamage:
    """Finding 1.9: a picture or film that was cut off was accepted, and published half gray."""

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".avif", ".tif", ".bmp"])
    def test_a_picture_cut_off_after_two_thirds(self, suffix: str) -> None:
        content = (
            a_bitmap(width=640, height=480)
            if suffix == ".bmp"
            else a_picture(suffix, width=640, height=480)
        )
        assert examine(a_file(content)).info.damage is None
        if suffix == ".tif":
            content = _directory_first(content)
        damage = examine(a_file(content[: len(content) * 2 // 3])).info.damage
        assert damage is not None
        assert damage.startswith("it ends")

    def test_half_of_a_fast_start_film(self) -> None:
        content = an_mp4(media_bytes=100_000)
        info = examine(a_file(content[:50_000])).info
        assert info.damage == "it ends before its picture and sound do"

    def test_half_of_a_film_whose_data_name_no_length(self) -> None:
        offsets = box(b"stco", struct.pack(">IIII", 0, 2, 1_000, 90_000))
        table = box(
            b"mdia",
            box(b"minf", box(b"stbl", offsets)) + box(b"hdlr", bytes(8) + b"soun" + bytes(12)),
        )
        content = an_mp4(media_bytes=100_000, in_moov=box(b"trak", table))
        at = content.index(b"mdat") - 4
        content = content[:at] + bytes(4) + content[at + 4 :]
        assert examine(a_file(content)).info.damage is None
        assert examine(a_file(content[:50_000])).info.damage is not None

    def test_what_is_cut_off_says_nothing_either(self) -> None:
        content = an_mp4(behind=box(b"uuid", SECRET * 10))
        assert SECRET not in cleaned(content[:-20])

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_whatever_is_broken_nothing_leaks_and_nothing_crashes(
        self, data: st.DataObject
    ) -> None:
        content = bytearray(data.draw(st.sampled_from(_FILES)))
        secrets = content.count(SECRET)
        assert secrets
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(content[: data.draw(st.integers(1, len(content)))])
        try:
            examined = examine(a_file(cut))
        except FileRefused:
            return
        stored(examined)


class TestMoves:
    @pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
    def test_a_picture_of_several_frames_does(self, suffix: str) -> None:
        """Finding 1.8: the properties of a file include `moves`."""
        assert examine(a_file(an_animation(suffix))).info.moves
        assert not examine(a_file(a_picture(suffix))).info.moves


def _directory_first(content: bytes) -> bytes:
    """Write a TIFF's directory before its strips, as programs that write for the web do."""
    picture = pyvips.Image.new_from_buffer(content, "")
    pixels = bytes(picture.write_to_memory())
    entries = [
        (256, 4, 1, picture.width), (257, 4, 1, picture.height), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8 + 2 + 12 * 9 + 4), (277, 3, 1, 3), (278, 4, 1, picture.height),
        (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    written = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        written += struct.pack("<HHII", tag, kind, count, value)
    return written + bytes(4) + pixels


_FILES = [
    *(with_metadata(suffix, orientation=6) for suffix in PICTURES),
    an_mp4(in_moov=box(b"udta", PLACE + ITEMS) + XMP, behind=XMP),
    with_samples([(1_000, SECRET), (2_000, SECRET)], [(1, 1)]),
]
