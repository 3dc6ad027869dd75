"""The statements that read posts: the calendar of a range, lists by pages, and whole threads.

Each list has a statement for callers who see the whole organization, which reads posts by time, and one for those who see some
customers, which reads the posts of each of their channels. The first finds nothing for the others.
"""

from datetime import datetime
from typing import Any, NamedTuple

from shared.channels.queries import IN_REACH, OF_CUSTOMERS
from shared.core.ids import ChannelId, CustomerId, GroupId, OrganizationId, PostId, TagId
from shared.db.reach import WHOLE
from shared.db.statement import Sql, Statement, sql
from shared.posts.lateness import TIME_OF_PART, is_late
from shared.posts.lifecycle import PostState, wire_state

_TAGS = sql("""
    coalesce((
        select jsonb_agg(jsonb_build_object('tag', jsonb_build_object('id', t.id, 'name', t.name, 'color', t.color))
            order by t.name)
        from post_tags pt join tags t on t.id = pt.tag_id and t.deleted_at is null
        where pt.post_id = p.id), '[]')
""")
# Lists have roots only. A reply that waits for the part before it has no time yet, so it is not late.
_ROOT_IS_LATE = sql(
    "(p.state in ('queued', 'publishing') and {is_late}) as late",
    is_late=is_late(sql("p.publish_at")),
)
_PART_IS_LATE = sql(
    "(p.state in ('queued', 'publishing') and coalesce({is_late}, false)) as late",
    is_late=is_late(TIME_OF_PART),
)
# A state's wire name, from lifecycle.py.
_NAMES = Sql(" ".join(f"when '{state}' then '{wire_state(state)}'" for state in PostState))
WIRE_STATE = sql("case p.state {names} end", names=_NAMES)


