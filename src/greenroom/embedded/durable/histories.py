"""Lists that only grow at their end and shrink at their beginning, one record an entry: histories, events, streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenroom.embedded.durable.codec import Key, decode, encode, key_of, key_text
from greenroom.store import Store
from greenroom.store.database import Change

Found = tuple[int, list[Any]]
"""A list as it is in memory: how many entries were dropped from its beginning, and those that are left."""


class Histories:
    """The lists of one kind, by key."""

    def __init__(self, room: str, find: Callable[[Key], Found | None], put: Callable[[Key, Found], None]) -> None:
        """Describe the lists.

        Args:
            room: the ledger's name.
            find: returns a key's list, or None where there is none any more.
            put: takes a key's list when it has been read from the store.
        """
        self.room = room
        self._find = find
        self._put = put
        self._written: dict[Key, tuple[int, int]] = {}

    def load(self, store: Store) -> None:
        """Hand over every list."""
        entries: dict[Key, dict[int, Any]] = {}
        for text, held in store.ledger(self.room).records():
            *key, number = key_of(text)
            entries.setdefault(tuple(key), {})[number] = decode(held)
        for key_, found in entries.items():
            first, last = min(found), max(found)
            self._written[key_] = (first, last + 1)
            self._put(key_, (first, [found[number] for number in sorted(found)]))

    def changes(self, key: Key) -> list[Change]:
        """Return the entries that are new, and those that are gone."""
        begin, end = self._written.get(key, (0, 0))
        found = self._find(key)
        if found is None:
            self._written.pop(key, None)
            return [self._gone(key, number) for number in range(begin, end)]
        first, entries = found[0], list(found[1])
        last = first + len(entries)
        if last < end or first < begin:  # another list under the same key
            changes = [self._gone(key, number) for number in range(begin, end)]
            begin, end = first, first
        else:
            changes = [self._gone(key, number) for number in range(begin, min(first, end))]
        for number in range(max(first, end), last):
            changes.append((self.room, key_text((*key, number)), encode(entries[number - first])))
        if last == first:
            self._written.pop(key, None)
        else:
            self._written[key] = (first, last)
        return changes

    def _gone(self, key: Key, number: int) -> Change:
        return (self.room, key_text((*key, number)), None)
