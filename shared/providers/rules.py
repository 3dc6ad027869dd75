"""Finds a platform's refusals of a draft before anything is sent, and writes the text that it receives.

Pure: the same draft and table always give the same answer, so composing, the dry run and publishing agree.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from shared.core import text
from shared.core.sentences import field_at, sentence
from shared.providers.base import CanMention, CanReply, DraftPart, MediaInfo, Provider
from shared.providers.errors import FieldRefused
from shared.providers.spec import (
    Editor,
    ImageRules,
    MediaRules,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.variants import fits, is_within, needed_variant

_COUNTERS: Mapping[TextUnit, Callable[[str], int]] = {
    TextUnit.CHARACTERS: text.characters,
    TextUnit.GRAPHEMES: text.graphemes,
    TextUnit.UTF16: text.utf16,
    TextUnit.BYTES: text.utf8_bytes,
    TextUnit.WEIGHTED: text.weighted,
}
UNIT_NAMES = {
    TextUnit.CHARACTERS: "characters",
    TextUnit.GRAPHEMES: "characters",
    TextUnit.UTF16: "characters (UTF-16)",
    TextUnit.BYTES: "bytes",
    TextUnit.WEIGHTED: "characters as it counts them",
}


def check(
    provider: Provider,
    parts: Sequence[DraftPart],
    settings: Mapping[str, Any],
    *,
    account: Mapping[str, Any] | None = None,
) -> list[FieldRefused]:
    """List every reason why the draft cannot be published, in the order of the parts; empty if it can.

    `account` is what the platform reported about the channel when it was connected (`Account.settings`).
    """
    spec = provider.spec
    refused = list(_count_of_parts(provider, parts))
    mode = spec.media_mode(settings)
    limits = _FileLimits(
        spec.name,
        mode.name if mode else "one part",
        provider.media_rules(account or {}, settings),
    )
    for position, part in enumerate(parts):
        where = f"value.{position}"
        rules = provider.part_rules(account or {}, settings, position=position)
        refused += _text(provider, part, rules, f"{where}.content")
        refused += _media(limits, part, where, position)
        for name, media in part.setting_media.items():
            refused += _file(
                _FileLimits(spec.name, limits.holder, spec.media), media, f"settings.{name}"
            )
    of_settings = list(_settings(spec, settings))
    if not of_settings:
        refused += provider.check(parts, settings)
    return refused + of_settings


def text_for(provider: Provider, composed: str) -> str:
    """Convert `composed` (HTML, or plain text), including mentions, to the form of the provider's `Editor`."""
    mention = provider.format_mention if isinstance(provider, CanMention) else None
    match provider.spec.text.editor:
        case Editor.MARKDOWN:
            return text.to_markdown(composed, mention=mention)
        case Editor.HTML:
            return text.to_html(composed, mention=mention)
        case Editor.PLAIN:
            return text.to_plain(composed, mention=mention)


def length_of(written: str, rules: TextRules) -> int:
    """Count a text from `text_for` as the platform does."""
    counted = written
    if (
        rules.link_length is not None and rules.unit is not TextUnit.WEIGHTED
    ):  # which finds links itself
        counted = text.replace_links(written, rules.link_length)
    if rules.short_mentions:
        counted = text.shorten_mentions(counted)
    return count(counted, rules.unit) + rules.used


def count(written: str, unit: TextUnit) -> int:
    """Count a text in a unit, links and mentions as written."""
    return _COUNTERS[unit](written)


def _count_of_parts(provider: Provider, parts: Sequence[DraftPart]) -> Iterator[FieldRefused]:
    limit = provider.spec.max_parts if isinstance(provider, CanReply) else 1
    if len(parts) > limit:
        name = provider.spec.name
        words = (
            f"at most {limit} parts in a thread" if limit > 1 else "only one part, so no threads"
        )
        yield _refused(
            f"value.{limit}",
            "too_many_parts",
            f"{name} allows {words}; there are {len(parts)}.",
            limit,
        )


