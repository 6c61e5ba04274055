"""The API of a store: tables of records, transactions, the barrier.

Values are held in memory as they are on disk, encoded, so that no caller can change a record without writing it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from greenroom.store.database import Change, Database
from greenroom.store.errors import StoreUnavailable

Value = dict[str, Any] | bytes

JSON, BYTES = b"j", b"b"
"""The first byte of a record: how the rest is encoded."""

LAG_S = 0.25
"""How long a write that may lag waits for one that may not, to share its commit."""

RETRY_EVERY_S = 0.5
"""How often writes are tried again that the disk did not take."""


class Table:
    """The records of one name in a store, by key. Taken with `Store.table`."""

    def __init__(self, store: Store, name: str, held: dict[str, bytes]) -> None:
        self.name = name
        self._store = store
        self._held = held

    def get(self, key: str) -> Any:
        """Return a copy of a record, or None."""
        held = self._held.get(key)
        return None if held is None else decode(held)

    def put(self, key: str, value: Value) -> None:
        """Write a record. It is visible at once, and on disk after the next barrier."""
        self._store._write(self, key, encode(value))

    def delete(self, key: str) -> None:
        """Delete a record, if there is one."""
        if key in self._held:
            self._store._write(self, key, None)

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return the records whose keys begin with a prefix, by key, as they are at one moment."""
        with self._store._lock:
            found = [(key, held) for key, held in self._held.items() if key.startswith(prefix)]
        return [(key, decode(held)) for key, held in sorted(found)]

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, in order."""
        with self._store._lock:
            return sorted(key for key in self._held if key.startswith(prefix))

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)


class Ledger:
    """The records of one name whose values somebody else holds in memory. Taken with `Store.ledger`.

    They are bytes, written as they are and read when the store is opened.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store

    def records(self) -> list[tuple[str, bytes]]:
        """Return the records that are on disk, by key."""
        with self._store._database_lock:
            return list(self._store._database.records(self.name))

    def get(self, key: str) -> bytes | None:
        """Return a record as it is on disk, or None."""
        with self._store._database_lock:
            return self._store._database.record(self.name, key)


