"""The statements of the sweep of media, in pages, over all organizations."""

from datetime import timedelta
from typing import NamedTuple

from shared.core.ids import MediaId, OrganizationId
from shared.db.statement import NoRow, Sql, Statement, sql

# Long enough to restore a file, and for a running attempt to end.
DELETED_FILES_STAY = timedelta(days=30)
# The bucket's lifecycle rule ends uploads after two days.
_UPLOADS_STAY = timedelta(days=3)
# Longer than the variants function's timeout: its worker was killed, or the message was lost. A file that kills its
# worker each time is requested less and less often.
VARIANTS_TAKE = timedelta(minutes=3)
_PAUSE_SHARE = 2
_VARIANTS_GIVE_UP = timedelta(days=1)


class Limit(NamedTuple):
    limit: int


class UnneededRow(NamedTuple):
    id: MediaId
    key: str
    state: str
    copies: list[str] | None


def unneeded_files(needed: Sql) -> Statement[[int], UnneededRow]:
    """Return the statement that lists a page of the files that nobody can reach anymore, with the keys of their copies.

    `needed` selects the ids of files that may still be sent, without nulls.
    """
    return Statement(
        "unneeded_files",
        sql(
            """
            select m.id, m.key, m.state,
                (select array_agg(v.key) from media_variants v where v.media_id = m.id) as copies
            from media m
            where (m.deleted_at < now() - make_interval(days => {deleted_days}) and m.id not in ({needed})
                    and not exists (
                        select from media other
                        where other.thumbnail_key = m.key and other.id <> m.id and other.deleted_at is null))
                or (m.state <> 'ready' and m.created_at < now() - make_interval(days => {upload_days}))
            limit :limit
            """,
            deleted_days=DELETED_FILES_STAY.days,
            upload_days=_UPLOADS_STAY.days,
            needed=needed,
        ),
        params=Limit,
        row=UnneededRow,
    )


class Ids(NamedTuple):
    ids: list[MediaId]


DELETE_FILES = Statement(
    "delete_files",
    sql("delete from media where id = any(cast(:ids as uuid[]))"),
    params=Ids,
    row=NoRow,
)
"""Delete files whose bytes were removed, with their variants."""


class FileOfOrganization(NamedTuple):
    organization_id: OrganizationId
    id: MediaId


# `updated_at` stays: the pause between two requests grows with its age.
TAKE_WITHOUT_VARIANTS = Statement(
    "take_without_variants",
    sql(
        """
        update media set variants_due_at =
            now() + greatest(make_interval(secs => {take_seconds}), (now() - updated_at) / {share})
        where id in (
            select id from media
            where state = 'ready' and not variants_made and deleted_at is null
                and updated_at < now() - make_interval(secs => {take_seconds})
                and updated_at > now() - make_interval(days => {give_up_days})
                and (variants_due_at is null or variants_due_at <= now())
            order by updated_at limit :limit
            for update skip locked)
        returning organization_id, id
        """,
        take_seconds=VARIANTS_TAKE.seconds,
        share=_PAUSE_SHARE,
        give_up_days=_VARIANTS_GIVE_UP.days,
    ),
    params=Limit,
    row=FileOfOrganization,
)
"""Take a page of files whose copies should exist by now. One statement, so that no two sweeps take the same."""

TAKE_UNEXAMINED = Statement(
    "take_unexamined",
    sql("""
        update media set updated_at = now()
        where id in (
            select id from media where not examined and state = 'ready' and deleted_at is null
            order by updated_at limit :limit)
        returning organization_id, id
    """),
    params=Limit,
    row=FileOfOrganization,
)
"""Take a page of files that were stored under earlier rules; the most recently taken ones come last.

One statement, so that a file that cannot be examined does not hold up others.
"""
