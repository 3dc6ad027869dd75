"""Converts a stored part for a provider: its text in the platform's form, and its files in the right variants."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core.ids import MediaId
from shared.media.library import get_media_files
from shared.media.pick import MediaFile, StoredFile, pick, pick_spare
from shared.providers.base import OutgoingMedia, OutgoingPost, Provider
from shared.providers.errors import MediaRejected, PlatformUnavailable
from shared.providers.rules import text_for
from shared.providers.spec import MediaRules
from shared.providers.variants import VariantPlan, needed_variant
from shared.publishing.claim import DuePart


class StillConverting(PlatformUnavailable):
    """The file's variant for the platform does not exist yet, or the file was stored under earlier rules.

    `is_requested`: it was already requested. `plan` is a variant that only the channel's server needs.
    """

    code = "still_converting"

    def __init__(
        self,
        message: str,
        *,
        media_id: MediaId,
        is_requested: bool = True,
        plan: VariantPlan | None = None,
    ) -> None:
        super().__init__(message)
        self.media_id = media_id
        self.is_requested = is_requested
        self.plan = plan


def files_of(session: Session, part: DuePart) -> Sequence[MediaFile]:
    """Read the properties of a part's files; runs no statement if it has none."""
    ids = [MediaId(UUID(entry["id"])) for entry in part.media]
    return get_media_files(session, part.organization_id, ids) if ids else ()


def outgoing_post(provider: Provider, part: DuePart, files: Sequence[MediaFile]) -> OutgoingPost:
    """Build the post that `provider` sends.

    The idempotency key is made from part and generation, not from the try, so every repetition has the same.

    Raises:
        MediaRejected: a file of the part was deleted, or its variant for this platform could not be made.
        StillConverting: the variant is being made.
    """
    rules = provider.media_rules(part.channel.account_settings, part.settings)
    usual = provider.spec.media_for(part.settings)
    return OutgoingPost(
        part_id=str(part.id),
        key=f"{part.id}-{part.generation}",
        html=part.content,
        text=text_for(provider, part.content),
        settings=provider.spec.with_title(part.settings, part.title),
        media=[
            _outgoing_media(provider, rules, usual, entry, files)
            for entry in part.media
            if "setting" not in entry
        ],
        setting_media={
            entry["setting"]: _outgoing_media(
                provider, provider.spec.media, provider.spec.media, entry, files
            )
            for entry in part.media
            if "setting" in entry
        },
        staged=part.staged,
        created_at=part.created_at,
        position=part.position,
    )


def _outgoing_media(
    provider: Provider,
    rules: MediaRules,
    usual: MediaRules,
    entry: Mapping[str, Any],
    files: Sequence[MediaFile],
) -> OutgoingMedia:
    """Pick a file's variant for the server's `rules`. Variants for the table's rules, `usual`, are made without a request."""
    file = next((file for file in files if str(file.id) == entry["id"]), None)
    if file is None:
        raise MediaRejected("A file of this post is no longer in the media library. Add it again.")
    if file.damage is not None:
        raise MediaRejected(
            f"{file.name} is damaged: {file.damage}. Upload it again, or choose another file."
        )
    if not file.is_examined:
        raise StillConverting(
            f"{file.name} was uploaded to an earlier version of Roost and is being checked again.",
            media_id=file.id,
            is_requested=False,
        )
    picked = pick(file, rules)
    if picked is None and not file.variants_made:
        raise StillConverting(
            f"{file.name} is still being converted for {provider.spec.name}.",
            media_id=file.id,
        )
    plan = needed_variant(file.info, rules.images)
    if picked is None and plan is not None and plan != needed_variant(file.info, usual.images):
        raise StillConverting(
            f"{file.name} is being converted for the server of this {provider.spec.name} channel.",
            media_id=file.id,
            is_requested=False,
            plan=plan,
        )
    if picked is None and file.info.is_video:
        raise MediaRejected(
            f"{file.name} is too large for the server of this {provider.spec.name} channel, or of "
            "a type it does not accept. Choose another video."
        )
    if picked is None:
        raise MediaRejected(
            f"The copy of {file.name} for {provider.spec.name} is missing. Upload the file again."
        )
    sent = _sent(picked, file, entry)
    spare = pick_spare(file, rules)
    return replace(sent, spare=_sent(spare, file, entry)) if spare else sent


def _sent(picked: StoredFile, file: MediaFile, entry: Mapping[str, Any]) -> OutgoingMedia:
    return OutgoingMedia(
        id=entry["id"],
        key=picked.key,
        url=picked.url,
        content_type=picked.content_type,
        size_bytes=picked.size_bytes,
        width=picked.width,
        height=picked.height,
        duration_ms=picked.duration_ms,
        alt=entry.get("alt") or file.alt,
        cover_at_ms=entry.get("thumbnailTimestamp", file.thumbnail_at_ms),
    )
