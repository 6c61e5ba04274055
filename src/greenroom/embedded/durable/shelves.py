"""A dictionary of ministack's whose values are small enough to be written whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key, decode, digest, encode, key_of, key_text
from greenroom.store import Store
from greenroom.store.database import Change

Taken = Callable[[Key, Any], None]
"""What is called with a key and its value."""


class Shelf:
    """The records of one dictionary of a module, one record a key."""

    def __init__(
        self,
        room: str,
        *,
        left_out: Collection[str] = (),
        read_by: Collection[str] | None = None,
        is_busy: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        """Describe the dictionary.

        Args:
            room: the ledger's name.
            left_out: the members of a value that are not written, or are written by another part.
            read_by: the services in whose requests a value that was only asked for may be changed. None: any.
            is_busy: whether a value is going to be changed by a task that keeps it: it is looked at again and again.
        """
        self.room = room
        self._left_out = frozenset(left_out)
        self._read_by = read_by
        self._is_busy = is_busy
        self._written: dict[Key, bytes] = {}
        self.held: marks.Noticed = marks.Noticed({}, self._note)

    def install(self, container: Any, take: Taken | None = None, drop: Taken | None = None) -> None:
        """Put a dictionary that is watched in the place of a container's own."""
        self.held = container._data = marks.Noticed(container._data, self._note, take, drop)

    def load(self, store: Store) -> None:
        """Fill the dictionary from the store."""
        for text, held in store.ledger(self.room).records():
            key = key_of(text)
            self._written[key] = digest(held)
            self.held.load(key, decode(held))

    def changes(self, key: Key) -> list[Change]:
        """Return the record as it is now, unless that is what was written last."""
        value = dict.get(self.held, key)
        if value is None:
            known = self._written.pop(key, None)
            return [] if known is None else [(self.room, key_text(key), None)]
        if self._is_busy(value):
            marks.mark_in_background(self, key)
        held = encode(self._written_part(value))
        now = digest(held)
        if self._written.get(key) == now:
            return []
        self._written[key] = now
        return [(self.room, key_text(key), held)]

    def _written_part(self, value: Any) -> Any:
        if self._left_out and isinstance(value, Mapping):
            return {name: part for name, part in value.items() if name not in self._left_out}
        return value

    def _note(self, key: Key, is_change: bool) -> None:
        if not is_change and self._read_by is not None:
            watch = marks.watching.get()
            if watch is None or watch.service not in self._read_by:
                return
        marks.mark(self, key)
