"""Examines a file that was stored under earlier rules again before it is published.

Such a file may still contain metadata about location and people, and it is unknown whether Exif rotates the picture. It
is examined when a post is about to publish it; the sweep examines the rest (`sweep.request_examinations`).
"""

from shared.aws import storage
from shared.aws.storage import ObjectMissing
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.core.ranges import Ranges
from shared.db.session import unit_of_work
from shared.media.errors import FileRefused
from shared.media.pick import MediaFile
from shared.media.probe import examine
from shared.media.queries import RECORD_DAMAGE, RECORD_EXAMINATION
from shared.media.sniff import is_video
from shared.media.upload import store_examined

_GONE = "it is no longer in storage"
_REFUSED = "it fails the checks that new uploads pass"


def examine_again(organization_id: OrganizationId, file: MediaFile) -> None:
    """Remove the metadata from a stored file in place, and record its properties.

    A file that would not be accepted today is marked damaged, so that its metadata are not published. Doing this twice
    is harmless.

    Raises:
        ObjectMissing: another process examined it at the same time, so nothing is left to do.
    """
    media_id, key = file.id, file.original.key
    try:
        stored = storage.head(key)
    except ObjectMissing:
        _record_damage(organization_id, media_id, _GONE)
        return

    def read(start: int, length: int) -> bytes:
        return storage.read_range(key, start, length, etag=stored.etag)

    try:
        examined = examine(Ranges(read, stored.size_bytes))
    except FileRefused as refused:
        log.warning("media.refused", extra={"media_id": str(media_id), "reason": refused.reason})
        _record_damage(organization_id, media_id, _REFUSED)
        return
    store_examined(key, key, examined, source=stored)
    info = examined.info
    with unit_of_work() as session:
        RECORD_EXAMINATION.run(
            session,
            organization_id,
            media_id,
            size_bytes=info.size_bytes,
            width=info.width,
            height=info.height,
            duration_ms=info.duration_ms,
            moves=info.moves,
            turned=info.turned,
            # The earlier copies may not be enough; the caller makes the missing ones.
            variants_made=info.damage is not None or is_video(info.content_type),
            damage=info.damage,
        )
    log.info(
        "media.examined",
        extra={"media_id": str(media_id), "changed": examined.changed, "turned": info.turned},
    )


def _record_damage(organization_id: OrganizationId, media_id: MediaId, damage: str) -> None:
    with unit_of_work() as session:
        RECORD_DAMAGE.run(session, organization_id, media_id, damage)
