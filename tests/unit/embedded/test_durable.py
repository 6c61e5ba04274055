"""The parts of which ministack's state in the store is made, without ministack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import decode, encode, key_of, key_text
from greenroom.embedded.durable.histories import Found, Histories
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store


class Container:
    """What ministack holds a dictionary in."""

    def __init__(self) -> None:
        self._data: dict[Any, Any] = {}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "records.sqlite")


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    marks._background.clear()


@pytest.mark.parametrize(
    "value",
    [
        {"text": "ä\ud800", "number": 1.5, "nothing": None, "list": [1, True]},
        {"bytes": b"\x00\xff", "set": {"b", "a"}},
        {("a", 1): {"nested": b"x"}, "b": [{2: "odd"}]},
        {"__bytes__": "not ours", "more": 1},
    ],
)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert decode(encode(value)) == value


def test_keys_are_read_as_they_were_written() -> None:
    key = ("000000000000", "us-east-1", ("bucket", "key/ü", None))
    assert key_of(key_text(key)) == key


class TestShelf:
    @pytest.fixture
    def shelf(self) -> tuple[Shelf, Container]:
        shelf, container = Shelf("room", left_out=("large",)), Container()
        shelf.install(container)
        return shelf, container

    def test_what_was_changed_in_place_is_found_because_it_was_asked_for(
        self, shelf: tuple[Shelf, Container], store: Store
    ) -> None:
        part, container = shelf
        container._data["key",] = {"large": "x", "tags": []}
        store.write(part.changes(("key",)))
        assert part.changes(("key",)) == []
        watch = marks.Watch()
        token = marks.watching.set(watch)
        container._data["key",]["tags"].append("new")
        marks.watching.reset(token)
        assert watch.marks == {(part, ("key",))}
        store.write(part.changes(("key",)))

        again, other = Shelf("room"), Container()
        again.install(other)
        store.barrier()
        again.load(store)
        assert dict(other._data) == {("key",): {"tags": ["new"]}}
        assert again.changes(("key",)) == []

    @pytest.mark.parametrize("remove", ["del", "pop", "clear"])
    def test_what_was_deleted_is_deleted(self, shelf: tuple[Shelf, Container], remove: str) -> None:
        part, container = shelf
        container._data["key",] = {"a": 1}
        part.changes(("key",))
        marks._background.clear()
        if remove == "del":
            del container._data["key",]
        elif remove == "pop":
            container._data.pop(("key",))
        else:
            container._data.clear()
        assert (part, ("key",)) in marks._background
        assert part.changes(("key",)) == [("room", '["key"]', None)]

    def test_what_others_read_is_not_looked_at(self) -> None:
        shelf, container = Shelf("room", read_by=("iam",)), Container()
        shelf.install(container)
        container._data["role",] = {}
        for service, expected in (("s3", 0), ("iam", 1)):
            watch = marks.Watch(service)
            token = marks.watching.set(watch)
            container._data.get(("role",))
            marks.watching.reset(token)
            assert len(watch.marks) == expected


@pytest.mark.parametrize("go", [list, lambda held: held.items(), lambda held: held.values()])
def test_who_goes_through_all_records_has_touched_any(go: Any) -> None:
    shelf, container = Shelf("room"), Container()
    shelf.install(container)
    watch = marks.Watch()
    token = marks.watching.set(watch)
    go(container._data)
    marks.watching.reset(token)
    assert watch.marks == {(shelf, marks.ANY)}


def test_what_is_touched_after_a_request_has_ended_is_looked_at_in_the_background_more_than_once() -> None:
    shelf, container = Shelf("room"), Container()
    shelf.install(container)
    watch = marks.Watch()
    token = marks.watching.set(watch)
    watch.is_open = False
    container._data.get(("key",))
    marks.watching.reset(token)
    assert watch.marks == set()
    assert [marks.take_background() for _ in range(marks.PASSES + 1)] == [*[[(shelf, ("key",))]] * marks.PASSES, []]


class TestHistories:
    @pytest.fixture
    def lists(self) -> dict[Any, Found]:
        return {}

    @pytest.fixture
    def histories(self, lists: dict[Any, Found]) -> Histories:
        return Histories("room", lists.get, lists.__setitem__)

    def test_only_new_entries_are_written_and_old_ones_go(
        self, histories: Histories, lists: dict[Any, Found], store: Store
    ) -> None:
        lists["key",] = (0, ["a", "b"])
        assert len(histories.changes(("key",))) == 2
        lists["key",] = (1, ["b", "c"])
        changes = histories.changes(("key",))
        assert [(key, value is None) for _, key, value in changes] == [('["key",0]', True), ('["key",2]', False)]
        store.write([("room", '["key",1]', encode("b")), *changes])
        store.barrier()
        found: dict[Any, Found] = {}
        Histories("room", found.get, found.__setitem__).load(store)
        assert found == {("key",): (1, ["b", "c"])}

    def test_another_list_under_the_same_key_replaces_the_first(
        self, histories: Histories, lists: dict[Any, Found]
    ) -> None:
        lists["key",] = (0, ["a", "b", "c"])
        histories.changes(("key",))
        lists["key",] = (0, ["d"])
        assert {key: value for _, key, value in histories.changes(("key",))} == {
            '["key",0]': encode("d"),
            '["key",1]': None,
            '["key",2]': None,
        }
        del lists["key",]
        assert [key for _, key, _ in histories.changes(("key",))] == ['["key",0]']
