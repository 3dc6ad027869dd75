"""The sweep of media: removes deleted files and unfinished uploads, and requests missing variants.

Files that were stored under earlier rules are examined again. It runs for all organizations at once, on a schedule.
Nothing here knows about posts: the caller says which files are still needed.
"""

from collections.abc import Sequence
from functools import partial

from shared.aws import storage
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.db.session import after_commit, read_only, unit_of_work
from shared.db.statement import Statement
from shared.media.keys import thumbnail_key
from shared.media.models import MediaState
from shared.media.sweep_queries import (
    DELETE_FILES,
    TAKE_UNEXAMINED,
    TAKE_WITHOUT_VARIANTS,
    FileOfOrganization,
    UnneededRow,
)
from shared.media.variants import request_variants

_PAGE = 200
# About a minute's work for the variants function, so that new uploads hardly wait.
_EXAMINED_AN_HOUR = 500


def remove_unneeded_files(unneeded: Statement[[int], UnneededRow]) -> int:
    """Remove the bytes and rows of files that nobody can reach anymore; return how many files.

    `unneeded` lists them (`unneeded_files`). Objects are removed first, then their rows: a crash in between leaves rows
    that the next call finds again.
    """
    with read_only() as session:
        files = unneeded.all(session, _PAGE)
    if not files:
        return 0
    for file in files:
        for key in _keys(file):
            storage.delete(key)
    with unit_of_work() as session:
        DELETE_FILES.run(session, [file.id for file in files])
    log.info("media.removed", extra={"count": len(files)})
    return len(files)


def request_missing_variants() -> int:
    """Request missing variants again that should exist by now; return how many files lack them."""
    with unit_of_work() as session:
        files = TAKE_WITHOUT_VARIANTS.all(session, _PAGE)
    request_variants(_ids(files))
    return len(files)


def request_examinations() -> int:
    """Request the examination of a page of files that were stored under earlier rules; return how many."""
    with unit_of_work() as session:
        files = TAKE_UNEXAMINED.all(session, _EXAMINED_AN_HOUR)
        after_commit(session, partial(request_variants, _ids(files)))
    return len(files)


def _ids(files: Sequence[FileOfOrganization]) -> list[tuple[OrganizationId, MediaId]]:
    return [(file.organization_id, file.id) for file in files]


def _keys(file: UnneededRow) -> list[str]:
    thumbnail = [thumbnail_key(file.key)] if file.state == MediaState.READY else []
    return [file.key, *thumbnail, *(file.copies or ())]
