"""Uploads files to LinkedIn (pictures and documents in one request, a video in pieces) and waits until they are processed.

Source: marketing/community-management/shares/{images,videos,documents}-api on learn.microsoft.com/en-us/linkedin, read
2026-11.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.core.cleaning import web_address
from shared.core.ranges import Assembled
from shared.providers.answers import objects_in, text_in
from shared.providers.base import OutgoingMedia, OutgoingPost, Processing, Staged
from shared.providers.errors import MediaRejected, PlatformUnavailable
from shared.providers.families.linkedin.rest import bearer, headers, page_urn, quoted
from shared.providers.http import Api
from shared.providers.uploads import RangeFile, is_time_short, read_range

UPLOAD_TIMEOUT = timedelta(minutes=2)
PROCESSING_PAUSE = timedelta(seconds=5)
# Our own limit, to keep memory use low; LinkedIn requests pieces of 4 MiB.
MAX_PIECE_BYTES = 8 * 1024 * 1024
_KINDS = {"image": "images", "video": "videos", "document": "documents"}


def stage_files(api: Api, post: OutgoingPost, progress: Mapping[str, Any]) -> Staged | Processing:
    """Upload each file, continuing where the last attempt stopped, then wait until all are available."""
    urns, video = list(progress.get("urns", [])), progress.get("video")
    for media in post.media[len(urns) :]:
        if is_time_short(api):
            return Processing({"urns": urns, "video": video}, after=timedelta(0))
        if not media.is_video:
            urns.append(_upload(api, "image", RangeFile(api, media), media.content_type))
            continue
        video = _continue_video(api, media, video or _begin_video(api, media))
        if len(video["etags"]) < len(video["pieces"]):
            return Processing({"urns": urns, "video": video}, after=timedelta(0))
        _finish_video(api, video)
        urns.append(video["urn"])
    return wait_for(api, urns, progress)


def upload_document(api: Api, document: Assembled, content_type: str) -> str:
    """Upload a document in one request, and return its URN."""
    return _upload(api, "document", RangeFile(api, document), content_type)


def wait_for(api: Api, urns: list[str], progress: Mapping[str, Any]) -> Staged | Processing:
    """Ask which of `urns` are available; those that already were are not requested again.

    Raises:
        MediaRejected: LinkedIn could not process a file.
    """
    waiting = [urn for urn in progress.get("waiting", urns) if not _is_available(api, urn)]
    if waiting:
        return Processing({"urns": urns, "waiting": waiting}, after=PROCESSING_PAUSE)
    return Staged({"urns": urns})


def _upload(api: Api, kind: str, file: RangeFile, content_type: str) -> str:
    upload, _ = _initialize(api, kind, {"owner": page_urn(api)})
    api.request(
        "PUT",
        upload["uploadUrl"],
        content=file,
        headers={**bearer(api), "Content-Type": content_type},
        timeout=UPLOAD_TIMEOUT,
    )
    return str(upload[kind])


def _begin_video(api: Api, media: OutgoingMedia) -> dict[str, Any]:
    wish = {
        "owner": page_urn(api),
        "fileSizeBytes": media.size_bytes,
        "uploadCaptions": False,
        "uploadThumbnail": False,
    }
    upload, pieces = _initialize(api, "video", wish, size=media.size_bytes)
    return {
        "urn": upload["video"],
        "token": text_in(upload, "uploadToken"),
        "pieces": pieces,
        "etags": [],
    }


def _continue_video(api: Api, media: OutgoingMedia, video: Mapping[str, Any]) -> dict[str, Any]:
    """Send pieces until none is left or time is short; there is one entry in `etags` per sent piece."""
    etags = list(video["etags"])
    for url, first, last in video["pieces"][len(etags) :]:
        answer = api.request(
            "PUT",
            url,
            content=read_range(api, media, first, last - first + 1),
            headers={"Content-Type": "application/octet-stream"},
            timeout=UPLOAD_TIMEOUT,
        )
        etags.append(answer.headers.get("etag", "").strip('"'))
        if is_time_short(api):
            break
    return {**video, "etags": etags}


def _finish_video(api: Api, video: Mapping[str, Any]) -> None:
    request = {
        "video": video["urn"],
        "uploadToken": video["token"],
        "uploadedPartIds": video["etags"],
    }
    api.request(
        "POST",
        "/rest/videos?action=finalizeUpload",
        json={"finalizeUploadRequest": request},
        headers=headers(api),
    )


def _initialize(
    api: Api, kind: str, wish: Mapping[str, Any], *, size: int | None = None
) -> tuple[dict[str, Any], list[list[Any]]]:
    """Ask for a file's upload address. With a `size`, return its pieces: the address, first and last byte of each.

    Raises:
        PlatformUnavailable: the answer has no such address, or its pieces do not match the file.
    """
    answer = api.request(
        "POST",
        f"/rest/{_KINDS[kind]}?action=initializeUpload",
        json={"initializeUploadRequest": wish},
        headers=headers(api),
    )
    required = [f"value.{kind}"] if size is not None else [f"value.{kind}", "value.uploadUrl"]
    upload: dict[str, Any] = api.read(answer, *required)["value"]
    pieces = [] if size is None else _pieces(upload, size)
    if not text_in(upload, kind).startswith(f"urn:li:{kind}:") or pieces is None:
        message = "LinkedIn did not say where to upload the file."
        raise api.with_evidence(PlatformUnavailable(message), answer)
    return upload, pieces


def _pieces(upload: Mapping[str, Any], size: int) -> list[list[Any]] | None:
    """Read the requested pieces of a file; None if they are not the whole file in order."""
    pieces: list[list[Any]] = []
    at = 0
    for piece in objects_in(upload, "uploadInstructions"):
        url, last = piece.get("uploadUrl"), piece.get("lastByte")
        if web_address(url) is None or not isinstance(last, int) or piece.get("firstByte") != at:
            return None
        if not at <= last < at + MAX_PIECE_BYTES:
            return None
        pieces.append([url, at, last])
        at = last + 1
    return pieces if at == size else None


def _is_available(api: Api, urn: str) -> bool:
    kind = _KINDS[urn.split(":")[2]]
    answer = api.request("GET", f"/rest/{kind}/{quoted(urn)}", headers=headers(api))
    body = api.read(answer, "status")
    if body["status"] == "PROCESSING_FAILED":
        reason = body.get("processingFailureReason") or "no reason was given"
        raise api.with_evidence(
            MediaRejected(f"LinkedIn could not process the file: {reason}"), answer
        )
    return bool(body["status"] == "AVAILABLE")