def _text(
    provider: Provider, part: DraftPart, rules: TextRules, path: str
) -> Iterator[FieldRefused]:
    name = provider.spec.name
    written = text_for(provider, part.html)
    if text.is_blank(written) and not part.media:
        yield _refused(path, "empty", "This part is empty. Write some text or add a file.")
    length = length_of(written, rules)
    if length > rules.max_length:
        unit = UNIT_NAMES[rules.unit]
        yield _refused(
            path, "too_long", f"{name} allows at most {rules.max_length} {unit}; this part has {length}.",
            rules.max_length, length,
        )  # fmt: skip
    size = text.utf8_bytes(written)
    if rules.max_bytes is not None and size > rules.max_bytes:
        yield _refused(
            path, "too_long", f"{name} allows at most {rules.max_bytes} bytes of text; this part has {size}.",
            rules.max_bytes, size,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _FileLimits:
    """The limits of a part's files; `rules` are those of the account's server.

    `name` is the platform; `holder` is the part's name in refusals.
    """

    name: str
    holder: str
    rules: MediaRules


def _media(
    limits: _FileLimits, part: DraftPart, where: str, position: int
) -> Iterator[FieldRefused]:
    rules, path = limits.rules, f"{where}.image"
    if rules.required and position == 0 and not part.media:
        yield _refused(path, "media_required", f"{limits.name} needs a picture or a video.")
    if position > 0 and part.media and not rules.replies:
        yield _refused(
            path,
            "media_in_replies",
            f"{limits.name} allows no files in replies. Remove them from this part.",
        )
        return
    pictures = [media for media in part.media if not media.is_video]
    videos = [media for media in part.media if media.is_video]
    for kind, found, limit in (
        ("pictures", pictures, rules.images.max_count),
        ("videos", videos, rules.videos.max_count),
        (
            "files",
            list(part.media),
            rules.max_count or rules.images.max_count + rules.videos.max_count,
        ),
    ):
        if len(found) > limit:
            words = f"at most {limit} {kind}" if limit else f"no {kind}"
            yield _refused(
                path,
                "too_many_media",
                f"{limits.name} allows {words} in {limits.holder}; there are {len(found)}.",
                limit,
                len(found),
            )
            break
    if pictures and videos and rules.videos.max_count and not rules.mixed:
        yield _refused(
            path,
            "mixed_media",
            f"{limits.name} allows pictures or a video in one part, not both. Remove one of them.",
        )
    for index, media in enumerate(part.media):
        yield from _file(limits, media, f"{path}.{index}")


def _file(limits: _FileLimits, media: MediaInfo, path: str) -> Iterator[FieldRefused]:
    if media.is_video:
        yield from _video(limits.name, media, limits.rules.videos, path)
    else:
        yield from _picture(limits, media, path)


def _picture(limits: _FileLimits, media: MediaInfo, path: str) -> Iterator[FieldRefused]:
    name, rules = limits.name, limits.rules.images
    if rules.max_count == 0:
        return
    if media.damage is not None:
        yield _damaged(media, path)
        return
    if needed_variant(media, rules) is None and not fits(media, rules):
        yield _unfit(name, media, rules, path)
    alt = len(media.alt or "")
    if rules.max_alt_length is not None and alt > rules.max_alt_length:
        yield _refused(
            f"{path}.alt", "alt_too_long",
            f"{name} allows at most {rules.max_alt_length} characters of alternative text; there are {alt}.",
            rules.max_alt_length, alt,
        )  # fmt: skip


def _damaged(media: MediaInfo, path: str) -> FieldRefused:
    kind = "video" if media.is_video else "picture"
    return _refused(
        path,
        "damaged",
        f"This {kind} is damaged: {media.damage}. Upload it again, or choose another.",
    )


def _unfit(name: str, media: MediaInfo, rules: ImageRules, path: str) -> FieldRefused:
    """Refuse a picture that cannot be sent unchanged and has no variant."""
    if media.turned and is_within(media, rules):
        return _refused(
            path,
            "moving_picture",
            f"This animated picture is rotated by metadata, which {name} would ignore. Rotate it with an image editor, or "
            "upload it as an MP4 video.",
        )
    refused = next(_type_and_size(name, media, rules.types, rules.max_bytes, path), None)
    if refused is None:
        limits = [
            f"{rules.max_width} pixels wide" if rules.max_width else "",
            f"{rules.max_height} pixels high" if rules.max_height else "",
            f"{rules.max_pixels / 1e6:g} megapixels" if rules.max_pixels else "",
        ]
        words = " and ".join(limit for limit in limits if limit)
        message = f"{name} allows pictures of at most {words}; this one is {media.width} x {media.height}."
        refused = _refused(path, "too_many_pixels", message)
    if not media.moves:
        return refused
    remedy = (
        "Animated pictures are not converted: use a still picture, or upload it as an MP4 video."
    )
    return replace(refused, code="moving_picture", message=f"{refused.message} {remedy}")


def _video(name: str, media: MediaInfo, rules: VideoRules, path: str) -> Iterator[FieldRefused]:
    if rules.max_count == 0:
        return
    if media.damage is not None:
        yield _damaged(media, path)
        return
    yield from _type_and_size(name, media, rules.types, rules.max_bytes, path)
    pixels = (media.width or 0) * (media.height or 0)
    if rules.max_pixels is not None and pixels > rules.max_pixels:
        yield _refused(
            path, "too_many_pixels",
            f"{name} allows videos of at most {_megabytes(rules.max_pixels)} megapixels a frame; this one has "
            f"{_megabytes(pixels)} ({media.width} x {media.height}).",
            rules.max_pixels, pixels,
        )  # fmt: skip
    if media.duration_ms is None:
        return
    length = timedelta(milliseconds=media.duration_ms)
    if rules.max_duration is not None and length > rules.max_duration:
        yield _refused(
            path, "video_too_long",
            f"{name} allows videos of at most {_seconds(rules.max_duration)} s; this one has {_seconds(length)} s.",
            _seconds(rules.max_duration), _seconds(length),
        )  # fmt: skip
    if rules.min_duration is not None and length < rules.min_duration:
        yield _refused(
            path, "video_too_short",
            f"{name} allows videos of at least {_seconds(rules.min_duration)} s; this one has {_seconds(length)} s.",
            _seconds(rules.min_duration), _seconds(length),
        )  # fmt: skip


def _type_and_size(
    name: str, media: MediaInfo, types: tuple[str, ...], max_bytes: int | None, path: str
) -> Iterator[FieldRefused]:
    if media.content_type not in types:
        known = ", ".join(kind.split("/")[1] for kind in types)
        yield _refused(
            path,
            "unsupported_type",
            f"{name} accepts {known}; this file is {media.content_type}. Choose another file.",
        )
    elif max_bytes is not None and media.size_bytes > max_bytes:
        yield _refused(
            path, "too_large",
            f"{name} allows files of at most {_megabytes(max_bytes)} MB; this one has {_megabytes(media.size_bytes)} MB.",
            max_bytes, media.size_bytes,
        )  # fmt: skip


def _settings(spec: ProviderSpec, settings: Mapping[str, Any]) -> Iterator[FieldRefused]:
    try:
        spec.settings.model_validate(dict(settings))
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            path = ".".join(["settings", *(str(part) for part in problem["loc"])])
            message = sentence(problem, field_at(spec.settings, problem["loc"]))
            yield FieldRefused(path, problem["type"], message)


def _refused(
    path: str, code: str, message: str, limit: float | None = None, actual: float | None = None
) -> FieldRefused:
    numbers = {"limit": limit, "actual": actual}
    return FieldRefused(
        path, code, message, {key: value for key, value in numbers.items() if value is not None}
    )


def _seconds(length: timedelta) -> float:
    seconds = length.total_seconds()
    return int(seconds) if seconds == int(seconds) else round(seconds, 1)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.2f}".rstrip("0").rstrip(".")
