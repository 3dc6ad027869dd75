"""Finds the library file of each image of a body by its path, and fetches files that are not stored yet."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from shared.access.charge import charge
from shared.access.policy import FETCHES
from shared.audit.entries import Actor
from shared.aws.storage import key_of
from shared.core.errors import InvalidInput
from shared.core.ids import MediaId, OrganizationId
from shared.db.session import read_only
from shared.media.library import get_media_files
from shared.posts.draft import as_id, id_in_address, refusal
from shared.posts.schemas import MAX_DELAY_MINUTES, ImageIn, PartIn
from shared.public_api.errors import Refused, bad_request
from shared.public_api.post_schemas import PublicImage, PublicPart
from shared.public_api.uploads import MAX_FETCH_TIME, import_from_url

MAX_FETCHED = 10

Taken = Mapping[str, MediaId]
"""The library file of each fetched external address."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An image with an external address, and its path in the body."""

    image: PublicImage
    path: str


def images_elsewhere(parts: Sequence[PublicPart], prefix: str = "") -> Iterator[Elsewhere]:
    """Find the images whose addresses are not in the library."""
    for number, part in enumerate(parts):
        for index, image in enumerate(part.image):
            if not _is_ours(image.path):
                yield Elsewhere(image, f"{prefix}value.{number}.image.{index}.path")


def find_by_id(
    session: Session, organization_id: OrganizationId, images: Sequence[Elsewhere]
) -> Taken:
    """Find the images whose ids are library files."""
    ids = {one.image.path: media_id for one in images if (media_id := as_id(one.image.id, MediaId))}
    if not ids:
        return {}
    files = get_media_files(session, organization_id, list(set(ids.values())))
    usable = {file.id for file in files if not file.is_deleted}
    return {address: media_id for address, media_id in ids.items() if media_id in usable}


def fetch(actor: Actor, images: Sequence[Elsewhere], known: Taken) -> Taken:
    """Fetch images that are not `known` into the library, each address once, within the time limit of a single one.

    Do not call this inside a transaction: it waits for other servers.

    Raises:
        InvalidInput: an address cannot be fetched, or there are too many.
        RateLimitReached: too many were fetched for the organization in this minute.
    """
    first_named = {one.image.path: one for one in reversed(images)}
    wanted = [
        one for one in images if one.image.path not in known and first_named[one.image.path] is one
    ]
    if len(wanted) > MAX_FETCHED:
        words = f"At most {MAX_FETCHED} files are fetched for one request. Upload the others first."
        raise refusal(wanted[MAX_FETCHED].path, "too_many_files", words)
    if wanted:
        with read_only() as session:
            charge(session, actor.organization, FETCHES, times=len(wanted))
    ends_at, taken = time.monotonic() + MAX_FETCH_TIME.total_seconds(), dict(known)
    for one in wanted:
        within = timedelta(seconds=ends_at - time.monotonic())
        try:
            taken[one.image.path] = _fetch(actor, one, within)
        except (Refused, InvalidInput) as error:
            words = error.problems[0].message if error.problems else error.message
            raise refusal(one.path, "not_fetched", words) from error
    return taken


def part_in(part: PublicPart, taken: Taken) -> PartIn:
    """Convert the part to the common draft."""
    return PartIn(
        id=part.id,
        content=part.content,
        delay=min(part.delay, MAX_DELAY_MINUTES),
        image=[_image_in(image, taken) for image in part.image],
    )


def _image_in(image: PublicImage, taken: Taken) -> ImageIn:
    """Convert a file; omitted fields stay omitted, so that a stored file keeps them."""
    media_id = taken.get(image.path) or id_in_address(image.path)
    details: dict[str, Any] = {}
    if "alt" in image.model_fields_set:
        details["alt"] = image.alt or None
    if "thumbnail_timestamp" in image.model_fields_set:
        moment = image.thumbnail_timestamp
        details["thumbnail_timestamp"] = None if moment is None else round(moment)
    return ImageIn(id=str(media_id) if media_id else None, **details)


def _is_ours(address: str) -> bool:
    return key_of(address) is not None or "://" not in address


def _fetch(actor: Actor, one: Elsewhere, within: timedelta) -> MediaId:
    if within <= timedelta():
        raise bad_request("The files before this one took too long. Upload them first.")
    return import_from_url(actor, one.image.path, within=within).id
