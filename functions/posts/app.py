"""Posts over HTTP: composing, the calendar, and changing posts until they are published."""

from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.responses import HTMLResponse

from shared.access.actor import actor_of
from shared.access.author import author_of, decider_of
from shared.core.ids import ChannelId, GroupId, PostId, TagId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import TimezoneName
from shared.posts import delete, edit, read, resolve, review, tags
from shared.posts.compose import compose
from shared.posts.find_slot import find_slot
from shared.posts.html import body_of, title_of
from shared.posts.listing import Filter
from shared.posts.review_schemas import (
    DecidedGroup,
    GroupReviewIn,
    ReviewIn,
    ReviewOut,
    ReviewsOut,
)
from shared.posts.schemas import (
    CheckedOut,
    Confirmation,
    CreatedPost,
    DeletedGroup,
    Duplicate,
    GroupOut,
    NewDate,
    NewStatus,
    PostDraft,
    PostEdit,
    PostPage,
    PostRef,
    PostsOut,
    ResentOut,
    ShortLinkAnswer,
    ShortLinkQuestion,
    SlotOut,
    StatusOut,
    TagOut,
    TagsOut,
    TagWrite,
    ThreadOut,
)
from shared.posts.valid import dry_run
from shared.publishing.history import HistoryOut, list_history
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.html import html_response
from shared.web.routing import Router, refusals

posts = Router(prefix="/posts", tags=["Posts"])
content = Router(prefix="/app/posts", tags=["Posts"])

# A browser gets a refusal as html.
HTML_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {**refusal, "content": {**refusal["content"], "text/html": {}}}
    for status, refusal in refusals(401, 403, 404, 422, 503).items()
}

MAX_REVIEWS = 500
Day = Annotated[str, Query(max_length=40, examples=["2026-03-29", "2026-03-29T00:00:00+02:00"])]
Cursor = Annotated[str | None, Query(max_length=300)]
State = Annotated[str | None, Query(max_length=20, examples=["QUEUE"])]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^"?\d{1,9}"?$',
        description=("The revision on which the change is based."),
    ),
]


@posts.get("", response_model=PostsOut)
def list_posts(
    request: Request,
    member: Acting,
    session: Reading,
    start_date: Annotated[Day, Query(alias="startDate")],
    end_date: Annotated[Day, Query(alias="endDate")],
    timezone: TimezoneName = "UTC",
    channel: ChannelId | None = None,
    state: State = None,
    tag: TagId | None = None,
    cursor: Cursor = None,
) -> Response:
    """List the posts of a date range.

    Earliest first, both ends included. Days are whole days in `timezone`.

    At most 62 days and 5,000 posts; the header `Link` leads to the rest.
    """
    stretch = read.read_range(start_date, end_date, timezone)
    wanted = Filter(channel, read.read_states(state), tag)
    content, rest = read.list_calendar_json(
        session, member.reach, stretch, wanted=wanted, cursor=cursor
    )
    query = request.query_params.multi_items()
    headers = {"link": read.link_to_rest(query, rest)} if rest else {}
    return Response(content, headers=headers, media_type="application/json")


@posts.post("", status_code=201)
def create_posts(
    body: PostDraft, member: Acting, session: Writing, key: Key = None
) -> list[CreatedPost]:
    """Compose posts.

    Stores one post for each channel, or none at all. With an `Idempotency-Key`, a repeated request stores nothing more.
    """
    return compose(session, author_of(member, body.creation_method), body, key=key)


@posts.get("/list")
def list_post_pages(
    member: Acting,
    session: Reading,
    channel: ChannelId | None = None,
    state: State = None,
    tag: TagId | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
) -> PostPage:
    """List posts, one page at a time. Latest first."""
    wanted = Filter(channel, read.read_states(state), tag)
    return read.list_page(session, member.reach, wanted=wanted, cursor=cursor, page_size=limit)


