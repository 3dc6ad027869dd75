"""Removes metadata about location, people and devices from MP4 and AVIF files.

Everything is overwritten in place: a box becomes a `free` box of the same length, a metadata item becomes zeros. So
nothing moves, the offsets inside the file stay valid, and all but a few bytes can be copied inside the storage.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 annex A (items), QuickTime File Format (`udta`, `meta`), Apple's
timed metadata and GoPro's GPMF (tracks of the handler `meta`); read 2026-11.
"""

from collections.abc import Collection, Iterator, Sequence

from shared.core.ranges import Broken, Ranges, Scattered
from shared.media.boxes import Box, boxes, find_box, whole
from shared.media.clean_samples import fragment_track_id, sample_ranges, track_id
from shared.media.pieces import Cleaned, Patched

_FREE = b"free"
# The boxes that a player needs, by their container. Others describe the video, or their meaning is unknown.
_KEPT = {
    "": {"ftyp", "styp", "moov", "moof", "mdat", "sidx", "ssix", "mfra", "pdin"},
    "moov": {"mvhd", "trak", "mvex", "iods", "pssh"},
    "trak": {"tkhd", "mdia", "edts", "tref", "trgr", "tapt", "clip", "matt"},
    "mdia": {"mdhd", "hdlr", "minf", "elng"},
    "minf": {"vmhd", "smhd", "nmhd", "gmhd", "hdlr", "dinf", "stbl"},
    "stbl": {
        *("stsd", "stts", "ctts", "cslg", "stsc", "stsz", "stz2", "stco", "co64", "stss", "stsh"),
        *("stps", "padb", "stdp", "sdtp", "sbgp", "sgpd", "subs", "saiz", "saio", "senc"),
    },
    "moof": {"mfhd", "traf", "pssh"},
    "traf": {"tfhd", "tfdt", "trun", "sdtp", "sbgp", "sgpd", "subs", "saiz", "saio", "senc"},
    "meta": {"hdlr", "pitm", "iinf", "iloc", "iprp", "iref", "ipro", "idat", "grpl", "dinf"},
}
# Holds the items of an AVIF picture. In an MP4 it describes the video, as `moov`'s `meta` does, and no player needs it.
_KEPT_IN_AVIF = _KEPT[""] | {"meta"}
# Says how a VR video is projected. Source: github.com/google/spatial-media/blob/master/docs/spherical-video-rfc.md,
# read 2026-11.
_SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_SHOWN_OR_HEARD = frozenset({b"vide", b"soun", b"auxv"})
_COMPRESSOR_AT, _COMPRESSOR_BYTES = 42, 32  # in a visual sample entry
# A video with patches everywhere is downloaded and uploaded in full, within the request that completes its upload.
_FEW_RANGES, _MOST_REWRITTEN = 100, 1024**3
_NAME_AT = 24  # in `hdlr`
# Items that are pictures or describe how they are assembled; others are Exif, XMP, or left by other software.
_PICTURE_ITEMS = frozenset({b"av01", b"grid", b"iovl", b"iden", b"tmap"})
_MAX_ITEMS = 2_000
_MAX_EXTENTS = 10_000  # of all items together; in real files each item has one


def clean_mp4(file: Ranges) -> Cleaned:
    """Overwrite metadata in an MP4, and find out whether the file is complete.

    Tracks that are neither video nor audio (GPS tracks, subtitles with locations) become `free` too, and their samples
    become zeros.
    """
    patched = Patched(file)
    damage = _clean_top(file, patched, _KEPT[""])
    return patched.cleaned(damage=damage)


def clean_avif(file: Ranges) -> Cleaned:
    """Overwrite metadata in an AVIF picture or sequence.

    Raises:
        Broken: the positions of its items cannot be read, so metadata could remain.
    """
    patched = Patched(file)
    kinds = find_box(file, whole(file), "ftyp")
    moves = kinds is not None and b"avis" in file.at(kinds.start, min(kinds.end - kinds.start, 256))
    damage = _clean_top(file, patched, _KEPT_IN_AVIF)
    meta = find_box(file, whole(file), "meta")
    if meta is not None:
        inside = Box("meta", meta.start + 4, meta.end, meta.begins)  # past its version and flags
        damage = _clean_items(file, patched, inside) or damage
    return patched.cleaned(moves=moves, damage=damage)


