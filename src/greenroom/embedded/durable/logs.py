"""CloudWatch Logs: groups, streams, and their lines, in records of what came at once.

Logs may lag behind: an answer does not wait for its lines. They are appended and never written again, and what a
stream holds is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key, decode, encode, key_of, key_text
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store
from greenroom.store.database import Change

LINES = "logs.lines"

EVERY_S = 1.0
"""How often the lines of a stream are written: they are one record each time."""

KEPT_BYTES = 16 * 1024 * 1024
"""How much a log stream holds on disk: a function that floods its log loses its oldest lines."""


@dataclass(frozen=True)
class Chunk:
    """Lines that were written as one record."""

    number: int
    lines: int
    size_bytes: int
    newest_ms: int


class Logs:
    """The log groups with everything in them. As a part of the state it is the lines of the streams."""

    def __init__(self) -> None:
        self._groups = Shelf("logs.groups", left_out=("streams",))
        self.streams = Shelf("logs.streams", left_out=("events",))
        self._key_of: dict[int, Key] = {}
        self._new: dict[Key, list[Any]] = {}
        self._chunks: dict[Key, list[Chunk]] = {}
        self._lock = threading.Lock()
        self._is_loading = False
        self._sizes: Counter[Key] = Counter()
        self._due: dict[Key, float] = {}
        self.is_ending = False
        """Whether everything has to be written now."""

    def install(self) -> None:
        """Have ministack note groups and streams, and hand over the lines that it appends."""
        from ministack.services import cloudwatch_logs

        self._groups.install(cloudwatch_logs._log_groups, take=self._adopt_group, drop=self._drop_group)
        append = cloudwatch_logs._append_log_events

        def noted(stream: dict[str, Any], events: list[Any]) -> None:
            append(stream, events)
            key = self._key_of.get(id(stream))
            if key and events:
                self._note_lines(key, events)

        cloudwatch_logs._append_log_events = noted

    def _note_lines(self, key: Key, lines: list[Any]) -> None:
        with self._lock:
            self._new.setdefault(key, []).extend(lines)
        marks.mark_in_background(self.streams, key)
        marks.mark_in_background(self, key)

    def load(self, store: Store) -> None:
        """Fill the groups from the store."""
        self._is_loading = True
        self._groups.load(store)
        self.streams.load(store)
        streams = {key: {**stream, "events": []} for key, stream in self.streams.held.items()}
        self.streams.held.clear()
        for text, held in store.ledger(LINES).records():
            *stream_key, number = key_of(text)
            key, lines = tuple(stream_key), decode(held)
            streams[key]["events"] += lines
            self._keep(key, _chunk(number, lines, held))
        for chunks in self._chunks.values():
            chunks.sort(key=lambda chunk: chunk.number)
        for group in self._groups.held.values():
            group["streams"] = {}
        for key, stream in streams.items():
            stream["events"].sort(key=lambda line: line["timestamp"])
            dict.__getitem__(self._groups.held, key[:3])["streams"][key[3]] = stream
        for key, group in list(dict.items(self._groups.held)):
            self._adopt_group(key, group)
        self._is_loading = False

    def changes(self, key: Key) -> list[Change]:
        """Return the lines that are new, and the oldest ones where they are too many."""
        if key not in self.streams.held:
            self._new.pop(key, None)
            self._sizes.pop(key, None)
            self._due.pop(key, None)
            return [_gone(key, chunk) for chunk in self._chunks.pop(key, [])]
        now = time.monotonic()
        if not self.is_ending and now < self._due.get(key, 0.0):
            marks.mark_in_background(self, key)
            return []
        with self._lock:
            lines = self._new.pop(key, [])
        chunks = self._chunks.setdefault(key, [])
        changes: list[Change] = []
        if lines:
            held = encode(lines)
            self._keep(key, _chunk(chunks[-1].number + 1 if chunks else 0, lines, held))
            self._due[key] = now + EVERY_S
            changes.append((LINES, key_text((*key, chunks[-1].number)), held))
        while len(chunks) > 1 and self._sizes[key] > KEPT_BYTES:
            changes.append(self._drop_oldest(key))
        return changes

    def forget_before(self, key: Key, time_ms: int) -> list[Change]:
        """Drop the lines of a log group (account, region, name) that are older than a time, chunk by chunk."""
        changes: list[Change] = []
        for stream_key, chunks in list(self._chunks.items()):
            while stream_key[:3] == key and chunks and chunks[0].newest_ms < time_ms:
                changes.append(self._drop_oldest(stream_key))
        return changes

    def _keep(self, key: Key, chunk: Chunk) -> None:
        self._chunks.setdefault(key, []).append(chunk)
        self._sizes[key] += chunk.size_bytes

    def _drop_oldest(self, key: Key) -> Change:
        chunk = self._chunks[key].pop(0)
        self._sizes[key] -= chunk.size_bytes
        events = self.streams.held[key]["events"]
        del events[: chunk.lines]
        return _gone(key, chunk)

    def _adopt_group(self, key: Key, group: dict[str, Any]) -> None:
        def adopt(name: str, stream: dict[str, Any]) -> None:
            self._key_of[id(stream)] = (*key, name)
            self.streams.held[(*key, name)] = stream
            if stream["events"] and not self._is_loading:
                self._note_lines((*key, name), stream["events"])

        def drop(name: str, stream: dict[str, Any]) -> None:
            self._key_of.pop(id(stream), None)
            self.streams.held.pop((*key, name), None)
            marks.mark(self, (*key, name))

        def note(name: str, _: bool) -> None:
            marks.mark(self.streams, (*key, name))

        streams = group.get("streams", {})
        if not isinstance(streams, marks.Noticed):
            for name, stream in streams.items():
                adopt(name, stream)
            group["streams"] = marks.Noticed(streams, note, adopt, drop)

    def _drop_group(self, _: Key, group: dict[str, Any]) -> None:
        for name in list(group.get("streams", {})):
            del group["streams"][name]


def _chunk(number: int, lines: list[Any], held: bytes) -> Chunk:
    return Chunk(number, len(lines), len(held), max(line["timestamp"] for line in lines))


def _gone(key: Key, chunk: Chunk) -> Change:
    return (LINES, key_text((*key, chunk.number)), None)
