"""The public API for existing clients: `/public/v1`, and the same below `/api`.

`shared/public_api` keeps its wire contract exactly; the rules behind it are those of our own API.
"""

import contextlib
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import File, Header, Path, Query, Request, Response, UploadFile
from pydantic import AfterValidator, BeforeValidator

from shared.access.actor import actor_of
from shared.access.author import author_of
from shared.channels.errors import ChannelNotFound
from shared.channels.schemas import CustomerOut
from shared.core.ids import ChannelId, GroupId, PostId
from shared.core.wire import WireModel, WireTime
from shared.posts import delete
from shared.posts.draft import as_id
from shared.posts.errors import GroupNotFound, PostNotFound, ReplyNotPost
from shared.posts.find_slot import find_slot
from shared.posts.read import Range, link_to_rest
from shared.public_api import (
    analytics,
    change_post,
    channels,
    notifications,
    uploads,
    users,
    videos,
    warnings,
)
from shared.public_api.analytics import Missing, PublicSeries
from shared.public_api.channels import (
    PublicChannel,
    PublicChannelRef,
    Started,
    ToolAnswer,
    ToolCall,
)
from shared.public_api.compose_posts import compose_posts
from shared.public_api.guide import GuideOut
from shared.public_api.list_posts import list_posts_json
from shared.public_api.notifications import ToldPage
from shared.public_api.post_schemas import (
    NewReleaseId,
    NewSettings,
    PublicCreated,
    PublicDraft,
    PublicEdit,
    PublicPosts,
    PublicRef,
    PublicRelease,
    PublicSettings,
    PublicSlot,
    PublicStatus,
    PublicThread,
    RecentRelease,
    StatusWanted,
    end_of_day,
    in_value,
    parts_of,
)
from shared.public_api.show_post import show_post
from shared.public_api.uploads import FileAddress, PublicMedia
from shared.public_api.users import FoundMember
from shared.public_api.videos import VideoCall, VideoWanted
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.edge import BodyLimit
from shared.web.v1 import public_response, public_router

api = public_router()


class Connected(WireModel):
    """The API key is valid."""

    connected: bool


@api.get("/is-connected")
def is_connected() -> Connected:
    """Check that the API key is valid."""
    return Connected(connected=True)


# --- channels and what is around them ------------------------------------------------------------------------------

Id = Annotated[str, Path(max_length=200)]
MAX_DAYS = 365
Days = Annotated[
    int,
    BeforeValidator(lambda text: text or "7"),
    AfterValidator(lambda days: min(max(days, 1), MAX_DAYS)),
    Query(description="Number of days back, at most 365; 0 means 1."),
]


@api.get("/integrations", response_model_exclude_unset=True)
def public_list_integrations(
    member: Acting, session: Reading, group: Annotated[str | None, Query(max_length=200)] = None
) -> list[PublicChannel]:
    """List the channels. Oldest first, including disabled ones; `group` is a customer's id."""
    return channels.list_channels(session, member.reach, group=group)


@api.get("/groups")
def list_groups(member: Acting, session: Reading) -> list[CustomerOut]:
    """List the customers. Channels are grouped by them."""
    return channels.list_groups(session, member.reach)


@api.get("/social/{provider}")
def get_social_url(
    provider: str,
    member: Acting,
    refresh: Annotated[
        str | None, Query(max_length=500, description="The channel to reconnect.")
    ] = None,
) -> Started:
    """Start connecting an account.

    Returns the address at which a person must consent within an hour.
    """
    return channels.start_connecting(member, provider, refresh=refresh)


@api.delete("/integrations/{channel_id}")
def public_delete_integration(channel_id: Id, member: Acting, session: Writing) -> PublicChannelRef:
    """Delete a channel. With all its unpublished posts."""
    return channels.delete_channel(session, author_of(member), channel_id)


@api.get("/integration-settings/{channel_id}")
def get_integration_settings(channel_id: Id, member: Acting, session: Reading) -> GuideOut:
    """Read a channel's rules, settings and tools.

    Its platform's rules as text, the maximum text length, the JSON Schema of a post's settings, and the tools.
    """
    return channels.show_guide(session, member.reach, channel_id)


@api.post("/integration-trigger/{channel_id}", status_code=201)
def trigger_integration_tool(channel_id: Id, body: ToolCall, member: Acting) -> ToolAnswer:
    """Run a tool of a channel's platform. One of those that `GET /integration-settings/{channel_id}` lists."""
    return channels.run_tool(member.reach, channel_id, body)


@api.get("/analytics/{channel_id}", response_model_exclude_unset=True)
def get_integration_analytics(channel_id: Id, member: Acting, date: Days = 7) -> list[PublicSeries]:
    """Read a channel's analytics. Empty if its platform has none or does not answer."""
    return analytics.account_numbers(member.reach, channel_id, days=date)


