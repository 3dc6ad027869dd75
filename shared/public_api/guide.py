"""The guide to a platform for programs: its rules as text, maximum text length, settings and tools.

Everything is derived from the provider's table, so it agrees with the check of a post.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

from shared.core.sentences import counted
from shared.core.wire import WireModel
from shared.providers.base import CanReply, CanRunTools, Provider
from shared.providers.registry import UnknownProvider, provider
from shared.providers.spec import (
    Editor,
    ImageRules,
    MediaRules,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)

NO_SETTINGS = "No additional settings required"
_COUNTED = {
    TextUnit.CHARACTERS: "characters",
    TextUnit.GRAPHEMES: "characters as a reader sees them, so an emoji is one",
    TextUnit.UTF16: "characters; most emoji count two",
    TextUnit.BYTES: "bytes of UTF-8",
    TextUnit.WEIGHTED: "characters; Chinese, Japanese and Korean ones and emoji count two",
}
_KEPT = {
    Editor.PLAIN: "Send HTML or plain text; it is published without formatting, with its line breaks.",
    Editor.MARKDOWN: "Send HTML or plain text; headings, lists, links and emphasis are kept.",
    Editor.HTML: "Send HTML or plain text; headings, lists, links and emphasis are kept.",
}
_CHECKED = (
    "A post that the platform would refuse is refused when it is scheduled, with the field and the reason; a draft "
    "may still be incomplete."
)


class ToolFieldOut(WireModel):
    """One value that a tool takes."""

    key: str
    type: str
    description: str


class ToolOut(WireModel):
    """What `POST /integration-trigger` can ask the platform."""

    method_name: str
    description: str
    data_schema: list[ToolFieldOut]


class Guide(WireModel):
    """The guide to a platform. `settings` is a JSON Schema, or a sentence that there are none."""

    rules: str
    max_length: int
    settings: dict[str, Any] | Literal["No additional settings required"]
    tools: list[ToolOut]


class GuideOut(WireModel):
    """The contract's envelope."""

    output: Guide


def guide(slug: str, account: Mapping[str, Any]) -> Guide:
    """Describe a platform; `account` is what the platform reported about the account while connecting.

    The guide to a platform that is not offered is empty.
    """
    try:
        acting = provider(slug)
    except UnknownProvider:
        return Guide(rules="", max_length=0, settings={}, tools=[])
    return Guide(
        rules=rules_in_words(acting, account),
        max_length=acting.text_rules(account).max_length,
        settings=_settings(acting.spec),
        tools=tools_of(acting),
    )


def tools_of(acting: Provider) -> list[ToolOut]:
    """List a platform's tools."""
    if not isinstance(acting, CanRunTools):
        return []
    return [
        ToolOut(
            method_name=tool.name,
            description=tool.description,
            data_schema=[
                ToolFieldOut(key=field.key, type=field.type, description=field.description)
                for field in tool.fields
            ],
        )
        for tool in acting.tools
    ]


def rules_in_words(acting: Provider, account: Mapping[str, Any]) -> str:
    """Describe a platform's rules, one line per subject."""
    spec = acting.spec
    lines = [_parts(acting), _text(acting, acting.text_rules(account))]
    lines.append(f"Files of a part: {_files(acting.media_rules(account, {}))}")
    lines += [
        f"With the setting `{mode.setting}`, which makes it {mode.name}, files of a part: {_files(mode.media)}"
        for mode in spec.media_modes
    ]
    lines += [
        f"The setting `{name}` takes a file of the media library, as `id` or `path`."
        for name in spec.media_settings
    ]
    return "\n".join([*lines, _CHECKED])


def _settings(spec: ProviderSpec) -> Any:
    return (
        spec.settings.model_json_schema(by_alias=True)
        if spec.settings.model_fields
        else NO_SETTINGS
    )


def _parts(acting: Provider) -> str:
    name, most = acting.spec.name, acting.spec.max_parts
    if most == 1 or not isinstance(acting, CanReply):
        return f"{name} allows one part: no threads and no comments."
    return f"{name} allows up to {most} parts: the first is the post, each one after it is a reply."


def _text(acting: Provider, rules: TextRules) -> str:
    words = f"The text of a part may have at most {rules.max_length:,} {_COUNTED[rules.unit]}."
    if rules.link_length is not None:
        words += f" Every link counts {rules.link_length}, however long it is."
    if rules.max_bytes is not None:
        words += f" It may have at most {rules.max_bytes:,} bytes of UTF-8."
    if type(acting).part_rules is not Provider.part_rules:
        words += " Settings of the post may allow another length."
    return f"{words} {_KEPT[rules.editor]}"


def _files(rules: MediaRules) -> str:
    kinds = [*_pictures(rules.images), *_videos(rules.videos)]
    if not kinds:
        return "none."
    words = "; ".join(kinds)
    if len(kinds) > 1:
        words += "; both together" if rules.mixed else "; not both together"
        if rules.mixed and rules.max_count:
            words += f", at most {rules.max_count}"
    if rules.required:
        words += "; the first part needs one"
    if not rules.replies:
        words += "; none in further parts"
    return f"{words}."


def _pictures(rules: ImageRules) -> Iterator[str]:
    if not rules.max_count:
        return
    limits = [_names(rules.types)]
    if rules.max_bytes is not None:
        limits.append(f"at most {_megabytes(rules.max_bytes)}")
    limits.append("others are converted or made smaller where that can be done")
    if rules.max_alt_length is not None:
        limits.append(f"described by at most {rules.max_alt_length:,} characters")
    yield f"up to {counted(rules.max_count, 'picture')} ({'; '.join(limits)})"


def _videos(rules: VideoRules) -> Iterator[str]:
    if not rules.max_count:
        return
    limits = [_names(rules.types)]
    if rules.max_bytes is not None:
        limits.append(f"at most {_megabytes(rules.max_bytes)}")
    if rules.min_duration is not None:
        limits.append(f"at least {_seconds(rules.min_duration)}")
    if rules.max_duration is not None:
        limits.append(f"at most {_seconds(rules.max_duration)}")
    yield f"up to {counted(rules.max_count, 'video')} ({'; '.join(limits)})"


def _names(types: tuple[str, ...]) -> str:
    return ", ".join(kind.split("/")[1] for kind in types)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.2f}".rstrip("0").rstrip(".") + " MB"


def _seconds(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds:,.0f} seconds" if seconds == int(seconds) else f"{seconds:,.1f} seconds"
