"""The public API's schemas of posts: the bodies that existing programs send, and the answers that they read."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.aws.storage import key_of
from shared.core import clock
from shared.core.ids import ChannelId, GroupId, MediaId, OrganizationId, PostId, TagId
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.posts.lifecycle import WireState
from shared.posts.schemas import (
    MAX_FILES,
    MAX_PARTS,
    MAX_TAGS,
    MAX_THUMBNAIL_MS,
    Content,
    IntegrationOut,
    JsonObject,
    Name,
    PostType,
    StatusAction,
    TagIn,
)

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4")
_TYPES: tuple[PostType, ...] = ("draft", "schedule", "now", "update")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FRACTION_AND_ZONE = re.compile(r"\.\d{3}Z$")


# Bodies. They are read leniently, as existing programs require: an empty value is absent, a numeric text is a number.


def _true_unless_empty(value: Any) -> Any:
    """Read a text as the contract does: any but the empty one is true, even `"false"`."""
    return bool(value) if isinstance(value, str | int | float) else value


def _nothing_if_empty(value: Any) -> Any:
    """Treat `""`, and the `[]` that PHP writes for an empty object, as absent."""
    return None if value in ("", []) else value


def _chosen(value: Any) -> Any:
    """Drop settings that are null: programs that send all settings use it for unset ones."""
    if isinstance(value, dict):
        return without_null(value)
    return _nothing_if_empty(value)


def without_null(settings: JsonObject) -> JsonObject:
    """Return the settings that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def _list_if_empty(value: Any) -> Any:
    return [] if value is None or value == "" else value


def _zero_if_empty(value: Any) -> Any:
    return 0 if value is None or value == "" else value


def _of_a_file(value: str) -> str:
    """Accept addresses with a file extension, and all addresses of this server."""
    if not value.partition("?")[0].endswith(ENDINGS) and key_of(value) is None:
        raise PydanticCustomError(
            "unsupported_type", "The path must end in one of {endings}.", {"endings": ", ".join(ENDINGS)}
        )  # fmt: skip
    return value


Flag = Annotated[bool, BeforeValidator(_true_unless_empty)]
Settings = Annotated[
    JsonObject | None,
    BeforeValidator(_chosen),
    Field(
        examples=[{"visibility": "public"}],
        description="By platform; null means unset. `__type` is ignored, because the channel determines it.",
    ),
]
_PATH = (
    "Its public address here, or any public https address, which is then fetched into the library."
)


class _Loose(RequestModel):
    """A body whose unknown fields are ignored."""

    model_config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")


class PublicImage(_Loose):
    """A file. Programs send random ids, so its path identifies it."""

    id: Name | None = None
    path: Annotated[str, Field(max_length=2_000, description=_PATH), AfterValidator(_of_a_file)]
    alt: str | None = Field(
        default=None,
        max_length=5_000,
        description="Alternative text. Left out of an edit, it stays; null or an empty text removes it.",
    )
    thumbnail: str | None = Field(default=None, max_length=2_000)
    thumbnail_timestamp: Annotated[float | None, BeforeValidator(_nothing_if_empty)] = Field(
        default=None,
        ge=0,
        le=MAX_THUMBNAIL_MS,
        allow_inf_nan=False,
        description="Position of a video's cover in milliseconds. Left out of an edit, it stays.",
    )


class PublicPart(_Loose):
    """One part: the first is the post, the others are replies in order."""

    id: Name | None = Field(default=None, description="The id of a post that this replaces.")
    content: Content = Field(examples=["<p>Good morning</p>"], description="HTML, or plain text.")
    delay: Annotated[float, BeforeValidator(_zero_if_empty)] = Field(
        default=0, ge=0, allow_inf_nan=False,
        description="Minutes to wait after the part before; more than a schedule can hold (30 days) is cut to that.",
    )  # fmt: skip
    image: Annotated[list[PublicImage], BeforeValidator(_list_if_empty)] = Field(
        default_factory=list, max_length=MAX_FILES
    )


class WantedChannel(_Loose):
    """The channel."""

    id: str = Field(max_length=500, examples=["019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f"])


class PublicEntry(_Loose):
    """One channel's post."""

    integration: WantedChannel
    group: Name | None = Field(
        default=None,
        description="A group whose post on this channel is replaced, with all its replies.",
    )
    settings: Settings = None
    value: list[PublicPart] = Field(min_length=1, max_length=MAX_PARTS)


def _not_repeated(value: float | None) -> float | None:
    if value:
        raise PydanticCustomError(
            "unsupported", "Repeating posts is not supported yet. Leave `inter` out and send "
                           "each post separately."
        )  # fmt: skip
    return value


class PublicTagIn(_Loose, TagIn):
    """A tag by its name, the label; one that the organization does not have is left out."""


Tags = Annotated[list[PublicTagIn], BeforeValidator(_list_if_empty)]
_DATE = Field(
    examples=["2026-12-24T10:00:00.000Z"], description="Without an offset it is UTC; `now` ignores it."
)  # fmt: skip


class PublicDraft(_Loose):
    """A draft. `posts` has one entry per channel."""

    type: str | None = Field(
        default="schedule",
        max_length=500,
        description="`draft`, `schedule`, `now` or `update`; any other word means `schedule`.",
    )
    date: Annotated[WireTime, _DATE]
    short_link: Flag = Field(
        default=False, description="Accepted and ignored: links are published as written."
    )
    inter: Annotated[
        float | None, BeforeValidator(_nothing_if_empty), AfterValidator(_not_repeated)
    ] = Field(default=None, allow_inf_nan=False, description="Repeating is refused.")
    order: str | None = Field(default=None, description="Not read.")
    republish: Flag | None = Field(
        default=None, description="Post a published post again, as a new post."
    )
    creation_method: str | None = Field(default=None, max_length=500, examples=["API", "CLI"])
    tags: Tags = Field(default_factory=list, max_length=MAX_TAGS)
    posts: list[PublicEntry] = Field(min_length=1, max_length=MAX_PARTS)

    @property
    def kind(self) -> PostType:
        """The kind of the draft."""
        return kind_of(self.type)


