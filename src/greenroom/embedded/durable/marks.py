"""Which records may have changed: those that a request, or something in the background, has touched.

Values are changed in place, so a record counts as touched when it is read as well. What was touched by a request is
looked at when the request ends; what was touched outside of one, a moment later and once more after that, because it
may be changed after it was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from greenroom.embedded.durable.codec import Key
from greenroom.store.database import Change

ANY: Key = ()
"""The key that stands for all of a part's records: it was gone through all of them."""

PASSES = 3
"""How often what was touched in the background is looked at."""


class Part(Protocol):
    """A part of ministack's state, with records of its own."""

    def changes(self, key: Key) -> list[Change]:
        """Return what has to be written so that the record in the store is as it is in memory."""


Mark = tuple[Part, Key]


class Watch:
    """What one request has touched."""

    def __init__(self, service: str = "") -> None:
        self.service = service
        self.marks: set[Mark] = set()
        self.is_open = True


watching: ContextVar[Watch | None] = ContextVar("watching", default=None)
"""The request that this code runs for. Tasks and threads that a request starts inherit it, and may outlive it."""

_background: dict[Mark, int] = {}
_background_lock = threading.Lock()


def mark(part: Part, key: Key) -> None:
    """Note that a record may have changed."""
    watch = watching.get()
    if watch is not None and watch.is_open:
        watch.marks.add((part, key))
    else:
        mark_in_background(part, key)


def mark_in_background(part: Part, key: Key) -> None:
    """Note that a record may be changed by something that is no request, now or soon."""
    with _background_lock:
        _background[part, key] = PASSES


def take_background() -> list[Mark]:
    """Return what was touched in the background and has to be looked at."""
    with _background_lock:
        found = list(_background)
        for each in found:
            _background[each] -= 1
            if not _background[each]:
                del _background[each]
    return found


class Noticed(dict[Any, Any]):
    """A dictionary that notes which of its keys are asked for, set or deleted."""

    __slots__ = ("_drop", "_note", "_take")

    def __init__(
        self,
        held: Mapping[Any, Any],
        note: Callable[[Any, bool], None],
        take: Callable[[Any, Any], None] | None = None,
        drop: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Take over what is held.

        Args:
            held: the dictionary that this one replaces.
            note: called with a key and whether it was set or deleted, rather than asked for.
            take: called with a key and a value before the value is set.
            drop: called with a key and the value that it had, when it is deleted.
        """
        self._note = note
        self._take = take
        self._drop = drop
        super().__init__(held)

    def __getitem__(self, key: Any) -> Any:
        self._note(key, False)
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what a key has, as a dictionary does."""
        self._note(key, False)
        return super().get(key, default)

    def __iter__(self) -> Iterator[Any]:
        self._note(ANY, False)
        return super().__iter__()

    def items(self) -> Any:
        """Return what there is, as a dictionary does."""
        self._note(ANY, False)
        return super().items()

    def values(self) -> Any:
        """Return the values, as a dictionary does."""
        self._note(ANY, False)
        return super().values()

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._take:
            self._take(key, value)
        super().__setitem__(key, value)
        self._note(key, True)

    def load(self, key: Any, value: Any) -> None:
        """Set a key to what is in the store: that is no change."""
        if self._take:
            self._take(key, value)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key, as a dictionary does."""
        was_there = key in self
        value = super().pop(key, *default)
        if was_there and self._drop:
            self._drop(key, value)
        self._note(key, True)
        return value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return what a key has, or set it, as a dictionary does."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **more: Any) -> None:
        """Set many keys, as a dictionary does."""
        for key, value in dict(*others, **more).items():
            self[key] = value

    def clear(self) -> None:
        """Remove every key."""
        for key in list(self.keys()):
            del self[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        import copy

        return copy.deepcopy(dict(self), memo)
