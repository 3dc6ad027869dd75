"""The statements that read and write files. Each belongs to one organization."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.audit.queries import recording
from shared.core.ids import MediaId, OrganizationId, UserId
from shared.db.statement import Json, NoRow, Statement, columns_in, sql


@dataclass(frozen=True, slots=True)
class MediaRow:
    id: MediaId
    organization_id: OrganizationId
    state: str
    key: str
    upload_id: str | None
    name: str
    original_name: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    alt: str | None
    thumbnail_key: str | None
    thumbnail_at_ms: int | None
    variants_made: bool
    moves: bool
    damage: str | None
    created_at: datetime
    updated_at: datetime


_SHOWN = columns_in("m", MediaRow)
_IN_LIBRARY = sql(
    "m.organization_id = :organization_id and m.state = 'ready' and m.deleted_at is null"
)


class OneFile(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId


FIND_MEDIA = Statement(
    "find_media",
    sql(
        "select {shown} from media m where {in_library} and m.id = :media_id",
        shown=_SHOWN,
        in_library=_IN_LIBRARY,
    ),
    params=OneFile,
    row=MediaRow,
)
"""Find a file of the library."""

FIND_UPLOAD = Statement(
    "find_upload",
    sql(
        """
        select {shown} from media m
        where m.organization_id = :organization_id and m.id = :media_id and m.deleted_at is null
        """,
        shown=_SHOWN,
    ),
    params=OneFile,
    row=MediaRow,
)
"""Find a file whatever has become of its upload."""


class Listed(NamedTuple):
    """`search`: part of a name; `kind`: the word before the slash of a type. None: whichever."""

    organization_id: OrganizationId
    search: str | None
    kind: str | None
    before_time: datetime | None
    before_id: MediaId | None
    limit: int


# Not LIKE: for a rare word the planner would then read every organization's files at once, instead of walking through
# this one's by their index. `lower` is most of a search's cost, and most files keep their original name.
_WANTED = sql(
    """
    {in_library}
    and (cast(:search as text) is null or strpos(lower(m.name), lower(cast(:search as text))) > 0
        or m.original_name <> m.name and strpos(lower(m.original_name), lower(cast(:search as text))) > 0)
    and (cast(:kind as text) is null or starts_with(m.content_type, cast(:kind as text) || '/'))
    """,
    in_library=_IN_LIBRARY,
)

LIST_MEDIA = Statement(
    "list_media",
    sql(
        """
        select {shown} from media m
        where {wanted} and (cast(:before_time as timestamptz) is null
            or (m.created_at, m.id) < (cast(:before_time as timestamptz), cast(:before_id as uuid)))
        order by m.created_at desc, m.id desc
        limit :limit
        """,
        shown=_SHOWN,
        wanted=_WANTED,
    ),
    params=Listed,
    row=MediaRow,
    custom_plan=True,
)
"""List the library, newest first, from a position on."""


class Numbered(NamedTuple):
    """As `Listed`, by the number of files that come before."""

    organization_id: OrganizationId
    search: str | None
    kind: str | None
    skipped: int
    limit: int


@dataclass(frozen=True, slots=True)
class NumberedRow(MediaRow):
    """`total` comes even when the page is past the end: then no row `is_file`, and the only one is otherwise null."""

    total: int
    is_file: bool


LIST_MEDIA_BY_NUMBER = Statement(
    "list_media_by_number",
    sql(
        """
        select counted.total, m.id is not null as is_file, {shown}
        from (select count(*) as total from media m where {wanted}) counted
        left join lateral (
            select {shown} from media m where {wanted}
            order by m.created_at desc, m.id desc
            limit :limit offset :skipped
        ) m on true
        order by m.created_at desc, m.id desc
        """,
        shown=_SHOWN,
        wanted=_WANTED,
    ),
    params=Numbered,
    row=NumberedRow,
    custom_plan=True,
)
"""List a page of the library, newest first, and count all of its files. One statement, since both are of one moment."""


class GivenFiles(NamedTuple):
    organization_id: OrganizationId
    ids: list[MediaId]


class FileRow(NamedTuple):
    """A file with one of its copies, or none."""

    id: MediaId
    name: str
    key: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    alt: str | None
    thumbnail_key: str | None
    thumbnail_at_ms: int | None
    variants_made: bool
    is_deleted: bool
    moves: bool
    damage: str | None
    turned: bool
    examined: bool
    variant_name: str | None
    variant_key: str
    variant_content_type: str
    variant_size_bytes: int
    variant_width: int
    variant_height: int


# Deleted files are included and marked: an existing post is still published with them, but a new one must refuse them.
FIND_FILES = Statement(
    "find_files",
    sql("""
        select m.id, m.name, m.key, m.content_type, m.size_bytes, m.width, m.height, m.duration_ms, m.alt,
            m.thumbnail_key, m.thumbnail_at_ms, m.variants_made, m.deleted_at is not null as is_deleted, m.moves,
            m.damage, m.turned, m.examined, v.name as variant_name, v.key as variant_key,
            v.content_type as variant_content_type, v.size_bytes as variant_size_bytes,
            v.width as variant_width, v.height as variant_height
        from media m
        left join media_variants v on v.media_id = m.id and v.organization_id = m.organization_id
        where m.organization_id = :organization_id and m.id = any(cast(:ids as uuid[])) and m.state = 'ready'
    """),
    params=GivenFiles,
    row=FileRow,
)
"""Find completed files, a row for each copy; ids that name nothing in this organization are left out."""


class NewUpload(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    uploaded_by: UserId | None
    key: str
    upload_id: str | None
    name: str
    size_bytes: int


ADD_UPLOAD = Statement(
    "add_upload",
    sql("""
        insert into media (id, organization_id, uploaded_by, state, key, upload_id, name, original_name, content_type,
            size_bytes, variants_made)
        values (:media_id, :organization_id, :uploaded_by, 'uploading', :key, :upload_id, :name, :name,
            'application/octet-stream', :size_bytes, false)
    """),
    params=NewUpload,
    row=NoRow,
)
"""Add a file whose bytes are on their way."""


class FinishedUpload(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    key: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    moves: bool
    damage: str | None
    turned: bool
    variants_made: bool
    audit: Json


_UPLOADING = sql("""
    m.organization_id = :organization_id and m.id = :media_id and m.state = 'uploading' and m.deleted_at is null
