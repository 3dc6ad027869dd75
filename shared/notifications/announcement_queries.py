"""The statements that add, list and delete announcements, which belong to no organization."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import AnnouncementId, UserId
from shared.db.statement import NoParams, NoRow, Statement, sql


class AnnouncementRow(NamedTuple):
    id: AnnouncementId
    title: str
    description: str
    color: str
    created_at: datetime


LIST_ANNOUNCEMENTS = Statement(
    "list_announcements",
    sql("""
        select id, title, description, color, created_at from announcements order by created_at desc, id desc limit 100
    """),
    params=NoParams,
    row=AnnouncementRow,
)
"""List the announcements, newest first; at most 100."""


class NewAnnouncement(NamedTuple):
    id: AnnouncementId
    title: str
    description: str
    color: str
    created_by: UserId
    most: int


ADD_ANNOUNCEMENT = Statement(
    "add_announcement",
    sql("""
        insert into announcements (id, title, description, color, created_by)
        select cast(:id as uuid), cast(:title as text), cast(:description as text), cast(:color as text),
            cast(:created_by as uuid)
        where (select count(*) from announcements) < :most
        returning id, title, description, color, created_at
    """),
    params=NewAnnouncement,
    row=AnnouncementRow,
)
"""Add an announcement; no row if there are `most` already."""


class OneAnnouncement(NamedTuple):
    id: AnnouncementId


DELETE_ANNOUNCEMENT = Statement(
    "delete_announcement",
    sql("delete from announcements where id = :id"),
    params=OneAnnouncement,
    row=NoRow,
)
"""Delete an announcement."""
