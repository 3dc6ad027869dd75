"""Request and response schemas of channels and platforms. On the wire a channel is an integration."""

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import from_json

from shared.channels.connect import Finished
from shared.channels.queries import BriefChannel, ChannelSummary
from shared.channels.slots import MINUTES_A_DAY, is_timezone
from shared.core.ids import ChannelId, CustomerId
from shared.core.wire import RequestModel, VisibleName, WebAddress, WireModel, WireTime
from shared.organizations.models import Approval, ApprovedBy
from shared.providers.base import CanMention, CanReply, CanReport, Mention, PlatformPage
from shared.providers.registry import provider
from shared.providers.spec import (
    Fields,
    FormField,
    MediaRules,
    OAuth1,
    OAuth2,
    ProviderSpec,
    TextRules,
)

MAX_POSTING_TIMES = 100
MAX_ADDITIONAL_SETTINGS = 100
FURTHEST_OFFSET = 14 * 60  # Kiribati is 14 hours ahead of UTC; nothing is further behind than 12
_REMEMBERED = 256


def _known_timezone(name: str) -> str:
    if not is_timezone(name):
        raise ValueError("This is not a time zone. Use an IANA name, such as Europe/Berlin.")
    return name


def _known_zone(value: str | int) -> str | int:
    """Read digits as minutes, because that is how browsers' libraries write an offset into a form or an address."""
    if isinstance(value, str) and not value.removeprefix("-").isdigit():
        return _known_timezone(value)
    minutes = int(value)
    if abs(minutes) > FURTHEST_OFFSET:
        raise ValueError(
            f"No time zone is more than {FURTHEST_OFFSET} minutes from UTC. Send a smaller offset."
        )
    return minutes


IanaZone = Annotated[str, Field(max_length=100), AfterValidator(_known_timezone)]
Zone = Annotated[int | Annotated[str, Field(max_length=100)], AfterValidator(_known_zone)]
"""An IANA time zone, or the minutes that local time is ahead of UTC."""


# Platforms


class TextOut(WireModel):
    """How a platform counts a text. Every link counts as `link_length`; null if links count as written.

    `short_mentions`: `@name@server` counts as `@name`.
    """

    unit: str
    max_length: int
    link_length: int | None
    short_mentions: bool
    max_bytes: int | None


class FormFieldOut(WireModel):
    """One field of the form that connects an account. `type` is that of an HTML input."""

    key: str
    label: str
    type: Literal["text", "password"]
    default_value: str
    validation: str
    help: str


class AuthOut(WireModel):
    """How an account is connected."""

    kind: Literal["oauth2", "oauth1", "fields"]
    fields: list[FormFieldOut] | None = None
    scopes: list[str] | None = None


class ImageRulesOut(WireModel):
    """The limits of a part's pictures. Sizes are in bytes and pixels; null means no limit."""

    max_count: int
    max_bytes: int | None
    types: list[str]
    max_width: int | None
    max_height: int | None
    max_pixels: int | None
    max_alt_length: int | None


class VideoRulesOut(WireModel):
    """The limits of a part's videos. Sizes are in bytes."""

    max_count: int
    max_bytes: int | None
    types: list[str]
    min_duration_seconds: float | None
    max_duration_seconds: float | None


class MediaRulesOut(WireModel):
    """The limits of a part's files."""

    max_count: int
    mixed: bool
    required: bool
    replies: bool
    images: ImageRulesOut
    videos: VideoRulesOut


class MediaModeOut(WireModel):
    """Rules that replace the general ones while a boolean setting of the post is true."""

    setting: str
    name: str
    media: MediaRulesOut


class ProviderOut(WireModel):
    """One platform's table: everything that a front end needs."""

    identifier: str
    name: str
    docs_url: str
    tool_tip: str
    editor: str
    is_external: bool = Field(description="The member names the server to connect to.")
    is_web3: bool
    is_chrome_extension: bool = False
    custom_fields: list[FormFieldOut] | None
    auth: AuthOut
    choose_page: bool
    max_parts: int = Field(description="1: no threads.")
    can_reply: bool
    can_mention: bool
    can_report: bool
    text: TextOut
    media: MediaRulesOut
    media_modes: list[MediaModeOut]
    settings: dict[str, Any] = Field(description="JSON Schema of a post's settings.")
    title_setting: str | None = Field(
        description="The setting that a post's title fills if it is empty. Null: titles are not sent to the platform."
    )


class CatalogueOut(WireModel):
    """The available platforms in display order."""

    social: list[ProviderOut]
    article: list[ProviderOut]


