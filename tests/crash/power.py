"""What a power cut may leave of a folder, from the trace that `shim.c` wrote.

Only what was synced counts. Of what was written to a file since its last sync any part may be there, in any order, and
the last sector that reached the disk may hold half of it. A name (made, renamed, removed) is only there for certain
when its folder was synced; of the later ones any beginning may be there.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEADER = struct.Struct("<QqIIII")
SECTOR = 512
SHIM = Path(__file__).with_name("shim.c")
IGNORED = ("engine/", "lock", "aws.log", "iam-log")
NOT_DATA = "-shm"
"""SQLite's shared memory, which is made again whenever the file is opened first.
https://www.sqlite.org/walformat.html#the_wal_index_file_format"""


@dataclass(frozen=True)
class Call:
    """One call that changed something, or synced it."""

    time_ns: int
    kind: str
    path: str
    offset: int
    more: bytes


def build_shim(target: Path) -> None:
    """Compile the shim. Raises FileNotFoundError where there is no C compiler."""
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(target), str(SHIM), "-ldl", "-lpthread"], check=True)


def calls(trace: Path) -> Iterator[Call]:
    """Return the calls of a trace, in order."""
    held, at = trace.read_bytes(), 0
    while at + HEADER.size <= len(held):
        time_ns, offset, kind, path_bytes, more_bytes, _ = HEADER.unpack_from(held, at)
        at += HEADER.size
        path = held[at : at + path_bytes].decode()
        at += path_bytes
        yield Call(time_ns, chr(kind), path, offset, held[at : at + more_bytes])
        at += more_bytes


@dataclass
class File:
    """What is in a file for certain, and what was done to it since."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        for call in self.since:
            _apply(self.certain, call, len(call.more))
        self.since.clear()

    def after_cut(self, rng: random.Random) -> bytes:
        """Return what may be in it after a power cut."""
        content = bytearray(self.certain)
        for call in self.since:
            fate = rng.choice(("there", "lost", "torn"))
            if fate == "there" or (fate == "torn" and not call.more):
                _apply(content, call, len(call.more))
            elif fate == "torn":
                _apply(content, call, rng.randrange(0, len(call.more) // SECTOR + 1) * SECTOR)
        return bytes(content)


class Disk:
    """A folder, as a power cut would find it."""

    def __init__(self) -> None:
        self._now: dict[str, File] = {}
        self._certain: dict[str, File | None] = {}
        self._since: dict[str, list[tuple[str, File | None]]] = {}

    def feed(self, call: Call) -> None:
        """Take note of one more call."""
        if call.path.endswith(NOT_DATA) or call.path.startswith(IGNORED):
            return
        if call.kind == "d":
            self._name(call.path, None, is_there=True)
        elif call.kind == "c":
            self._now[call.path] = File()
            self._name(call.path, self._now[call.path], is_there=True)
        elif call.kind in "wt":
            self._now.setdefault(call.path, File()).since.append(call)
        elif call.kind == "s" and call.path in self._now:
            self._now[call.path].sync()
        elif call.kind == "s":
            self._sync_folder("" if call.path == "." else call.path)
        elif call.kind == "r":
            moved = self._now.pop(call.path)
            self._now[call.more.decode()] = moved
            self._name(call.path, None, is_there=False)
            self._name(call.more.decode(), moved, is_there=True)
        elif call.kind == "u":
            self._now.pop(call.path, None)
            self._name(call.path, None, is_there=False)

    def cut(self, target: Path, rng: random.Random) -> None:
        """Write what a power cut leaves now to a folder."""
        names = dict(self._certain)
        for ops in self._since.values():
            for path, file in ops[: rng.randrange(len(ops) + 1)]:
                _set(names, path, file)
        for path in sorted(names):
            file = names[path]
            if not all(parent in names for parent in _parents(path)):
                continue
            place = target / path
            if file is None:
                place.mkdir(mode=0o700)
            else:
                place.write_bytes(file.after_cut(rng))

    def _name(self, path: str, file: File | None, *, is_there: bool) -> None:
        found = file if is_there else _GONE
        self._since.setdefault(path.rpartition("/")[0], []).append((path, found))

    def _sync_folder(self, folder: str) -> None:
        for path, file in self._since.pop(folder, []):
            _set(self._certain, path, file)


_GONE = File()


def _set(names: dict[str, File | None], path: str, file: File | None) -> None:
    if file is _GONE:
        names.pop(path, None)
    else:
        names[path] = file


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _apply(content: bytearray, call: Call, most: int) -> None:
    if call.kind == "t":
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
    elif most:
        content.extend(bytes(max(0, call.offset - len(content))))
        content[call.offset : call.offset + most] = call.more[:most]
