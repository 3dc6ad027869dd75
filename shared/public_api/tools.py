"""The table of tools for language models: arguments, answer, required permissions and function of each.

The functions are those of the public API. Tools that generate pictures, videos or texts need a vendor and do not exist.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from shared.access.actor import actor_of
from shared.access.author import author_by
from shared.access.context import ActingMember
from shared.channels.schemas import customer_of
from shared.core.errors import AppError, InvalidInput
from shared.core.ids import PostId
from shared.core.unknown_fields import unknown_fields
from shared.db.session import read_only, run
from shared.organizations.models import Role
from shared.posts.draft import as_id
from shared.posts.errors import PostNotFound
from shared.posts.models import CreationMethod
from shared.posts.read import Range
from shared.providers.registry import UnknownProvider, provider
from shared.providers.wire_names import wire_name
from shared.public_api import change_post, channels
from shared.public_api.errors import Refused
from shared.public_api.guide import GuideOut, guide
from shared.public_api.list_posts import list_posts_json
from shared.public_api.post_schemas import NewSettings
from shared.public_api.read_arguments import read_as
from shared.public_api.schedule_by_tool import schedule_by_tool, settings_of
from shared.public_api.tool_schemas import (
    Channels,
    Groups,
    NoArguments,
    OfAddress,
    OfGroup,
    OfPlatform,
    OfRange,
    PostsOfRange,
    Scheduled,
    SettingsChanged,
    SettingsOfPost,
    SocialPosts,
    ToolChannel,
    ToolCustomer,
    ToolErrors,
    ToolOfPlatform,
    ToolPost,
    ToolPosts,
    Uploaded,
)
from shared.public_api.uploads import import_from_url

MAX_LIST_CHARACTERS = 1_000_000
"""The size limit of an answer, which is sent as data and as text, below Lambda's 6 MB (AWS Lambda quotas, read 2026-11)."""
_UNAVAILABLE = 500


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `failed` creates the declared answer for a refusal; None: it has none, and the call fails.

    Hints for clients, so that they ask their user first: `writes` if it changes anything, `destroys` if it overwrites data or
    cannot be undone, `repeatable` if a repeated call changes nothing more, `asks_others` if it leads to a request to another
    server. A key that only proposes may call one that `proposes`, since what it schedules waits for approval.
    """

    name: str
    title: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    run: Callable[[ActingMember, Any], BaseModel]
    needs: Role = Role.VIEWER
    writes: bool = False
    proposes: bool = False
    destroys: bool = False
    repeatable: bool = False
    asks_others: bool = False
    failed: Callable[[str], BaseModel] | None = None

    @property
    def input_schema(self) -> dict[str, Any]:
        """Describe its arguments."""
        return self.takes.model_json_schema(by_alias=True)

    @property
    def output_schema(self) -> dict[str, Any]:
        """Describe its answer."""
        return self.gives.model_json_schema(by_alias=True, mode="serialization")


class ToolFailed(Exception):
    """The call was refused, and the tool has no declared answer for that. The text is for the model."""


def call_tool(tool: Tool, member: ActingMember, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a tool and return its answer, or its declared answer for a refusal, as JSON.

    Raises:
        ToolFailed: it was refused without a declared answer, or a dependency does not answer.
    """
    try:
        member.require(tool.needs, writes=tool.writes, proposes=tool.proposes)
        answer = tool.run(member, read_as(tool.takes, arguments))
    except AppError as error:
        if tool.failed is None or error.status >= _UNAVAILABLE:
            raise ToolFailed(in_words(error)) from error
        answer = tool.failed(in_words(error))
    written: dict[str, Any] = answer.model_dump(mode="json", by_alias=True)
    return written