@posts.get("/reviews")
def list_reviews(member: Acting, session: Reading) -> ReviewsOut:
    """List the posts that wait for approval. Earliest first, at most 500."""
    step = decider_of(member).step
    return review.list_reviews(session, member.reach, step, most=MAX_REVIEWS)


@posts.post("/valid")
def validate_posts(body: PostDraft, member: Acting, session: Reading) -> CheckedOut:
    """Check posts without storing them.

    A dry run: returns for each channel, part and field what composing would refuse and why.
    """
    return dry_run(session, member.reach, body)


@posts.post("/should-shortlink")
def should_shortlink(body: ShortLinkQuestion) -> ShortLinkAnswer:
    """Return whether to ask about short links. Never: links are sent as written."""
    del body
    return ShortLinkAnswer(ask=False)


@posts.get("/find-slot", operation_id="findSlot")
def find_any_slot(member: Acting, session: Reading) -> SlotOut:
    """Find a free slot of any channel.

    The next free posting time of any enabled channel.
    """
    return SlotOut(date=find_slot(session, member.reach))


@posts.get("/find-slot/{channel_id}")
def find_integration_slot(channel_id: ChannelId, member: Acting, session: Reading) -> SlotOut:
    """Find a free slot of a channel.

    The channel's next posting time that none of its posts has taken.
    """
    return SlotOut(date=find_slot(session, member.reach, channel_id))


@posts.get("/tags")
def list_tags(member: Acting, session: Reading) -> TagsOut:
    """List tags. By name."""
    return TagsOut(tags=tags.list_tags(session, member.organization_id))


@posts.post("/tags", status_code=201)
def create_tag(body: TagWrite, member: Acting, session: Writing) -> TagOut:
    """Add a tag. Its name must be unique in the organization."""
    return tags.add_tag(session, actor_of(member), body)


@posts.put("/tags/{tag_id}")
def update_tag(tag_id: TagId, body: TagWrite, member: Acting, session: Writing) -> TagOut:
    """Change a tag. Its posts show the change."""
    return tags.change_tag(session, actor_of(member), tag_id, body)


@posts.delete("/tags/{tag_id}")
def delete_tag(tag_id: TagId, member: Acting, session: Writing) -> PostRef:
    """Delete a tag. It is removed from its posts."""
    tags.delete_tag(session, actor_of(member), tag_id)
    return PostRef(id=tag_id)


@posts.get("/group/{group_id}")
def get_post_group(group_id: GroupId, member: Acting, session: Reading) -> GroupOut:
    """Read a group of posts. Earliest first."""
    return read.get_group(session, member.reach, group_id)


@posts.delete("/group/{group_id}")
def delete_post_group(group_id: GroupId, member: Acting, session: Writing) -> DeletedGroup:
    """Delete a group of posts.

    Deletes all of them, or none if one is being published or is published.
    """
    deleted = delete.delete_group(session, author_of(member), group_id)
    return DeletedGroup(id=group_id, posts=deleted)


@posts.post("/group/{group_id}/review")
def review_post_group(
    group_id: GroupId, body: GroupReviewIn, member: Acting, session: Writing
) -> DecidedGroup:
    """Decide on posts of a group. Each gets its own answer."""
    decided = review.review_group(session, decider_of(member), group_id, body)
    return DecidedGroup(id=group_id, posts=decided)


@posts.get("/{post_id}")
def get_post(post_id: PostId, member: Acting, session: Reading) -> ThreadOut:
    """Read a post. With all its parts; a reply's id returns the whole post."""
    return read.get_thread(session, member.reach, post_id)


@posts.put("/{post_id}")
def update_post(
    post_id: PostId, body: PostEdit, member: Acting, session: Writing, if_match: IfMatch = None
) -> ThreadOut:
    """Change a post. Omitted fields stay unchanged. Refused once a part is being published or is published."""
    revision = _revision(if_match, body.revision)
    edit.edit(session, author_of(member), post_id, body, revision=revision)
    return read.get_thread(session, member.reach, post_id)