def catalogue(slugs: Sequence[str]) -> CatalogueOut:
    """Describe platforms, with those for articles separately."""
    tables = [provider_out(slug) for slug in slugs]
    articles = {slug for slug in slugs if provider(slug).spec.article}
    return CatalogueOut(
        social=[table for table in tables if table.identifier not in articles],
        article=[table for table in tables if table.identifier in articles],
    )


@functools.cache
def provider_out(slug: str) -> ProviderOut:
    """Describe one platform."""
    acting = provider(slug)
    spec = acting.spec
    return ProviderOut(
        identifier=slug,
        name=spec.listed_as or spec.name,
        docs_url=spec.docs_url,
        tool_tip=spec.tool_tip,
        editor=spec.text.editor,
        is_external=spec.instance,
        is_web3=spec.web3,
        custom_fields=_form(spec),
        auth=_auth(spec),
        choose_page=spec.choose_page,
        max_parts=spec.max_parts,
        can_reply=isinstance(acting, CanReply),
        can_mention=isinstance(acting, CanMention),
        can_report=isinstance(acting, CanReport),
        text=_text(spec.text),
        media=_media(spec.media),
        media_modes=[
            MediaModeOut(setting=mode.setting, name=mode.name, media=_media(mode.media))
            for mode in spec.media_modes
        ],
        settings=spec.settings.model_json_schema(by_alias=True),
        title_setting=spec.title_setting or None,
    )


def _auth(spec: ProviderSpec) -> AuthOut:
    match spec.auth:
        case OAuth2():
            return AuthOut(kind="oauth2", scopes=list(spec.auth.scopes))
        case OAuth1():
            return AuthOut(kind="oauth1")
        case Fields():
            return AuthOut(kind="fields", fields=_form(spec))


def _form(spec: ProviderSpec) -> list[FormFieldOut] | None:
    if not isinstance(spec.auth, Fields):
        return None
    return [_form_field(field) for field in spec.auth.fields]


def _form_field(field: FormField) -> FormFieldOut:
    return FormFieldOut(
        key=field.name,
        label=field.label,
        type="password" if field.secret else "text",
        default_value=field.default,
        validation=field.pattern,
        help=field.help,
    )


# Most channels have the rules of their platform or of one of a few servers.
@functools.lru_cache(maxsize=_REMEMBERED)
def _text(rules: TextRules) -> TextOut:
    return TextOut.model_validate(rules)


@functools.lru_cache(maxsize=_REMEMBERED)
def _media(rules: MediaRules) -> MediaRulesOut:
    images, videos = rules.images, rules.videos
    return MediaRulesOut(
        max_count=rules.max_count,
        mixed=rules.mixed,
        required=rules.required,
        replies=rules.replies,
        images=ImageRulesOut.model_validate(images),
        videos=VideoRulesOut(
            max_count=videos.max_count,
            max_bytes=videos.max_bytes,
            types=list(videos.types),
            min_duration_seconds=(
                videos.min_duration.total_seconds() if videos.min_duration else None
            ),
            max_duration_seconds=(
                videos.max_duration.total_seconds() if videos.max_duration else None
            ),
        ),
    )


# Channels


class PostingTimeOut(WireModel):
    """One slot of a channel: minutes after midnight on its clock; `weekdays` count from Monday, 0; null means all."""

    time: int
    weekdays: list[int] | None = None


class PostingTime(RequestModel):
    """One slot of a channel: minutes after midnight on its clock; `weekdays` count from Monday, 0; none means all."""

    time: int = Field(ge=0, lt=MINUTES_A_DAY, examples=[560])
    weekdays: list[Annotated[int, Field(ge=0, le=6)]] | None = Field(
        default=None, min_length=1, max_length=7, examples=[[0, 1, 2, 3, 4]]
    )


class AdditionalSetting(RequestModel):
    """One setting of the account itself, as the platform's code declares it."""

    title: str = Field(max_length=200)
    description: str = Field(default="", max_length=2_000)
    type: Literal["checkbox", "text", "textarea"] = "text"
    value: str | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None = None
    regex: str | None = Field(default=None, max_length=500)


class CustomerOut(WireModel):
    """A customer of the organization."""

    id: CustomerId
    name: str = Field(examples=["Analytical Engines"])


