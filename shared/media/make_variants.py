"""How the copies of a picture that platforms need are made: once, when its upload has completed.

The message that asks for them may come twice, late, or for a file that is gone. Copies lie under keys that follow from
the original's key and the plan's name, so a repetition writes the same ones.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.aws import storage
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.db.session import read_only, unit_of_work
from shared.media import queries
from shared.media.convert import Decoded, Unreadable, WillNotFit, convert, decode
from shared.media.keys import thumbnail_key, variant_key
from shared.media.pick import MediaFile, StoredFile, StoredVariant
from shared.providers.registry import specs
from shared.providers.variants import VariantPlan, needed_variants

_SMALL = VariantPlan("image/jpeg", width=512, height=512, max_bytes=None)
_RANGE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Copies:
    """What was made of a picture. `damage` is a clause that says why it was nothing."""

    variants: Sequence[StoredVariant] = ()
    thumbnail: StoredFile | None = None
    damage: str | None = None


def make_variants(organization_id: OrganizationId, media_id: MediaId) -> None:
    """Make what is missing of a picture's copies and its thumbnail, and record it.

    A picture that moves gets a thumbnail only, because its copies would stand still. One that cannot be decoded is
    marked damaged, so that composing refuses it and posts that hold it already say why they fail.
    """
    with read_only() as session:
        files = queries.get_media_files(session, organization_id, [media_id])
    if not files or files[0].facts.is_video:
        log.info("variants.skipped", extra={"media_id": str(media_id)})
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = _make_all(files[0], Path(folder))
    with unit_of_work() as session:
        kept = queries.keep_variants(
            session,
            organization_id,
            media_id,
            copies.variants,
            thumbnail_key=copies.thumbnail.key if copies.thumbnail else None,
            damage=copies.damage,
        )
    made = [variant.file for variant in copies.variants]
    if not kept:  # the sweep removed the file meanwhile
        for copy in [*made, *([copies.thumbnail] if copies.thumbnail else [])]:
            storage.delete(copy.key)
    log.info(
        "variants.made",
        extra={"media_id": str(media_id), "names": [v.name for v in copies.variants]},
    )


def _make_all(file: MediaFile, folder: Path) -> Copies:
    source = folder / "source"
    try:
        _download(file.original, source)
        plans = needed_variants(
            file.facts, {rules.images for spec in specs() for rules in spec.all_media}
        )
        there = {variant.name for variant in file.variants}
        largest = [_SMALL, *plans]
        picture = decode(
            source,
            folder / "rows",
            width=max(plan.width for plan in largest),
            height=max(plan.height for plan in largest),
        )
        variants = [
            StoredVariant(plan.name, stored)
            for plan in plans
            if plan.name not in there
            if (stored := _make(file, picture, plan, variant_key(file.original.key, plan.name)))
        ]
        thumbnail = None
        if not file.thumbnail_key:
            thumbnail = _make(file, picture, _SMALL, thumbnail_key(file.original.key))
    except storage.ObjectMissing:
        log.warning("variants.file_missing", extra={"media_id": str(file.id)})
        return Copies()
    except Unreadable as error:
        log.warning("variants.unreadable", extra={"media_id": str(file.id), "reason": str(error)})
        return Copies(damage="it cannot be decoded as a whole")
    return Copies(variants, thumbnail)


def _make(file: MediaFile, picture: Decoded, plan: VariantPlan, key: str) -> StoredFile | None:
    """Convert and store one copy; None: it cannot be made small enough."""
    try:
        converted = convert(picture, plan, picture.path.with_name("copy"))
    except WillNotFit:
        log.warning("variant.will_not_fit", extra={"media_id": str(file.id), "plan": plan.name})
        return None
    with converted.path.open("rb") as content:
        storage.put(key, content, content_type=plan.content_type)
    return StoredFile(
        key, plan.content_type, converted.size_bytes, converted.width, converted.height
    )


def _download(original: StoredFile, to: Path) -> None:
    with to.open("wb") as content:
        for start in range(0, original.size_bytes, _RANGE_BYTES):
            length = min(_RANGE_BYTES, original.size_bytes - start)
            content.write(storage.read_range(original.key, start, length))
