"""DynamoDB: tables, their items (one record an item), and the records of their streams."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key, decode, encode, key_text
from greenroom.embedded.durable.histories import Found, Histories
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store
from greenroom.store.database import Change

ITEMS = "dynamodb.items"

COUNTS = ("ItemCount", "TableSizeBytes")
"""What a table says of its items: counted when they are read."""


class Tables:
    """The tables with everything in them. As a part of the state it is the items."""

    def __init__(self) -> None:
        from ministack.services import dynamodb

        self._records: dict[Key, list[Any]] = {}
        self._count = dynamodb._update_counts
        self._tables = Shelf("dynamodb.tables", left_out=("items", dynamodb._INDEX_MEMBERS, *COUNTS))
        self._trimmed = Shelf("dynamodb.trimmed")
        self._stream = Histories("dynamodb.stream", self._find_stream, self._put_stream)

    def install(self) -> None:
        """Have ministack note each item and each record of a stream that it writes or deletes."""
        from ministack.services import dynamodb

        self._tables.install(dynamodb._tables, take=self._mark_items, drop=self._mark_items)
        self._trimmed.install(dynamodb._stream_trimmed)
        self._records = dynamodb._stream_records._data = marks.Noticed(
            dynamodb._stream_records._data, lambda key, _: marks.mark(self._stream, key)
        )
        set_item, remove_item, items_replaced = dynamodb._set_item, dynamodb._remove_item, dynamodb._items_replaced

        def noted_set(table: dict[str, Any], partition: Any, sort: Any, item: Any) -> Any:
            before = set_item(table, partition, sort, item)
            marks.mark(self, (*_key_of(table), partition, sort))
            return before

        def noted_remove(table: dict[str, Any], partition: Any, sort: Any) -> Any:
            before = remove_item(table, partition, sort)
            marks.mark(self, (*_key_of(table), partition, sort))
            return before

        def noted_replaced(table: dict[str, Any]) -> None:
            items_replaced(table)
            self._mark_items(_key_of(table), table)

        dynamodb._set_item = noted_set
        dynamodb._remove_item = noted_remove
        dynamodb._items_replaced = noted_replaced

    def load(self, store: Store) -> None:
        """Fill the tables from the store."""
        self._tables.load(store)
        for _, table in dict.items(self._tables.held):
            table["items"] = defaultdict(dict)
        for _, held in store.ledger(ITEMS).records():
            *table_key, partition, sort, item = decode(held)
            dict.__getitem__(self._tables.held, tuple(table_key))["items"][partition][sort] = item
        for _, table in dict.items(self._tables.held):
            self._count(table)
        self._trimmed.load(store)
        self._stream.load(store)

    def changes(self, key: Key) -> list[Change]:
        """Return an item as it is now."""
        *table_key, partition, sort = key
        table = dict.get(self._tables.held, tuple(table_key)) or {}
        item = table.get("items", {}).get(partition, {}).get(sort)
        held = None if item is None else encode([*key, item])
        return [(ITEMS, key_text(key), held)]

    def around(self, key: Key) -> marks.Mark:
        """Return what a request touches that reads an item: its table."""
        return (self._tables, key[:3])

    def _mark_items(self, key: Key, table: dict[str, Any]) -> None:
        for partition, items in list(table.get("items", {}).items()):
            for sort in list(items):
                marks.mark(self, (*key, partition, sort))

    def _find_stream(self, key: Key) -> Found | None:
        records = dict.get(self._records, key)
        return None if records is None else (dict.get(self._trimmed.held, key, 0), records)

    def _put_stream(self, key: Key, found: Found) -> None:
        dict.__setitem__(self._records, key, found[1])
        dict.__setitem__(self._trimmed.held, key, found[0])


def _key_of(table: dict[str, Any]) -> Key:
    region, account = table["TableArn"].split(":", 5)[3:5]
    return (account, region, table["TableName"])