@api.get("/analytics/post/{post_id}", response_model_exclude_unset=True)
def get_post_analytics(
    post_id: Annotated[str, Path(max_length=200)], member: Acting, date: Days = 7
) -> list[PublicSeries] | Missing:
    """Read a post's current analytics.

    Empty if it is not published or its platform has none. `date` has no effect yet.
    """
    del date  # platforms only report a post's current numbers
    return analytics.post_numbers(member.reach, post_id)


@api.get("/notifications")
def list_notifications(
    member: Acting, session: Reading, page: Annotated[int, Query(ge=0, le=1_000_000)] = 0
) -> ToldPage:
    """List the organization's notifications. The newest 10,000, in pages of 100, newest first."""
    return notifications.list_public_notifications(session, member.reach, page=page)


@api.get("/users")
def list_users(
    member: Acting, session: Reading, name: Annotated[str, Query(min_length=1, max_length=200)]
) -> list[FoundMember]:
    """Find members of any organization.

    For operators: the creator of the API key must be a super admin. `name` is a part of a user's name or address, or the
    user's id. Returns at most 20.
    """
    return users.find_users(session, member, name)


@api.post("/generate-video", status_code=201)
def generate_video(body: VideoWanted) -> None:
    """Generate a video. Always refused: this server has no video generator."""
    videos.generate_video(body)


@api.post("/video/function", status_code=201)
def call_video_function(body: VideoCall) -> None:
    """Call a function of a video generator. Always refused: this server has no video generator."""
    videos.call_generator(body)


# --- end of channels -----------------------------------------------------------------------------------------------


# --- posts ---------------------------------------------------------------------------------------------------------

