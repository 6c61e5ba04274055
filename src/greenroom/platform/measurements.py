"""The measurements of one test in the packages bucket: an object of JSON lines for each batch, under one prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenroom.platform import findings, storage
from greenroom.platform.services import Services
from greenroom.tuning import Batch, Measurement

MAX_BATCH_BYTES = 64 * 1024 * 1024
"""The most that is read of one batch; a thousand failures with their logs stay below it."""


class Store:
    """The measurements under a prefix of the packages bucket."""

    def __init__(self, services: Services, prefix: str) -> None:
        self._services, self._prefix = services, prefix

    def is_empty(self) -> bool:
        """Return whether no batch has been measured."""
        return not any(storage.keys(self._services.s3, self._services.packages_bucket, self._prefix))

    def slot(self, batch: Batch, round_number: int) -> Slot:
        """Return where the measurements of a batch of a round belong."""
        key = f"{self._prefix}{batch.memory_mb:05d}/{round_number:03d}-{batch.start:05d}.jsonl"
        return Slot(self._services, key)

    def read(self) -> Iterator[Measurement]:
        """Yield all measurements, by memory size, round and number."""
        rows = storage.read_json_lines(
            self._services.s3, self._services.packages_bucket, self._prefix, max_bytes=MAX_BATCH_BYTES
        )
        return map(findings.measurement_from, rows)


class Slot:
    """Where the measurements of one batch belong."""

    def __init__(self, services: Services, key: str) -> None:
        self._services, self._key = services, key

    def is_filled(self) -> bool:
        """Return whether the batch has been measured."""
        return any(storage.keys(self._services.s3, self._services.packages_bucket, self._key))

    def fill(self, rows: Sequence[Measurement]) -> None:
        """Keep what the batch showed."""
        documents = [findings.measurement_document(row) for row in rows]
        storage.write_json_lines(self._services.s3, self._services.packages_bucket, self._key, documents)


def of_release(services: Services, release_id: str) -> Store:
    """Return where the measurements of a release's test are."""
    return Store(services, storage.measurements_prefix(release_id))
