"""Adds programs' files to the library: a small file in the request, or any file by its address.

A file that is too large for a function's request is uploaded as in the console, with the same API key: `POST /media` signs
addresses for its parts. Refusals that a program can avoid that way say so.
"""

import functools
import hashlib
import time
from datetime import timedelta
from http import HTTPStatus
from typing import IO, Final
from urllib.parse import unquote

import httpx
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session

from shared.audit.entries import Actor
from shared.aws.storage import public_url
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId
from shared.core.net import (
    ENDS_AT,
    AddressRefused,
    AnswerPacked,
    AnswerTooLarge,
    check_url,
    guarded_client,
)
from shared.core.reach import Reach
from shared.core.wire import RequestModel, WireModel
from shared.db.session import unit_of_work
from shared.media.errors import FileRefused
from shared.media.keys import stored_name
from shared.media.library import get_upload
from shared.media.models import MediaState
from shared.media.queries import MARK_DELETED, MediaRow
from shared.media.receive import (
    Expected,
    expect_file,
    given_name,
    hash_of,
    look_at,
    receive,
    store_file,
)
from shared.media.schemas import MediaOut
from shared.organizations.idempotency import RequestKey, earlier_answer, keep_answer
from shared.public_api.errors import Refused, bad_request
from shared.public_api.post_schemas import ENDINGS

# An invocation has at most 6 MB, its body in base64. Source: AWS Lambda quotas, read 2026-11.
MAX_FILE_BYTES: Final = 4_500_000
MAX_BODY_BYTES: Final = MAX_FILE_BYTES + 100_000  # for the form around the file
# API Gateway times out after 29 seconds, and the last part must still be stored. Source: HTTP API quotas, read 2026-11.
MAX_FETCH_TIME: Final = timedelta(seconds=25)
ALTERNATIVE: Final = "POST /media"
_BY_ADDRESS = "POST /public/v1/upload-from-url"
_SCOPE, _SCOPE_BY_ADDRESS = "POST /public/v1/upload", _BY_ADDRESS
_IN_PARTS = f"Upload it in parts with the same key: {ALTERNATIVE} signs an address for each."
_HTTPS = 443
_MAX_REDIRECTS = 3
_UNSUPPORTED = "Unsupported file type."
_TOO_LARGE = "File is too large."
_NOT_FETCHED = "Failed to fetch URL"


class FileAddress(RequestModel):
    """A file's address."""

    model_config = ConfigDict(extra="ignore")

    url: str = Field(
        max_length=2_000,
        description="https; its path ends in .png, .jpg, .jpeg, .gif, .webp or .mp4.",
        examples=["https://pictures.example.org/beach.jpg"],
    )


class PublicMedia(WireModel):
    """A file that was added to the library."""

    id: MediaId
    name: str = Field(
        description="Its stored name.", examples=["9b2f1c0e5d7a4f38a6c1e2d3b4f5a697.png"]
    )
    original_name: str | None = Field(description="Its original name; null if unknown.")
    path: str = Field(description="Its public address, for the `image` of a post.")
    thumbnail: str | None = Field(description="Null: it is created later.")
    alt: str | None = Field(description="Null: a post or `PUT /media/{media_id}` sets it.")

    @classmethod
    def of(cls, media_id: MediaId, key: str, original_name: str | None) -> "PublicMedia":
        """Convert a file that has only a name so far."""
        stored = stored_name(key)
        return cls(
            id=media_id,
            name=stored,
            original_name=None if original_name == stored else original_name,
            path=public_url(key),
            thumbnail=None,
            alt=None,
        )


def too_large_to_send(_max_bytes: int) -> Refused:
    """Refuse a request that is too large for a function, and say what to do instead."""
    message = (
        f"A file sent this way may have at most {MAX_FILE_BYTES:,} bytes. {_IN_PARTS} "
        f"Or give its address to {_BY_ADDRESS}."
    )
    also = {"maxBytes": MAX_FILE_BYTES, "alternative": ALTERNATIVE}
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, error="Payload Too Large", also=also
    )


def no_file() -> Refused:
    """Report that the form has no field `file` with a file in it."""
    return bad_request("No file provided")


def upload(
    reach: Reach,
    actor: Actor,
    file: IO[bytes],
    *,
    file_name: str | None,
    key: str | None,
) -> PublicMedia:
    """Add a file of a request to the library. With `key`, the same file is stored only once.

    Raises:
        Refused: it may not be stored.
        KeyReused: the key was sent with another file before.
    """
    try:
        examined = look_at(file)
    except FileRefused as refused:
        raise _as_refused(refused) from refused
    organization_id = actor.organization
    request = RequestKey(_SCOPE, key, hash_of(file)) if key else None
    with unit_of_work() as session:
        if request and (answer := earlier_answer(session, reach, request)):
            media_out = PublicMedia.model_validate_json(answer)
            media = get_upload(session, organization_id, media_out.id)
            if media.state == MediaState.READY:
                return media_out
            # The request that started it has died or is still running; both lead to the same file.
            expected = Expected(media.id, media.key)
        else:
            name = given_name(file_name)
            expected = expect_file(session, actor, examined.info, name=name)
            media_out = PublicMedia.of(expected.media_id, expected.key, name)
            if request:
                _keep(session, reach, request, media_out)
    store_file(actor, expected, examined)
    return media_out


