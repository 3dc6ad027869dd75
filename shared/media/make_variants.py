"""How the copies of a picture that platforms need are made: once, when its upload has completed.

The message that asks for them may come twice, late, or for a file that is gone. Copies lie under keys that follow from
the original's key and the plan's name, so a repetition writes the same ones.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from shared.aws import storage
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.core.ranges import Broken, Ranges
from shared.db.session import read_only, unit_of_work
from shared.media import queries
from shared.media.convert import Unreadable, WillNotFit, convert, has_frames
from shared.media.keys import thumbnail_key, variant_key
from shared.media.pick import MediaFile, StoredFile, StoredVariant
from shared.media.pictures import read_picture
from shared.providers.registry import specs
from shared.providers.variants import VariantPlan, needed_variants

_SMALL = VariantPlan("image/jpeg", width=512, height=512, max_bytes=None)
_RANGE_BYTES = 4 * 1024**2


def make_variants(organization_id: OrganizationId, media_id: MediaId) -> None:
    """Make what is missing of a picture's copies and its thumbnail, and record it.

    A picture that moves gets a thumbnail only, because its copies would stand still. A damaged one gets nothing; that
    is recorded too, so that nobody waits for it.
    """
    with read_only() as session:
        files = queries.get_media_files(session, organization_id, [media_id])
    if not files or files[0].facts.is_video:
        log.info("variants.skipped", extra={"media_id": str(media_id)})
        return
    with tempfile.TemporaryDirectory() as folder:
        made, thumbnail = _made(files[0], Path(folder))
    with unit_of_work() as session:
        kept = queries.keep_variants(
            session,
            organization_id,
            media_id,
            made,
            thumbnail_key=thumbnail.key if thumbnail else None,
        )
    if not kept:  # the sweep removed the file meanwhile
        for copy in [*(variant.file for variant in made), *([thumbnail] if thumbnail else [])]:
            storage.delete(copy.key)
    log.info(
        "variants.made",
        extra={"media_id": str(media_id), "names": [variant.name for variant in made]},
    )


def _made(file: MediaFile, folder: Path) -> tuple[Sequence[StoredVariant], StoredFile | None]:
    source = folder / "source"
    try:
        _download(file.original, source)
        still = not _moves(file.original, source)
        plans = needed_variants(
            file.facts, {rules.images for spec in specs() for rules in spec.all_media}
        )
        there = {variant.name for variant in file.variants}
        variants = [
            StoredVariant(plan.name, stored)
            for plan in plans
            if still and plan.name not in there
            if (stored := _make(file, source, plan, variant_key(file.original.key, plan.name)))
        ]
        thumbnail = None
        if not file.thumbnail_key:
            thumbnail = _make(file, source, _SMALL, thumbnail_key(file.original.key))
    except (Unreadable, Broken, storage.ObjectMissing) as error:
        log.warning("variants.unreadable", extra={"media_id": str(file.id), "reason": str(error)})
        return (), None
    return variants, thumbnail


def _make(file: MediaFile, source: Path, plan: VariantPlan, key: str) -> StoredFile | None:
    """Convert and store one copy; None: it cannot be made small enough."""
    try:
        converted = convert(source, plan, source.with_name("copy"))
    except WillNotFit:
        log.warning("variant.will_not_fit", extra={"media_id": str(file.id), "plan": plan.name})
        return None
    with converted.path.open("rb") as content:
        storage.put(key, content, content_type=plan.content_type)
    return StoredFile(
        key, plan.content_type, converted.size_bytes, converted.width, converted.height
    )


def _moves(original: StoredFile, source: Path) -> bool:
    """Say whether a picture moves. Headers tell, except a GIF's, which must be walked through."""

    def read(start: int, length: int) -> bytes:
        with source.open("rb") as content:
            content.seek(start)
            return content.read(length)

    if original.content_type == "image/gif":
        return has_frames(source)
    return read_picture(Ranges(read, original.size_bytes), original.content_type).animated


def _download(original: StoredFile, to: Path) -> None:
    with to.open("wb") as content:
        for start in range(0, original.size_bytes, _RANGE_BYTES):
            length = min(_RANGE_BYTES, original.size_bytes - start)
            content.write(storage.read_range(original.key, start, length))
