"""Reads all event sources: one thread looks where there is something to do, others run the batches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from greenroom.lambda_api.invoke.destinations import Deliveries
from greenroom.lambda_api.invoke.execution import Executor, Functions
from greenroom.lambda_api.invoke.ports import Outside
from greenroom.lambda_api.invoke.sources.mappings import Mappings, is_read
from greenroom.lambda_api.invoke.sources.queue_reader import QueueReader
from greenroom.lambda_api.invoke.sources.settings import SQS, source_of
from greenroom.lambda_api.invoke.sources.stream_reader import Invoking, StreamReader
from greenroom.store import Store

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often sources are looked at when nothing has arrived: messages become visible again without being sent."""

WORKERS = 64
"""How many batches run at once: less than the account's concurrency, so that callers who wait come through."""

Reader = QueueReader | StreamReader


class Polling:
    """Reads the sources of all mappings.

    Args:
        mappings: all of them.
        invoking: what is invoked.
        deliveries: where batches of streams go that are given up.
        outside: the sources.
        store: where positions are.
    """

    def __init__(
        self,
        mappings: Mappings,
        invoking: tuple[Functions, Executor],
        deliveries: Deliveries,
        outside: Outside,
        store: Store,
    ) -> None:
        self._mappings = mappings
        self._functions, self._executor = invoking
        self._deliveries = deliveries
        self._outside = outside
        self._store = store
        self._readers: dict[str, tuple[float, Reader]] = {}
        self._closed = threading.Event()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="greenroom-batch")
        self._thread = threading.Thread(target=self._loop, name="greenroom-polling", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop. What is not done is read again at the next start."""
        self._closed.set()
        self._outside.arrivals.wake()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _loop(self) -> None:
        while not self._closed.is_set():
            self._store.wait_until_usable()
            now = time.time()
            due = now + LOOK_EVERY_S
            for reader in self._current():
                try:
                    due = min(due, reader.step(now, self._submit))
                except Exception:
                    log.exception("an event source is looked at again")
            self._outside.arrivals.wait(max(0.0, due - time.time()))

    def _submit(self, work: Callable[[], None]) -> None:
        if not self._closed.is_set():
            self._workers.submit(work)

    def _current(self) -> list[Reader]:
        """Return a reader for each mapping that is read, a new one where the mapping was changed."""
        read = {each["UUID"]: each for each in self._mappings.all() if is_read(each)}
        for uuid, (changed_at, reader) in list(self._readers.items()):
            # What is under way ends first: two readers of a stream would both move its position.
            if (uuid not in read or read[uuid]["ChangedAt"] != changed_at) and reader.stopped():
                del self._readers[uuid]
        for uuid in read.keys() - self._readers.keys():
            self._readers[uuid] = (read[uuid]["ChangedAt"], self._reader(read[uuid]))
        return [reader for _, reader in self._readers.values()]

    def _reader(self, mapping: Mapping[str, Any]) -> Reader:
        if source_of(mapping["EventSourceArn"]) == SQS:
            return QueueReader(mapping, self._mappings, (self._functions, self._executor), self._outside)
        invoking = Invoking(self._functions, self._executor, self._deliveries)
        return StreamReader(mapping, self._mappings, invoking, self._outside, self._store)