def wire_time_of(column: str) -> Sql:
    """Return the SQL expression of a time in the wire's format (`clock.to_wire`)."""
    return sql(
        """to_char({column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
        column=Sql(column),
    )


# A time for the wire, and the exact one: a cursor needs its microseconds.
_WRITTEN, _EXACT = wire_time_of("p.publish_at"), sql("p.publish_at")
_POSTS = sql("posts")

_ALL = sql("p.organization_id = :organization_id and p.position = 0 and p.deleted_at is null")
_FILTERED = sql(
    """
    {all}
    and (cast(:channel_id as uuid) is null or p.channel_id = cast(:channel_id as uuid))
    and (cast(:states as text[]) is null or p.state = any(cast(:states as text[])))
    and (cast(:tag_id as uuid) is null or exists (
        select 1 from post_tags pt where pt.post_id = p.id and pt.tag_id = cast(:tag_id as uuid) offset 0)
        and exists (select 1 from tags t where t.id = cast(:tag_id as uuid) and t.deleted_at is null))
    """,
    all=_ALL,
)
_ALL_OF_WHOLE = sql("{all} and {whole}", all=_ALL, whole=WHOLE)
_WANTED = sql("{filtered} and {whole}", filtered=_FILTERED, whole=WHOLE)


_INTEGRATION = sql("""
    json_build_object('id', c.id, 'providerIdentifier', c.provider, 'name', c.name, 'picture', c.picture_url)
        as integration
""")
# For a list that is cut after it is sorted: the JSON is only made for the posts that are left.
_CHANNEL_OF_EACH = sql("join channels c on c.id = p.channel_id")
# For a calendar, which shows all that it reads: `offset 0` lets the planner keep the JSON for the channel's next post.
_CHANNEL_KEPT = sql(
    """
    cross join lateral (
        select {integration} from channels c where c.id = p.channel_id offset 0
    ) c
    """,
    integration=_INTEGRATION,
)


def _of_customers(wanted: Sql, in_order: Sql) -> Sql:
    """Return the posts of the channels that the caller sees, in place of `posts`. A channel's are read by its index."""
    return sql(
        """(
        select p.* from channels c cross join lateral (
            select p.* from posts p where p.channel_id = c.id and {wanted} {in_order}
        ) p
        where c.organization_id = :organization_id and {of_customers}
        )""",
        wanted=wanted,
        in_order=in_order,
        of_customers=OF_CUSTOMERS,
    )


def _calendar(publish_date: Sql, wanted: Sql, posts: Sql = _POSTS) -> Sql:
    return _listed(publish_date, posts, wanted, _CHANNEL_KEPT, sql("c.integration"))


def _listed(
    publish_date: Sql,
    posts: Sql,
    wanted: Sql = _WANTED,
    channel: Sql = _CHANNEL_OF_EACH,
    integration: Sql = _INTEGRATION,
) -> Sql:
    """Return the select of `CalendarPost`s from `posts`, named as on the wire; more conditions may follow.

    Most posts carry no tag, and to ask for that first takes a third of what an aggregate of no rows does. `offset 0`
    keeps the planner from answering that question by reading all tags of all organizations once.
    """
    return sql(
        """
        select p.id, {wire_state} as state, p.state as code, {late}, {publish_date} as "publishDate",
            p.release_url as "releaseURL", p.release_id as "releaseId", p.error_code as "errorCode",
            p.error_message as error, p.content, p.title, p.group_id as "group", p.revision, p.review,
            p.creation_method as "creationMethod", null as "intervalInDays",
            case when exists (select 1 from post_tags pt where pt.post_id = p.id offset 0) then {tags} else '[]' end as tags,
            {integration}
        from {posts} p {channel}
        where {wanted}
        """,
        wire_state=WIRE_STATE,
        late=_ROOT_IS_LATE,
        publish_date=publish_date,
        tags=_TAGS,
        posts=posts,
        wanted=wanted,
        channel=channel,
        integration=integration,
    )


class Range(NamedTuple):
    """Roots of a range, both ends included, after a position."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    start: datetime
    end: datetime
    after_time: datetime
    after_id: PostId
    page_size: int


class FilteredRange(NamedTuple):
    """The same with a filter by channel, states or tag. None: any."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId | None
    states: list[str] | None
    tag_id: TagId | None
    start: datetime
    end: datetime
    after_time: datetime
    after_id: PostId
    page_size: int


class PostsJson(NamedTuple):
    """Posts as JSON from the database: `posts` is a list of `CalendarPost`, `characters` is the length of the contents."""

    posts: str
    number: int
    characters: int


class ListJson(NamedTuple):
    """The JSON of a list of `CalendarPost`."""

    posts: str


_IN_RANGE = sql("""
    and p.publish_at between :start and :end
    and (p.publish_at, p.id) > (cast(:after_time as timestamptz), cast(:after_id as uuid))
    order by p.publish_at, p.id limit :page_size
""")


def _range_json(wanted: Sql, posts: Sql = _POSTS) -> Sql:
    return sql(
        """
        select cast(coalesce(json_agg(listed), '[]') as text) as posts, count(*) as number,
            coalesce(sum(length(content)), 0) as characters
        from ({listed} {in_range}) listed
        """,
        listed=_calendar(_WRITTEN, wanted, posts),
        in_range=_IN_RANGE,
    )


# Reading 300 rows with sixteen columns in the driver would take longer than everything else. The JSON is not parsed here
# either: making objects of 300 posts only to serialize them again would be the second largest cost.
RANGE_JSON = Statement("range_json", _range_json(_ALL_OF_WHOLE), params=Range, row=PostsJson)
"""Write the posts of a range as one JSON text, earliest first."""

RANGE_JSON_OF_CUSTOMERS = Statement(
    "range_json_of_customers",
    _range_json(_ALL, _of_customers(_ALL, _IN_RANGE)),
    params=Range,
    row=PostsJson,
)
"""Write the posts of a range on the channels of some customers as one JSON text, earliest first."""

# Planned for its values each time, like all statements with optional filters. Most calendars are requested without one.
FILTERED_RANGE_JSON = Statement(
    "filtered_range_json",
    _range_json(_WANTED),
    params=FilteredRange,
    row=PostsJson,
    custom_plan=True,
)
"""Write the posts of a range that match a filter as one JSON text, earliest first."""

FILTERED_RANGE_JSON_OF_CUSTOMERS = Statement(
    "filtered_range_json_of_customers",
    _range_json(_ALL, _of_customers(_FILTERED, _IN_RANGE)),
    params=FilteredRange,
    row=PostsJson,
    custom_plan=True,
)
"""Write the posts of a range that match a filter on the channels of some customers, earliest first."""


def _range(wanted: Sql, posts: Sql = _POSTS) -> Sql:
    return sql(
        "select cast(coalesce(json_agg(listed), '[]') as text) as posts from ({listed} {in_range}) listed",
        listed=_calendar(_EXACT, wanted, posts),
        in_range=_IN_RANGE,
    )


RANGE = Statement(
    "range_of_posts", _range(_WANTED), params=FilteredRange, row=ListJson, custom_plan=True
)
"""Write the posts of a range with exact times, earliest first."""

RANGE_OF_CUSTOMERS = Statement(
    "range_of_posts_of_customers",
    _range(_ALL, _of_customers(_FILTERED, _IN_RANGE)),
    params=FilteredRange,
    row=ListJson,
    custom_plan=True,
)
"""Write the posts of a range on the channels of some customers with exact times, earliest first."""


class LatestPage(NamedTuple):
    """Roots before a position, which is `infinity` for the first page. None: any channel, state or tag."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId | None
    states: list[str] | None
    tag_id: TagId | None
    after_time: datetime | str
    after_id: PostId
    page_size: int


_LATEST_FIRST = sql("""
    and (p.publish_at, p.id) < (cast(:after_time as timestamptz), cast(:after_id as uuid))
    order by p.publish_at desc, p.id desc limit :page_size
""")


def _latest_of(posts: Sql, wanted: Sql = _WANTED) -> Sql:
    return sql(
        """
        select cast(coalesce(json_agg(listed), '[]') as text) as posts
        from ({listed} {latest_first}) listed
        """,
        listed=_listed(_EXACT, posts, wanted),
        latest_first=_LATEST_FIRST,
    )


# Planned for its values each time: PostgreSQL would keep a plan for any values that is ten times as slow without a filter,
# and 27 times with one at a million posts (docs/adr/0005-pg8000-in-one-flush.md).
LATEST = Statement(
    "latest_posts", _latest_of(_POSTS), params=LatestPage, row=ListJson, custom_plan=True
)
"""List posts, latest first."""

# Each state is a range of `ix_posts_state` in the requested order, so a rare one costs no more than a common one.
_BY_STATE = sql(
    """(
    select p.* from unnest(cast(:states as text[])) as one(state) cross join lateral (
        select p.* from posts p where p.state = one.state and {wanted} {latest_first}
    ) p
)""",
    wanted=_WANTED,
    latest_first=_LATEST_FIRST,
)
LATEST_BY_STATE = Statement(
    "latest_posts_by_state",
    _latest_of(_BY_STATE),
    params=LatestPage,
    row=ListJson,
    custom_plan=True,
)
"""List posts of some states, latest first."""

# For a tag on few posts, its index is read; for one on many, all posts by time are read until enough have the tag.
_FEW = 2_000


def latest_by_tag(few: int) -> Sql:
    """Return the text of `LATEST_BY_TAG`; `few` is the threshold between the two ways."""
    by_tag = sql(
        """(
    with few as materialized (
        select pt.post_id from post_tags pt where pt.tag_id = cast(:tag_id as uuid) limit {few} + 1
    ), counted as materialized (select count(*) as number from few)
    select p.* from few join posts p on p.id = few.post_id where (select number from counted) <= {few}
    union all (
        select p.* from posts p where (select number from counted) > {few} and {wanted} {latest_first}
    )
)""",
        few=few,
        wanted=_WANTED,
        latest_first=_LATEST_FIRST,
    )
    return _latest_of(by_tag)


LATEST_BY_TAG = Statement(
    "latest_posts_by_tag",
    latest_by_tag(_FEW),
    params=LatestPage,
    row=ListJson,
    custom_plan=True,
)
"""List posts with a tag, latest first."""

LATEST_OF_CUSTOMERS = Statement(
    "latest_posts_of_customers",
    _latest_of(_of_customers(_FILTERED, _LATEST_FIRST), _ALL),
    params=LatestPage,
    row=ListJson,
    custom_plan=True,
)
"""List posts on the channels of some customers, with any filter, latest first."""

# The files that are shown in a part, in order, without those of settings.
FILES = sql("""
    coalesce((
        select jsonb_agg(jsonb_build_object('id', entry.value ->> 'id', 'alt', coalesce(entry.value ->> 'alt', m.alt),
            'key', m.key, 'type', m.content_type, 'thumbnail', m.thumbnail_key,
            'thumbnailTimestamp', cast(entry.value ->> 'thumbnailTimestamp' as integer)) order by entry.ordinality)
        from jsonb_array_elements(p.media) with ordinality as entry
        left join media m on m.id = cast(entry.value ->> 'id' as uuid)
            and m.organization_id = p.organization_id
        where entry.value ->> 'setting' is null), '[]')
""")


class ThreadPart(NamedTuple):
    """A part with its channel, for display. `files` are those that are shown in it."""

    id: PostId
    root_id: PostId
    position: int
    state: str
    late: bool
    publish_at: datetime
    release_url: str | None
    release_id: str | None
    error_code: str | None
    error_message: str | None
    content: str
    title: str | None
    group_id: GroupId
    revision: int
    review: str
    generation: int
    creation_method: str
    settings: dict[str, Any]
    delay_seconds: int
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime
    channel_id: ChannelId
    provider: str
    channel_name: str
    picture_url: str | None
    tags: list[dict[str, Any]]
    files: list[dict[str, Any]]


_PARTS = sql(
    """
    select p.id, p.root_id, p.position, p.state, {late}, p.publish_at, p.release_url, p.release_id, p.error_code,
        p.error_message, p.content, p.title, p.group_id, p.revision, p.review, p.generation, p.creation_method, p.settings,
        p.delay_seconds, p.published_at, p.created_at, p.updated_at,
        c.id as channel_id, c.provider, c.name as channel_name, c.picture_url, {tags} as tags,
        {files} as files
    from posts p join channels c on c.id = p.channel_id
    where p.organization_id = :organization_id and p.deleted_at is null and {in_reach}
    """,
    late=_PART_IS_LATE,
    tags=_TAGS,
    files=FILES,
    in_reach=IN_REACH,
)


class OnePost(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    post_id: PostId


THREAD = Statement(
    "thread",
    sql(
        """
        {parts} and p.root_id = (
            select named.root_id from posts named
            where named.id = :post_id and named.organization_id = :organization_id and named.deleted_at is null)
        order by p.position
        """,
        parts=_PARTS,
    ),
    params=OnePost,
    row=ThreadPart,
)
"""Read a thread by the id of any of its parts, in order."""


class OneGroup(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    group_id: GroupId
    page_size: int


GROUP = Statement(
    "group",
    sql(
        """
        {parts} and p.group_id = :group_id
        order by p.publish_at, p.root_id, p.position limit :page_size
        """,
        parts=_PARTS,
    ),
    params=OneGroup,
    row=ThreadPart,
)
"""Read all parts of a group that the caller sees, thread by thread."""
