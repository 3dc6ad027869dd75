"""Makes the variants of a picture that platforms need, once, when its upload has completed.

A file that was stored under earlier rules is examined first (`examine_again`), a video too.

The message that requests them may come twice, late, or for a deleted file. A copy's key is made from the original's key
and the plan's name, so a repetition writes the same copies.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.aws import storage
from shared.core.ids import MediaId, OrganizationId, new_id
from shared.core.log import log
from shared.db.session import read_only, unit_of_work
from shared.db.statement import to_json
from shared.media.convert import Decoded, Unreadable, WillNotFit, convert, decode
from shared.media.examine_again import examine_again
from shared.media.keys import thumbnail_key, variant_key
from shared.media.library import get_media_files
from shared.media.pick import MediaFile, StoredFile, StoredVariant
from shared.media.queries import KEEP_VARIANTS
from shared.providers.registry import specs
from shared.providers.variants import VariantPlan, needed_variants

_SMALL = VariantPlan("image/jpeg", width=512, height=512, max_bytes=None)
_RANGE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Copies:
    """The variants that were made of a picture. `damage` is a clause that says why none could be made."""

    variants: Sequence[StoredVariant] = ()
    thumbnail: StoredFile | None = None
    damage: str | None = None


def make_variants(
    organization_id: OrganizationId, media_id: MediaId, *, also: VariantPlan | None = None
) -> None:
    """Make and record the missing variants of a picture and its thumbnail.

    `also` is a variant that only one server needs, not a platform's table.

    An animated picture only gets a thumbnail, because its copies would be still. One that cannot be decoded is marked
    damaged, so that composing refuses it and posts that already hold it say why they fail.
    """
    file = _read(organization_id, media_id)
    if file is not None and not file.is_examined:
        examine_again(organization_id, file)
        file = _read(organization_id, media_id)
    if (
        file is None
        or file.info.is_video
        or file.damage is not None
        or (file.variants_made and not also)
    ):
        log.info("variants.skipped", extra={"media_id": str(media_id)})
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = _make_all(file, Path(folder), also)
    with unit_of_work() as session:
        kept = KEEP_VARIANTS.find(
            session,
            organization_id,
            media_id,
            thumbnail_key=copies.thumbnail.key if copies.thumbnail else None,
            damage=copies.damage,
            variants=to_json([_columns(variant) for variant in copies.variants]),
        )
    made = [variant.file for variant in copies.variants]
    if not kept:  # the sweep removed the file meanwhile
        for copy in [*made, *([copies.thumbnail] if copies.thumbnail else [])]:
            storage.delete(copy.key)
    log.info(
        "variants.made",
        extra={"media_id": str(media_id), "names": [v.name for v in copies.variants]},
    )


def _read(organization_id: OrganizationId, media_id: MediaId) -> MediaFile | None:
    with read_only() as session:
        files = get_media_files(session, organization_id, [media_id])
    return files[0] if files else None


def _columns(variant: StoredVariant) -> dict[str, str | int | None]:
    file = variant.file
    return {
        "id": str(new_id()),
        "name": variant.name,
        "key": file.key,
        "content_type": file.content_type,
        "size_bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
    }


def _make_all(file: MediaFile, folder: Path, also: VariantPlan | None) -> Copies:
    source = folder / "source"
    rules = {rules.images for spec in specs() for rules in spec.all_media}
    wanted = needed_variants(file.info, rules)
    if also is not None and not file.moves:
        wanted = (*wanted, also)
    plans = _missing(wanted, file.variants)
    if not plans and file.thumbnail_key == thumbnail_key(file.original.key):
        return Copies()  # its thumbnail proves that it could be decoded
    try:
        _download(file.original, source)
        largest = [_SMALL, *plans]
        picture = decode(
            source,
            folder / "rows",
            width=max(plan.width for plan in largest),
            height=max(plan.height for plan in largest),
        )
        variants: list[StoredVariant] = []
        for plan in plans:
            if not _missing([plan], variants):
                continue
            stored = _make(file, picture, plan, variant_key(file.original.key, plan.name))
            variants += [StoredVariant(plan.name, stored)] if stored else []
        thumbnail = None
        if not file.thumbnail_key:
            thumbnail = _make(file, picture, _SMALL, thumbnail_key(file.original.key))
    except storage.ObjectMissing:
        log.warning("variants.file_missing", extra={"media_id": str(file.id)})
        return Copies()
    except Unreadable as error:
        log.warning("variants.unreadable", extra={"media_id": str(file.id), "reason": str(error)})
        return Copies(damage="it cannot be decoded completely")
    return Copies(variants, thumbnail)


def _missing(plans: Sequence[VariantPlan], there: Sequence[StoredVariant]) -> Sequence[VariantPlan]:
    """List the plans that no copy fulfills, highest byte limit first: their copies often fulfill others too."""
    missing = [
        plan
        for plan in plans
        if not any(v.name == plan.name or _serves(v.file, plan) for v in there)
    ]
    return sorted(missing, key=lambda plan: plan.max_bytes or math.inf, reverse=True)


def _serves(copy: StoredFile, plan: VariantPlan) -> bool:
    """Return whether a variant fulfills `plan`: it has the same dimensions and type and is small enough in bytes."""
    is_alike = (copy.content_type, copy.width, copy.height) == (
        plan.content_type,
        plan.width,
        plan.height,
    )
    return is_alike and copy.size_bytes <= (plan.max_bytes or copy.size_bytes)


def _make(file: MediaFile, picture: Decoded, plan: VariantPlan, key: str) -> StoredFile | None:
    """Convert and store one variant; None if it cannot be made small enough."""
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
