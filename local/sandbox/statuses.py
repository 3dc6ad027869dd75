"""Creates, finds, lists and deletes statuses."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from local.sandbox import media, text
from local.sandbox.accounts import Account
from local.sandbox.database import Database
from local.sandbox.refusals import Refused, invalid, not_found

# docs.joinmastodon.org/methods/statuses, "Idempotency-Key", read 2026-11
KEY_LIFETIME = timedelta(hours=1)
_COLUMNS = (
    "s.id, s.account, s.client, s.text, s.spoiler_text, s.sensitive, s.visibility, s.language,"
    " s.in_reply_to_id, s.idempotency_key, s.created_ms, s.deleted_ms,"
    " (SELECT p.account FROM statuses p WHERE p.id = s.in_reply_to_id) AS in_reply_to_account"
)


class Visibility(StrEnum):
    """Who sees a status."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    PRIVATE = "private"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Status:
    """One stored post."""

    id: int
    account: int
    client: int
    text: str
    spoiler_text: str
    sensitive: bool
    visibility: Visibility
    language: str
    in_reply_to_id: int | None
    in_reply_to_account: int | None
    idempotency_key: str | None
    created_ms: int
    deleted_ms: int | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A status to create. `media_ids` are in display order."""

    text: str
    spoiler_text: str = ""
    sensitive: bool = False
    visibility: str = Visibility.PUBLIC
    language: str = "en"
    in_reply_to_id: str | None = None
    media_ids: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Window:
    """The requested part of a list. Ids are exclusive; `min_id` starts at the oldest end."""

    limit: int = 20
    max_id: str | None = None
    since_id: str | None = None
    min_id: str | None = None


def post(
    database: Database, account: Account, draft: Draft, *, client: int, key: str | None
) -> Status:
    """Create the status, or return the one that was created with `key` within the last hour.

    Raises:
        Refused: a limit is exceeded, a file is not ready, or the status to reply to does not exist.
    """
    with database.transaction():
        now = database.now_ms()
        database.rows("DELETE FROM idempotency_keys WHERE expires_ms <= ?", now)
        made = _made_before(database, account, key) if key else None
        if made is not None:
            return get(database, made, viewer=account)
        visibility = _checked(database, account, draft)
        chosen = media.attachable(database, account, draft.media_ids)
        status_id = _insert(database, account, draft, visibility, client=client, key=key)
        media.attach(database, chosen, status_id)
        if key:
            expires = now + int(KEY_LIFETIME.total_seconds() * 1000)
            database.insert(
                "INSERT INTO idempotency_keys (account, key, status, expires_ms) VALUES (?, ?, ?, ?)",
                *(account.id, key, status_id, expires),
            )
        return get(database, status_id, viewer=account)


def _made_before(database: Database, account: Account, key: str) -> int | None:
    row = database.row(
        "SELECT status FROM idempotency_keys WHERE account = ? AND key = ?", account.id, key
    )
    return int(row["status"]) if row else None


def _checked(database: Database, account: Account, draft: Draft) -> Visibility:
    if not draft.text.strip() and not draft.media_ids:
        raise invalid("Text can't be blank")
    if text.length(draft.spoiler_text + draft.text) > text.MAX_LENGTH:
        raise invalid(f"Text character limit of {text.MAX_LENGTH} exceeded")
    if draft.in_reply_to_id and find(database, draft.in_reply_to_id, viewer=account) is None:
        raise Refused(404, "The post you are trying to reply to does not appear to exist.")
    if draft.visibility not in set(Visibility):
        raise invalid("Visibility is not included in the list")
    return Visibility(draft.visibility)


def _insert(
    database: Database,
    account: Account,
    draft: Draft,
    visibility: Visibility,
    *,
    client: int,
    key: str | None,
) -> int:
    return database.insert(
        "INSERT INTO statuses (id, account, client, text, spoiler_text, sensitive, visibility,"
        " language, in_reply_to_id, idempotency_key, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(database.new_id(), account.id, client, draft.text, draft.spoiler_text),
        *(draft.sensitive or bool(draft.spoiler_text), visibility, draft.language),
        *(draft.in_reply_to_id, key, database.now_ms()),
    )


def get(database: Database, status_id: int | str, *, viewer: Account | None) -> Status:
    """Return the status.

    Raises:
        Refused: there is none that `viewer` may see.
    """
    status = find(database, status_id, viewer=viewer)
    if status is None:
        raise not_found()
    return status


def find(database: Database, status_id: int | str, *, viewer: Account | None) -> Status | None:
    """Return the status if it exists and `viewer` may see it."""
    status = find_for_html(database, status_id)
    return status if status and may_see(viewer, status) else None


def find_for_html(database: Database, status_id: int | str) -> Status | None:
    """Return the status without checking the caller, for the html, which shows everything with a label."""
    found = _list(database, "s.id = ? AND s.deleted_ms IS NULL", status_id)
    return found[0] if found else None


def may_see(viewer: Account | None, status: Status) -> bool:
    """True if the API shows the status to the viewer; nobody follows anybody here."""
    if status.visibility in (Visibility.PUBLIC, Visibility.UNLISTED):
        return True
    return viewer is not None and viewer.id == status.account


def delete(database: Database, account: Account, status_id: str) -> Status:
    """Delete a status of `account`. Replies stay and lose their parent.

    Raises:
        Refused: it does not exist or belongs to another account.
    """
    with database.transaction():
        status = get(database, status_id, viewer=account)
        if status.account != account.id:
            raise not_found()
        database.rows(
            "UPDATE statuses SET deleted_ms = ? WHERE id = ?", database.now_ms(), status.id
        )
        database.rows(
            "UPDATE statuses SET in_reply_to_id = NULL WHERE in_reply_to_id = ?", status.id
        )
        return status


def of_account(
    database: Database,
    account: Account,
    *,
    viewer: Account | None,
    window: Window,
    exclude_replies: bool,
    only_media: bool,
) -> list[Status]:
    """List an account's statuses that `viewer` may see, newest first."""
    conditions = ["s.account = ?", "s.deleted_ms IS NULL"]
    values: list[object] = [account.id]
    if viewer is None or viewer.id != account.id:
        conditions.append("s.visibility IN ('public', 'unlisted')")
    if exclude_replies:  # replies to oneself (a thread) do not count as replies here
        conditions.append("coalesce(in_reply_to_account, s.account) = s.account")
    if only_media:
        conditions.append("EXISTS (SELECT 1 FROM media m WHERE m.status = s.id)")
    for bound, comparison in (
        (window.max_id, "s.id < ?"),
        (window.since_id, "s.id > ?"),
        (window.min_id, "s.id > ?"),
    ):
        if bound is not None:
            conditions.append(comparison)
            values.append(bound)
    order = "ASC" if window.min_id is not None else "DESC"
    found = _list(
        database, f"{' AND '.join(conditions)} ORDER BY s.id {order} LIMIT ?", *values, window.limit
    )
    return sorted(found, key=lambda status: status.id, reverse=True)


