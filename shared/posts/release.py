"""Records the platform's id of a published part if the platform did not return it."""

from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.audit.entries import Action, Entry, entries_json
from shared.audit.queries import recording
from shared.channels.queries import channel_in_reach
from shared.core.ids import ChangeId, CustomerId, OrganizationId, PostId, UserId, new_id
from shared.db.statement import Json, Statement, sql
from shared.db.wire import constraint_of
from shared.posts.errors import PostNotFound, ReleaseKnown, ReleaseTaken
from shared.posts.parts import Author
from shared.providers.base import Released

MISSING = "missing"  # the release id of a post whose platform did not return its id


class NamedRelease(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    user_id: UserId | None
    part_id: PostId
    change_id: ChangeId
    release_id: str
    release_url: str | None
    release_data: Json | None
    audit: Json


class NamedPart(NamedTuple):
    is_named: bool


_NAME = Statement(
    "name_release",
    sql(
        """
        with found as (
            select id, root_id, revision, release_id from posts
            where id = :part_id and organization_id = :organization_id and deleted_at is null and {in_reach}
            for update
        ), named as (
            update posts set release_id = :release_id, release_url = coalesce(:release_url, release_url),
                release_data = coalesce(cast(:release_data as jsonb), release_data), updated_at = now()
            from found where posts.id = found.id and found.release_id = 'missing'
            returning posts.id
        ), history as (
            insert into revisions (id, organization_id, root_id, revision, actor_id, action, changes)
            select cast(:change_id as uuid), :organization_id, found.root_id, found.revision, cast(:user_id as uuid),
                'release_named', jsonb_build_object('releaseId', jsonb_build_array('missing', cast(:release_id as text)))
            from found join named on named.id = found.id
        ), {recording}
        select named.id is not null as is_named from found left join named on named.id = found.id
    """,
        in_reach=channel_in_reach(sql("posts.channel_id")),
        recording=recording(sql("exists (select from named)")),
    ),
    params=NamedRelease,
    row=NamedPart,
)
"""Record a part's id on its platform, if it is unknown, and the change; no row: there is no such part.

One statement, so that a change is never without its record.
"""


def record(session: Session, author: Author, part_id: PostId, released: Released) -> None:
    """Record the platform's id of a published part whose release id is `missing`.

    Raises:
        PostNotFound: there is none.
        ReleaseKnown: it is not published, or its release is known.
        ReleaseTaken: another post already has this release.
    """
    try:
        row = _NAME.find(
            session,
            **author.reach._asdict(),
            user_id=author.user_id,
            part_id=part_id,
            change_id=ChangeId(new_id()),
            release_id=released.id,
            release_url=released.url or None,
            release_data=released.data_to_store,
            audit=entries_json(author.actor, Entry(Action.POST_RELEASE_NAMED, part_id)),
        )
    except IntegrityError as error:
        if constraint_of(error) != "uq_posts_release":
            raise
        raise ReleaseTaken from error
    if row is None:
        raise PostNotFound
    if not row.is_named:
        raise ReleaseKnown