Cursor = Annotated[str | None, Query(max_length=300)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
# An unescaped plus sign in a URL arrives as a space.
Moment = Annotated[
    WireTime,
    BeforeValidator(lambda text: text.strip().replace(" ", "+") if "T" in text else text),
    Query(examples=["2026-03-01T00:00:00.000Z"]),
]
EndOfRange = Annotated[Moment, BeforeValidator(end_of_day)]


@api.get("/find-slot")
def public_find_slot(member: Acting, session: Reading) -> PublicSlot:
    """Find a free slot of any channel.

    The next free posting time of any enabled channel, in UTC.
    """
    return PublicSlot(date=find_slot(session, member.reach))


@api.get("/find-slot/{channel_id}")
def public_find_integration_slot(channel_id: Id, member: Acting, session: Reading) -> PublicSlot:
    """Find a free slot of a channel.

    The channel's next posting time that none of its posts has taken, in UTC.
    """
    known = as_id(channel_id, ChannelId)
    if known is None:
        raise ChannelNotFound
    return PublicSlot(date=find_slot(session, member.reach, known))


@api.get("/posts", response_model=PublicPosts)
def public_list_posts(
    request: Request,
    member: Acting,
    session: Reading,
    start_date: Annotated[Moment, Query(alias="startDate")],
    end_date: Annotated[EndOfRange, Query(alias="endDate")],
    customer: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
) -> Response:
    """List the posts of a range.

    Earliest first, both ends included, in all states, without posts of deleted channels. An end without a time of day means
    the whole day, in UTC.

    At most 5,000 posts; the header `Link` leads to the rest.
    """
    stretch = Range(start_date, end_date)
    content, rest = list_posts_json(
        session, member.reach, stretch, customer=customer, cursor=cursor
    )
    query = request.query_params.multi_items()
    headers = {"link": link_to_rest(query, rest, path="/public/v1/posts")} if rest else {}
    return Response(content, headers=headers, media_type="application/json")


@api.post("/posts", status_code=201)
def public_create_posts(
    body: PublicDraft, member: Acting, response: Response, key: Key = None
) -> list[PublicCreated]:
    """Compose posts.

    Stores one post for each entry, or none at all. With an `Idempotency-Key`, a repeated request stores nothing more. The
    header `Warning` reports a post with the same content as another post of its channel within 24 hours, tags that the
    organization does not have, and unknown fields.
    """
    created = compose_posts(author_of(member, body.creation_method), body, key=key)
    _warn(response, warnings.of_posts(created))
    _warn(response, warnings.of_delays(parts_of(body.posts)))
    return [PublicCreated(post_id=one.post_id, integration=one.integration) for one in created]


@api.delete("/posts/group/{group_id}")
def public_delete_post_group(group_id: Id, member: Acting, session: Writing) -> PublicRef:
    """Delete all posts of a group.

    Deletes all of them, or none if one is being published or is published. A group that does not exist counts as deleted.
    """
    if known := as_id(group_id, GroupId):
        with contextlib.suppress(GroupNotFound):
            delete.delete_group(session, author_of(member), known)
    return PublicRef(id=group_id)


@api.get("/posts/{post_id}", response_model_exclude_unset=True)
def public_get_post(post_id: Id, member: Acting, session: Reading) -> PublicThread:
    """Read a post. As in the list, with all its parts; a reply's id returns the whole post."""
    return show_post(session, member.reach, _known(post_id))


@api.put("/posts/{post_id}", response_model_exclude_unset=True)
def public_update_post(
    post_id: Id, body: PublicEdit, member: Acting, response: Response
) -> PublicThread:
    """Change a post. Omitted fields stay unchanged. Refused once a part is being published or is published."""
    edited = change_post.edit_post(author_of(member), _known(post_id), body)
    _warn(response, edited.warnings)
    _warn(response, warnings.of_delays(in_value(body.value or ())))
    return edited.thread


@api.delete("/posts/{post_id}")
def public_delete_post(post_id: Id, member: Acting, session: Writing) -> PublicRef:
    """Delete a post.

    With its thread; a reply's id deletes the whole post. Refused once a part is being published or is published.
    """
    known, author = _known(post_id), author_of(member)
    try:
        delete.delete_post(session, author, known)
    except ReplyNotPost as error:
        delete.delete_post(session, author, error.root_id)
    return PublicRef(id=post_id)


@api.get("/posts/{post_id}/missing")
def get_missing_content(post_id: Id, member: Acting) -> list[RecentRelease]:
    """List candidates for a published post on its platform. Always empty: no platform supports it yet."""
    del post_id, member
    return []


@api.put("/posts/{post_id}/settings")
def update_post_settings(
    post_id: Id, body: NewSettings, member: Acting, session: Writing, response: Response
) -> PublicSettings:
    """Change the settings of a post. Omitted settings stay unchanged. Refused after its time."""
    changed = change_post.change_settings(session, author_of(member), _known(post_id), body)
    _warn(response, changed.warnings)
    return changed.settings_out


@api.put("/posts/{post_id}/status")
def public_update_post_status(
    post_id: Id, body: StatusWanted, member: Acting, session: Writing
) -> PublicStatus:
    """Queue a post, or turn it back into a draft.

    `draft` takes it out of the queue; `schedule` queues it for its time.
    """
    known = as_id(post_id, PostId)
    if known is None:
        raise change_post.post_not_found()
    return change_post.change_status(session, author_of(member), known, body)


@api.put("/posts/{post_id}/release-id")
def update_release_id(post_id: Id, body: NewReleaseId, member: Acting) -> PublicRelease:
    """Set the platform's id of a published post. Only if its `releaseId` is `missing`.

    If Roost can look posts up on the platform, the post must exist and belong to the channel.
    """
    return change_post.name_release_of(author_of(member), _known(post_id), body)


def _warn(response: Response, warnings: Iterable[str]) -> None:
    for warning in warnings:
        response.headers.append("warning", warning)


def _known(post_id: str) -> PostId:
    known = as_id(post_id, PostId)
    if known is None:
        raise PostNotFound
    return known


# --- end of posts --------------------------------------------------------------------------------------------------


# --- uploads -------------------------------------------------------------------------------------------------------


def _file_of_form(value: Any) -> Any:
    """Treat a text in the field as no file, because some programs send one."""
    return None if isinstance(value, str) else value


FileOfForm = Annotated[UploadFile | None, File(), BeforeValidator(_file_of_form)]


@api.post("/upload", status_code=201)
def upload_file(member: Acting, file: FileOfForm = None, key: Key = None) -> PublicMedia:
    """Upload a small file.

    A JPEG, PNG, GIF, WebP, AVIF, BMP or TIFF picture or an MP4 video of at most 4,500,000 bytes; the type is detected from
    the bytes, not from the name. Upload a larger file in parts with `POST /media`. With an `Idempotency-Key`, a repeated
    upload is stored once.
    """
    if file is None:
        raise uploads.no_file()
    return uploads.upload(
        member.reach,
        actor_of(member),
        file.file,
        file_name=file.filename,
        key=key,
    )


@api.post("/upload-from-url", status_code=201)
def upload_from_url(body: FileAddress, member: Acting, key: Key = None) -> PublicMedia:
    """Upload a file from an address.

    The file is fetched immediately, within 25 seconds, from a public https address. With an `Idempotency-Key`, a repeated
    request fetches it once.
    """
    return uploads.upload_from_url(member.reach, actor_of(member), body, key=key)


# --- end of uploads ------------------------------------------------------------------------------------------------


app = make_app(
    "public_api",
    routers=[api],
    body_limits={"/public/v1/upload": BodyLimit(uploads.MAX_BODY_BYTES, uploads.too_large_to_send)},
    render=public_response,
    below_api=True,
)
handler = as_handler(app)