def _clean_top(file: Ranges, patched: Patched, kept: Collection[str]) -> str | None:
    """Walk through the whole file and keep boxes of the types `kept`; return what is wrong with it, or None."""
    found, damage = [], None
    try:
        for box in boxes(file, 0, file.size, cut=True):
            found.append(box)
    except Scattered:
        raise
    except Broken:
        damage = "it ends before its picture and sound do"
    data = [box for box in found if box.type == "mdat"]
    hidden: set[int | None] = set()
    for box in found:
        if box.type == "moov":
            hidden |= _clean_movie(file, patched, box, data)
        elif box.type == "moof":
            _clean_fragment(file, patched, box, hidden)
        else:
            _free_unless_kept(file, patched, box, kept)
    return damage or _data_behind_the_end(file)


def _kept(file: Ranges, patched: Patched, container: Box) -> Iterator[Box]:
    """Yield the boxes of a container that a player needs; the others become `free`."""
    for box in boxes(file, container.start, container.end):
        if _free_unless_kept(file, patched, box, _KEPT[container.type]):
            yield box


def _clean_fragment(
    file: Ranges, patched: Patched, fragment: Box, hidden: Collection[int | None]
) -> None:
    for inner in _kept(file, patched, fragment):
        if inner.type != "traf":
            continue
        if hidden and fragment_track_id(file, inner) in hidden:
            raise Broken("a metadata track, such as locations, continues in fragments")
        list(_kept(file, patched, inner))


def _clean_movie(
    file: Ranges, patched: Patched, movie: Box, data: Sequence[Box]
) -> set[int | None]:
    """Clean a `moov`, and blank the samples of its hidden tracks in `data`; return the numbers of those tracks."""
    tracks = []
    for box in _kept(file, patched, movie):
        if box.type == "trak":
            tracks.append(box)
        elif box.type == "mvhd":
            _blank_times(file, patched, box)
    kept_tracks = [track for track in tracks if _handler(file, track) in _SHOWN_OR_HEARD]
    hidden = [track for track in tracks if track not in kept_tracks]
    ranges = sample_ranges(file, hidden, data)
    if len(ranges) > _FEW_RANGES and file.size > _MOST_REWRITTEN:
        raise Scattered("a metadata track, such as locations, is spread over more than 1 GiB")
    for start, end in ranges:
        patched.blank_unread(start, end)
    numbers = {track_id(file, track) for track in hidden}
    for track in kept_tracks:
        _clean_track(file, patched, track, has_all_references=not hidden)
    for track in hidden:
        _free(patched, track)
    return numbers


def _clean_track(file: Ranges, patched: Patched, track: Box, *, has_all_references: bool) -> None:
    for box in _kept(file, patched, track):
        if box.type == "tkhd":
            _blank_times(file, patched, box)
        elif box.type == "tref" and not has_all_references:  # to a track that was removed
            _free(patched, box)
        elif box.type == "mdia":
            _clean_track_media(file, patched, box)


def _clean_track_media(file: Ranges, patched: Patched, media: Box) -> None:
    for box in _kept(file, patched, media):
        if box.type == "mdhd":
            _blank_times(file, patched, box)
        elif box.type == "hdlr":  # the name of the software or camera that wrote it
            patched.blank(box.start + _NAME_AT, box.end)
        elif box.type == "minf":
            for inner in _kept(file, patched, box):
                if inner.type == "hdlr":
                    patched.blank(inner.start + _NAME_AT, inner.end)
                elif inner.type == "stbl":
                    list(_kept(file, patched, inner))
            entries = find_box(file, box, "stbl", "stsd")
            if entries is not None and _handler(file, media) == b"vide":
                _blank_compressors(file, patched, entries)


def _blank_compressors(file: Ranges, patched: Patched, entries: Box) -> None:
    for entry in boxes(file, entries.start + 8, entries.end):
        end = entry.start + _COMPRESSOR_AT + _COMPRESSOR_BYTES
        if end <= entry.end:
            patched.blank(entry.start + _COMPRESSOR_AT, end)


def _handler(file: Ranges, inside: Box) -> bytes:
    """Return the handler type of a track or its `mdia`."""
    path = ("mdia", "hdlr") if inside.type == "trak" else ("hdlr",)
    handler = find_box(file, inside, *path)
    return file.at(handler.start + 8, 4) if handler else b""


def _blank_times(file: Ranges, patched: Patched, header: Box) -> None:
    """Overwrite the times of recording and modification."""
    is_long = file.number(header.start, 1) == 1
    patched.blank(header.start + 4, header.start + (20 if is_long else 12))


