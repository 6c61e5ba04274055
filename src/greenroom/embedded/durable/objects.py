"""S3: buckets and their objects, one record an object.

A small body is a record of its own, a large one a file that its SHA-256 is part of the name of. Either is there before
the record that names it, is never changed, and goes after the record has gone. So an object has the body that its
record tells of, whenever the process ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import uuid
from pathlib import Path
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key, decode, digest, encode, key_of, key_text
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import DamagedStore, Store
from greenroom.store.database import Change, sync_folder

OBJECTS, BODIES = "s3.objects", "s3.bodies"

FOLDER = "objects"
"""Where the files are, in the data folder."""

LARGE_BYTES = 128 * 1024
"""From this size on a body is a file: a large record would be written twice, into the log and then into its place."""

BODY = "greenroom_body"
"""The member of an object that names its body."""


class Objects:
    """The buckets with their objects. As a part of the state it is the objects."""

    def __init__(self, store: Store, data_dir: Path) -> None:
        folder = data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._bodies = store.ledger(BODIES)
        self._folder = folder
        self._buckets = Shelf("s3.buckets", left_out=("objects",))
        self._written: dict[Key, tuple[bytes, str]] = {}
        self._lock = threading.Lock()
        self._in_memory: list[tuple[int, dict[str, Any]]] = []
        self._to_delete: list[tuple[int, str]] = []
        self._unnumbered: list[dict[str, Any]] = []
        self._undeleted: list[str] = []

    def install(self) -> None:
        """Have ministack note each object that it touches, and read bodies from here."""
        from ministack.services import s3

        self._buckets.install(s3._buckets, take=self._adopt, drop=self._drop)
        s3._read_body = self.body
        # The notification is part of what a request does: as a thread of its own it could be lost after the answer.
        s3._fire_s3_event_async = _notify_at_once(s3)

    def load(self, store: Store) -> None:
        """Fill the buckets from the store, and remove the files that no object names."""
        self._buckets.load(store)
        for text, held in store.ledger(OBJECTS).records():
            account, bucket, key = key_of(text)
            value = decode(held)
            self._written[account, bucket, key] = (digest(held), value[BODY])
            objects = dict.__getitem__(self._buckets.held, (account, bucket)).setdefault("objects", {})
            dict.__setitem__(objects, key, value)
        for bucket_key, found in dict.items(self._buckets.held):
            found.setdefault("objects", {})
            self._adopt(bucket_key, found)
        small = {name for name, _ in self._bodies.records()}
        large = {name for _, name in self._written.values()} - small
        for file in self._folder.iterdir():
            if file.name not in large:
                file.unlink()
        for name in large:
            self._require(name)

    def changes(self, key: Key) -> list[Change]:
        """Return an object as it is now, with its body if that is new."""
        account, bucket, name = key
        held_bucket = dict.get(self._buckets.held, (account, bucket)) or {}
        found = dict.get(held_bucket.get("objects", {}), name)
        known = self._written.get(key)
        if found is None:
            if known is None:
                return []
            del self._written[key]
            return [(OBJECTS, key_text(key), None), *self._body_gone(known[1])]
        changes = self._body_kept(found)
        held = encode({member: value for member, value in found.items() if member != "body"})
        written = (digest(held), found[BODY])
        if known != written:
            self._written[key] = written
            changes.append((OBJECTS, key_text(key), held))
            if known and known[1] != found[BODY]:
                changes += self._body_gone(known[1])
        return changes

    def around(self, key: Key) -> marks.Mark:
        """Return what a request touches that lists an object: its bucket."""
        return (self._buckets, key[:2])

    def body(self, _bucket: str, _key: str, found: dict[str, Any]) -> bytes:
        """Return the body of an object, which is in memory until it is on disk. Takes the place of ministack's."""
        body = found.get("body")
        if body is not None:
            return bytes(body)
        name = found[BODY]
        held = self._bodies.get(name)
        return (self._folder / name).read_bytes() if held is None else held

    def written(self, number: int) -> None:
        """Take note that the last changes are write `number` of the store."""
        with self._lock:
            self._in_memory += [(number, found) for found in self._unnumbered]
            self._to_delete += [(number, name) for name in self._undeleted]
            self._unnumbered, self._undeleted = [], []

    def tidy(self) -> None:
        """Forget the bodies that are on disk, and delete the files whose objects are gone from it."""
        durable = self._store.durable
        with self._lock:
            done = [found for number, found in self._in_memory if number <= durable]
            self._in_memory = [each for each in self._in_memory if each[0] > durable]
            gone = [name for number, name in self._to_delete if number <= durable]
            self._to_delete = [each for each in self._to_delete if each[0] > durable]
        for found in done:
            found["body"] = None
        for name in gone:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).unlink()

    def _require(self, name: str) -> None:
        """Raise DamagedStore unless the file of a body is there and is what it was."""
        path, digest_of_body = self._folder / name, hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest_of_body.update(piece)
        except FileNotFoundError as error:
            raise DamagedStore(f"{path} is missing") from error
        if not name.startswith(digest_of_body.hexdigest()):
            raise DamagedStore(f"{path} is damaged (it does not agree with its SHA-256)")

    def _body_kept(self, found: dict[str, Any]) -> list[Change]:
        if BODY in found:
            return []
        body = bytes(found.get("body") or b"")
        name = f"{hashlib.sha256(body).hexdigest()}-{uuid.uuid4().hex[:12]}"
        if len(body) >= LARGE_BYTES:
            _write_synced(self._folder / name, body)
        found[BODY] = name
        self._unnumbered.append(found)
        return [(BODIES, name, body)] if len(body) < LARGE_BYTES else []

    def _body_gone(self, name: str) -> list[Change]:
        self._undeleted.append(name)
        return [(BODIES, name, None)]

    def _adopt(self, key: Key, bucket: dict[str, Any]) -> None:
        objects = bucket.get("objects", {})
        if not isinstance(objects, marks.Noticed):
            bucket["objects"] = marks.Noticed(objects, lambda name, _: marks.mark(self, (*key, name)))

    def _drop(self, key: Key, bucket: dict[str, Any]) -> None:
        for name in list(bucket.get("objects", {})):
            marks.mark(self, (*key, name))


def _notify_at_once(s3: Any) -> Any:
    def fire(bucket: str, key: str, event: str, *details: Any, **more: Any) -> None:
        if bucket in s3._bucket_notifications:
            s3._fire_s3_event(bucket, key, event, *details, sequencer=s3._next_event_sequencer(event), **more)

    return fire


def _write_synced(path: Path, body: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(body)
        os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
