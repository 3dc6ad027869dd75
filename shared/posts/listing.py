"""Lists posts: a range of the calendar, or page by page, latest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from shared.core.ids import ChannelId, PostId, TagId
from shared.core.reach import Reach
from shared.posts import read_queries as queries
from shared.posts.lifecycle import PostState
from shared.posts.read_queries import PostsJson
from shared.posts.schemas import CalendarPost

_CALENDAR_POSTS = TypeAdapter(list[CalendarPost])
_LOWEST, _HIGHEST = PostId(UUID(int=0)), PostId(UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter of a list; None means all."""

    channel_id: ChannelId | None = None
    states: Sequence[PostState] | None = None
    tag_id: TagId | None = None


@dataclass(frozen=True, slots=True)
class RangePage:
    """A page of the calendar: posts of a range, both ends included, after a position, at most `size`."""

    start: datetime
    end: datetime
    wanted: Filter
    after: tuple[datetime, PostId] | None
    size: int


def list_range(session: Session, reach: Reach, page: RangePage) -> list[CalendarPost]:
    """List the posts of a range, earliest first."""
    statement = queries.RANGE_OF_CUSTOMERS if reach.is_limited else queries.RANGE
    found = statement.one(session, *reach, **_filter(page.wanted), **_range(page))
    return _CALENDAR_POSTS.validate_json(found.posts)


def list_range_json(session: Session, reach: Reach, page: RangePage) -> PostsJson:
    """List the same posts as JSON."""
    if page.wanted == Filter():
        all_of_them = queries.RANGE_JSON_OF_CUSTOMERS if reach.is_limited else queries.RANGE_JSON
        return all_of_them.one(session, *reach, **_range(page))
    filtered = (
        queries.FILTERED_RANGE_JSON_OF_CUSTOMERS
        if reach.is_limited
        else queries.FILTERED_RANGE_JSON
    )
    return filtered.one(session, *reach, **_filter(page.wanted), **_range(page))


def list_latest(
    session: Session,
    reach: Reach,
    *,
    wanted: Filter,
    after: tuple[datetime, PostId] | None,
    page_size: int,
) -> list[CalendarPost]:
    """List posts after a position, latest first."""
    after_time, after_id = after or ("infinity", _HIGHEST)
    statement = queries.LATEST_BY_STATE if wanted.states else queries.LATEST
    if wanted.tag_id:
        statement = queries.LATEST_BY_TAG
    if reach.is_limited:
        statement = queries.LATEST_OF_CUSTOMERS
    found = statement.one(
        session,
        *reach,
        **_filter(wanted),
        after_time=after_time,
        after_id=after_id,
        page_size=page_size,
    )
    return _CALENDAR_POSTS.validate_json(found.posts)


class _Filter(TypedDict):
    channel_id: ChannelId | None
    states: list[str] | None
    tag_id: TagId | None


class _Range(TypedDict):
    start: datetime
    end: datetime
    after_time: datetime
    after_id: PostId
    page_size: int


def _range(page: RangePage) -> _Range:
    after_time, after_id = page.after or (page.start, _LOWEST)
    return {
        "start": page.start,
        "end": page.end,
        "after_time": after_time,
        "after_id": after_id,
        "page_size": page.size,
    }


def _filter(wanted: Filter) -> _Filter:
    return {
        "channel_id": wanted.channel_id,
        "states": None if wanted.states is None else [str(state) for state in wanted.states],
        "tag_id": wanted.tag_id,
    }
