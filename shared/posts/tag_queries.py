"""The statements that read and write an organization's tags. The tags of posts are written with the posts (`queries.py`)."""

from typing import NamedTuple

from shared.core.ids import OrganizationId, TagId
from shared.db.statement import NoRow, Statement, sql


class TagsListed(NamedTuple):
    organization_id: OrganizationId
    limit: int


class TagRow(NamedTuple):
    id: TagId
    name: str
    color: str


LIST_TAGS = Statement(
    "list_tags",
    sql("""
        select id, name, color from tags
        where organization_id = :organization_id and deleted_at is null
        order by name limit :limit
    """),
    params=TagsListed,
    row=TagRow,
)
"""List an organization's tags by name."""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Count(NamedTuple):
    total: int


COUNT_TAGS = Statement(
    "count_tags",
    sql(
        "select count(*) as total from tags where organization_id = :organization_id and deleted_at is null"
    ),
    params=OfOrganization,
    row=Count,
)
"""Count an organization's tags."""


class TagNames(NamedTuple):
    organization_id: OrganizationId
    names: list[str]


class TagName(NamedTuple):
    name: str


FIND_TAGS = Statement(
    "find_tags",
    sql("""
        select name from tags
        where organization_id = :organization_id and name = any(cast(:names as text[])) and deleted_at is null
    """),
    params=TagNames,
    row=TagName,
)
"""Find those of the names that are tags of an organization."""


class TagValues(NamedTuple):
    organization_id: OrganizationId
    tag_id: TagId
    name: str
    color: str


ADD_TAG = Statement(
    "add_tag",
    sql("""
        insert into tags (id, organization_id, name, color) values (:tag_id, :organization_id, :name, :color)
        on conflict (organization_id, name) where deleted_at is null do nothing
        returning id, name, color
    """),
    params=TagValues,
    row=TagRow,
)
"""Add a tag; no row: there is one of that name."""

CHANGE_TAG = Statement(
    "change_tag",
    sql("""
        update tags set name = :name, color = :color, updated_at = now()
        where organization_id = :organization_id and id = :tag_id and deleted_at is null
        returning id, name, color
    """),
    params=TagValues,
    row=TagRow,
)
"""Change a tag; no row: there is none."""


class OneTag(NamedTuple):
    organization_id: OrganizationId
    tag_id: TagId


DELETE_TAG = Statement(
    "delete_tag",
    sql("""
        update tags set deleted_at = now(), updated_at = now()
        where organization_id = :organization_id and id = :tag_id and deleted_at is null
    """),
    params=OneTag,
    row=NoRow,
)
"""Mark a tag as deleted."""