class ChannelOut(WireModel):
    """One channel, without tokens."""

    id: ChannelId
    internal_id: str = Field(description="The account's id on its platform.")
    name: str = Field(examples=["Ada Lovelace"])
    identifier: str = Field(examples=["mastodon"])
    picture: str | None
    display: str | None = Field(description="The account's name after the @.")
    type: Literal["social", "article"]
    editor: str
    strip_links: bool = False
    disabled: bool
    in_between_steps: bool = Field(description="A page must still be chosen.")
    refresh_needed: bool = Field(description="The account must be connected again.")
    disconnected_at: WireTime | None
    disconnected_reason: str | None
    token_expires_at: WireTime | None
    is_custom_fields: bool
    custom_fields: list[FormFieldOut] | None
    time: list[PostingTimeOut]
    timezone: str = Field(description="The time zone of `time`.")
    text: TextOut
    media: MediaRulesOut = Field(description="The limits of a part's files on this account.")
    change_profile_picture: bool = False
    change_nick_name: bool = False
    customer: CustomerOut | None = Field(
        description=("The customer that the channel belongs to, if any.")
    )
    additional_settings: str = Field(description="JSON: a list of settings of the account.")
    created_at: WireTime


class ChannelsOut(WireModel):
    """The organization's channels, oldest first."""

    integrations: list[ChannelOut]


class PageOut(WireModel):
    """One of the pages an account manages."""

    id: str
    name: str
    username: str | None
    picture: str | None


class ConnectedOut(ChannelOut):
    """A channel that was just connected, with the pages to choose from while `inBetweenSteps`."""

    pages: list[PageOut] | None
    return_url: str | None = Field(alias="returnURL")


class MentionOut(WireModel):
    """Someone who can be mentioned."""

    id: str
    label: str
    image: str | None


def channel_out(channel: ChannelSummary) -> ChannelOut:
    """Write a channel as members see it."""
    return ChannelOut(**_channel_fields(channel))


def channels_out(channels: Sequence[ChannelSummary]) -> ChannelsOut:
    """Write the organization's channels."""
    return ChannelsOut(integrations=[channel_out(channel) for channel in channels])


def connected_out(finished: Finished) -> ConnectedOut:
    """Write a channel that was just connected."""
    channel = finished.channel
    return ConnectedOut(
        **_channel_fields(channel),
        pages=pages_out(finished.pages) if channel.needs_page else None,
        return_url=finished.return_url,
    )


def customer_of(channel: ChannelSummary | BriefChannel) -> CustomerOut | None:
    """Return a channel's customer."""
    if channel.customer_id is None or channel.customer_name is None:
        return None
    return CustomerOut(id=channel.customer_id, name=channel.customer_name)


def pages_out(pages: Sequence[PlatformPage]) -> list[PageOut]:
    """Write the pages an account manages."""
    return [
        PageOut(id=page.id, name=page.name, username=page.username, picture=page.picture_url)
        for page in pages
    ]


def mentions_out(mentions: Sequence[Mention]) -> list[MentionOut]:
    """Write people who can be mentioned."""
    return [MentionOut(id=one.id, label=one.label, image=one.picture_url) for one in mentions]


def _channel_fields(channel: ChannelSummary) -> Mapping[str, Any]:
    acting = provider(channel.provider)
    spec = acting.spec
    return {
        "id": channel.id,
        "internal_id": channel.remote_id,
        "name": channel.name,
        "identifier": channel.provider,
        "picture": channel.picture_url,
        "display": channel.username,
        "type": "article" if spec.article else "social",
        "editor": spec.text.editor,
        "disabled": channel.disabled,
        "in_between_steps": channel.needs_page,
        "refresh_needed": channel.disconnected_at is not None,
        "disconnected_at": channel.disconnected_at,
        "disconnected_reason": channel.disconnected_reason,
        "token_expires_at": channel.token_expires_at,
        "is_custom_fields": isinstance(spec.auth, Fields),
        "custom_fields": _form(spec),
        "time": _slots(channel.posting_times),
        "timezone": channel.timezone,
        "text": _text(acting.text_rules(channel.account_settings)),
        "media": _media(acting.media_rules(channel.account_settings, {})),
        "customer": customer_of(channel),
        "additional_settings": json.dumps(channel.additional_settings),
        "created_at": channel.created_at,
    }


def _slots(kept: Any) -> list[PostingTimeOut]:
    """Read the slots of a row. An invalid one is left out, so that it does not break the whole list of channels."""
    found = []
    for slot in kept if isinstance(kept, list) else []:
        with contextlib.suppress(ValidationError):
            found.append(PostingTimeOut.model_validate(slot))
    return found


# What members send