def _free_unless_kept(file: Ranges, patched: Patched, box: Box, kept: Collection[str]) -> bool:
    """Return whether a box is kept; make it `free` if not."""
    if box.type in kept or _is_spherical(file, box):
        return True
    _free(patched, box)
    return False


def _is_spherical(file: Ranges, box: Box) -> bool:
    fits = box.type == "uuid" and box.end - box.start >= len(_SPHERICAL)
    return fits and file.at(box.start, len(_SPHERICAL)) == _SPHERICAL


def _free(patched: Patched, box: Box) -> None:
    """Turn a box into an empty `free` box."""
    patched.put(box.begins + 4, _FREE)
    patched.blank(box.start, box.end)


def _data_behind_the_end(file: Ranges) -> str | None:
    """Compare the data positions of the tracks with the file's end: the last `mdat` may have no length."""
    movie = find_box(file, whole(file), "moov")
    for track in boxes(file, movie.start, movie.end) if movie else ():
        table = find_box(file, track, "mdia", "minf", "stbl") if track.type == "trak" else None
        for box in boxes(file, table.start, table.end) if table else ():
            size = {"stco": 4, "co64": 8}.get(box.type)
            count = file.number(box.start + 4, 4) if size else 0
            if size and count and box.start + 8 + size * count <= box.end:
                last = file.number(box.start + 8 + size * (count - 1), size)
                if last >= file.size:
                    return "it ends before its picture and sound do"
    return None


# The items of an AVIF


def _clean_items(file: Ranges, patched: Patched, meta: Box) -> str | None:
    """Overwrite items that are not pictures; report if one lies beyond the file's end."""
    for box in _kept(file, patched, meta):
        if box.type == "hdlr":
            patched.blank(box.start + _NAME_AT, box.end)
    kinds = dict(_item_types(file, meta))
    damage = None
    for item, start, length in _item_places(file, meta):
        if start + length > file.size:
            damage = "it ends in the middle of the picture"
        if kinds.get(item, b"") not in _PICTURE_ITEMS:
            patched.blank(start, start + length)
    return damage


def _item_types(file: Ranges, meta: Box) -> Iterator[tuple[int, bytes]]:
    table = find_box(file, meta, "iinf")
    if table is None:
        return
    head = 6 if file.number(table.start, 1) == 0 else 8
    for entry in boxes(file, table.start + head, table.end):
        version = file.number(entry.start, 1)
        if version < 2:
            raise Broken(f"its list of items has the unknown version {version}")
        id_bytes = 2 if version == 2 else 4
        item = file.number(entry.start + 4, id_bytes)
        yield item, file.at(entry.start + 4 + id_bytes + 2, 4)


def _item_places(file: Ranges, meta: Box) -> Iterator[tuple[int, int, int]]:
    """Yield item, start in the file and length of every piece of every item.

    An extent may be empty, so the number of extents has its own limit.
    """
    table = find_box(file, meta, "iloc")
    if table is None:
        return
    version = file.number(table.start, 1)
    sizes = file.number(table.start + 4, 2)
    offset_bytes, length_bytes = sizes >> 12, sizes >> 8 & 15
    base_bytes, index_bytes = sizes >> 4 & 15, (sizes & 15 if version else 0)
    id_bytes, at = (2 if version < 2 else 4), table.start + 6
    count = file.number(at, id_bytes)
    at += id_bytes
    passed = 0
    for _ in range(min(count, _MAX_ITEMS)):
        item = file.number(at, id_bytes)
        at += id_bytes
        method = 0
        if version:
            method = file.number(at, 2) & 15
            at += 2
        at += 2  # which file: this one
        base = file.number(at, base_bytes) if base_bytes else 0
        extents = file.number(at + base_bytes, 2)
        at += base_bytes + 2
        passed += extents
        if passed > _MAX_EXTENTS:
            raise Scattered("it has too many items")
        for _ in range(extents):
            at += index_bytes
            offset = file.number(at, offset_bytes) if offset_bytes else 0
            length = file.number(at + offset_bytes, length_bytes) if length_bytes else 0
            at += offset_bytes + length_bytes
            yield item, _origin(file, meta, method) + base + offset, length or file.size
    if count > _MAX_ITEMS:
        raise Broken("it has too many items")


def _origin(file: Ranges, meta: Box, method: int) -> int:
    """Return the position from which an item's offset is counted."""
    if method == 0:
        return 0
    data = find_box(file, meta, "idat") if method == 1 else None
    if data is None:
        raise Broken("one of its items is stored in an unsupported way")
    return data.start
