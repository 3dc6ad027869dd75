"""Adds a file to the library: starts its upload, which goes directly to the storage in parts, and examines it on completion.

No transaction is open during requests to the storage. Completing can be repeated after any crash: it continues from what
the storage has, and every step leads to the same key.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor, Entry, entries_json
from shared.aws import storage
from shared.aws.storage import MAX_PARTS, ObjectMissing, PartsRefused, StoredObject, UploadedPart
from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId, new_id
from shared.core.log import log
from shared.core.ranges import Ranges
from shared.db.session import after_commit, read_only, unit_of_work
from shared.media import queries
from shared.media.errors import FileRefused, MediaNotFound, PartsDoNotMatch, UploadIsOver
from shared.media.keys import incoming_key, served_key
from shared.media.library import get_upload
from shared.media.models import MediaState
from shared.media.probe import Examined, FileInfo, check_size, examine
from shared.media.queries import MediaRow
from shared.media.quota import check_quota
from shared.media.schemas import MAX_URLS, NewUpload, PartUrl, PartUrls, UploadStarted
from shared.media.sniff import EXTENSIONS, is_video
from shared.media.variants import request_variants

_URLS_LIVE = timedelta(hours=1)
_MEBIBYTE = 1024**2
_LEAST_PART_BYTES = 8 * _MEBIBYTE
# A broken connection costs more with larger parts; this size needs only one answer's addresses up to 25 GB.
_USUAL_PART_BYTES = 256 * _MEBIBYTE


def start_upload(session: Session, actor: Actor, new: NewUpload) -> UploadStarted:
    """Start an upload and sign the addresses of its first parts.

    Raises:
        FileRefused: the reported type or size is not allowed.
        StorageFull: the organization may not store that much.
    """
    _check_claim(new)
    media_id, organization_id = MediaId(new_id()), actor.organization
    key = incoming_key(organization_id, media_id)
    check_quota(session, organization_id, new.size)
    upload_id = storage.create_multipart(key)
    queries.ADD_UPLOAD.run(
        session,
        organization_id,
        media_id=media_id,
        uploaded_by=actor.user_id,
        key=key,
        upload_id=upload_id,
        name=new.name,
        size_bytes=new.size,
    )
    count = part_count(new.size)
    signed = _sign(key, upload_id, new.size, range(1, min(count, MAX_URLS) + 1))
    return UploadStarted(
        id=media_id,
        upload_id=upload_id,
        part_size=part_size(new.size),
        part_count=count,
        parts=signed.parts,
        expires_at=signed.expires_at,
    )


def sign_parts(
    session: Session, organization_id: OrganizationId, media_id: MediaId, numbers: Sequence[int]
) -> PartUrls:
    """Sign addresses of further parts, or the same ones again.

    Raises:
        MediaNotFound: there is no such upload.
        UploadIsOver: it was completed or refused.
        InvalidInput: the upload has fewer parts.
    """
    upload = get_upload(session, organization_id, media_id)
    if upload.state != MediaState.UPLOADING or upload.upload_id is None:
        raise UploadIsOver
    count = part_count(upload.size_bytes)
    if beyond := [index for index, number in enumerate(numbers) if number > count]:
        problem = FieldProblem(
            f"numbers.{beyond[0]}",
            "out_of_range",
            f"This upload has {count} parts. Ask for one of them.",
        )
        raise InvalidInput("This part does not exist.", problems=[problem])
    return _sign(upload.key, upload.upload_id, upload.size_bytes, numbers)


def complete_upload(actor: Actor, media_id: MediaId, parts: Sequence[UploadedPart]) -> MediaRow:
    """Assemble the parts, examine the file, and move it to its public object key; or refuse and delete it.

    Completing a completed upload returns the file.

    Raises:
        MediaNotFound: there is no such upload.
        UploadIsOver: it was aborted or refused, or has expired.
        PartsDoNotMatch: the parts are not those that were uploaded.
        FileRefused: the file may not be stored; it is removed.
    """
    organization_id = actor.organization
    with read_only() as session:
        upload = get_upload(session, organization_id, media_id)
    if upload.state == MediaState.READY:
        return upload
    if upload.state == MediaState.REJECTED or upload.upload_id is None:
        raise UploadIsOver
    stored = _put_together(upload, parts)
    try:
        examined = _look_at(upload, stored)
    except FileRefused as refused:
        refuse_upload(organization_id, media_id, upload.key, refused)
        raise
    info = examined.info
    key = served_key(upload.key, info.content_type)
    try:
        store_examined(upload.key, key, examined, source=stored)
    except ObjectMissing as error:  # another request completed or aborted it at the same time
        raise UploadIsOver from error
    return add_to_library(actor, media_id, info, key=key, arrived_under=upload.key)


def store_examined(key: str, to: str, examined: Examined, *, source: StoredObject) -> None:
    """Store the examined file from `key` under its public object key `to`, without its metadata. Both can be the same.

    Raises:
        ObjectMissing: the object does not exist or has changed.
    """
    content_type = examined.info.content_type
    if examined.changed:
        storage.put_together(key, to, examined.content, source=source, content_type=content_type)
    elif to != key:
        storage.copy(key, to, source=source, content_type=content_type)


def add_to_library(
    actor: Actor,
    media_id: MediaId,
    info: FileInfo,
    *,
    key: str,
    arrived_under: str,
) -> MediaRow:
    """Add a file that is stored under its public object key to the library, and request its variants.

    The uploaded object is deleted.

    Raises:
        UploadIsOver: the upload was aborted in the meantime.
    """
    organization_id = actor.organization
    with unit_of_work() as session:
        media = queries.FINISH_UPLOAD.find(
            session,
            organization_id,
            media_id,
            key=key,
            content_type=info.content_type,
            size_bytes=info.size_bytes,
            width=info.width,
            height=info.height,
            duration_ms=info.duration_ms,
            moves=info.moves,
            damage=info.damage,
            turned=info.turned,
            variants_made=info.damage is not None or is_video(info.content_type),
            audit=entries_json(actor, Entry(Action.MEDIA_UPLOADED, media_id)),
        )
        if media is not None:
            after_commit(session, partial(_request_variants, media))
            if arrived_under != key:
                after_commit(session, partial(storage.delete, arrived_under))
    if media is None:
        return _already_over(organization_id, media_id, key)
    log.info(
        "upload.completed",
        extra={
            "media_id": str(media_id),
            "content_type": info.content_type,
            "size_bytes": info.size_bytes,
        },
    )
    return media


def refuse_upload(
    organization_id: OrganizationId, media_id: MediaId, key: str, refused: FileRefused
) -> None:
    """Delete the uploaded object `key`, and record that it was refused."""
    storage.delete(key)
    with unit_of_work() as session:
        queries.REFUSE_UPLOAD.run(session, organization_id, media_id)
    log.info("upload.refused", extra={"media_id": str(media_id), "reason": refused.reason})


def abort_upload(session: Session, organization_id: OrganizationId, media_id: MediaId) -> None:
    """Abort an upload and delete its parts.

    Raises:
        MediaNotFound: there is no upload in progress.
    """
    upload = queries.MARK_DELETED.find(session, organization_id, media_id, MediaState.UPLOADING)
    if upload is None:
        raise MediaNotFound
    after_commit(session, partial(_free, upload.key, upload.upload_id))


def part_size(size_bytes: int) -> int:
    """Return the part size for a file: whole mebibytes, at least 8, and few enough parts for the storage."""
    wanted = min(max(size_bytes / MAX_URLS, _LEAST_PART_BYTES), _USUAL_PART_BYTES)
    return math.ceil(max(wanted, size_bytes / MAX_PARTS) / _MEBIBYTE) * _MEBIBYTE


def part_count(size_bytes: int) -> int:
    """Return the number of parts of a file."""
    return math.ceil(size_bytes / part_size(size_bytes))


def _check_claim(new: NewUpload) -> None:
    claimed = (new.content_type or "").split(";")[0].strip().lower()
    kind = claimed.split("/")[0]
    is_known_refusal = claimed in {"image/svg+xml", "image/heic", "image/heif"} or (
        kind in {"audio", "text"}
        or (kind == "video" and claimed not in {"video/mp4", "video/x-m4v"})
    )
    if is_known_refusal:
        raise FileRefused(
            "unsupported_type",
            f"Files of type {claimed} cannot be stored. Upload a JPEG, PNG, GIF, WebP, AVIF, BMP "
            "or TIFF picture, or an MP4 video.",
            path="contentType",
        )
    # A file that is not declared as a picture may be a video, which may be larger; completion checks.
    check_size(claimed if claimed in EXTENSIONS else "video/mp4", new.size)


def _sign(key: str, upload_id: str, size_bytes: int, numbers: Sequence[int]) -> PartUrls:
    size = part_size(size_bytes)
    expires_at: datetime = clock.now() + _URLS_LIVE
    urls = [
        PartUrl(
            number=number,
            url=storage.presign_part(
                key,
                upload_id,
                number,
                size_bytes=min(size, size_bytes - (number - 1) * size),
                valid_for=_URLS_LIVE,
            ),
        )
        for number in numbers
    ]
    return PartUrls(parts=urls, expires_at=expires_at)


def _put_together(upload: MediaRow, parts: Sequence[UploadedPart]) -> StoredObject:
    assert upload.upload_id is not None
    try:
        storage.complete_multipart(upload.key, upload.upload_id, parts)
    except PartsRefused as error:
        message = (
            "These parts are not in storage. Upload the missing ones, or send the ETags that "
            "storage returned."
        )
        raise PartsDoNotMatch(message) from error
    except ObjectMissing:
        # The storage has no such upload: it expired, or a request that died completed it before recording that.
        log.info("upload.completed_before", extra={"media_id": str(upload.id)})
    try:
        return storage.head(upload.key)
    except ObjectMissing as error:
        raise UploadIsOver from error


def _look_at(upload: MediaRow, stored: StoredObject) -> Examined:
    if stored.size_bytes != upload.size_bytes:
        raise FileRefused(
            "size_differs",
            f"{upload.size_bytes:,} bytes were announced, but {stored.size_bytes:,} were "
            "uploaded. Upload the file again.",
            path="size",
        )

    def read(start: int, length: int) -> bytes:
        return storage.read_range(upload.key, start, length, etag=stored.etag)

    try:
        return examine(Ranges(read, stored.size_bytes))
    except ObjectMissing as error:
        raise UploadIsOver from error


def _request_variants(media: MediaRow) -> None:
    if not media.variants_made:
        request_variants([(media.organization_id, media.id)])


def _already_over(organization_id: OrganizationId, media_id: MediaId, key: str) -> MediaRow:
    """Handle an upload that another request ended: a completed one is fine, an aborted one raises."""
    with read_only() as session:
        try:
            media = get_upload(session, organization_id, media_id)
        except MediaNotFound as error:
            storage.delete(key)
            raise UploadIsOver from error
    if media.state != MediaState.READY:
        raise UploadIsOver
    return media


def _free(key: str, upload_id: str | None) -> None:
    if upload_id is not None:
        storage.abort_multipart(key, upload_id)
    storage.delete(key)
