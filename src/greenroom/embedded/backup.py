"""Everything that a data folder holds, in one file, and back.

A backup is a ZIP with the store as it was at one moment, the files that its records name, the root's keys, and a
manifest with the SHA-256 of each. It can be made while the embedded AWS runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from greenroom.embedded import folder
from greenroom.store import StoreError
from greenroom.store.database import MARK_SUFFIX, mark_of, sync_folder

FORMAT = 1
"""The version of the file. A newer one is refused."""

MANIFEST = "manifest.json"
ATTEMPTS = 5
"""How often a backup is begun again because a file went away under it."""

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""https://man7.org/linux/man-pages/man2/rename.2.html"""


class BackupFailed(Exception):
    """A backup can't be made or put back. The message says what is wrong and what to do."""


def back_up(data_dir: Path, file: Path) -> None:
    """Write a data folder's backup to a new file. Raises BackupFailed; then there is no file."""
    if not (data_dir / folder.STORE).exists():
        raise BackupFailed(f"there is no store in {data_dir}: name the data folder with --data")
    if file.exists():
        raise BackupFailed(f"{file} is there already: name another file, or remove it")
    part = file.with_name(f"{file.name}.part")
    try:
        for attempt in range(ATTEMPTS):
            try:
                _write(data_dir, part)
                break
            except FileNotFoundError:  # an object was deleted after its record was read
                if attempt == ATTEMPTS - 1:
                    raise
        part.replace(file)
        sync_folder(file.absolute().parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"the backup can't be made: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(file: Path, data_dir: Path) -> Path | None:
    """Put a backup in the place of a data folder. Return where the folder is now that was there, if one was.

    Raises:
        BackupFailed: the file is damaged or newer, or a platform runs on the folder.
    """
    data_dir = data_dir.absolute()
    new = folder.being_restored(data_dir)
    with _not_in_use(data_dir):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        try:
            _unpack(file, new)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        if not data_dir.exists():
            new.rename(data_dir)
            kept = None
        else:
            kept = data_dir.with_name(f"{data_dir.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}")
            _put_in_place(new, data_dir, kept)
        sync_folder(data_dir.parent)
        return kept


def _write(data_dir: Path, part: Path) -> None:
    with tempfile.TemporaryDirectory(dir=part.absolute().parent, prefix=".greenroom-backup-") as temporary:
        copy = Path(temporary) / folder.STORE.name
        with (
            contextlib.closing(sqlite3.connect(f"file:{data_dir / folder.STORE}?mode=rw", uri=True)) as live,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            live.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        members = {str(folder.STORE): copy}
        for name in ("credentials.json", folder.FORMAT_FILE):
            members[name] = data_dir / name
        for file in _named_objects(copy, data_dir):
            members[f"objects/{file.name}"] = file
        for file in sorted((data_dir / "code").glob("*.zip")):
            members[f"code/{file.name}"] = file
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w+b") as output:
            with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                digests = {name: _add(archive, name, path) for name, path in members.items()}
                manifest = {"format": FORMAT, "made": datetime.now(UTC).isoformat(timespec="seconds"), "files": digests}
                archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
            output.flush()
            os.fsync(output.fileno())


def _named_objects(copy: Path, data_dir: Path) -> Iterator[Path]:
    """Return the files that the copy's records name."""
    from greenroom.embedded.durable.objects import BODIES, BODY, FOLDER, OBJECTS

    with contextlib.closing(sqlite3.connect(copy)) as connection:
        small = {key for (key,) in connection.execute("SELECT key FROM records WHERE room = ?", (BODIES,))}
        for (value,) in connection.execute("SELECT value FROM records WHERE room = ?", (OBJECTS,)):
            name = json.loads(value)[BODY]
            if name not in small:
                yield data_dir / FOLDER / name


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source, archive.open(name, "w", force_zip64=True) as target:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def _unpack(file: Path, new: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
            if manifest["format"] > FORMAT:
                raise BackupFailed(
                    f"{file} has format {manifest['format']}, and this release of Greenroom reads format {FORMAT}: "
                    f"use the release that wrote it, or a newer one"
                )
            if set(archive.namelist()) != {*manifest["files"], MANIFEST}:
                raise BackupFailed(f"{file} is damaged (files are missing in it, or were added): take another backup")
            for name, expected in manifest["files"].items():
                _extract(archive, name, expected, new, file)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, OSError, NotImplementedError) as error:
        raise BackupFailed(f"{file} can't be read ({error}): take another backup") from error
    store = new / folder.STORE
    try:
        with contextlib.closing(sqlite3.connect(store)) as connection:
            commits = connection.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()[0]
        store.with_name(store.name + MARK_SUFFIX).write_bytes(mark_of(commits))
        folder.open_store(new).close()
    except (StoreError, sqlite3.Error, TypeError) as error:
        raise BackupFailed(f"{file} can't be used: {error}") from error
    for path in [*new.rglob("*"), new]:
        _sync(path)


def _extract(archive: zipfile.ZipFile, name: str, expected: str, new: Path, file: Path) -> None:
    target = new / name
    if not target.resolve().is_relative_to(new.resolve()):
        raise BackupFailed(f"{file} is no backup of Greenroom's: it names {name}")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with archive.open(name) as source, os.fdopen(descriptor, "wb") as output:
        while piece := source.read(1 << 20):
            digest.update(piece)
            output.write(piece)
    if digest.hexdigest() != expected:
        raise BackupFailed(f"{file} is damaged ({name} does not agree with its SHA-256): take another backup")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _not_in_use(data_dir: Path) -> Iterator[None]:
    """Hold the data folder as the server would. Raises BackupFailed where one does."""
    lock = data_dir / "lock"
    if not lock.exists():
        yield
        return
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"a platform runs on {data_dir}: stop it first, with greenroom down") from None
        yield


def _put_in_place(new: Path, data_dir: Path, kept: Path) -> None:
    """Exchange two folders in one step; where the system can't, the next start notices a kill between two steps."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        new.rename(kept)
        if not library.renameat2(AT_FDCWD, os.fsencode(kept), AT_FDCWD, os.fsencode(data_dir), RENAME_EXCHANGE):
            return
        number = ctypes.get_errno()
        kept.rename(new)
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise BackupFailed(f"{data_dir} can't be replaced: {os.strerror(number)}")
    data_dir.rename(kept)
    new.rename(data_dir)