def unknown_arguments(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """List a tool's unknown arguments in one text; None if there are none."""
    unknown = unknown_fields(tool.takes, dict(arguments))
    return f"Unknown arguments were ignored: {', '.join(unknown)}." if unknown else None


def in_words(error: AppError) -> str:
    """Render a refusal as one text: the field or channel, and the reason."""
    if isinstance(error, Refused) and "provider" in error.also:
        return f"{error.also['name']} ({error.also['provider']}): {error.message}"
    if error.problems:
        return " ".join(f"{problem.path}: {problem.message}" for problem in error.problems)
    return error.message


def _list_channels(member: ActingMember, wanted: OfGroup) -> Channels:
    with read_only() as session:
        listed = channels.find_channels(session, member.reach, group=wanted.group)
    return Channels(
        output=[
            ToolChannel(
                id=str(channel.id),
                name=channel.name,
                picture=channel.picture_url,
                platform=wire_name(channel.provider),
                disabled=channel.disabled,
                display=channel.username,
                type="article" if _is_for_articles(channel.provider) else "social",
                customer=ToolCustomer(id=str(customer.id), name=customer.name)
                if (customer := customer_of(channel))
                else None,
            )
            for channel in listed
        ]
    )


def _is_for_articles(slug: str) -> bool:
    try:
        return provider(slug).spec.article
    except UnknownProvider:
        return False


def _list_groups(member: ActingMember, _nothing: NoArguments) -> Groups:
    with read_only() as session:
        listed = channels.list_groups(session, member.reach)
    return Groups(output=[ToolCustomer(id=str(one.id), name=one.name) for one in listed])


def _describe_platform(_member: ActingMember, wanted: OfPlatform) -> GuideOut:
    try:
        provider(wanted.platform)
    except UnknownProvider as error:
        words = (
            f"The platform '{wanted.platform[:50]}' is not available here. Use one that "
            "integrationList returns."
        )
        raise InvalidInput(words) from error
    return GuideOut(output=guide(wanted.platform, {"verified": wanted.is_premium}))


def _run_tool(member: ActingMember, wanted: ToolOfPlatform) -> channels.ToolAnswer:
    data = {
        pair.key: pair.value if isinstance(pair.value, str) else json.dumps(pair.value)
        for pair in wanted.data_schema
    }
    call = channels.ToolCall(method_name=wanted.method_name, data=data)
    return channels.run_tool(member.reach, wanted.integration_id, call)


def _schedule(member: ActingMember, wanted: SocialPosts) -> Scheduled:
    return Scheduled(
        output=schedule_by_tool(author_by(member, CreationMethod.MCP), wanted.social_post)
    )


def _list_posts(member: ActingMember, wanted: OfRange) -> PostsOfRange:
    stretch = Range(wanted.start_date, wanted.end_date)
    with read_only() as session:
        listed, rest = list_posts_json(session, member.reach, stretch, customer=wanted.customer)
    if rest or len(listed) > MAX_LIST_CHARACTERS:
        raise InvalidInput("This range has too many posts for one response. Request a shorter one.")
    posts = [_post(post) for post in json.loads(listed)["posts"]]
    return PostsOfRange(output=ToolPosts(posts=posts))


def _post(listed: Mapping[str, Any]) -> ToolPost:
    channel = listed["integration"]
    return ToolPost(
        id=listed["id"],
        publish_date=listed["publishDate"],
        state=listed["state"],
        content=listed["content"],
        settings=listed["settings"],
        group=listed["group"],
        integration_id=channel["id"],
        platform=channel["providerIdentifier"],
        integration_name=channel["name"],
    )


def _change_settings(member: ActingMember, wanted: SettingsOfPost) -> SettingsChanged:
    post_id = as_id(wanted.id, PostId)
    if post_id is None:
        raise PostNotFound
    settings = read_as(NewSettings, {"settings": settings_of(wanted.settings)})
    author = author_by(member, CreationMethod.MCP)
    changed = run(lambda session: change_post.change_settings(session, author, post_id, settings))
    return SettingsChanged(output=changed.settings_out)


def _upload(member: ActingMember, wanted: OfAddress) -> Uploaded:
    file = import_from_url(actor_of(member), wanted.url)
    return Uploaded(id=str(file.id), path=file.path)


SCHEDULE = Tool(
    name="integrationSchedulePostTool",
    title="Schedule posts",
    description=(
        "Schedule posts, publish them now, or store them as drafts. First call integrationList for the channels and "
        "integrationSchema for each platform's rules. Use one entry for each channel and time; a thread is one entry "
        "with several postsAndComments. Either all posts are stored or none: `errors` says why."
    ),
    takes=SocialPosts,
    gives=Scheduled,
    run=_schedule,
    needs=Role.MEMBER,
    writes=True,
    proposes=True,
    destroys=True,  # published posts have been seen by others
    asks_others=True,
    failed=lambda words: Scheduled(output=ToolErrors(errors=words)),
)

TOOLS: tuple[Tool, ...] = (
    Tool(
        name="integrationList",
        title="List channels",
        description="List the connected channels that posts can be scheduled for, or those of one customer.",
        takes=OfGroup,
        gives=Channels,
        run=_list_channels,
    ),
    Tool(
        name="groupList",
        title="List customers",
        description="List the customers (groups) that channels belong to.",
        takes=NoArguments,
        gives=Groups,
        run=_list_groups,
    ),
    Tool(
        name="integrationSchema",
        title="Describe a platform",
        description=(
            "Describe what a platform takes: rules in words, the longest text, a JSON Schema of its settings, and "
            "the tools that triggerTool can run. Call it before scheduling."
        ),
        takes=OfPlatform,
        gives=GuideOut,
        run=_describe_platform,
    ),
    Tool(
        name="triggerTool",
        title="Ask a platform",
        description=(
            "Run one of a platform's tools that integrationSchema lists, through a channel: to find the id or the "
            "form of something that a post or its settings name."
        ),
        takes=ToolOfPlatform,
        gives=channels.ToolAnswer,
        run=_run_tool,
        needs=Role.MEMBER,
        asks_others=True,
    ),
    SCHEDULE,
    Tool(
        name="postsListTool",
        title="List posts",
        description="List the posts of a range of time, in all states: QUEUE, PUBLISHED, ERROR and DRAFT.",
        takes=OfRange,
        gives=PostsOfRange,
        run=_list_posts,
    ),
    Tool(
        name="postSettingsTool",
        title="Change a post's settings",
        description=(
            "Change settings of a post that is still to go out; those that are not named stay. `errors` says why not."
        ),
        takes=SettingsOfPost,
        gives=SettingsChanged,
        run=_change_settings,
        needs=Role.MEMBER,
        writes=True,
        proposes=True,
        destroys=True,
        repeatable=True,
        failed=lambda words: SettingsChanged(output=ToolErrors(errors=words)),
    ),
    Tool(
        name="uploadFromUrlTool",
        title="Take a file into the library",
        description=(
            "Fetch a picture or video from a public https address into the media library; `path` is its address "
            "there, which attachments take. `error` says why not."
        ),
        takes=OfAddress,
        gives=Uploaded,
        run=_upload,
        needs=Role.MEMBER,
        writes=True,
        proposes=True,
        asks_others=True,
        failed=lambda words: Uploaded(error=words),
    ),
)
"""In display order."""

_ALSO_CALLED = {"schedulePostTool": SCHEDULE}  # its id, which some prompts use


@functools.cache
def _by_name() -> Mapping[str, Tool]:
    return {tool.name: tool for tool in TOOLS} | _ALSO_CALLED


def find_tool(name: str) -> Tool | None:
    """Find a tool by its name."""
    return _by_name().get(name)
