"""Files of the library: direct uploads to storage, the list, and a file's description."""

from typing import Annotated

from fastapi import Query

from shared.access.actor import actor_of
from shared.aws.storage import UploadedPart
from shared.core.ids import MediaId
from shared.media import library
from shared.media.edit import delete_media, edit_media
from shared.media.quota import count_stored, quota_of
from shared.media.schemas import (
    CompletedUpload,
    MediaEdit,
    MediaFilter,
    MediaInformation,
    MediaList,
    MediaOut,
    MediaRemoved,
    NewUpload,
    PartUrls,
    StorageOut,
    UploadStarted,
    WantedParts,
)
from shared.media.upload import abort_upload, complete_upload, sign_parts, start_upload
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router

media = Router(prefix="/media", tags=["Media"])


@media.post("", status_code=201)
def create_media(body: NewUpload, member: Acting, session: Writing) -> UploadStarted:
    """Start an upload.

    Returns signed addresses for the parts of a file, which the client then PUTs directly to the storage.
    """
    return start_upload(session, actor_of(member), body)


@media.post("/information", status_code=201)
def update_media_information(body: MediaInformation, member: Acting, session: Writing) -> MediaOut:
    """Change a file named in the body.

    Sets name, alternative text and thumbnail. The same as `PUT /media/{media_id}`.
    """
    return MediaOut.of(edit_media(session, actor_of(member), body.id, body))


@media.post("/{media_id}/parts", status_code=201)
def sign_media_parts(
    media_id: MediaId, body: WantedParts, member: Acting, session: Reading
) -> PartUrls:
    """Sign further parts of an upload.

    For parts that have no signed address yet or whose address has expired.
    """
    return sign_parts(session, member.organization_id, media_id, body.numbers)


@media.post("/{media_id}/complete", status_code=201)
def complete_media_upload(media_id: MediaId, body: CompletedUpload, member: Acting) -> MediaOut:
    """Complete an upload.

    Checks the uploaded bytes, and adds the file to the library or refuses and deletes it.
    """
    parts = [UploadedPart(part.number, part.etag) for part in body.parts]
    return MediaOut.of(complete_upload(actor_of(member), media_id, parts))


@media.delete("/{media_id}/upload")
def abort_media_upload(media_id: MediaId, member: Acting, session: Writing) -> MediaRemoved:
    """Abort an upload. Deletes its uploaded parts."""
    abort_upload(session, member.organization_id, media_id)
    return MediaRemoved(id=media_id)


@media.get("")
def list_media(
    wanted: Annotated[MediaFilter, Query()], member: Acting, session: Reading
) -> MediaList:
    """List the library.

    Newest first, with a cursor; or, with `page`, 18 files a page and the number of pages.
    """
    return library.list_library(session, member.organization_id, wanted)


@media.get("/storage")
def get_media_storage(member: Acting, session: Reading) -> StorageOut:
    """Read how much storage the organization uses."""
    return StorageOut(
        used=count_stored(session, member.organization_id).used,
        limit=quota_of(member.allowances).limit,
    )


@media.get("/{media_id}")
def get_media(media_id: MediaId, member: Acting, session: Reading) -> MediaOut:
    """Read a file's description."""
    return MediaOut.of(library.get_media(session, member.organization_id, media_id))


@media.put("/{media_id}")
def update_media(media_id: MediaId, body: MediaEdit, member: Acting, session: Writing) -> MediaOut:
    """Change a file.

    Sets name, alternative text and thumbnail. A field that is left out stays unchanged; null clears it.
    """
    return MediaOut.of(edit_media(session, actor_of(member), media_id, body))


@media.delete("/{media_id}", operation_id="deleteMedia")
def remove_media(media_id: MediaId, member: Acting, session: Writing) -> MediaRemoved:
    """Remove a file from the library.

    Posts that already use it are still published with it. Its bytes are deleted when no post uses it.
    """
    delete_media(session, actor_of(member), media_id)
    return MediaRemoved(id=media_id)


app = make_app("media", routers=[media])
handler = as_handler(app)
