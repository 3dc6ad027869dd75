"""The schemas of the tools' arguments and answers."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from shared.core.wire import RequestModel, WireModel, WireTime
from shared.posts.schemas import Content
from shared.public_api.post_schemas import PublicCreated, PublicSettings, end_of_day

MAX_SOCIAL_POSTS = 30
_MAX_ENTRIES = 100

Id = Annotated[str, Field(max_length=200)]


class _Loose(RequestModel):
    """Arguments whose unknown fields are ignored, because models invent some."""

    model_config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")


# Arguments


class NoArguments(_Loose):
    """No arguments."""


class OfGroup(_Loose):
    """A filter by customer."""

    group: Id | None = Field(default=None, description="A customer, by the id of groupList.")


class OfPlatform(_Loose):
    """A platform."""

    platform: str = Field(
        max_length=100, description="As returned by integrationList.", examples=["x", "mastodon"]
    )
    is_premium: bool = Field(
        default=False, description="Whether the account has paid for longer posts on its platform."
    )


class Pair(_Loose):
    """One setting."""

    key: str = Field(max_length=200)
    value: Any = Field(description="Any JSON value; a text where nothing else is asked for.")


class ToolOfPlatform(_Loose):
    """A platform's tool to run, with the channel and its values."""

    integration_id: Id
    method_name: str = Field(max_length=200, description="One of integrationSchema's `tools`.")
    data_schema: list[Pair] = Field(default_factory=list, max_length=_MAX_ENTRIES)


class PostOrComment(_Loose):
    """One part: the first is the post, each further one replies to the part before it."""

    content: Content = Field(
        description="HTML with p, h1-h3, strong, u, a, ul, ol and li; a line is a paragraph.",
        examples=["<p>Good morning</p>"],
    )
    attachments: list[Annotated[str, Field(max_length=2_000)]] = Field(
        default_factory=list,
        max_length=_MAX_ENTRIES,
        description="Public https addresses of pictures and videos: .png, .jpg, .gif, .webp, .mp4.",
    )


class SocialPost(_Loose):
    """One channel's post, and its comments."""

    integration_id: Id = Field(description="The channel, by its id of integrationList.")
    is_premium: bool = Field(
        default=False, description="Not needed: the account's own data decides."
    )
    date: WireTime = Field(
        description="When to publish it; without an offset it is UTC. `now` ignores it.",
        examples=["2026-12-24T10:00:00Z"],
    )
    short_link: bool = Field(
        default=False, description="Accepted and ignored: links are published as written."
    )
    type: Literal["draft", "schedule", "now"]
    posts_and_comments: list[PostOrComment] = Field(min_length=1, max_length=_MAX_ENTRIES)
    settings: list[Pair] = Field(
        default_factory=list,
        max_length=_MAX_ENTRIES,
        description="Settings of the platform, as integrationSchema describes them.",
    )


class SocialPosts(_Loose):
    """Posts to store, all or none."""

    social_post: list[SocialPost] = Field(min_length=1, max_length=MAX_SOCIAL_POSTS)


class OfRange(_Loose):
    """A range of posts; both ends are included."""

    start_date: WireTime = Field(examples=["2026-12-01T00:00:00Z"])
    end_date: Annotated[WireTime, BeforeValidator(end_of_day)] = Field(
        examples=["2026-12-31T23:59:59Z"]
    )
    customer: Id | None = Field(default=None, description="A customer, by the id of groupList.")


class SettingsOfPost(_Loose):
    """Settings to change."""

    id: Id = Field(description="The post, by its id of postsListTool.")
    settings: list[Pair] = Field(min_length=1, max_length=_MAX_ENTRIES)


class OfAddress(_Loose):
    """A file's address."""

    url: str = Field(max_length=2_000, examples=["https://pictures.example.org/beach.jpg"])


# Answers


class ToolErrors(WireModel):
    """The reason for a refusal."""

    errors: str


class ToolCustomer(WireModel):
    """A customer whose channels belong together."""

    id: Id
    name: str


class ToolChannel(WireModel):
    """A channel."""

    id: Id
    name: str
    picture: str | None
    platform: str
    disabled: bool
    display: str | None = Field(description="The account's name on its platform.")
    type: Literal["social", "article"]
    customer: ToolCustomer | None = Field(default=None, exclude_if=lambda value: value is None)


class Channels(WireModel):
    """The channels, oldest first."""

    output: list[ToolChannel]


class Groups(WireModel):
    """The customers, by name."""

    output: list[ToolCustomer]


class Scheduled(WireModel):
    """The posts, one for each entry, or why none was stored."""

    output: list[PublicCreated] | ToolErrors


class ToolPost(WireModel):
    """A post of the list. `settings` are an object, written as JSON."""

    id: Id
    publish_date: str
    state: str
    content: str
    settings: str
    group: Id
    integration_id: Id
    platform: str
    integration_name: str


class ToolPosts(WireModel):
    """The posts of a range, earliest first."""

    posts: list[ToolPost]


class PostsOfRange(WireModel):
    """The posts of a range."""

    output: ToolPosts


class SettingsChanged(WireModel):
    """The post whose settings were changed, or why they were not."""

    output: PublicSettings | ToolErrors


class Uploaded(WireModel):
    """The stored file's address, or why it was refused."""

    id: Id | None = Field(default=None, exclude_if=lambda value: value is None)
    path: str | None = Field(default=None, exclude_if=lambda value: value is None)
    error: str | None = Field(default=None, exclude_if=lambda value: value is None)