def everything(database: Database, *, with_deleted: bool) -> list[Status]:
    """List all statuses, oldest first."""
    condition = "1" if with_deleted else "s.deleted_ms IS NULL"
    return _list(database, f"{condition} ORDER BY s.id")


def thread_starts(database: Database, account: Account | None, *, limit: int) -> list[Status]:
    """List statuses that do not continue a thread of their own author, newest first."""
    whose = "s.account = ?" if account else "? IS NULL"
    return _list(
        database,
        f"{whose} AND s.deleted_ms IS NULL"
        " AND (s.in_reply_to_id IS NULL OR in_reply_to_account <> s.account)"
        " ORDER BY s.id DESC LIMIT ?",
        *(account.id if account else None, limit),
    )


def tagged(database: Database, tag: str, *, limit: int) -> list[Status]:
    """List statuses with the hashtag `tag`, newest first."""
    rough = _list(
        database,
        "instr(lower(s.text), ?) AND s.deleted_ms IS NULL ORDER BY s.id DESC LIMIT 1000",
        f"#{tag.lower()}",
    )
    return [status for status in rough if tag.lower() in text.tags(status.text)][:limit]


def ancestors(database: Database, status: Status) -> list[Status]:
    """List the status's ancestors, oldest first."""
    return _list(
        database,
        "s.id IN (WITH RECURSIVE up (id, parent) AS ("
        "  SELECT id, in_reply_to_id FROM statuses WHERE id = ?"
        "  UNION ALL SELECT p.id, p.in_reply_to_id FROM statuses p JOIN up ON p.id = up.parent"
        ") SELECT id FROM up) AND s.id <> ? AND s.deleted_ms IS NULL ORDER BY s.id",
        *(status.id, status.id),
    )


def descendants(database: Database, status: Status) -> list[Status]:
    """List the status's direct and indirect replies, oldest first."""
    return _list(
        database,
        "s.id IN (WITH RECURSIVE down (id) AS ("
        "  SELECT id FROM statuses WHERE in_reply_to_id = ? AND deleted_ms IS NULL"
        "  UNION ALL SELECT c.id FROM statuses c JOIN down ON c.in_reply_to_id = down.id"
        "  WHERE c.deleted_ms IS NULL"
        ") SELECT id FROM down) ORDER BY s.id",
        status.id,
    )


def reply_counts(database: Database, ids: Sequence[int]) -> dict[int, int]:
    """Map each status with replies to the number of its direct replies."""
    marks = ", ".join("?" for _ in ids)
    rows = database.rows(
        "SELECT in_reply_to_id AS id, count(*) AS replies FROM statuses"  # noqa: S608  # marks only
        f" WHERE in_reply_to_id IN ({marks}) AND deleted_ms IS NULL GROUP BY in_reply_to_id",
        *ids,
    )
    return {row["id"]: row["replies"] for row in rows}


def tally(database: Database, account: Account) -> tuple[int, int | None]:
    """Return how many statuses an account has, and when it posted last (milliseconds)."""
    row = database.row(
        "SELECT count(*) AS statuses, max(id) AS latest FROM statuses"
        " WHERE account = ? AND deleted_ms IS NULL",
        account.id,
    )
    assert row is not None
    return row["statuses"], None if row["latest"] is None else row["latest"] >> 16


def count(database: Database) -> int:
    """Return how many statuses there are."""
    row = database.row("SELECT count(*) AS statuses FROM statuses WHERE deleted_ms IS NULL")
    assert row is not None
    return int(row["statuses"])


def _list(database: Database, condition: str, *values: object) -> list[Status]:
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM statuses s WHERE {condition}",  # noqa: S608  # conditions are ours
        *values,
    )
    return [_status(row) for row in rows]


def _status(row: sqlite3.Row) -> Status:
    return Status(
        **{
            **dict(row),
            "sensitive": bool(row["sensitive"]),
            "visibility": Visibility(row["visibility"]),
        }
    )