def kind_of(word: str | None) -> PostType:
    """Read a type; any unknown word means `schedule`."""
    return next((known for known in _TYPES if known == word), "schedule")


class PublicEdit(_Loose):
    """A change of a post; omitted fields stay unchanged.

    `value` changes the parts with an `id` and adds those without one; its first part is the post unless it has another
    part's id. Parts that it does not contain stay, unless `group` is the post's own group: then `value` is the whole thread.
    """

    type: str | None = Field(default="update", max_length=500)
    date: Annotated[WireTime | None, _DATE] = None
    group: Name | None = Field(
        default=None, description="The post's group, to replace all its parts with `value`."
    )
    settings: Settings = None
    tags: list[PublicTagIn] | None = Field(default=None, max_length=MAX_TAGS)
    value: list[PublicPart] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)


class NewSettings(_Loose):
    """Settings to change; null removes one."""

    settings: JsonObject = Field(examples=[{"visibility": "public"}])


class StatusWanted(_Loose):
    """Whether the post is queued."""

    status: StatusAction


class NewReleaseId(_Loose):
    """The post's id on its platform."""

    release_id: str = Field(min_length=1, max_length=500, examples=["7321900000000000000"])


def in_value(parts: Sequence[PublicPart], prefix: str = "") -> Iterator[tuple[str, PublicPart]]:
    """Return parts with their paths in the body."""
    return ((f"{prefix}value.{number}", part) for number, part in enumerate(parts))


def parts_of(entries: Sequence[PublicEntry]) -> Iterator[tuple[str, PublicPart]]:
    """Return all parts of a body with their paths."""
    for number, entry in enumerate(entries):
        yield from in_value(entry.value, f"posts.{number}.")


def end_of_day(value: Any) -> Any:
    """Read a date without a time as the last moment of that day, in UTC as every time without an offset."""
    is_day = isinstance(value, str) and _DAY.fullmatch(value.strip())
    return f"{value.strip()}T23:59:59.999999Z" if is_day else value


# Answers


def _without_zone(value: Any) -> Any:
    written = clock.to_wire(value) if isinstance(value, datetime) else value
    return _FRACTION_AND_ZONE.sub("", written)


ZonelessTime = Annotated[
    str,
    BeforeValidator(_without_zone),
    Field(
        json_schema_extra={"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"},
        examples=["2026-08-01T10:00:00"],
    ),
]
"""A time in UTC, written without an offset."""


class PublicCreated(WireModel):
    """A post that was stored, and its channel."""

    post_id: PostId
    integration: ChannelId


class PublicSlot(WireModel):
    """A free slot."""

    date: ZonelessTime


class PublicTag(WireModel):
    """A tag."""

    id: TagId
    name: str
    color: str
    org_id: OrganizationId
    created_at: WireTime
    updated_at: WireTime
    deleted_at: None = None


class PublicTagged(WireModel):
    """A tag on a post."""

    tag: PublicTag


class PublicPost(WireModel):
    """A post in the list."""

    id: PostId
    content: str
    publish_date: WireTime
    release_url: str | None = Field(alias="releaseURL")
    release_id: str | None
    state: WireState
    interval_in_days: None = None
    group: GroupId
    creation_method: str = Field(examples=["API", "CLI", "WEB"])
    settings: str = Field(examples=['{"__type": "x"}'], description="An object, written as JSON.")
    tags: list[PublicTagged]
    integration: IntegrationOut


class PublicPosts(WireModel):
    """The posts of a range, earliest first."""

    posts: list[PublicPost]


class PublicFile(WireModel):
    """A file of a part. `path` is its public address."""

    id: MediaId
    path: str | None
    alt: str | None
    thumbnail: str | None
    thumbnail_timestamp: int | None = Field(
        default=None, description="Milliseconds into a video where its cover is."
    )


class PublicPartOut(WireModel):
    """One part of a post with its state."""

    id: PostId
    content: str
    delay: float
    image: list[PublicFile]
    state: WireState
    release_url: str | None = Field(alias="releaseURL")
    release_id: str | None
    error: str | None


class PublicThread(PublicPost):
    """A post with all its parts, the root first."""

    value: list[PublicPartOut]
    error: str | None = Field(
        default=None,
        description="Why it failed; absent otherwise, because some programs treat any `error` as a failure.",
    )
    created_at: WireTime
    updated_at: WireTime


class PublicRef(WireModel):
    """A deleted post or group."""

    id: str = Field(examples=["019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f"])


class PublicSettings(WireModel):
    """A post whose settings were changed."""

    post_id: PostId
    publish_date: ZonelessTime


class PublicStatus(WireModel):
    """A post's state."""

    id: PostId
    state: Literal["DRAFT", "QUEUE"]


class PublicRelease(WireModel):
    """A post's id on its platform."""

    id: PostId
    release_id: str


class RecentRelease(WireModel):
    """A post on the platform, which may be this one."""

    id: str = Field(examples=["7321900000000000000"])
    url: str = Field(examples=["https://media.roost.example/cover.jpg"])