""")

FINISH_UPLOAD = Statement(
    "finish_upload",
    sql(
        """
        with finished as (
            update media m set state = 'ready', upload_id = null, key = :key, content_type = :content_type,
                size_bytes = :size_bytes, width = :width, height = :height, duration_ms = :duration_ms, moves = :moves,
                damage = :damage, turned = :turned, examined = true, variants_made = :variants_made, updated_at = now()
            where {uploading}
            returning {shown}
        ), {recording}
        select * from finished
        """,
        uploading=_UPLOADING,
        shown=_SHOWN,
        recording=recording(sql("exists (select from finished)")),
    ),
    params=FinishedUpload,
    row=MediaRow,
)
"""Add an examined file to the library, and record it; no row: its upload has already ended."""

REFUSE_UPLOAD = Statement(
    "refuse_upload",
    sql(
        "update media m set state = 'rejected', upload_id = null, updated_at = now() where {uploading}",
        uploading=_UPLOADING,
    ),
    params=OneFile,
    row=NoRow,
)
"""Record that what was uploaded is refused, unless the upload has already ended."""


class Picture(NamedTuple):
    """One of the two is given."""

    organization_id: OrganizationId
    media_id: MediaId | None
    key: str | None


class PictureKey(NamedTuple):
    key: str


FIND_PICTURE = Statement(
    "find_picture",
    sql(
        """
        select m.key from media m
        where {in_library} and (m.id = :media_id or m.key = :key) and starts_with(m.content_type, 'image/')
        """,
        in_library=_IN_LIBRARY,
    ),
    params=Picture,
    row=PictureKey,
    custom_plan=True,
)
"""Find the object key of a library picture, by its id or its key."""


class FileChanges(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    media_id: MediaId
    changes: Json


CHANGE_MEDIA = Statement(
    "change_media",
    sql(
        """
        update media m set updated_at = now(), (name, alt, thumbnail_key, thumbnail_at_ms) = (
            select changed.name, changed.alt, changed.thumbnail_key, changed.thumbnail_at_ms
            from jsonb_populate_record(m, cast(:changes as jsonb)) changed)
        where {in_library} and m.id = :media_id
        returning {shown}
        """,
        in_library=_IN_LIBRARY,
        shown=_SHOWN,
    ),
    params=FileChanges,
    row=MediaRow,
)
"""Change how a member describes a file; no row: there is none."""


class FileInState(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    state: str


class Freed(NamedTuple):
    key: str
    upload_id: str | None


MARK_DELETED = Statement(
    "mark_media_deleted",
    sql("""
        update media set deleted_at = now(), updated_at = now()
        where organization_id = :organization_id and id = :media_id and state = :state and deleted_at is null
        returning key, upload_id
    """),
    params=FileInState,
    row=Freed,
)
"""Mark a file as deleted that is in `state`; no row: there is none."""


class MadeVariants(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    thumbnail_key: str | None
    damage: str | None
    variants: Json


class Id(NamedTuple):
    id: MediaId


# A member's own thumbnail stays. Variants that another delivery of the message recorded are identical.
KEEP_VARIANTS = Statement(
    "keep_variants",
    sql("""
        with kept as (
            update media set variants_made = true, thumbnail_key = coalesce(thumbnail_key, cast(:thumbnail_key as text)),
                damage = coalesce(damage, cast(:damage as text)), updated_at = now()
            where organization_id = :organization_id and id = :media_id
            returning id, organization_id
        ), added as (
            insert into media_variants
                (id, organization_id, media_id, name, key, content_type, size_bytes, width, height)
            select made.id, kept.organization_id, kept.id, made.name, made.key, made.content_type, made.size_bytes,
                made.width, made.height
            from kept, jsonb_to_recordset(cast(:variants as jsonb)) as made(
                id uuid, name text, key text, content_type text, size_bytes bigint, width integer, height integer)
            on conflict (media_id, name) do nothing
        )
        select id from kept
    """),
    params=MadeVariants,
    row=Id,
)
"""Record the variants or the damage, and that the variants are complete; no row: the file was removed.