class Store:
    """Records on disk, in one file.

    Any thread may use it. Writes become durable in the order in which they were made, those of a transaction together.
    """

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        """Open the store at a path, or make it.

        Args:
            path: the file. Its folder is made.
            verify: check every record first.

        Raises:
            DamagedStore: a file of it is missing or damaged.
            NewerStore: a newer release wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._database = Database(path)
        if verify:
            try:
                self._database.verify()
            except BaseException:
                self._database.close()
                raise
        self._lock = threading.RLock()
        self._database_lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._tables: dict[str, Table] = {}
        self._open: list[tuple[Table, Change, bytes | None]] | None = None
        self._loose: list[Change] = []
        self._pending: list[Change] = []
        self._lagging_since = 0.0
        self._written = 0
        self._tables_written = 0
        self._durable = 0
        self._durable_at = time.time()
        self._waiting: list[tuple[int, Callable[[StoreUnavailable | None], None]]] = []
        self._trouble: StoreUnavailable | None = None
        self._files_trouble: str | None = None
        self._files_trouble_at = 0.0
        self._closing = False
        self._writer = threading.Thread(target=self._keep_writing, name="greenroom-store", daemon=True)
        self._writer.start()

    def table(self, name: str) -> Table:
        """Return the table of a name, with the records that are on disk."""
        with self._lock:
            if name not in self._tables:
                with self._database_lock:
                    self._tables[name] = Table(self, name, dict(self._database.records(name)))
            return self._tables[name]

    def ledger(self, name: str) -> Ledger:
        """Return the ledger of a name: its records are not held in memory here."""
        return Ledger(self, name)

    def write(self, changes: Sequence[Change], *, may_lag: bool = False) -> int:
        """Write records of ledgers, all or nothing. Return the number to compare with `durable` later.

        With `may_lag` no barrier waits for them, and they are committed with others, or a moment later.
        """
        with self._lock:
            self._require_open()
            if may_lag and changes:
                if not self._pending:
                    self._lagging_since = time.monotonic()
                self._pending += changes
                self._work.notify_all()
            elif changes:
                if self._open is None:
                    self._hand_over(list(changes))
                else:
                    self._loose += changes
            return self._written

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the writes inside, in any tables, one: all of them become durable or none, and an exception undoes them.

        Other writers wait meanwhile: keep it short, and never await inside.
        """
        with self._lock:
            if self._open is not None:
                yield  # part of the transaction around it
                return
            self._open = []
            try:
                yield
            except BaseException:
                for table, (_, key, _), before in reversed(self._open):
                    _set(table._held, key, before)
                self._open, self._loose = None, []
                raise
            changes = [change for _, change, _ in self._open] + self._loose
            self._open, self._loose = None, []
            if changes:
                self._hand_over(changes)

    def barrier(self, upto: int | None = None) -> None:
        """Return when everything written so far is on disk, or what `write` has numbered up to `upto`.

        Raises StoreUnavailable when the disk does not take it.
        """
        done = threading.Event()
        outcome: list[StoreUnavailable | None] = []

        def tell(error: StoreUnavailable | None) -> None:
            outcome.append(error)
            done.set()

        if self._wait_for(tell, upto):
            done.wait()
        if outcome and outcome[0]:
            raise StoreUnavailable(str(outcome[0]))

    async def barrier_async(self, upto: int | None = None) -> None:
        """Do as `barrier` does, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: StoreUnavailable | None) -> None:
            if done.done():
                return
            if error:
                done.set_exception(StoreUnavailable(str(error)))
            else:
                done.set_result(None)

        def tell(error: StoreUnavailable | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, error)

        if self._wait_for(tell, upto):
            await done

    @property
    def commits(self) -> int:
        """How many commits the file has ever had."""
        return self._database.commits

    @property
    def durable(self) -> int:
        """The number of the last write that is on disk, as `write` counts them."""
        return self._durable

    @property
    def tables_written(self) -> int:
        """The number of the last write to a table, as `write` counts them."""
        return self._tables_written

    @property
    def is_durable(self) -> bool:
        """Whether everything written so far is on disk."""
        return self._durable == self._written

    @property
    def trouble(self) -> str | None:
        """Why writes don't reach the disk at the moment, or None while they do."""
        return str(self._trouble) if self._trouble else self._files_trouble

    def note_trouble(self, trouble: str | None) -> None:
        """Take note that files can't be written which records are to name, or, with None, that they can."""
        with self._lock:
            if trouble and not self._files_trouble:
                self._files_trouble_at = time.time()
            self._files_trouble = trouble
            self._work.notify_all()

    def wait_until_usable(self) -> None:
        """Return when the disk takes what is written, or the store is closed: begin no work before."""
        with self._lock:
            self._work.wait_for(lambda: self._closing or self.trouble is None)

    @property
    def durable_at(self) -> float:
        """The time (seconds since the epoch) up to which everything written is on disk."""
        if not self.is_durable:
            return self._durable_at
        return self._files_trouble_at if self._files_trouble else time.time()

    def back_up(self, target: Path) -> None:
        """Write a copy of the store, as it is at one moment after everything written so far, to a new file."""
        self.barrier()
        with self._database_lock:
            self._database.back_up(target)

    def close(self) -> None:
        """Write what is left, and close the file. Writes that the disk does not take are given up."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._work.notify_all()
        self._writer.join()
        with self._database_lock:
            self._database.close()

    def _write(self, table: Table, key: str, value: bytes | None) -> None:
        with self._lock:
            self._tables_written = self._written + 1
            self._require_open()
            before = table._held.get(key)
            if before == value:
                return
            _set(table._held, key, value)
            change = (table.name, key, value)
            if self._open is None:
                self._hand_over([change])
            else:
                self._open.append((table, change, before))

    def _require_open(self) -> None:
        if self._closing:
            raise StoreUnavailable(f"{self.path} is closed")

    def _hand_over(self, changes: list[Change]) -> None:
        self._pending += changes
        self._written += 1
        self._work.notify_all()

    def _wait_for(self, tell: Callable[[StoreUnavailable | None], None], upto: int | None) -> bool:
        """Have `tell` called when what is written now is on disk. Return False where it is there already."""
        with self._lock:
            number = self._written if upto is None else min(upto, self._written)
            if self._durable >= number:
                return False
            self._waiting.append((number, tell))
            return True

    def _keep_writing(self) -> None:
        while True:
            with self._lock:
                while not self._closing and (left_s := self._left_s()) != 0:
                    self._work.wait(left_s)
                if not self._pending:
                    return
                changes, self._pending, upto = self._pending, [], self._written
                closing = self._closing
            try:
                with self._database_lock:
                    self._database.commit(_last_of_each(changes))
            except (sqlite3.Error, OSError) as error:
                self._hold_back(changes, error)
                if closing:
                    return
                continue
            self._tell_durable(upto)

    def _left_s(self) -> float | None:
        """Return how long a commit can wait: None for ever, 0 not at all."""
        if not self._pending:
            return None
        if self._written > self._durable:
            return 0
        return max(0, self._lagging_since + LAG_S - time.monotonic())

    def _hold_back(self, changes: list[Change], error: Exception) -> None:
        """Keep what the disk did not take, say so to those who wait, and wait a moment."""
        trouble = StoreUnavailable(f"what was written can't be kept in {self.path} at the moment ({error})")
        with self._lock:
            self._pending = changes + self._pending
            self._trouble = trouble
            waiting, self._waiting = self._waiting, []
        for _, tell in waiting:
            tell(trouble)
        with self._lock:
            self._work.wait_for(lambda: self._closing, timeout=RETRY_EVERY_S)

    def _tell_durable(self, upto: int) -> None:
        with self._lock:
            self._durable, self._durable_at, self._trouble = upto, time.time(), None
            self._work.notify_all()
            done = [tell for number, tell in self._waiting if number <= upto]
            self._waiting = [entry for entry in self._waiting if entry[0] > upto]
        for tell in done:
            tell(None)


def encode(value: Value) -> bytes:
    """Return a record as it is on disk."""
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTES + bytes(value)
    return JSON + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(held: bytes) -> Any:
    """Return the value of a record."""
    if held[:1] == BYTES:
        return held[1:]
    return json.loads(held[1:].decode("utf-8", "surrogatepass"))


def _set(held: dict[str, bytes], key: str, value: bytes | None) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def _last_of_each(changes: list[Change]) -> list[Change]:
    """Return what a group of changes comes to: the last one of each record."""
    return list({(room, key): (room, key, value) for room, key, value in changes}.values())