@posts.put("/{post_id}/date")
def update_post_date(
    post_id: PostId, body: NewDate, member: Acting, session: Writing, if_match: IfMatch = None
) -> StatusOut:
    """Move a post to another time.

    `schedule` also queues it, unless it is a draft; `update` only changes the time.
    """
    revision = _revision(if_match, body.revision)
    moved = edit.reschedule(
        session, author_of(member), post_id, body.date, body.action, revision=revision
    )
    return read.status_of(moved)


@posts.put("/{post_id}/status")
def update_post_status(
    post_id: PostId, body: NewStatus, member: Acting, session: Writing, if_match: IfMatch = None
) -> StatusOut:
    """Queue a post, or turn it back into a draft.

    `draft` takes it out of the queue; `schedule` queues it for its time.
    """
    revision = _revision(if_match, body.revision)
    changed = edit.change_status(
        session, author_of(member), post_id, body.status, revision=revision
    )
    return read.status_of(changed)


@posts.post("/{post_id}/review")
def review_post(
    post_id: PostId, body: ReviewIn, member: Acting, session: Writing, if_match: IfMatch = None
) -> ReviewOut:
    """Request, withdraw, approve or decline.

    A decision names the revision that was seen. If somebody else has decided, the answer is 409 with the decision.
    """
    revision = _revision(if_match, body.revision)
    return review.review(session, decider_of(member), post_id, body, revision=revision)


@posts.post("/{post_id}/duplicate", status_code=201)
def duplicate_post(
    post_id: PostId, member: Acting, session: Writing, body: Duplicate | None = None
) -> CreatedPost:
    """Copy a post. As a draft, or queued for another time."""
    return edit.duplicate(session, author_of(member), post_id, body or Duplicate())


@posts.post("/{post_id}/confirm")
def confirm_post(post_id: PostId, body: Confirmation, member: Acting) -> ThreadOut:
    """Confirm an unconfirmed post by its address.

    If Roost can look posts up on the platform, it checks that the post exists and belongs to the channel. The part is then
    published, and the next part of its thread is queued.
    """
    return resolve.confirm_address(author_of(member), post_id, body.release_url)


@posts.post("/{post_id}/resend")
def resend_post(post_id: PostId, member: Acting, session: Writing) -> ResentOut:
    """Resend a failed or unconfirmed post.

    Sends it at once, with the parts of its thread that failed because of it. For an unconfirmed post this can create a second
    copy on the platform: `resent` says so, and the post's `error` lists the copies that were found.
    """
    return resolve.resend(session, author_of(member), post_id)


@posts.get("/{post_id}/history")
def get_post_history(
    post_id: PostId,
    member: Acting,
    session: Reading,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
) -> HistoryOut:
    """Read a post's history.

    Who changed what, and the platform's answer to each attempt. Newest first.
    """
    return list_history(session, member.reach, post_id, cursor=cursor, page_size=limit)


@posts.delete("/{post_id}")
def delete_post(
    post_id: PostId, member: Acting, session: Writing, if_match: IfMatch = None
) -> PostRef:
    """Delete a post.

    With its replies; the group's posts on other channels stay. If earlier parts are already published, a reply's id deletes
    that reply and those after it.
    """
    delete.delete_post(session, author_of(member), post_id, revision=_revision(if_match))
    return PostRef(id=post_id)


@content.get("/{post_id}", response_class=HTMLResponse, responses=HTML_REFUSALS)
def get_post_page(post_id: PostId, member: Acting, session: Reading) -> HTMLResponse:
    """Show a post on a page.

    Emails link to this page until there is a console. Visitors are asked to sign in.
    """
    thread = read.get_thread(session, member.reach, post_id)
    return html_response(title_of(thread), body_of(thread, member.timezone))


def _revision(if_match: str | None, in_body: int | None = None) -> int | None:
    return int(if_match.strip('"')) if if_match else in_body


app = make_app("posts", routers=[posts, content])
handler = as_handler(app)