One statement, so that a file whose copies are complete has them.
"""


class Examination(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    size_bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    moves: bool
    turned: bool
    variants_made: bool
    damage: str | None


RECORD_EXAMINATION = Statement(
    "record_examination",
    sql("""
        update media set examined = true, size_bytes = :size_bytes, width = :width, height = :height,
            duration_ms = :duration_ms, moves = :moves, turned = :turned, variants_made = :variants_made,
            damage = coalesce(damage, cast(:damage as text)), updated_at = now()
        where organization_id = :organization_id and id = :media_id
    """),
    params=Examination,
    row=NoRow,
)
"""Record what examining a stored file again found. Damage that was known before stays."""


class Damage(NamedTuple):
    organization_id: OrganizationId
    media_id: MediaId
    damage: str


RECORD_DAMAGE = Statement(
    "record_damage",
    sql("""
        update media set examined = true, damage = coalesce(damage, :damage), updated_at = now()
        where organization_id = :organization_id and id = :media_id
    """),
    params=Damage,
    row=NoRow,
)
"""Record that a stored file does not pass the examination. Damage that was known before stays."""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Stored(NamedTuple):
    """What an organization has stored, in bytes; `used` counts, `deleted` only waits to be removed."""

    used: int
    deleted: int


COUNT_STORED = Statement(
    "count_stored",
    sql("""
        select cast(coalesce(sum(size_bytes) filter (where deleted_at is null), 0) as bigint) as used,
            cast(coalesce(sum(size_bytes) filter (where deleted_at is not null), 0) as bigint) as deleted
        from media
        where organization_id = :organization_id and state <> 'rejected'
    """),
    params=OfOrganization,
    row=Stored,
)
"""Count library files, unfinished uploads, and deleted files that are still stored."""
