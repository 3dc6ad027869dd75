"""Stores objects on disk: their bytes in files, their metadata in a small database.

An object is a sequence of blobs, so a multipart upload of gigabytes is completed without copying. A blob is written under
a temporary name, flushed to the disk and renamed; only then does a row refer to it. At start, a file without a row was
left by a crash and is removed.
"""

import hashlib
import json
import os
import sqlite3
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from shared.core import clock

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, blobs TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, headers TEXT NOT NULL, modified TEXT NOT NULL,
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, started TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT REFERENCES uploads ON DELETE CASCADE, number INTEGER, blob TEXT NOT NULL, modified TEXT NOT NULL,
    PRIMARY KEY (upload, number)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes on disk that never change. `md5` is hex."""

    id: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object. `headers` are the response headers, including user metadata; `etag` has no quotes."""

    key: str
    blobs: Sequence[Blob]
    etag: str
    size: int
    headers: Mapping[str, str]
    modified: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload that is not completed yet."""

    number: int
    blob: Blob
    modified: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is not completed yet."""

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    started: datetime


class BlobWriter:
    """Writes bytes to a blob on disk. Without `finish` nothing remains."""

    def __init__(self, folder: Path) -> None:
        self._id = uuid.uuid4().hex
        self._place = folder / self._id[:2] / self._id
        self._place.parent.mkdir(exist_ok=True)
        self._unfinished = self._place.with_suffix(".unfinished")
        self._file = self._unfinished.open("wb")
        self._md5, self._sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        self.size = 0
        self.crc32 = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._md5.update(data)
        self._sha256.update(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size += len(data)

    @property
    def md5(self) -> bytes:
        """The digest of what was written so far."""
        return self._md5.digest()

    @property
    def sha256(self) -> bytes:
        """The digest of what was written so far."""
        return self._sha256.digest()

    def finish(self) -> Blob:
        """Flush the blob to the disk and return it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._unfinished.replace(self._place)
        return Blob(self._id, self.size, self._md5.hexdigest())

    def discard(self) -> None:
        """Delete the written bytes; does nothing after `finish`."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


class ObjectStore:
    """Buckets of objects below one folder. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the store with its existing objects."""
        self._blobs = folder / "blobs"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            folder / "index.sqlite3", check_same_thread=False, isolation_level=None
        )
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
        ):
            self._database.execute(statement)
        self._database.executescript(_SCHEMA)
        self._sweep()

    def close(self) -> None:
        """Close the index."""
        self._database.close()

    def writer(self) -> BlobWriter:
        """Begin a blob."""
        return BlobWriter(self._blobs)

    def read(
        self, blobs: Sequence[Blob], start: int, length: int, *, chunk: int
    ) -> Iterator[bytes]:
        """Yield `length` bytes from `start` on. The files are opened first, so an object that is deleted meanwhile is still read."""
        wanted: list[tuple[int, int]] = []
        try:
            for blob in blobs:
                if start < blob.size and length > 0:
                    taken = min(length, blob.size - start)
                    descriptor = os.open(self._path(blob.id), os.O_RDONLY)
                    wanted.append((descriptor, taken))
                    os.lseek(descriptor, start, os.SEEK_SET)
                    length -= taken
                start = max(0, start - blob.size)
            for descriptor, taken in wanted:
                left = taken
                while left > 0 and (data := os.read(descriptor, min(chunk, left))):
                    left -= len(data)
                    yield data
        finally:
            for descriptor, _ in wanted:
                os.close(descriptor)

    # Objects

    def put(
        self, bucket: str, key: str, blobs: Sequence[Blob], *, etag: str, headers: Mapping[str, str]
    ) -> StoredObject:
        """Store an object and replace an existing one."""
        stored = StoredObject(
            key, tuple(blobs), etag, sum(blob.size for blob in blobs), headers, clock.now()
        )
        with self._transaction() as database:
            replaced = self._replace(database, bucket, stored)
        self._remove(replaced)
        return stored

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """Find an object."""
        with self._lock:
            return self._find(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; does nothing if it does not exist."""
        with self._transaction() as database:
            stored = self._find(bucket, key)
            database.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
        self._remove(stored.blobs if stored else ())

    def copy(
        self, source: StoredObject, bucket: str, key: str, *, headers: Mapping[str, str]
    ) -> StoredObject:
        """Store a copy of an object; both share their bytes through links."""
        blobs = [Blob(uuid.uuid4().hex, blob.size, blob.md5) for blob in source.blobs]
        for old, new in zip(source.blobs, blobs, strict=True):
            self._path(new.id).parent.mkdir(exist_ok=True)
            os.link(self._path(old.id), self._path(new.id))
        return self.put(bucket, key, blobs, etag=source.etag, headers=headers)

    def list(self, bucket: str, *, prefix: str, after: str) -> Iterator[StoredObject]:
        """Yield the objects whose key begins with `prefix` and is greater than `after`, in the order of their UTF-8 bytes."""
        while True:
            with self._lock:
                rows = self._database.execute(
                    "SELECT key, blobs, etag, size, headers, modified FROM objects"
                    " WHERE bucket = ? AND key > ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT 1000",
                    (bucket, after, len(prefix), prefix),
                ).fetchall()
            for row in rows:
                yield _object(row)
            if len(rows) < 1000:
                return
            after = rows[-1][0]

    # Multipart uploads

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> Upload:
        """Begin a multipart upload."""
        upload = Upload(uuid.uuid4().hex, bucket, key, headers, clock.now())
        with self._transaction() as database:
            database.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
                (upload.id, bucket, key, json.dumps(dict(headers)), upload.started.isoformat()),
            )
        return upload

    def find_upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """Find an upload that was begun and neither completed nor aborted."""
        return next(
            (
                upload
                for upload in self.uploads(bucket)
                if (upload.id, upload.key) == (upload_id, key)
            ),
            None,
        )

    def uploads(self, bucket: str) -> Sequence[Upload]:
        """Return a bucket's unfinished uploads, by key."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, bucket, key, headers, started FROM uploads WHERE bucket = ? ORDER BY key, started",
                (bucket,),
            ).fetchall()
        return [
            Upload(row[0], row[1], row[2], json.loads(row[3]), datetime.fromisoformat(row[4]))
            for row in rows
        ]

    def put_part(self, upload: Upload, number: int, blob: Blob) -> None:
        """Store a part and replace an earlier one with the same number."""
        with self._transaction() as database:
            replaced = database.execute(
                "SELECT blob FROM parts WHERE upload = ? AND number = ?", (upload.id, number)
            ).fetchone()
            database.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?)",
                (upload.id, number, json.dumps(asdict(blob)), clock.now().isoformat()),
            )
        self._remove([Blob(**json.loads(replaced[0]))] if replaced else ())

    def parts(self, upload: Upload) -> Sequence[Part]:
        """Return an upload's parts by number."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, blob, modified FROM parts WHERE upload = ? ORDER BY number",
                (upload.id,),
            ).fetchall()
        return [
            Part(row[0], Blob(**json.loads(row[1])), datetime.fromisoformat(row[2])) for row in rows
        ]

    def complete(self, upload: Upload, parts: Sequence[Part]) -> StoredObject:
        """Make an object from the chosen parts and delete the others."""
        digests = b"".join(bytes.fromhex(part.blob.md5) for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        chosen = {part.blob.id for part in parts}
        others = [part.blob for part in self.parts(upload) if part.blob.id not in chosen]
        blobs = [part.blob for part in parts]
        stored = StoredObject(
            upload.key,
            blobs,
            etag,
            sum(blob.size for blob in blobs),
            upload.headers,
            clock.now(),
        )
        with self._transaction() as database:
            replaced = self._replace(database, upload.bucket, stored)
            database.execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
        self._remove([*replaced, *others])
        return stored

    def abort(self, upload: Upload) -> None:
        """Delete an upload and its parts."""
        parts = self.parts(upload)
        with self._transaction() as database:
            database.execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
        self._remove([part.blob for part in parts])

    def _replace(
        self, database: sqlite3.Connection, bucket: str, stored: StoredObject
    ) -> Sequence[Blob]:
        """Write an object's row; return the blobs of the one it replaces."""
        replaced = self._find(bucket, stored.key)
        database.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                bucket,
                stored.key,
                json.dumps([asdict(blob) for blob in stored.blobs]),
                stored.etag,
                stored.size,
                json.dumps(dict(stored.headers)),
                stored.modified.isoformat(),
            ),
        )
        return replaced.blobs if replaced else ()

    def _find(self, bucket: str, key: str) -> StoredObject | None:
        row = self._database.execute(
            "SELECT key, blobs, etag, size, headers, modified FROM objects WHERE bucket = ? AND key = ?",
            (bucket, key),
        ).fetchone()
        return _object(row) if row else None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database

    def _path(self, blob_id: str) -> Path:
        return self._blobs / blob_id[:2] / blob_id

    def _remove(self, blobs: Sequence[Blob]) -> None:
        for blob in blobs:
            self._path(blob.id).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the files to which no row refers."""
        named = {
            blob["id"]
            for (text,) in self._database.execute("SELECT blobs FROM objects")
            for blob in json.loads(text)
        }
        named |= {
            json.loads(text)["id"] for (text,) in self._database.execute("SELECT blob FROM parts")
        }
        for file in self._blobs.glob("*/*"):
            if file.name not in named:
                file.unlink()


def _object(row: Sequence[str]) -> StoredObject:
    key, blobs, etag, size, headers, modified = row
    return StoredObject(
        key,
        [Blob(**blob) for blob in json.loads(blobs)],
        etag,
        int(size),
        json.loads(headers),
        datetime.fromisoformat(modified),
    )
