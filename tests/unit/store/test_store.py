"""The store: records, transactions, the barrier, and what it refuses to open."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from greenroom.store import DamagedStore, NewerStore, Store, StoreUnavailable
from greenroom.store.database import MARK_SUFFIX, mark_of, write_synced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "records.sqlite"


def test_a_record_is_visible_at_once_and_there_after_opening_again(path: Path) -> None:
    store = Store(path)
    table = store.table("lambda.functions")
    table.put("fn", {"name": "fn", "size": 3})
    table.put("zip", b"\x00\xff")
    assert table.get("fn") == {"name": "fn", "size": 3}
    assert "fn" in table and len(table) == 2
    store.close()

    again = Store(path).table("lambda.functions")
    assert again.items() == [("fn", {"name": "fn", "size": 3}), ("zip", b"\x00\xff")]


def test_a_record_that_a_caller_changes_stays_as_it_was_written(path: Path) -> None:
    table = Store(path).table("a")
    value = {"tags": ["one"]}
    table.put("k", value)
    value["tags"].append("two")
    table.get("k")["tags"].append("three")
    assert table.get("k") == {"tags": ["one"]}


def test_items_are_found_by_prefix_in_the_order_of_their_keys(path: Path) -> None:
    table = Store(path).table("a")
    for key in ("fn:2", "fn:1", "other"):
        table.put(key, {})
    assert [key for key, _ in table.items("fn:")] == ["fn:1", "fn:2"]
    assert table.keys() == ["fn:1", "fn:2", "other"]


def test_a_deleted_record_is_gone_after_opening_again(path: Path) -> None:
    store = Store(path)
    store.table("a").put("k", {})
    store.table("a").delete("k")
    store.table("a").delete("never there")
    assert store.table("a").get("k") is None
    store.close()
    assert Store(path).table("a").items() == []


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    store = Store(path)
    one, other = store.table("one"), store.table("other")
    one.put("k", {"n": 1})

    with pytest.raises(KeyError), store.transaction():
        one.put("k", {"n": 2})
        other.put("new", {})
        one.delete("k")
        raise KeyError

    assert one.get("k") == {"n": 1}
    assert other.items() == []
    store.close()
    assert Store(path).table("one").items() == [("k", {"n": 1})]


def test_a_transaction_in_a_transaction_is_part_of_it(path: Path) -> None:
    store = Store(path)
    table = store.table("a")
    with pytest.raises(KeyError), store.transaction():
        with store.transaction():
            table.put("k", {})
        raise KeyError
    assert table.get("k") is None


def test_a_ledger_is_written_with_the_tables_of_its_transaction(path: Path) -> None:
    store = Store(path)
    ledger, table = store.ledger("ledger"), store.table("table")
    with store.transaction():
        table.put("k", {})
        store.write([("ledger", "one", b"1"), ("ledger", "two", b"2")])
    with pytest.raises(KeyError), store.transaction():
        store.write([("ledger", "three", b"3")])
        raise KeyError
    number = store.write([("ledger", "one", None)])
    store.barrier()
    assert store.durable == number
    assert ledger.records() == [("two", b"2")]
    assert (ledger.get("two"), ledger.get("one")) == (b"2", None)


def test_what_may_lag_is_waited_for_by_nobody_and_shares_the_next_commit(path: Path) -> None:
    store = Store(path)
    commits = store.commits
    store.write([("ledger", "lines", b"1")], may_lag=True)
    assert store.is_durable
    store.barrier()
    assert store.commits == commits
    store.write([("ledger", "item", b"2")])
    store.barrier()
    assert (store.commits, store.ledger("ledger").get("lines")) == (commits + 1, b"1")
    store.write([("ledger", "later", b"3")], may_lag=True)
    while store.ledger("ledger").get("later") is None:
        threading.Event().wait(0.01)
    store.write([("ledger", "last", b"4")], may_lag=True)
    store.close()
    assert Store(path).ledger("ledger").get("last") == b"4"


def test_a_barrier_waits_for_no_more_than_it_is_asked_for(path: Path) -> None:
    store = Store(path)
    first = store.write([("ledger", "first", b"1")])
    store.barrier(first)
    holding = sqlite3.connect(path, isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")  # nothing can be committed meanwhile
    store.write([("ledger", "second", b"2")])
    store.barrier(first)
    asyncio.run(store.barrier_async(first))
    assert not store.is_durable
    holding.execute("ROLLBACK")
    store.barrier()
    assert store.ledger("ledger").get("second") == b"2"


def _write_until_killed(path: Path, acknowledged: int) -> None:
    store = Store(path)
    left, right = store.table("left"), store.table("right")
    for number in range(1_000_000):
        with store.transaction():
            left.put(str(number), {"n": number})
            right.put(str(number), {"n": number})
        store.barrier()
        os.write(acknowledged, f"{number}\n".encode())


def test_what_the_barrier_let_through_is_there_after_a_kill_and_transactions_are_whole(path: Path) -> None:
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_write_until_killed, args=(path, writing))
    process.start()
    os.close(writing)
    seen = b""
    while seen.count(b"\n") < 30:
        seen += os.read(reading, 1_000)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while more := os.read(reading, 1_000):
        seen += more
    os.close(reading)
    acknowledged = [int(line) for line in seen.split()]

    store = Store(path)
    left, right = store.table("left").keys(), store.table("right").keys()
    assert left == right
    assert set(map(str, acknowledged)) <= set(left)


def test_many_who_wait_share_commits(path: Path) -> None:
    store = Store(path)
    table = store.table("a")

    async def write(number: int) -> None:
        table.put(str(number), {"n": number})
        await store.barrier_async()

    async def write_all() -> None:
        await asyncio.gather(*(write(number) for number in range(200)))

    before = store.commits
    asyncio.run(write_all())
    assert store.is_durable
    assert store.commits - before < 50


def test_threads_write_without_losing_anything(path: Path) -> None:
    store = Store(path)
    table = store.table("a")

    def write(thread: int) -> None:
        for number in range(50):
            table.put(f"{thread}-{number}", {})
            if number % 10 == 0:
                store.barrier()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(Store(path).table("a")) == 400


def test_a_copy_made_while_it_is_written_opens_and_holds_what_was_written_before(path: Path, tmp_path: Path) -> None:
    store = Store(path)
    store.table("a").put("k", {"n": 1})
    store.back_up(tmp_path / "copy.sqlite")
    found = sqlite3.connect(tmp_path / "copy.sqlite").execute("SELECT key FROM records").fetchall()
    assert found == [("k",)]


class TestRefused:
    @pytest.fixture
    def written(self, path: Path) -> Path:
        store = Store(path)
        for number in range(500):
            store.table("a").put(f"key-{number}", {"text": "some text that is found again " * 5})
        store.close()
        return path

    def test_the_missing_file(self, written: Path) -> None:
        written.unlink()
        with pytest.raises(DamagedStore, match=r"records\.sqlite is missing"):
            Store(written)
        assert not written.exists()

    def test_the_missing_mark(self, written: Path) -> None:
        written.with_name(written.name + MARK_SUFFIX).unlink()
        with pytest.raises(DamagedStore, match=r"records\.sqlite\.mark is missing"):
            Store(written)

    @pytest.mark.parametrize("size", [0, 1, 23])
    def test_a_mark_cut_short(self, written: Path, size: int) -> None:
        os.truncate(written.with_name(written.name + MARK_SUFFIX), size)
        with pytest.raises(DamagedStore, match="does not agree with its checksum"):
            Store(written)

    @pytest.mark.parametrize("size", [0, 100, 4096, 20_000])
    def test_a_file_cut_short(self, written: Path, size: int) -> None:
        os.truncate(written, size)
        with pytest.raises(DamagedStore):
            Store(written)

    def test_a_bit_flipped_inside_a_string(self, written: Path) -> None:
        held = bytearray(written.read_bytes())
        held[held.index(b"found again")] ^= 1
        written.write_bytes(held)
        with pytest.raises(DamagedStore, match="does not agree with its checksum"):
            Store(written)

    def test_a_record_taken_out_by_another_program(self, written: Path) -> None:
        connection = sqlite3.connect(written)
        connection.execute("DELETE FROM records WHERE key = 'key-7'")
        connection.commit()
        connection.close()
        with pytest.raises(DamagedStore, match="missing, or are older"):
            Store(written)

    def test_a_log_whose_end_is_lost(self, path: Path) -> None:
        store = Store(path)
        for number in range(20):
            store.table("a").put(str(number), {})
            store.barrier()
        log = path.with_name(path.name + "-wal")
        os.truncate(log, log.stat().st_size - 100)
        copy = path.parent.parent / "copy" / path.name
        copy.parent.mkdir()
        for suffix in ("", "-wal", MARK_SUFFIX):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
        with pytest.raises(DamagedStore, match=r"has \d+ of \d+ commits"):
            Store(copy)

    def test_nothing_where_the_first_start_was_killed(self, path: Path) -> None:
        path.parent.mkdir()
        write_synced(path.with_name(path.name + MARK_SUFFIX), mark_of(0))
        path.touch()
        assert Store(path).table("a").keys() == []

    def test_a_newer_format(self, written: Path) -> None:
        connection = sqlite3.connect(written)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(NewerStore, match="format 99"):
            Store(written)

    def test_a_file_of_another_program(self, written: Path) -> None:
        connection = sqlite3.connect(written)
        connection.execute("PRAGMA application_id = 7")
        connection.close()
        with pytest.raises(DamagedStore, match="not a store of Greenroom"):
            Store(written)


class TestTrouble:
    def test_who_waits_is_told_and_the_writes_go_on_when_the_disk_takes_them(self, path: Path) -> None:
        store = Store(path)
        table = store.table("a")
        table.put("before", {})
        store.barrier()
        connection = sqlite3.connect(path, isolation_level=None)
        # A lock that is held longer than the writer waits is what a disk that takes nothing looks like to it.
        store._database._connection.execute("PRAGMA busy_timeout = 10")
        connection.execute("BEGIN IMMEDIATE")
        table.put("meanwhile", {})
        with pytest.raises(StoreUnavailable, match=r"can't be kept in .*records\.sqlite"):
            store.barrier()
        assert store.trouble and not store.is_durable
        with pytest.raises(StoreUnavailable):
            asyncio.run(store.barrier_async())

        connection.execute("ROLLBACK")
        while store.trouble:
            threading.Event().wait(0.01)
        store.barrier()
        store.close()
        assert Store(path).table("a").keys() == ["before", "meanwhile"]
