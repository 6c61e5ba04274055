"""The file of a store: SQLite in WAL mode, with what SQLite does not check itself.

SQLite's write-ahead log survives a kill and a power cut. But a log that is damaged in the middle ends there for SQLite,
and what was committed behind it is gone without an error. So a second file, the *mark*, says how many commits there
were at least. Each record has a checksum, and the sum of all of them is kept with every commit: a record that is
missing, old or changed is noticed at the next start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from greenroom.store.errors import DamagedStore, NewerStore

FORMAT = 1
"""The version of what is in the file. A newer one is refused; an older one is migrated where the file is opened."""

APPLICATION_ID = 0x47524E52
"""Marks the SQLite file as Greenroom's. https://www.sqlite.org/pragma.html#pragma_application_id"""

MARK_SUFFIX = ".mark"
MARK = struct.Struct(">8sQ8s")
"""The mark: a magic word, the number of commits, and the checksum of both."""

MARK_SYNCED_EVERY = 256
"""After how many commits the mark is fsynced, from the first on: a power cut may leave it that much behind."""

MAGIC = b"GRNRmark"
MASK = (1 << 64) - 1

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    room TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (room, key)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('commits', 0), ('total', 0);
"""

Change = tuple[str, str, bytes | None]
"""A record as it is after a change: table, key, and value or None for a deleted one."""


def checksum(room: str, key: str, value: bytes) -> int:
    """Return a record's checksum, as a signed number of 64 bits."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (room.encode(), key.encode(), value):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True)


