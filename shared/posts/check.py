"""What would be refused in a composition, and where: missing files always, the platforms' limits unless it is a draft.

Pure: composing, editing and the dry run call it with what they read, and so agree.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shared.channels.queries import ChannelSummary
from shared.core.errors import FieldProblem
from shared.media.pick import MediaFile
from shared.posts.draft import Part, Thread, as_uuid
from shared.posts.obstacles import Step, checked_at, sentence
from shared.providers.base import DraftPart
from shared.providers.registry import provider
from shared.providers.rules import check

Files = Mapping[UUID, MediaFile]


def check_thread(
    thread: Thread, channel: ChannelSummary, files: Files, *, kept: Collection[str] = ()
) -> list[FieldProblem]:
    """List every reason why a thread cannot go out on its channel; empty: it can.

    `kept` are ids of files that the post held before: they may have left the library since.
    """
    missing = missing_files(thread, files, kept=kept)
    return [*_channel(thread, channel), *missing, *_platform(thread, channel, files)]


def missing_files(
    thread: Thread, files: Files, *, kept: Collection[str] = ()
) -> list[FieldProblem]:
    """List the files that are not in the library, or not yet."""
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


def media_ids(threads: Sequence[Thread]) -> set[UUID]:
    """Return the ids of all files."""
    return {
        media_id
        for thread in threads
        for part in thread.parts
        for entry in part.media
        if (media_id := as_uuid(entry["id"]))
    }


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
    media_id = as_uuid(entry["id"])
    return files.get(media_id) if media_id else None
