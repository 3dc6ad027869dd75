"""Request and response schemas of posts."""

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

from shared.core.ids import ChannelId, GroupId, MediaId, PostId, TagId
from shared.core.wire import DisplayedJson, RequestModel, VisibleName, WireModel, WireTime
from shared.posts.lifecycle import Review, WireState
from shared.posts.models import CreationMethod
from shared.providers.registry import longest_text

MAX_PARTS = 1_000
MAX_FILES = 100
MAX_TAGS = 50
MAX_THUMBNAIL_MS = 24 * 60 * 60 * 1_000
MAX_DELAY_MINUTES = 30 * 24 * 60
_MINUTES = "Minutes to wait after the part before."


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse values that JSON in the database cannot contain: NaN, halves of a surrogate pair, very deep nesting."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError(
            "invalid_json", "This contains a number or text that JSON cannot represent. Remove it."
        ) from error
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
Name = Annotated[str, Field(max_length=500)]
_TITLE = "Platforms with a `titleSetting` publish it if that setting is empty; other platforms do not receive it."

_ALT = "Alternative text. Left out of an edit, it stays; null or an empty text removes it."


def _within_bound(value: str) -> str:
    # Defined below, so that the platforms need not be imported.
    if len(value) > SURELY_SHORT and len(value) > (most := longest_text()):
        raise PydanticKnownError("string_too_long", {"max_length": most})
    return value


SURELY_SHORT = 10_000
_MOST_OF_A_BODY = 2 * 1024**2  # longer bodies are refused before they are read
Content = Annotated[str, Field(max_length=_MOST_OF_A_BODY), AfterValidator(_within_bound)]
"""A composed text of at most 20 times the longest text of any platform. Checked before its markup is read."""

# Composing


class ImageIn(RequestModel):
    """A file of the library, by its id or by its public address."""

    id: Name | None = None
    path: str | None = Field(default=None, max_length=2_000)
    alt: str | None = Field(default=None, max_length=5_000, description=_ALT)
    thumbnail_timestamp: int | None = Field(
        default=None,
        ge=0,
        le=MAX_THUMBNAIL_MS,
        description="Position of a video's cover in milliseconds. Left out of an edit, it stays.",
    )


class PartIn(RequestModel):
    """One part: the first is the post, the others are replies in order."""

    id: Name | None = Field(default=None, description="The id of a post that this replaces.")
    content: Content = Field(examples=["<p>Good morning</p>"])
    delay: float = Field(
        default=0, ge=0, le=MAX_DELAY_MINUTES, allow_inf_nan=False, description=_MINUTES
    )
    image: list[ImageIn] | None = Field(default=None, max_length=MAX_FILES)


class IntegrationIn(RequestModel):
    """The channel."""

    id: ChannelId


class ChannelPostIn(RequestModel):
    """One channel's post."""

    integration: IntegrationIn
    group: Name | None = Field(
        default=None, description="A group whose post on this channel is replaced."
    )
    title: Name | None = Field(default=None, description=_TITLE)
    settings: JsonObject | None = Field(default=None, examples=[{"visibility": "public"}])
    value: list[PartIn] = Field(min_length=1, max_length=MAX_PARTS)


class TagIn(RequestModel):
    """A tag by its name."""

    value: Name | None = None
    label: Name | None = None


PostType = Literal["draft", "schedule", "now", "update"]


