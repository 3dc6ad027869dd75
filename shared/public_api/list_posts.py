"""Lists posts for the public API: the roots of existing channels in a range, serialized by the database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from shared.channels.queries import OF_CUSTOMERS, channel_in_reach
from shared.core import clock
from shared.core.ids import CustomerId, OrganizationId, PostId
from shared.core.page import write_cursor
from shared.core.reach import Reach
from shared.db.reach import WHOLE
from shared.db.statement import Sql, Statement, sql
from shared.posts.draft import as_id
from shared.posts.read import MAX_RANGE_CHARACTERS, MAX_RANGE_POSTS, Range, read_position
from shared.posts.read_queries import WIRE_STATE, OnePost, wire_time_of
from shared.providers.wire_names import wire_name_of

_TAGS = sql(
    """
    coalesce((
        select json_agg(json_build_object('tag', json_build_object('id', t.id, 'name', t.name, 'color', t.color,
            'orgId', t.organization_id, 'createdAt', {created_at},
            'updatedAt', {updated_at}, 'deletedAt', null)) order by t.name)
        from post_tags pt join tags t on t.id = pt.tag_id and t.deleted_at is null
        where pt.post_id = p.id), '[]')
    """,
    created_at=wire_time_of("t.created_at"),
    updated_at=wire_time_of("t.updated_at"),
)
LISTED = sql(
    """
    p.id, p.content, {publish_date} as "publishDate", p.release_url as "releaseURL",
    p.release_id as "releaseId", {wire_state} as state, null as "intervalInDays", p.group_id as "group",
    upper(p.creation_method) as "creationMethod",
    cast(p.settings || jsonb_build_object('__type', {wire_name}) as text) as settings,
    case when exists (select 1 from post_tags pt where pt.post_id = p.id offset 0) then {tags} else '[]' end as tags,
    c.integration
    """,
    publish_date=wire_time_of("p.publish_at"),
    wire_state=WIRE_STATE,
    wire_name=Sql(wire_name_of("c.provider")),
    tags=_TAGS,
)
"""The columns of a `PublicPost`, of `posts p` and `CHANNEL`, named as on the wire."""

CHANNEL = sql(
    """
    cross join lateral (
        select channels.provider, channels.customer_id, channels.deleted_at,
            json_build_object('id', channels.id, 'providerIdentifier', {wire_name}, 'name', channels.name,
                'picture', channels.picture_url) as integration
        from channels where channels.id = p.channel_id offset 0
    ) c
    """,
    wire_name=Sql(wire_name_of("channels.provider")),
)
"""The channel of `posts p`, joined as `c`. `offset 0` lets the planner keep its JSON for the next post of the channel."""


class PublicRange(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    start: datetime
    end: datetime
    after_time: datetime
    after_id: PostId
    customer_id: CustomerId | None
    size: int


class PublicJson(NamedTuple):
    """`posts` is the JSON of a list, `characters` are those of its contents."""

    posts: str
    number: int
    characters: int


_IN_RANGE = sql("""
    p.organization_id = :organization_id and p.position = 0 and p.deleted_at is null
    and p.publish_at between :start and :end
    and (p.publish_at, p.id) > (cast(:after_time as timestamptz), cast(:after_id as uuid))
""")
_OF_CHANNEL = sql(
    "c.deleted_at is null and (cast(:customer_id as uuid) is null or c.customer_id = cast(:customer_id as uuid))"
)
_IN_ORDER = sql("order by p.publish_at, p.id limit :size")
# A channel's posts are read by its index.
_POSTS_OF_CUSTOMERS = sql(
    """(
    select p.* from channels c cross join lateral (
        select p.* from posts p where p.channel_id = c.id and {in_range} {in_order}
    ) p
    where c.organization_id = :organization_id and {of_customers} and {of_channel}
    )""",
    in_range=_IN_RANGE,
    in_order=_IN_ORDER,
    of_customers=OF_CUSTOMERS,
    of_channel=_OF_CHANNEL,
)


def _list_of(posts: Sql, wanted: Sql) -> Sql:
    return sql(
        """
        select cast(coalesce(json_agg(listed), '[]') as text) as posts, count(*) as number,
            coalesce(sum(length(content)), 0) as characters
        from (select {listed} from {posts} p {channel} where {wanted} {in_order}) listed
        """,
        listed=LISTED,
        posts=posts,
        channel=CHANNEL,
        wanted=wanted,
        in_order=_IN_ORDER,
    )


_LIST = Statement(
    "list_public_posts",
    _list_of(
        sql("posts"),
        sql(
            "{in_range} and {of_channel} and {whole}",
            in_range=_IN_RANGE,
            of_channel=_OF_CHANNEL,
            whole=WHOLE,
        ),
    ),
    params=PublicRange,
    row=PublicJson,
)
"""Write the posts of a range as JSON, earliest first. For a caller who is limited to customers there are none."""

_LIST_OF_CUSTOMERS = Statement(
    "list_public_posts_of_customers",
    _list_of(_POSTS_OF_CUSTOMERS, sql("true")),
    params=PublicRange,
    row=PublicJson,
)
"""Write the posts of a range on the channels of some customers as JSON, earliest first."""


class PublishTime(NamedTuple):
    publish_at: datetime


_TIME_OF = Statement(
    "time_of_post",
    sql(
        """
        select p.publish_at from posts p
        where p.organization_id = :organization_id and p.id = :post_id and {in_reach}
        """,
        in_reach=channel_in_reach(sql("p.channel_id")),
    ),
    params=OnePost,
    row=PublishTime,
)
"""Return a post's time to the microsecond."""

_LOWEST, _NOBODY = PostId(UUID(int=0)), CustomerId(UUID(int=0))


def list_posts_json(
    session: Session,
    reach: Reach,
    stretch: Range,
    *,
    customer: str | None = None,
    cursor: str | None = None,
) -> tuple[str, str | None]:
    """List the posts of a range as the JSON of `PublicPosts`, and the cursor of the rest if there are too many.

    Both ends are included, and the range may be of any length.
    """
    after_time, after_id = read_position(cursor) or (stretch.start, _LOWEST)
    statement = _LIST_OF_CUSTOMERS if reach.is_limited else _LIST
    row = statement.one(
        session,
        *reach,
        start=stretch.start,
        end=stretch.end,
        after_time=after_time,
        after_id=after_id,
        customer_id=(as_id(customer, CustomerId) or _NOBODY) if customer else None,
        size=MAX_RANGE_POSTS + 1,  # one more than is shown, to see whether there are more
    )
    if row.number <= MAX_RANGE_POSTS and row.characters <= MAX_RANGE_CHARACTERS:
        return f'{{"posts":{row.posts}}}', None
    fitting = _that_fit(json.loads(row.posts))
    posts = json.dumps({"posts": fitting}, ensure_ascii=False, separators=(",", ":"))
    if len(fitting) == row.number:
        return posts, None
    return posts, _cursor_of(session, reach, fitting[-1]["id"])


def _that_fit(posts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cut a list that is too long for one answer; its first post is always included."""
    characters, fitting = 0, list[dict[str, Any]]()
    for post in posts[:MAX_RANGE_POSTS]:
        characters += len(post["content"])
        if fitting and characters > MAX_RANGE_CHARACTERS:
            break
        fitting.append(post)
    return fitting


def _cursor_of(session: Session, reach: Reach, post_id: str) -> str:
    """Return the cursor of a post. Its time in the response lacks the microseconds that the order needs."""
    moment = _TIME_OF.one(session, *reach, PostId(UUID(post_id))).publish_at
    return write_cursor(clock.as_utc(moment).isoformat(), post_id)
