"""The public API's channels: list, connect, query and delete. Its contract calls them integrations."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, ConfigDict, Field
from sqlalchemy.orm import Session

from shared.access.connector import connector_of
from shared.access.context import ActingMember
from shared.channels import change, queries
from shared.channels.ask import ask
from shared.channels.connect import NewConnection, offered, start
from shared.channels.customers import list_customers
from shared.channels.errors import (
    PLATFORM_FAILED,
    AccessEnded,
    ChannelNotFound,
    ProviderNotFound,
)
from shared.channels.queries import BriefChannel, ChannelSummary
from shared.channels.schemas import CustomerOut, customer_of
from shared.core.errors import AppError
from shared.core.ids import ChannelId, CustomerId
from shared.core.log import log
from shared.core.reach import Reach
from shared.core.wire import RequestModel, WireModel
from shared.db.session import read_only
from shared.posts.draft import as_id
from shared.posts.parts import Author
from shared.posts.store import delete_posts_of_channel
from shared.providers.base import CanRunTools, Provider
from shared.providers.http import Api
from shared.providers.registry import UnknownProvider, provider
from shared.providers.spec import Fields
from shared.providers.wire_names import wire_name
from shared.public_api.errors import Refused, bad_request, not_found
from shared.public_api.guide import GuideOut, guide


class PublicChannel(WireModel):
    """One channel. `customer` is left out if it has none."""

    id: ChannelId
    name: str = Field(examples=["Ada Lovelace"])
    identifier: str = Field(description="The platform.", examples=["mastodon"])
    picture: str | None
    disabled: bool
    profile: str | None = Field(description="The account's name after the @.")
    customer: CustomerOut | None = None


class PublicChannelRef(WireModel):
    """A channel's id."""

    id: ChannelId


class Started(WireModel):
    """The address that the member's browser must open."""

    url: str


class ToolCall(RequestModel):
    """A platform's tool to run, with its values."""

    model_config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")

    method_name: str = Field(min_length=1, examples=["company"])
    data: Annotated[dict[str, str], BeforeValidator(lambda value: value or {})] = Field(
        default={}, examples=[{"url": "https://www.linkedin.com/company/engines"}]
    )


class ToolAnswer(WireModel):
    """The tool's result."""

    output: Any


def list_channels(session: Session, reach: Reach, *, group: str | None) -> list[PublicChannel]:
    """List the caller's channels, or those of the customer `group`, oldest first."""
    return [_public(channel) for channel in find_channels(session, reach, group=group)]


def find_channels(session: Session, reach: Reach, *, group: str | None) -> Sequence[BriefChannel]:
    """Find the caller's channels, or those of the customer `group`, oldest first."""
    customer_id = as_id(group, CustomerId) if group else None
    if group and customer_id is None:
        return []
    return queries.list_channels_briefly(session, reach, customer_id=customer_id)


def list_groups(session: Session, reach: Reach) -> list[CustomerOut]:
    """List the caller's customers, by name."""
    return list_customers(session, reach).customers


def get_channel(session: Session, reach: Reach, channel_id: str) -> ChannelSummary:
    """Return the channel of a path's id.

    Raises:
        ChannelNotFound: the caller sees no such channel.
    """
    known = as_id(channel_id, ChannelId)
    if known is None:
        raise ChannelNotFound
    return queries.get_channel(session, reach, known)


def start_connecting(member: ActingMember, slug: str, *, refresh: str | None) -> Started:
    """Start connecting an account; `refresh` names the channel to reconnect.

    Raises:
        ChannelNotFound: there is no such channel to reconnect.
        Refused: there is no such platform, it needs more than its own page, or it refused.
        PersonNeeded: the member who created the key was deleted, so the connection would belong to nobody.
    """
    try:
        spec = offered(slug).spec
    except ProviderNotFound as error:
        raise bad_request("Integration not allowed") from error
    if spec.instance or isinstance(spec.auth, Fields):
        raise bad_request(
            "This integration requires an external URL and is not supported via the public API"
        )
    wanted = NewConnection(zone=member.timezone, reconnects=refresh or None)
    try:
        return Started(url=start(connector_of(member), slug, wanted))
    except PLATFORM_FAILED as error:
        raise Refused(500, "Failed to generate auth URL", problems=error.problems) from error


def delete_channel(session: Session, author: Author, channel_id: str) -> PublicChannelRef:
    """Delete a channel and its unpublished posts.

    Raises:
        ChannelNotFound: the caller sees no such channel.
    """
    channel = get_channel(session, author.reach, channel_id)
    # Posts before their channel, in the publisher's lock order.
    delete_posts_of_channel(session, author, channel.id)
    change.delete_channel(session, author.reach, author.actor, channel.id)
    return PublicChannelRef(id=channel.id)


def show_guide(session: Session, reach: Reach, channel_id: str) -> GuideOut:
    """Describe a channel's platform for writing posts.

    Raises:
        ChannelNotFound: the caller sees no such channel.
    """
    channel = get_channel(session, reach, channel_id)
    return GuideOut(output=guide(channel.provider, channel.account_settings))


def run_tool(reach: Reach, channel_id: str, call: ToolCall) -> ToolAnswer:
    """Run one of the platform's tools for a channel, with a renewed token if the old one has expired.

    Raises:
        ChannelNotFound: the caller sees no such channel.
        Refused: there is no such platform or tool; the channel must be connected again; the platform failed.
    """
    with read_only() as session:
        channel = get_channel(session, reach, channel_id)
    try:
        acting = provider(channel.provider)
    except UnknownProvider as error:
        raise not_found("Integration provider not found") from error
    tools = acting.tools if isinstance(acting, CanRunTools) else ()
    if call.method_name not in {tool.name for tool in tools}:
        raise not_found("Tool not found")

    def run(acting: Provider, api: Api) -> Any:
        assert isinstance(acting, CanRunTools)
        return acting.run_tool(api, call.method_name, call.data)

    try:
        return ToolAnswer(output=ask(reach, channel.id, run))
    except PLATFORM_FAILED as error:
        _not_run(channel, call, error)


def _not_run(channel: ChannelSummary, call: ToolCall, error: AppError) -> NoReturn:
    log.warning(
        "channel.tool_failed",
        extra={"channel_id": channel.id, "tool": call.method_name, "detail": error.message},
    )
    if isinstance(error, AccessEnded):
        words = "Channel disconnected due to expired token"
        raise Refused(401, words, problems=error.problems) from error
    raise Refused(500, "Unexpected error", problems=error.problems) from error


def _public(channel: BriefChannel) -> PublicChannel:
    fields: Mapping[str, Any] = {
        "id": channel.id,
        "name": channel.name,
        "identifier": wire_name(channel.provider),
        "picture": channel.picture_url,
        "disabled": channel.disabled,
        "profile": channel.username,
    }
    customer = customer_of(channel)
    return PublicChannel(**fields, **({"customer": customer} if customer else {}))