class PostDraft(RequestModel):
    """A draft. `posts` has one entry per channel.

    For one channel and one part there is a shorter form without `posts`: `content`, `integrationId`, `publishDate`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "schedule",
                    "date": "2026-12-24T10:00:00.000Z",
                    "tags": [{"value": "News"}],
                    "posts": [
                        {
                            "integration": {"id": "019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f"},
                            "settings": {"visibility": "public"},
                            "value": [
                                {
                                    "content": "<p>Good morning</p>",
                                    "image": [
                                        {
                                            "id": "019bc0de-90aa-7d31-b0c4-1f2e3d4c5b6a",
                                            "alt": "The sun over a harbor",
                                        }
                                    ],
                                },
                                {"content": "<p>And good night</p>", "delay": 30},
                            ],
                        }
                    ],
                }
            ]
        }
    )

    type: PostType = Field(default="schedule", description="`update` keeps the state of the post.")
    date: WireTime | None = Field(default=None, examples=["2026-12-24T10:00:00.000Z"])
    tags: list[TagIn] | None = Field(default=None, max_length=MAX_TAGS)
    creation_method: Name | None = None
    republish: bool = Field(
        default=False, description="Post a published post again, as a new post."
    )
    posts: list[ChannelPostIn] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)

    content: Content | None = None
    publish_date: WireTime | None = None
    integration_id: ChannelId | None = None
    title: Name | None = Field(default=None, description=_TITLE)
    settings: JsonObject | None = None
    image: list[ImageIn] | None = Field(default=None, max_length=MAX_FILES)


class PostEdit(RequestModel):
    """A change; omitted fields stay unchanged.

    `value` replaces all parts. `content` and `image` change only the first part.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "date": "2026-12-24T10:00:00.000Z",
                    "value": [{"content": "<p>Good evening</p>"}],
                    "revision": 3,
                }
            ]
        }
    )

    type: PostType = "update"
    date: WireTime | None = None
    value: list[PartIn] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)
    content: Content | None = None
    image: list[ImageIn] | None = Field(default=None, max_length=MAX_FILES)
    title: Name | None = Field(default=None, description=_TITLE)
    settings: JsonObject | None = None
    integration: IntegrationIn | None = Field(default=None, description="Another channel.")
    tags: list[TagIn] | None = Field(default=None, max_length=MAX_TAGS)
    revision: int | None = Field(
        default=None, description=("The revision on which the change is based.")
    )

    def as_part(self) -> PartIn:
        """Return the first part as it was sent in the short form."""
        return PartIn(content=self.content or "", image=self.image)


DateAction = Literal["schedule", "update"]
StatusAction = Literal["draft", "schedule"]


class NewDate(RequestModel):
    """Another time. `schedule` also queues the post, unless it is a draft."""

    date: WireTime = Field(examples=["2026-12-24T10:00:00.000Z"])
    action: DateAction = "schedule"
    revision: int | None = None


class NewStatus(RequestModel):
    """Whether the post is queued."""

    status: StatusAction
    revision: int | None = None


class Duplicate(RequestModel):
    """How to copy a post. With a `date` it is scheduled unless `type` says otherwise; without, it is a draft."""

    type: Literal["draft", "schedule", "now"] | None = None
    date: WireTime | None = None
    same_group: bool = False


class Confirmation(RequestModel):
    """The post's address on the platform, as found by the member."""

    release_url: str = Field(
        alias="releaseUrl", max_length=2_000, examples=["https://mastodon.social/@ada/1140"]
    )


class WarningOut(WireModel):
    """A warning; nothing was refused."""

    code: str = Field(examples=["duplicate"])
    message: str


class CreatedPost(WireModel):
    """One post that was stored."""

    post_id: PostId
    integration: ChannelId
    group: GroupId
    state: WireState = "QUEUE"
    review: Review = Field(
        default=Review.NONE, description="`requested`: it stays a draft until it is approved."
    )
    warnings: list[WarningOut] = Field(default_factory=list)


# Reading

_REVIEW = "`requested`: it waits for approval as a draft. `declined`: it stays one."

StateCode = Literal["draft", "queued", "publishing", "published", "failed", "unconfirmed"]


class TagOut(WireModel):
    """A tag."""

    id: TagId
    name: str
    color: str


class TaggedOut(WireModel):
    """A tag on a post."""

    tag: TagOut


class IntegrationOut(WireModel):
    """The channel of a post."""

    id: ChannelId
    provider_identifier: str
    name: str
    picture: str | None


