"""Checks a composition and lists every refused field.

Missing files, unknown tags and unknown settings are always refused; a platform's limits do not apply to drafts. Composing,
editing and the dry run use it with the data that they have read, so they agree. It is pure except for reading the tags.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from shared.channels.queries import ChannelSummary
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import MediaId, OrganizationId
from shared.core.unknown_fields import unknown_field, unknown_fields
from shared.media.pick import MediaFile
from shared.posts.draft import Part, Thread, as_id
from shared.posts.obstacles import Step, checked_at, sentence
from shared.posts.schemas import TagIn
from shared.posts.tag_queries import FIND_TAGS
from shared.providers.base import DraftPart
from shared.providers.registry import provider
from shared.providers.rules import check

Files = Mapping[MediaId, MediaFile]


def check_thread(
    thread: Thread, channel: ChannelSummary, files: Files, *, kept: Collection[str] = ()
) -> list[FieldProblem]:
    """List every reason why a thread cannot be published on its channel; empty if it can.

    `kept` are ids of files that the post already has, which may have been removed from the library.
    """
    missing = missing_files(thread, files, kept=kept)
    return [*_channel(thread, channel), *missing, *_platform(thread, channel, files)]


def missing_files(
    thread: Thread, files: Files, *, kept: Collection[str] = ()
) -> list[FieldProblem]:
    """List the files that are not in the library."""
    return [
        FieldProblem(
            thread.path(_path_of_file(entry, number, index)),
            "media_not_found",
            "This file is not in the media library, or its upload is not complete. Upload it first.",
        )
        for number, part in enumerate(thread.parts)
        for index, entry in enumerate(part.media)
        if not _is_usable(_file(entry, files), entry["id"] in kept)
    ]


def _path_of_file(entry: Mapping[str, str], number: int, index: int) -> str:
    return (
        f"settings.{entry['setting']}" if "setting" in entry else f"value.{number}.image.{index}.id"
    )


def media_ids(threads: Sequence[Thread]) -> set[MediaId]:
    """Return the ids of all files."""
    return {
        media_id
        for thread in threads
        for part in thread.parts
        for entry in part.media
        if (media_id := as_id(entry["id"], MediaId))
    }


def unknown_settings(
    thread: Thread, slug: str, *, kept: Mapping[str, Any] | None = None
) -> list[FieldProblem]:
    """List the settings that the platform does not have, except unchanged ones that the post already has."""
    model = provider(slug).spec.settings
    kept = kept or {}
    sent = {
        name: value
        for name, value in thread.settings.items()
        if name not in kept or kept[name] != value
    }
    prefix = thread.path("settings.")
    return [unknown_field(model, path, prefix=prefix) for path in unknown_fields(model, sent)]


def refuse_unknown_tags(
    session: Session, organization_id: OrganizationId, tags: Sequence[TagIn] | None
) -> None:
    """Check that the organization has all tags.

    Raises:
        InvalidInput: some do not exist; lists each by its path.
    """
    if problems := unknown_tags(session, organization_id, tags):
        raise InvalidInput("Some tags do not exist.", problems=problems)


def unknown_tags(
    session: Session, organization_id: OrganizationId, tags: Sequence[TagIn] | None
) -> list[FieldProblem]:
    """List the tags that the organization does not have; runs no statement if the draft names none."""
    named = {
        number: label for number, tag in enumerate(tags or ()) if (label := tag.label or tag.value)
    }
    if not named:
        return []
    rows = FIND_TAGS.all(session, organization_id, names=list(set(named.values())))
    found = {row.name for row in rows}
    return [
        FieldProblem(
            f"tags.{number}",
            "unknown_tag",
            f"The tag {label!r} does not exist. Add it first, or leave it out.",
        )
        for number, label in named.items()
        if label not in found
    ]


def _is_usable(file: MediaFile | None, kept: bool) -> bool:
    return file is not None and (kept or not file.is_deleted)


def _channel(thread: Thread, channel: ChannelSummary) -> Iterator[FieldProblem]:
    for one in checked_at(Step.COMPOSE):
        if one.holds(channel):
            words = sentence(one, Step.COMPOSE, channel=channel.name)
            yield FieldProblem(thread.path(one.path), one.verdict, words)


def _platform(thread: Thread, channel: ChannelSummary, files: Files) -> Iterator[FieldProblem]:
    parts = [_draft_part(part, files) for part in thread.parts]
    acting = provider(channel.provider)
    settings = acting.spec.with_title(thread.settings, thread.title)
    refused = check(acting, parts, settings, account=channel.account_settings)
    for one in refused:
        yield FieldProblem(thread.path(one.path), one.code, one.message)


def _draft_part(part: Part, files: Files) -> DraftPart:
    chosen = [
        (entry.get("setting"), replace(file.info, alt=entry.get("alt") or file.alt))
        for entry in part.media
        if (file := _file(entry, files))
    ]
    return DraftPart(
        part.content,
        media=[one for setting, one in chosen if setting is None],
        setting_media={setting: one for setting, one in chosen if setting is not None},
    )


def _file(entry: Mapping[str, str], files: Files) -> MediaFile | None:
    media_id = as_id(entry["id"], MediaId)
    return files.get(media_id) if media_id else None
