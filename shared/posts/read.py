"""Reads stored posts: the calendar of a range, a list by pages, and one post with all its parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from shared.aws.storage import public_url
from shared.core import clock
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import GroupId, PostId
from shared.core.page import read_cursor, write_cursor
from shared.core.reach import Reach
from shared.posts import listing
from shared.posts import read_queries as queries
from shared.posts.draft import refusal
from shared.posts.errors import GroupNotFound, PostNotFound
from shared.posts.lifecycle import PostState, Review, wire_state
from shared.posts.listing import Filter, RangePage
from shared.posts.read_queries import ThreadPart
from shared.posts.schemas import (
    MAX_PARTS,
    CalendarPost,
    GroupOut,
    ImageOut,
    IntegrationOut,
    PartOut,
    PostPage,
    PostsOut,
    StatusOut,
    TaggedOut,
    ThreadOut,
)
from shared.posts.write import Stored

MAX_RANGE = timedelta(days=62)
MAX_RANGE_POSTS = 5_000
# Lambda answers at most 6 MB (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, read 2026-11).
MAX_RANGE_CHARACTERS = 1_500_000
_A_DAY_ONLY = 10  # characters of 2026-03-29


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time in UTC, both ends included."""

    start: datetime
    end: datetime


def read_range(start: str, end: str, zone: str) -> Range:
    """Read the two ends of a calendar range.

    A day without a time is the whole day in `zone` (IANA), so it can have 23 or 25 hours; a time without an offset is in
    that zone too.

    Raises:
        InvalidInput: an end is not a time, or they are in the wrong order, or more than 62 days apart.
    """
    first = _moment(start, "startDate", zone)
    last = _moment(end, "endDate", zone, is_end=True)
    if last < first:
        raise refusal(
            "endDate", "before_start", "`endDate` is before `startDate`. Choose a later end."
        )
    if last - first > MAX_RANGE + timedelta(
        hours=1
    ):  # a range across a clock change can have an additional hour
        raise refusal(
            "endDate",
            "range_too_long",
            f"This range is too long. Request at most {MAX_RANGE.days} days at once.",
        )
    return Range(first, last)


def read_states(state: str | None) -> Sequence[PostState] | None:
    """Read a filter: a state's name on the wire, or its full name.

    Raises:
        InvalidInput: there is no such state.
    """
    if state is None:
        return None
    found = [one for one in PostState if state.upper() == wire_state(one) or state == one]
    if not found:
        names = ", ".join(sorted({wire_state(one) for one in PostState}))
        raise refusal("state", "unknown_state", f"This state is unknown. Use one of {names}.")
    return found


def list_calendar(
    session: Session,
    reach: Reach,
    stretch: Range,
    *,
    wanted: Filter,
    cursor: str | None = None,
) -> tuple[PostsOut, str | None]:
    """List the posts of a range, and the cursor of the rest if they do not fit one answer."""
    rows = listing.list_range(session, reach, _page_of(stretch, wanted, cursor))
    page = list(_that_fit(rows))
    return PostsOut(posts=page), _cursor_of(page[-1]) if len(page) < len(rows) else None


def list_calendar_json(
    session: Session,
    reach: Reach,
    stretch: Range,
    *,
    wanted: Filter,
    cursor: str | None = None,
) -> tuple[str, str | None]:
    """List the calendar as the JSON of `PostsOut`. The database writes it; only one that must be cut is read here."""
    written = listing.list_range_json(session, reach, _page_of(stretch, wanted, cursor))
    if written.number <= MAX_RANGE_POSTS and written.characters <= MAX_RANGE_CHARACTERS:
        return f'{{"posts":{written.posts}}}', None
    page, rest = list_calendar(session, reach, stretch, wanted=wanted, cursor=cursor)
    return page.model_dump_json(by_alias=True), rest


def link_to_rest(query: Sequence[tuple[str, str]], cursor: str, *, path: str = "/posts") -> str:
    """Return the `Link` header with the next answer of a list by time."""
    kept = [(name, value) for name, value in query if name != "cursor"]
    address = f"{settings().public_url}{path}?{urlencode([*kept, ('cursor', cursor)])}"
    return f'<{address}>; rel="next"'


def list_page(
    session: Session,
    reach: Reach,
    *,
    wanted: Filter,
    cursor: str | None,
    page_size: int,
) -> PostPage:
    """List posts, latest first."""
    rows = listing.list_latest(
        session,
        reach,
        wanted=wanted,
        after=read_position(cursor),
        page_size=page_size + 1,
    )
    page = rows[:page_size]
    more = len(rows) > page_size
    return PostPage(
        posts=page,
        next_cursor=_cursor_of(page[-1]) if more else None,
    )


def get_thread(session: Session, reach: Reach, post_id: PostId) -> ThreadOut:
    """Read a post with all its parts by any part's id.

    Raises:
        PostNotFound: there is none.
    """
    rows = queries.THREAD.all(session, *reach, post_id)
    if not rows:
        raise PostNotFound
    return _thread(rows)