class ImageOut(WireModel):
    """A file of a part. `path` is its public address."""

    id: MediaId
    path: str | None
    alt: str | None
    type: str | None
    thumbnail: str | None


class _PartStatus(WireModel):
    """Where a part stands."""

    id: PostId
    state: WireState
    code: StateCode = Field(description="The full state, including `publishing` and `unconfirmed`.")
    late: bool = Field(description="It should have been published more than five minutes ago.")
    publish_date: WireTime
    release_url: str | None = Field(alias="releaseURL")
    release_id: str | None
    error_code: str | None
    error: str | None


class CalendarPost(_PartStatus):
    """A post in the calendar or a list."""

    content: str
    title: str | None
    group: GroupId
    revision: int
    review: Review = Field(description=_REVIEW)
    creation_method: CreationMethod
    interval_in_days: None = None
    tags: list[TaggedOut]
    integration: IntegrationOut


class PostsOut(WireModel):
    """The posts of a range, earliest first."""

    posts: list[CalendarPost]


class PostPage(WireModel):
    """One page of a list. `nextCursor` is null on the last one."""

    posts: list[CalendarPost]
    next_cursor: str | None


class PartOut(_PartStatus):
    """One part of a thread."""

    content: str
    image: list[ImageOut]
    delay: float = Field(description=_MINUTES)
    published_at: WireTime | None
    generation: int = Field(description="Raised each time a member resends the part.")


class ThreadOut(WireModel):
    """A post with all its parts, the root first."""

    id: PostId
    group: GroupId
    revision: int
    review: Review = Field(description=_REVIEW)
    state: WireState
    code: StateCode
    late: bool
    publish_date: WireTime
    title: str | None
    settings: DisplayedJson
    creation_method: CreationMethod
    tags: list[TaggedOut]
    integration: ChannelId
    integration_picture: str | None
    channel: IntegrationOut
    posts: list[PartOut]
    created_at: WireTime
    updated_at: WireTime


class ResentOut(ThreadOut):
    """A post with a resent part."""

    resent: str = Field(
        description="The effect of resending on the platform, for the member.",
        examples=["This part was not published. It is sent now."],
    )


class GroupOut(WireModel):
    """All posts of one compose action."""

    group: GroupId
    posts: list[ThreadOut]


class PostRef(WireModel):
    """A post that was changed or deleted."""

    id: UUID  # of a post, or of a deleted tag


class StatusOut(WireModel):
    """A post and its state."""

    id: PostId
    state: WireState
    code: StateCode
    revision: int
    review: Review = Field(description=_REVIEW)
    publish_date: WireTime


class TagWrite(RequestModel):
    """A tag to store."""

    name: VisibleName = Field(min_length=1, max_length=100)
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$", examples=["#2f6f4f"])


class TagsOut(WireModel):
    """The organization's tags, by name."""

    tags: list[TagOut]


class SlotOut(WireModel):
    """A free slot."""

    date: WireTime


class ProblemOut(WireModel):
    """One reason for a refusal."""

    path: str = Field(examples=["posts.0.value.1.content"])
    code: str = Field(examples=["too_long"])
    message: str


class CheckedPost(WireModel):
    """The dry run's result for one channel's post."""

    id: ChannelId = Field(description="The channel.")
    identifier: str
    name: str
    valid: bool
    empty_content: bool
    too_long: bool
    maximum_characters: int
    errors: list[ProblemOut]


class CheckedOut(WireModel):
    """The dry run's result. `errors` are those that concern no single channel, such as the time."""

    valid: bool
    errors: list[ProblemOut]
    posts: list[CheckedPost]


class ShortLinkQuestion(RequestModel):
    """Texts that may contain links."""

    messages: list[str] = Field(default_factory=list, max_length=MAX_PARTS)


class ShortLinkAnswer(WireModel):
    """Whether to ask the member about shortening links."""

    ask: bool


class DeletedGroup(WireModel):
    """A group whose posts were deleted."""

    id: GroupId
    posts: list[PostId]