class Database:
    """One SQLite file and its mark. Not safe for threads: its owner has one thread, or a lock."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it where there has never been one. Raises DamagedStore, NewerStore."""
        self.path = path
        self._mark_path = path.with_name(path.name + MARK_SUFFIX)
        marked = self._require_mark()
        try:
            self._connection = self._connect()
            try:
                # A kill in the first start leaves a mark that names no commit, and any part of the file.
                if marked == 0 and self._pragma("user_version") == 0:
                    self._create()
                self._require_format()
                self.commits = self._number("commits")
                self._total = self._number("total")
                self._require_commits(marked)
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.DatabaseError as error:
            if _is_trouble(error):
                raise
            raise DamagedStore(f"{path} is damaged ({error})") from error
        self._mark_file = os.open(self._mark_path, os.O_RDWR | os.O_CLOEXEC)
        self._write_mark()

    def records(self, room: str) -> Iterator[tuple[str, bytes]]:
        """Return the records of one table. Raises DamagedStore for one that does not agree with its checksum."""
        found = self._connection.execute(
            "SELECT key, value, checksum FROM records WHERE room = ? ORDER BY key", (room,)
        )
        for key, value, expected in found:
            self._require_agreement(room, key, value, expected)
            yield key, value

    def record(self, room: str, key: str) -> bytes | None:
        """Return one record, or None. Raises DamagedStore as `records` does."""
        query = "SELECT value, checksum FROM records WHERE room = ? AND key = ?"
        found = self._connection.execute(query, (room, key)).fetchone()
        if found is None:
            return None
        self._require_agreement(room, key, *found)
        return bytes(found[0])

    def verify(self) -> None:
        """Check the file and every record in it. Raises DamagedStore."""
        try:
            problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise DamagedStore(f"{self.path} is damaged ({problem})")
            total = 0
            for room, key, value, expected in self._connection.execute(
                "SELECT room, key, value, checksum FROM records"
            ):
                self._require_agreement(room, key, value, expected)
                total += expected
        except (sqlite3.DatabaseError, TypeError, AttributeError) as error:
            raise DamagedStore(f"{self.path} is damaged ({error})") from error
        if _wrapped(total) != self._total:
            raise DamagedStore(f"{self.path} is damaged (records are missing, or are older than the last commit)")

    def commit(self, changes: Sequence[Change]) -> None:
        """Write changes, all or nothing, and return when they are on disk. Raises sqlite3.Error and OSError."""
        total = self._total
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for room, key, value in changes:
                before = connection.execute(
                    "SELECT checksum FROM records WHERE room = ? AND key = ?", (room, key)
                ).fetchone()
                total -= before[0] if before else 0
                if value is None:
                    connection.execute("DELETE FROM records WHERE room = ? AND key = ?", (room, key))
                    continue
                after = checksum(room, key, value)
                total += after
                connection.execute(
                    "INSERT INTO records VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (room, key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
                    (room, key, value, after),
                )
            total = _wrapped(total)
            connection.execute("UPDATE meta SET value = ? WHERE name = 'commits'", (self.commits + 1,))
            connection.execute("UPDATE meta SET value = ? WHERE name = 'total'", (total,))
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise
        self.commits += 1
        self._total = total
        self._write_mark()

    def back_up(self, target: Path) -> None:
        """Write a copy of the file as it is now, without its log."""
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        """Move the log into the file, and close both."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        with contextlib.suppress(OSError):
            os.fsync(self._mark_file)
        os.close(self._mark_file)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            # macOS only: fsync alone does not reach the disk there. https://www.sqlite.org/pragma.html#pragma_fullfsync
            connection.execute("PRAGMA fullfsync = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _create(self) -> None:
        self.path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; {SCHEMA} COMMIT;"
        )

    def _require_agreement(self, room: str, key: str, value: bytes, expected: int) -> None:
        if checksum(room, key, value) != expected:
            raise DamagedStore(f"{self.path} is damaged (record {key!r} of {room!r} does not agree with its checksum)")

    def _require_mark(self) -> int:
        """Return how many commits the mark names. Make it, where there is nothing yet."""
        if not self._mark_path.exists():
            if self.path.exists():
                raise DamagedStore(f"{self._mark_path} is missing, and {self.path.name} is there")
            write_synced(self._mark_path, mark_of(0))
        marked = read_mark(self._mark_path)
        if marked and not self.path.exists():
            raise DamagedStore(f"{self.path} is missing, and {self._mark_path.name} is there")
        return marked

    def _require_format(self) -> None:
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if application != APPLICATION_ID:
            raise DamagedStore(f"{self.path} is damaged (it is not a store of Greenroom)")
        if version > FORMAT:
            raise NewerStore(
                f"{self.path} has format {version}, and this release of Greenroom reads format {FORMAT}: "
                f"use the release that wrote it, or a newer one"
            )

    def _require_commits(self, marked: int) -> None:
        if self.commits < marked:
            raise DamagedStore(
                f"{self.path} is damaged (it has {self.commits} of {marked} commits: the end of its log can't be read)"
            )

    def _number(self, name: str) -> int:
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise DamagedStore(f"{self.path} is damaged (it does not say its {name})")
        return int(found[0])

    def _write_mark(self) -> None:
        # Seldom fsynced: it is there after a kill, and after a power cut it may name fewer commits than there were.
        os.pwrite(self._mark_file, mark_of(self.commits), 0)
        if self.commits % MARK_SYNCED_EVERY == 1:
            os.fsync(self._mark_file)


def mark_of(commits: int) -> bytes:
    """Return what the mark's file holds."""
    body = struct.pack(">8sQ", MAGIC, commits)
    return body + hashlib.blake2b(body, digest_size=8).digest()


def read_mark(path: Path) -> int:
    """Return the number of commits that a mark names. Raises DamagedStore."""
    held = path.read_bytes()
    if len(held) == MARK.size and held == mark_of(commits := MARK.unpack(held)[1]):
        return int(commits)
    raise DamagedStore(f"{path} is damaged (it does not agree with its checksum)")


def write_synced(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and return when it is on disk under its name."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wrapped(total: int) -> int:
    """Return a sum as a signed number of 64 bits."""
    total &= MASK
    return total - (1 << 64) if total >> 63 else total


def _is_trouble(error: sqlite3.Error) -> bool:
    """Return whether the machine, not the file, is why it can't be read."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_BUSY"))
