"""Uploaded files until they are part of a status.

A file is stored and decoded, and its small copy is created, before the upload is answered. The *processing* after that is
a time stored with the file, not a job, so nothing is left behind if the process dies.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from local.sandbox import pictures
from local.sandbox.accounts import Account
from local.sandbox.database import Database, moment
from local.sandbox.refusals import Refused, invalid, not_found

MAX_PER_STATUS = 4
MAX_DESCRIPTION = 1500
_COLUMNS = (
    "id, account, status, content_type, description, focus, width, height, readable, ready_ms"
)


@dataclass(frozen=True, slots=True)
class Media:
    """One file. Sizes are in pixels, None for videos; `readable` is true if it could be decoded."""

    id: int
    account: int
    status: int | None
    content_type: str
    description: str | None
    focus: str | None
    width: int | None
    height: int | None
    readable: bool
    ready_ms: int

    @property
    def is_video(self) -> bool:
        return self.content_type.startswith("video/")

    @property
    def file_name(self) -> str:
        """The uploaded file's name below `sandbox-media/`."""
        return f"{self.id}.{pictures.EXTENSIONS[self.content_type]}"

    @property
    def small_file_name(self) -> str:
        """The small copy's name below `sandbox-media/`."""
        return f"{self.id}-small.jpg"


def upload(
    database: Database,
    directory: Path,
    account: Account,
    *,
    file: BinaryIO,
    description: str | None,
    focus: str | None,
    processing: timedelta,
) -> Media:
    """Store a file, which is ready for use after `processing`.

    Raises:
        Refused: its type is not known, it is too large, or the description is too long.
    """
    _check_description(description)
    media_id = database.new_id()
    content_type = _checked_type(file)
    path = directory / f"{media_id}.{pictures.EXTENSIONS[content_type]}"
    _keep(file, path)
    seen = _look(path, content_type)
    (directory / f"{media_id}-small.jpg").write_bytes(seen.small if seen else pictures.film_still())
    readable = seen is not None or content_type.startswith("video/")
    database.insert(
        "INSERT INTO media (id, account, content_type, description, focus, width, height, readable,"
        " ready_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(media_id, account.id, content_type, description, focus),
        *((seen.width, seen.height) if seen else (None, None)),
        *(readable, database.now_ms() + int(processing.total_seconds() * 1000)),
    )
    return get_unattached(database, account, media_id)


def _checked_type(file: BinaryIO) -> str:
    content_type = pictures.sniff(file.read(64))
    size = file.seek(0, 2)
    file.seek(0)
    if content_type is None:
        raise Refused(422, "File type of uploaded media could not be verified")
    moving = content_type.startswith("video/")
    limit = pictures.MAX_VIDEO_BYTES if moving else pictures.MAX_IMAGE_BYTES
    if size > limit:
        raise invalid(f"File file size must be less than {limit // 1024**2} MB")
    return content_type


def _keep(file: BinaryIO, path: Path) -> None:
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as target:
        shutil.copyfileobj(file, target, 1024 * 1024)
    unfinished.rename(path)


def _look(path: Path, content_type: str) -> pictures.Seen | None:
    if content_type.startswith("video/"):
        return None
    try:
        return pictures.look_at(path)
    except pictures.TooManyPixels as error:
        path.unlink()
        raise Refused(422, str(error)) from error


def get_unattached(database: Database, account: Account, media_id: int | str) -> Media:
    """Return a file of `account` that no status carries yet.

    Raises:
        Refused: there is none; like Mastodon, this does not find a file that is already posted.
    """
    row = database.row(
        f"SELECT {_COLUMNS} FROM media WHERE id = ? AND account = ? AND status IS NULL",  # noqa: S608
        *(media_id, account.id),
    )
    if row is None:
        raise not_found()
    return _media(row)


def describe(
    database: Database,
    account: Account,
    media_id: str,
    *,
    description: str | None,
    focus: str | None,
) -> Media:
    """Change the description and the focus; `None` leaves a value unchanged."""
    _check_description(description)
    media = get_unattached(database, account, media_id)
    database.rows(
        "UPDATE media SET description = coalesce(?, description), focus = coalesce(?, focus)"
        " WHERE id = ?",
        *(description, focus, media.id),
    )
    return get_unattached(database, account, media_id)


def _check_description(description: str | None) -> None:
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise invalid(f"Description is too long (maximum is {MAX_DESCRIPTION} characters)")


def is_ready(database: Database, media: Media) -> bool:
    """True if processing has ended, successfully or not."""
    return media.ready_ms <= database.now_ms()


def next_ready(database: Database) -> datetime | None:
    """Return when the next file in processing is ready; None if there is none."""
    row = database.row(
        "SELECT MIN(ready_ms) AS ms FROM media WHERE ready_ms > ?", database.now_ms()
    )
    return moment(row["ms"]) if row and row["ms"] is not None else None


def attachable(database: Database, account: Account, ids: Sequence[str]) -> list[Media]:
    """Return the files with these `ids` in that order, after checking that they can be posted together.

    Raises:
        Refused: too many, unknown, already posted or unfinished files, or a video beside another file.
    """
    if len(ids) > MAX_PER_STATUS:
        raise Refused(422, f"Cannot attach more than {MAX_PER_STATUS} files")
    found = {str(media.id): media for media in _unattached(database, account, ids)}
    missing = [media_id for media_id in ids if media_id not in found]
    if missing or len(set(ids)) != len(ids):
        named = ", ".join(missing or ids)
        raise Refused(422, f"Media {named} not found or already attached to another post")
    chosen = [found[media_id] for media_id in ids]
    if len(chosen) > 1 and any(media.is_video for media in chosen):
        raise Refused(422, "Cannot attach a video to a post that already contains images")
    if not all(media.readable and is_ready(database, media) for media in chosen):
        raise Refused(
            422, "Cannot attach files that have not finished processing. Try again in a moment!"
        )
    return chosen


def _unattached(database: Database, account: Account, ids: Sequence[str]) -> list[Media]:
    marks = ", ".join("?" for _ in ids)
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM media"  # noqa: S608  # nothing but column names and marks
        f" WHERE id IN ({marks}) AND account = ? AND status IS NULL",
        *ids,
        account.id,
    )
    return [_media(row) for row in rows]


def attach(database: Database, chosen: Sequence[Media], status: int) -> None:
    """Attach the files to a status in this order."""
    for position, media in enumerate(chosen):
        database.rows(
            "UPDATE media SET status = ?, position = ? WHERE id = ?", status, position, media.id
        )


def media_of(database: Database, statuses: Sequence[int]) -> dict[int, list[Media]]:
    """Map each status that has files to its files in order."""
    marks = ", ".join("?" for _ in statuses)
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM media WHERE status IN ({marks}) ORDER BY status, position",  # noqa: S608
        *statuses,
    )
    return _by_status(rows)


def media_of_all(database: Database) -> dict[int, list[Media]]:
    """Map every status that has files to its files in order."""
    return _by_status(
        database.rows(
            f"SELECT {_COLUMNS} FROM media WHERE status IS NOT NULL ORDER BY status, position"  # noqa: S608
        )
    )


def _by_status(rows: Sequence[sqlite3.Row]) -> dict[int, list[Media]]:
    carried: dict[int, list[Media]] = {}
    for media in map(_media, rows):
        carried.setdefault(media.status or 0, []).append(media)
    return carried


def _media(row: sqlite3.Row) -> Media:
    return Media(**{**dict(row), "readable": bool(row["readable"])})
