"""How a file that was stored under earlier rules is examined by the present ones before it goes out anywhere.

Such a file may still hold metadata about place and people, and nobody knows whether only a note in it turns the picture.
It is examined when a post is about to go out with it, and all of them are in the end (`sweep.request_examinations`).
"""

from shared.aws import storage
from shared.aws.storage import ObjectMissing
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.core.ranges import Ranges
from shared.db.session import unit_of_work
from shared.media import queries
from shared.media.errors import FileRefused
from shared.media.pick import MediaFile
from shared.media.probe import examine
from shared.media.sniff import is_video
from shared.media.upload import store_examined

_GONE = "it is no longer in storage"
_REFUSED = "it fails the checks that new uploads pass"


def examine_again(organization_id: OrganizationId, file: MediaFile) -> None:
    """Take the metadata out of a stored file where it lies, and record its facts.

    A file that would not be accepted today is marked damaged, so that it does not go out with what it holds. Doing so
    twice is harmless.

    Raises:
        ObjectMissing: another process examined it at this moment; there is nothing left to do for this one.
    """
    media_id, key = MediaId(file.id), file.original.key
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
    facts = examined.facts
    values = {
        "size_bytes": facts.size_bytes,
        "width": facts.width,
        "height": facts.height,
        "duration_ms": facts.duration_ms,
        "moves": facts.moves,
        "turned": facts.turned,
        # The earlier copies may not be enough; the caller sees to them.
        "variants_made": facts.damage is not None or is_video(facts.content_type),
    }
    with unit_of_work() as session:
        queries.record_examination(session, organization_id, media_id, values, damage=facts.damage)
    log.info(
        "media.examined",
        extra={"media_id": str(media_id), "changed": examined.changed, "turned": facts.turned},
    )


def _record_damage(organization_id: OrganizationId, media_id: MediaId, damage: str) -> None:
    with unit_of_work() as session:
        queries.record_examination(session, organization_id, media_id, {}, damage=damage)
