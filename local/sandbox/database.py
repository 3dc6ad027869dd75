"""The sandbox's state: one SQLite file that survives any end of the process."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

Clock = Callable[[], datetime]

# With `synchronous = NORMAL`, a commit is in the write-ahead log, outside the process, before it returns. So `kill -9`
# loses nothing; only a power cut may. It saves an fsync for each of a request's writes.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA foreign_keys = ON;

CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS clients (
    id INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    client_secret TEXT NOT NULL,
    name TEXT NOT NULL,
    website TEXT,
    redirect_uris TEXT NOT NULL,
    scopes TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS codes (
    code_hash TEXT PRIMARY KEY,
    client INTEGER NOT NULL REFERENCES clients,
    account INTEGER NOT NULL REFERENCES accounts,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    challenge TEXT,
    expires_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS tokens (
    token_hash TEXT PRIMARY KEY,
    client INTEGER NOT NULL REFERENCES clients,
    account INTEGER REFERENCES accounts,
    scopes TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS statuses (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    client INTEGER NOT NULL REFERENCES clients,
    text TEXT NOT NULL,
    spoiler_text TEXT NOT NULL,
    sensitive INTEGER NOT NULL,
    visibility TEXT NOT NULL,
    language TEXT NOT NULL,
    in_reply_to_id INTEGER REFERENCES statuses,
    idempotency_key TEXT,
    created_ms INTEGER NOT NULL,
    deleted_ms INTEGER
);
CREATE INDEX IF NOT EXISTS statuses_by_account ON statuses (account, id) WHERE deleted_ms IS NULL;
CREATE INDEX IF NOT EXISTS statuses_by_parent ON statuses (in_reply_to_id) WHERE deleted_ms IS NULL;
CREATE TABLE IF NOT EXISTS media (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    status INTEGER REFERENCES statuses,
    position INTEGER NOT NULL DEFAULT 0,
    content_type TEXT NOT NULL,
    description TEXT,
    focus TEXT,
    width INTEGER,
    height INTEGER,
    readable INTEGER NOT NULL,
    ready_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS media_by_status ON media (status, position);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    account INTEGER NOT NULL REFERENCES accounts,
    key TEXT NOT NULL,
    status INTEGER NOT NULL REFERENCES statuses,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_keys_by_expiry ON idempotency_keys (expires_ms);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    account TEXT,
    idempotency_key TEXT,
    fault TEXT,
    status INTEGER
);
"""


class Database:
    """One connection that threads use in turn, with the sandbox's clock and ids."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(_SCHEMA)
        self._last_id = self._highest_id()

    def close(self) -> None:
        """Close the file, which already contains every answered request."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Lock the database; commit at the end, or roll back on an exception."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run one statement and return its rows; outside a transaction it commits immediately."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Run one statement and return its first row, if there is one."""
        return next(iter(self.rows(sql, *values)), None)

    def insert(self, sql: str, *values: object) -> int:
        """Run one INSERT and return the row's id."""
        with self._lock:
            return self._connection.execute(sql, values).lastrowid or 0

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self._clock().timestamp() * 1000)

    def new_id(self) -> int:
        """Create an id as Mastodon does, from milliseconds and a counter; always greater than all earlier ids."""
        with self._lock:
            self._last_id = max(self.now_ms() << 16, self._last_id + 1)
            return self._last_id

    def _highest_id(self) -> int:
        row = self.row(
            "SELECT MAX(id) AS id FROM"
            " (SELECT MAX(id) AS id FROM accounts UNION ALL SELECT MAX(id) FROM clients"
            "  UNION ALL SELECT MAX(id) FROM statuses UNION ALL SELECT MAX(id) FROM media)"
        )
        return int(row["id"] or 0) if row else 0


def moment(milliseconds: int) -> datetime:
    """Turn stored milliseconds into a time, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