class ConnectChannel(RequestModel):
    """The data that finish a connection: the platform's `state` and `code`, or a form's `fields`.

    For OAuth 1.0a, `state` is the request token and `code` the verifier. `refresh` is the channel to reconnect if `fields` come
    without a state; `customer` is the customer of a channel that is new.
    """

    state: str | None = Field(
        default=None, max_length=500, examples=["ZTqHuf5wafOD7im4rOQVJ6GfxE62XE8u"]
    )
    code: str | None = Field(default=None, max_length=10_000, examples=["zW6tkDoqtN1VtonzmMD0MQ"])
    fields: dict[str, Annotated[str, Field(max_length=2_000)]] | None = Field(
        default=None, max_length=50
    )
    timezone: Zone | None = Field(default=None, examples=["Europe/Berlin", 120])
    refresh: str | None = Field(default=None, max_length=500)
    customer: CustomerId | None = None

    def platform_code(self) -> str:
        """Return the argument for the provider's `connect`: the code, or the fields as JSON."""
        return json.dumps(self.fields) if self.fields is not None else self.code or ""


class ChoosePage(RequestModel):
    """The chosen platform page."""

    page_id: str = Field(min_length=1, max_length=500, examples=["2414183"])


class ChangePostingTimes(RequestModel):
    """A channel's new slots and their time zone; without one, the time zone stays unchanged."""

    time: list[PostingTime] = Field(max_length=MAX_POSTING_TIMES)
    timezone: IanaZone | None = None


def _parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if "\\u0000" in value:
        raise ValueError("This text contains a NUL character, which cannot be stored. Remove it.")
    try:
        return from_json(value.encode(), allow_inf_nan=False)
    except ValueError as error:  # a text with half of a surrogate pair cannot be encoded
        raise ValueError(
            "These are not settings. Send a list, or that list as JSON text."
        ) from error


class ChangeSettings(RequestModel):
    """A channel's settings of the account itself: a list, or the same as JSON text."""

    additional_settings: Annotated[
        list[AdditionalSetting],
        BeforeValidator(_parse_json, json_schema_input_type=str | list[AdditionalSetting]),
    ] = Field(max_length=MAX_ADDITIONAL_SETTINGS)


class ChangeNickname(RequestModel):
    """A channel's display name here; nothing changes on its platform."""

    name: VisibleName = Field(min_length=1, max_length=200, examples=["Our main account"])
    picture: WebAddress | None = None


CustomerName = Annotated[
    VisibleName, Field(min_length=1, max_length=200, examples=["Analytical Engines"])
]


class CustomerIn(RequestModel):
    """A customer's name."""

    name: CustomerName


class CustomerRef(WireModel):
    """A customer's id."""

    id: CustomerId


class CustomerList(WireModel):
    """The organization's customers, by name."""

    customers: list[CustomerOut]


class ChangeCustomer(RequestModel):
    """A channel's customer: either `customerId` (null for none), or `name`, for which a customer is created if necessary."""

    customer_id: CustomerId | None = None
    name: CustomerName | None = None


class ChannelRef(WireModel):
    """A channel's id."""

    id: ChannelId


class MentionQuery(RequestModel):
    """The text after the @."""

    query: str = Field(min_length=1, max_length=200, examples=["ada"])


class FindMentions(RequestModel):
    """A search for people on a channel's platform. `name` is sent by other clients and ignored."""

    id: ChannelId
    name: str = Field(default="mention", max_length=100)
    data: MentionQuery


class StartedOut(WireModel):
    """The address for the member's browser."""

    url: str = Field(examples=["https://mastodon.social/oauth/authorize?client_id=..."])


_APPROVAL = (
    "Which posts wait for approval. `none`: those of members who need approval. `optional`: also those for which an author "
    "requests it. `required`: all whose author may not approve."
)
_APPROVED_BY = "Who approves. `client`: by a review link, or as a viewer who may approve."


class ApprovalRuleIn(RequestModel):
    """A rule for posts."""

    approval: Approval = Field(description=_APPROVAL)
    approved_by: ApprovedBy = Field(default=ApprovedBy.TEAM, description=_APPROVED_BY)


class ApprovalRuleOut(WireModel):
    approval: Approval = Field(description=_APPROVAL)
    approved_by: ApprovedBy = Field(description=_APPROVED_BY)


class CustomerApproval(ApprovalRuleOut):
    id: CustomerId
    name: str


class ApprovalRules(ApprovalRuleOut):
    """The organization's rule, and the customers with one of their own, by name."""

    customers: list[CustomerApproval]