def upload_from_url(
    reach: Reach,
    actor: Actor,
    address: FileAddress,
    *,
    key: str | None,
) -> PublicMedia:
    """Fetch a file into the library. With `key`, the same address is fetched only once.

    Raises:
        InvalidInput: the address is not one that is fetched.
        Refused: it cannot be fetched, or may not be stored.
        KeyReused: the key was sent with another address before.
    """
    organization_id = actor.organization
    request = (
        RequestKey(_SCOPE_BY_ADDRESS, key, hashlib.sha256(address.url.encode()).digest())
        if key
        else None
    )
    if request:
        with unit_of_work() as session:
            if answer := earlier_answer(session, reach, request):
                return PublicMedia.model_validate_json(answer)
    media = _import(actor, address.url, within=MAX_FETCH_TIME)
    media_out = PublicMedia.of(media.id, media.key, media.original_name)
    if request:
        with unit_of_work() as session:
            if answer := earlier_answer(session, reach, request):
                # Another request with the key was faster; the file that both fetched is stored once.
                MARK_DELETED.run(session, organization_id, media.id, MediaState.READY)
                return PublicMedia.model_validate_json(answer)
            _keep(session, reach, request, media_out)
    return media_out


def import_from_url(
    actor: Actor,
    url: str,
    *,
    within: timedelta = MAX_FETCH_TIME,
) -> MediaOut:
    """Fetch a file from a public https address into the library; `id` and `path` identify it.

    Do not call this inside a transaction: it waits for other servers, and opens its own transactions.

    Raises:
        InvalidInput: the address is not one that is fetched.
        Refused: it cannot be fetched within that time, or may not be stored; the message says why.
    """
    return MediaOut.of(_import(actor, url, within=within))


def _import(actor: Actor, url: str, *, within: timedelta) -> MediaRow:
    address = _read(url)
    client = _client(settings().media_max_video_bytes)
    ends_at = time.monotonic() + within.total_seconds()
    try:
        with client.stream("GET", address, extensions={ENDS_AT: ends_at}) as response:
            if response.status_code != HTTPStatus.OK:
                raise _not_fetched(f"Its server answered {response.status_code}.")
            return receive(
                actor,
                response.iter_raw(),
                announced_bytes=_announced(response),
                name=given_name(unquote(address.path)),
            )
    except FileRefused as refused:
        raise _as_refused(refused) from refused
    except AnswerPacked as error:
        raise _not_fetched("Its server compresses the file in an unsupported way.") from error
    except AnswerTooLarge as error:
        raise _as_refused(_too_large(settings().media_max_video_bytes)) from error
    except httpx.TimeoutException as error:
        raise _too_slow(within, is_over=time.monotonic() >= ends_at) from error
    except AddressRefused as error:
        raise _not_fetched("It leads to an address that is not public or not https.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _not_fetched("Its server cannot be reached, or closed the connection.") from error


@functools.cache
def _client(max_bytes: int) -> httpx.Client:
    return guarded_client(
        max_bytes=max_bytes,
        max_time=MAX_FETCH_TIME,
        max_redirects=_MAX_REDIRECTS,
        only_port=_HTTPS,
    )


def _read(url: str) -> httpx.URL:
    """Check an address by its text alone. Its resolved IP address is checked when it is fetched."""
    try:
        address = httpx.URL(url)
        check_url(address, only_port=_HTTPS)
    except httpx.InvalidURL as error:
        raise _bad_url(
            "This is not a full address. Enter one that begins with https://."
        ) from error
    except AddressRefused as error:
        raise _bad_url(str(error)) from error
    if not address.path.lower().endswith(ENDINGS):
        raise _bad_url(f"The path must end in one of {', '.join(ENDINGS)}.")
    return address


def _bad_url(message: str) -> InvalidInput:
    problem = FieldProblem("url", "invalid_url", message)
    return InvalidInput("The address cannot be fetched.", problems=[problem])


def _announced(response: httpx.Response) -> int | None:
    length_given = response.headers.get("content-length", "")
    return int(length_given) if length_given.isascii() and length_given.isdigit() else None


def _not_fetched(reason: str) -> Refused:
    return Refused(
        HTTPStatus.BAD_REQUEST,
        f"{_NOT_FETCHED}. {reason}",
        error=HTTPStatus.BAD_REQUEST.phrase,
        also={"msg": _NOT_FETCHED},
    )


def _too_slow(within: timedelta, *, is_over: bool) -> Refused:
    if not is_over:
        return _not_fetched("Its server does not answer.")
    refused = _not_fetched(
        f"It did not arrive within {within.total_seconds():.0f} seconds. {_IN_PARTS}"
    )
    refused.also["alternative"] = ALTERNATIVE
    return refused


def _too_large(max_bytes: int) -> FileRefused:
    message = f"Videos can have at most {max_bytes:,} bytes; this file has more. Use a smaller one."
    return FileRefused("too_large", message, path="size")


def _as_refused(refused: FileRefused) -> Refused:
    """Explain why a file is not stored in the words that programs know."""
    known = {"unsupported_type": _UNSUPPORTED, "too_large": _TOO_LARGE}.get(refused.reason)
    message = _UNSUPPORTED if known == _UNSUPPORTED else refused.message
    return Refused(
        HTTPStatus.BAD_REQUEST,
        message,
        error=HTTPStatus.BAD_REQUEST.phrase,
        also={"msg": known} if known else None,
        problems=refused.problems,
    )


def _keep(session: Session, reach: Reach, request: RequestKey, media_out: PublicMedia) -> None:
    keep_answer(
        session,
        reach,
        request,
        status=HTTPStatus.CREATED,
        response=media_out.model_dump_json(by_alias=True),
    )
