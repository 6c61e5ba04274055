"""SQS: queues, and their messages, one record a message."""

from __future__ import annotations

from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key, decode, encode, key_text
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store
from greenroom.store.database import Change

MESSAGES = "sqs.messages"

COUNTED = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


class Queues:
    """The queues with their messages. As a part of the state it is the messages."""

    def __init__(self) -> None:
        self._queues = _QueueShelf("sqs.queues", left_out=("messages",))
        self._written: dict[Key, dict[str, tuple[Any, ...]]] = {}

    def install(self) -> None:
        """Have ministack note each queue that it touches."""
        from ministack.services import sqs

        self._queues.install(sqs._queues)
        shelf_note = self._queues._note

        def note(key: Key, is_change: bool) -> None:
            shelf_note(key, is_change)
            marks.mark(self, key)

        sqs._queues._data = self._queues.held = marks.Noticed(self._queues.held, note)

    def load(self, store: Store) -> None:
        """Fill the queues from the store."""
        from ministack.services import sqs

        self._queues.load(store)
        for _, queue in dict.items(self._queues.held):
            queue["messages"] = []
        for _, held in store.ledger(MESSAGES).records():
            *key, message = decode(held)
            dict.__getitem__(self._queues.held, tuple(key))["messages"].append(message)
            self._written.setdefault(tuple(key), {})[message["id"]] = _state_of(message)
        for _, queue in dict.items(self._queues.held):
            queue["messages"].sort(key=lambda message: (message.get("seq") or "", message["sent_at"]))
        sqs._rebuild_queue_name_index()

    def changes(self, key: Key) -> list[Change]:
        """Return the messages of a queue that came, changed or went."""
        come, others = self.split_changes(key)
        return come + others

    def split_changes(self, key: Key) -> tuple[list[Change], list[Change]]:
        """Return the messages that came, and apart from them those that changed or went.

        Where it is no caller who took a message, the second may lag: after a kill it comes again, as on SQS.
        """
        queue = dict.get(self._queues.held, key)
        written = self._written.setdefault(key, {})
        come: list[Change] = []
        others: list[Change] = []
        there = set()
        for message in list(queue["messages"]) if queue else ():
            name, state = message["id"], _state_of(message)
            there.add(name)
            if (before := written.get(name)) != state:
                written[name] = state
                change = (MESSAGES, key_text((*key, name)), encode([*key, message]))
                (come if before is None else others).append(change)
        if len(there) < len(written):
            for name in [name for name in written if name not in there]:
                del written[name]
                others.append((MESSAGES, key_text((*key, name)), None))
        if queue is None:
            del self._written[key]
        return come, others


class _QueueShelf(Shelf):
    def _written_part(self, value: Any) -> Any:
        queue = super()._written_part(value)
        return {**queue, "attributes": {name: it for name, it in queue["attributes"].items() if name not in COUNTED}}


def _state_of(message: dict[str, Any]) -> tuple[Any, ...]:
    """Return what changes of a message while it is in a queue."""
    return (message.get("receipt_handle"), message.get("visible_at"), message.get("receive_count"))