def get_group(session: Session, reach: Reach, group_id: GroupId) -> GroupOut:
    """Read all posts of a group, earliest first.

    Raises:
        GroupNotFound: there is none.
    """
    rows = queries.GROUP.all(session, *reach, group_id, page_size=MAX_PARTS)
    if not rows:
        raise GroupNotFound
    threads = groupby(rows, key=lambda row: row.root_id)
    return GroupOut(group=group_id, posts=[_thread(list(parts)) for _, parts in threads])


def status_of(stored: Stored) -> StatusOut:
    """Return a post's state after a change."""
    state = stored.plan.state
    return StatusOut(
        id=stored.root.id,
        state=wire_state(state),
        code=state.value,
        revision=stored.root.revision,
        review=stored.plan.review,
        publish_date=stored.root.publish_at,
    )


def read_position(cursor: str | None) -> tuple[datetime, PostId] | None:
    """Read the cursor of a list by time: the time and the id of the last returned post.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    if not cursor:
        return None
    moment, post_id = read_cursor(cursor, parts=2)
    try:
        return clock.as_utc(datetime.fromisoformat(moment)), PostId(UUID(post_id))
    except (ValueError, OverflowError) as error:
        problem = FieldProblem(
            "cursor", "invalid", "This cursor is not valid. Use the one from an earlier response."
        )
        raise InvalidInput("The cursor is not valid.", problems=[problem]) from error


def _moment(text: str, path: str, zone: str, *, is_end: bool = False) -> datetime:
    # An unescaped plus sign in a URL arrives as a space.
    written = text.strip().replace(" ", "+") if "T" in text else text.strip()
    try:
        if len(written) <= _A_DAY_ONLY:
            day = date.fromisoformat(written)
            return _last_moment(day, zone) if is_end else _first_moment(day, zone)
        moment = datetime.fromisoformat(written)
        return clock.as_utc(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))
    except (ValueError, OverflowError) as error:
        words = "This is not a date. Write a day as 2026-01-15, or a time as 2026-01-15T10:30:00Z."
        raise refusal(path, "invalid_time", words) from error


def _first_moment(day: date, zone: str) -> datetime:
    """Return the start of a day. If a clock change skips midnight, it is the moment of the change."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


def _last_moment(day: date, zone: str) -> datetime:
    """Return the last moment before the next day, so that days have no gaps or overlaps at clock changes."""
    return _first_moment(day + timedelta(days=1), zone) - datetime.resolution


def _page_of(stretch: Range, wanted: Filter, cursor: str | None) -> RangePage:
    # One more than is shown, to see whether there is a rest.
    return RangePage(stretch.start, stretch.end, wanted, read_position(cursor), MAX_RANGE_POSTS + 1)


def _that_fit(posts: Sequence[CalendarPost]) -> Iterator[CalendarPost]:
    characters = 0
    for number, post in enumerate(posts):
        characters += len(post.content)
        if number == MAX_RANGE_POSTS or (number and characters > MAX_RANGE_CHARACTERS):
            return
        yield post


def _cursor_of(post: CalendarPost) -> str:
    return write_cursor(post.publish_date.isoformat(), str(post.id))


def _status_of(row: ThreadPart) -> dict[str, Any]:
    state = PostState(row.state)
    return {
        "id": row.id,
        "state": wire_state(state),
        "code": state.value,
        "late": row.late,
        "publish_date": row.publish_at,
        "release_url": row.release_url,
        "release_id": row.release_id,
        "error_code": row.error_code,
        "error": row.error_message,
    }


def _integration(row: ThreadPart) -> IntegrationOut:
    return IntegrationOut(
        id=row.channel_id,
        provider_identifier=row.provider,
        name=row.channel_name,
        picture=row.picture_url,
    )


def _tags(row: ThreadPart) -> list[TaggedOut]:
    return [TaggedOut.model_validate(tag) for tag in row.tags]


def _thread(rows: Sequence[ThreadPart]) -> ThreadOut:
    root = rows[0]
    status = _status_of(root)
    return ThreadOut(
        id=root.id,
        group=root.group_id,
        revision=root.revision,
        review=Review(root.review),
        state=status["state"],
        code=status["code"],
        late=root.late,
        publish_date=root.publish_at,
        title=root.title,
        settings={**root.settings, "__type": root.provider},
        creation_method=root.creation_method,
        tags=_tags(root),
        integration=root.channel_id,
        integration_picture=root.picture_url,
        channel=_integration(root),
        posts=[_part(row) for row in rows],
        created_at=root.created_at,
        updated_at=root.updated_at,
    )


def _part(row: ThreadPart) -> PartOut:
    return PartOut(
        **_status_of(row),
        content=row.content,
        image=[_image(file) for file in row.files],
        delay=row.delay_seconds / 60,
        published_at=row.published_at,
        generation=row.generation,
    )


def _image(file: dict[str, Any]) -> ImageOut:
    return ImageOut(
        id=file["id"],
        path=public_url(file["key"]) if file["key"] else None,
        alt=file["alt"],
        type=file["type"],
        thumbnail=public_url(file["thumbnail"]) if file["thumbnail"] else None,
    )
