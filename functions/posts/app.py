"""Posts over HTTP: composing, the calendar, and what members do with a post until it is published."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request, Response

from shared.access.context import ActingMember, Via
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import TimezoneName
from shared.posts import delete, read
from shared.posts.compose import compose
from shared.posts.models import CreationMethod
from shared.posts.queries import Author, Filter
from shared.posts.schemas import (
    CreatedPost,
    DeletedGroup,
    GroupOut,
    PostDraft,
    PostPage,
    PostRef,
    PostsOut,
    ThreadOut,
)
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router

posts = Router(prefix="/posts", tags=["posts"])

Day = Annotated[str, Query(max_length=40, examples=["2026-03-29", "2026-03-29T00:00:00+02:00"])]
Cursor = Annotated[str | None, Query(max_length=300)]
State = Annotated[str | None, Query(max_length=20, examples=["QUEUE"])]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", pattern=r'^"?\d{1,9}"?$', description="The revision that was read."),
]


@posts.get("", summary="List the calendar of a range")
def list_posts(
    request: Request,
    response: Response,
    member: Acting,
    session: Reading,
    start_date: Annotated[Day, Query(alias="startDate")],
    end_date: Annotated[Day, Query(alias="endDate")],
    timezone: TimezoneName = "UTC",
    channel: UUID | None = None,
    state: State = None,
    tag: UUID | None = None,
    cursor: Cursor = None,
) -> PostsOut:
    """First to go out first, both ends included. Days are whole days on the clock of `timezone`.

    At most 62 days and 5,000 posts; the header `Link` leads to the rest.
    """
    stretch = read.read_range(start_date, end_date, timezone)
    wanted = Filter(channel, read.read_states(state), tag)
    shown, rest = read.list_calendar(
        session, member.organization_id, stretch, wanted=wanted, cursor=cursor
    )
    if rest:
        response.headers["link"] = read.link_to_rest(request.query_params.multi_items(), rest)
    return shown


@posts.post("", status_code=201, summary="Compose posts")
def create_posts(
    body: PostDraft, member: Acting, session: Writing, key: Key = None
) -> list[CreatedPost]:
    """Stores one post for each channel, or nothing; with an `Idempotency-Key` once, however often it is sent."""
    return compose(session, _author(member, body.creation_method), body, key=key)


@posts.get("/list", summary="List posts by pages")
def list_posts_by_page(
    member: Acting,
    session: Reading,
    channel: UUID | None = None,
    state: State = None,
    tag: UUID | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
) -> PostPage:
    """Last to go out first."""
    wanted = Filter(channel, read.read_states(state), tag)
    return read.list_page(
        session, member.organization_id, wanted=wanted, cursor=cursor, page_size=limit
    )


@posts.get("/group/{group_id}", summary="Read all posts of a compose action")
def get_group(group_id: UUID, member: Acting, session: Reading) -> GroupOut:
    """First to go out first."""
    return read.get_group(session, member.organization_id, group_id)


@posts.delete("/group/{group_id}", summary="Delete all posts of a compose action")
def delete_group(group_id: UUID, member: Acting, session: Writing) -> DeletedGroup:
    """All of them, or none if one is being published or was."""
    deleted = delete.delete_group(session, _author(member), group_id)
    return DeletedGroup(id=group_id, posts=deleted)


@posts.get("/{post_id}", summary="Read a post")
def get_post(post_id: UUID, member: Acting, session: Reading) -> ThreadOut:
    """With all its parts; a reply's id names its whole post."""
    return read.get_thread(session, member.organization_id, post_id)


@posts.delete("/{post_id}", summary="Delete a post")
def delete_post(
    post_id: UUID, member: Acting, session: Writing, if_match: IfMatch = None
) -> PostRef:
    """On its channel, with its replies; the group's posts on other channels stay."""
    delete.delete_post(session, _author(member), post_id, revision=_revision(if_match))
    return PostRef(id=post_id)


def _author(member: ActingMember, method: str | None = None) -> Author:
    if member.via is Via.SESSION:
        door = CreationMethod.WEB
    else:
        door = CreationMethod.CLI if method == "CLI" else CreationMethod.API
    return Author(member.organization_id, member.user_id, door)


def _revision(if_match: str | None) -> int | None:
    return int(if_match.strip('"')) if if_match else None


app = make_app("posts", routers=[posts])
handler = as_handler(app)
