"""Read a ZIP that a stranger has sent. Every bound is checked before unpacking, and counted while unpacking.

The format is read here, strictly, and not by `zipfile`: that trusts the ZIP about an entry's size, builds the whole
directory in memory before it can be counted, and reads some names in another way than other readers do. A ZIP that two
readers could understand in two ways is refused: the directory, the entries' own headers and the figures behind their
data have to agree, and there is not a byte between them. `rewrite` then writes another ZIP of what was read, in a form
that leaves no doubt to any reader; nothing else of a stranger's ZIP is ever unpacked.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections in the comments below).
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from greenroom.package.directory import (
    CENTRAL,
    DEFLATED,
    END,
    FIGURES_FOLLOW,
    MAX_UNPACKED_BYTES,
    MAX_ZIP_BYTES,
    REBUILD,
    SMALLER,
    UTF8,
    Record,
    check_extra,
    error,
    read_directory,
    refuse_collisions,
)
from greenroom.package.errors import PackageError
from greenroom.package.paths import shown

__all__ = ["MAX_UNPACKED_BYTES", "MAX_ZIP_BYTES", "Archive", "Entry", "PackageError"]

CHUNK_BYTES = 1 << 16

LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
DESCRIPTOR = struct.Struct("<3L")  # 4.3.9: what follows the data of a writer that can't seek
DESCRIPTOR_MARK = b"PK\7\10"  # 4.3.9.3: it may come first

UNIX, VERSION, FIRST_DATE = 3, 20, 0x21
"""What a ZIP says that is written here: the system whose modes it has, deflate as the feature needed (4.4.3), and the
first date that a ZIP can say (4.4.6)."""


@dataclass(frozen=True)
class Entry:
    """One file in the ZIP: its path with `/`, and its size as the ZIP says, which reading it checks."""

    path: str
    size_bytes: int


class Archive:
    """A ZIP whose directory has been checked; its files are read one at a time. Not for use by two threads."""

    def __init__(self, file: IO[bytes]) -> None:
        """Open a ZIP and check its directory.

        Args:
            file: the ZIP, seekable; it stays the caller's to close.

        Raises:
            PackageError: it is not a ZIP, or it breaks a bound or a rule of this module.
        """
        self._file = file
        self.size_bytes = file.seek(0, 2)
        if self.size_bytes > MAX_ZIP_BYTES:
            what = f"has {self.size_bytes:,} bytes; at most {MAX_ZIP_BYTES:,} are allowed"
            raise error("too_large", "ZIP", what, SMALLER)
        records, self._directory_offset = read_directory(file, self.size_bytes)
        self._files = {record.path: record for record in records if not record.is_folder}
        self._records = records
        refuse_collisions(records)
        self.total_bytes = sum(record.size_bytes for record in records)
        if self.total_bytes > MAX_UNPACKED_BYTES:
            what = f"unpacks to {self.total_bytes:,} bytes; at most {MAX_UNPACKED_BYTES:,} are allowed"
            raise error("too_large", "ZIP", what, SMALLER)

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the order of their paths."""
        for path in sorted(self._files):
            yield Entry(path, self._files[path].size_bytes)

    def __contains__(self, path: str) -> bool:
        """Whether there is a file at a path."""
        return path in self._files

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a file's bytes, with size and checksum verified.

        Raises PackageError if it is larger than `max_bytes` or can't be unpacked, KeyError if there is none.
        """
        if self._files[path].size_bytes > max_bytes:
            what = f"has {self._files[path].size_bytes:,} bytes; at most {max_bytes:,} are allowed"
            raise error("too_large", shown(path), what, SMALLER)
        return b"".join(self._content(self._files[path]))

    def head(self, path: str) -> bytes:
        """Return a file's first bytes, up to 64 KiB, not verified. Raises PackageError if they can't be unpacked."""
        return next(self._content(self._files[path]), b"")

    def rewrite(self, output: IO[bytes]) -> None:
        """Write a ZIP of the files: in order, without times, comments and anything else that a reader could miss.

        The same files, compressed in the same way, give the same bytes; a ZIP that was written here is written again as
        it is. Everything is unpacked on the way, to check sizes and checksums. Folders without a file are left out.

        Raises PackageError if the directory and the entries do not agree, or a file can't be unpacked.
        """
        self._check_layout()
        directory = []
        for path in sorted(self._files):
            directory.append(_central(self._files[path], output.tell()))
            output.write(_local(self._files[path]))
            for _ in self._content(self._files[path], copy=output):
                pass
        offset = output.tell()
        output.writelines(directory)
        length = sum(map(len, directory))
        output.write(END.pack(b"PK\5\6", 0, 0, len(directory), len(directory), length, offset, 0))

    def _check_layout(self) -> None:
        """Check that the entries follow each other, from the ZIP's first byte to its directory, and nothing else does.

        A reader that goes from entry to entry would find other files in a gap, and with entries that share bytes a
        small ZIP unpacks to a huge one.
        """
        end = 0
        for record in sorted(self._records, key=lambda each: each.offset):
            if record.offset < end:
                raise error("bomb", shown(record.path), "shares its bytes with another entry", REBUILD)
            _refuse_gap(record.offset - end)
            end = self._data_offset(record) + record.packed_bytes
            if record.flags & FIGURES_FOLLOW:
                end += self._descriptor_bytes(record, end)
            if record.is_folder:
                for _ in self._content(record):
                    pass
        _refuse_gap(self._directory_offset - end)

    def extract(self, folder: Path) -> None:
        """Unpack every file below a folder that is empty. Raises PackageError, or OSError from the disk."""
        for path, record in self._files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in self._content(record):
                    file.write(chunk)
            target.chmod(0o755 if record.executable else 0o644)

    def _content(self, record: Record, copy: IO[bytes] | None = None) -> Iterator[bytes]:
        """Yield an entry's unpacked bytes, counted: never more than the directory said. Packed bytes go into `copy`."""
        size_bytes = crc = 0
        try:
            packed = self._packed(record, copy)
            for chunk in _inflated(packed) if record.method == DEFLATED else packed:
                size_bytes += len(chunk)
                crc = zlib.crc32(chunk, crc)
                if size_bytes > record.size_bytes:
                    break
                yield chunk
        except zlib.error as fault:
            raise _corrupt(record, str(fault)) from None
        if size_bytes != record.size_bytes:
            more = "more" if size_bytes > record.size_bytes else "less"
            raise _corrupt(record, f"it unpacks to {more} than the {record.size_bytes:,} bytes that the directory says")
        if crc != record.crc:
            raise _corrupt(record, "its checksum is wrong")

    def _packed(self, record: Record, copy: IO[bytes] | None) -> Iterator[bytes]:
        position, left = self._data_offset(record), record.packed_bytes
        while left:
            self._file.seek(position)
            chunk = self._file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise zlib.error("its data ends too early")
            if copy is not None:
                copy.write(chunk)
            position, left = position + len(chunk), left - len(chunk)
            yield chunk

    def _data_offset(self, record: Record) -> int:
        """Return where an entry's data begins: after its own header, which has to agree with the directory (4.3.7)."""
        self._file.seek(record.offset)
        header = self._file.read(LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\3\4"):
            raise _corrupt(record, "the directory does not point at an entry")
        _, _, flags, method, _, _, crc, packed_bytes, size_bytes, name_bytes, extra_bytes = LOCAL.unpack(header)
        if self._file.read(name_bytes) != record.raw_name:
            raise _corrupt(record, "the directory and the entry have different names")
        check_extra(self._file.read(extra_bytes), record.raw_name, shown(record.path))
        figures = (crc, packed_bytes, size_bytes)
        # A writer that can't seek writes zeros, and the figures after the data (4.4.4, bit 3).
        said = figures == record.figures or (record.flags & FIGURES_FOLLOW and figures == (0, 0, 0))
        if (method, flags) != (record.method, record.flags) or not said:
            raise _corrupt(record, "the directory and the entry say different things")
        data_offset: int = record.offset + LOCAL.size + name_bytes + extra_bytes
        if data_offset + record.packed_bytes > self._directory_offset:
            raise _corrupt(record, "its data reaches beyond the entries")
        return data_offset

    def _descriptor_bytes(self, record: Record, at: int) -> int:
        """Return how long the figures after an entry's data are, which have to agree with the directory (4.3.9)."""
        self._file.seek(at)
        found = self._file.read(len(DESCRIPTOR_MARK) + DESCRIPTOR.size)
        right = DESCRIPTOR.pack(*record.figures)
        for said in (DESCRIPTOR_MARK + right, right):
            if found.startswith(said):
                return len(said)
        raise _corrupt(record, "the directory and the figures after its data say different things")


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        fed = inflater.unconsumed_tail or next(packed, b"")
        if not fed:
            raise zlib.error("its data ends too early")
        if chunk := inflater.decompress(fed, CHUNK_BYTES):
            yield chunk
    if inflater.unused_data or next(packed, b""):
        raise zlib.error("it has data after its end")


def _local(record: Record) -> bytes:
    """Return the header of a file in a ZIP that is written here."""
    name, flags = _written_name(record)
    figures = (VERSION, flags, record.method, 0, FIRST_DATE, *record.figures, len(name), 0)
    return LOCAL.pack(b"PK\3\4", *figures) + name


def _central(record: Record, offset: int) -> bytes:
    """Return the directory's record of a file in a ZIP that is written here."""
    name, flags = _written_name(record)
    figures = (
        UNIX << 8 | VERSION,
        VERSION,
        flags,
        record.method,
        0,
        FIRST_DATE,
        *record.figures,
        len(name),
        0,
        0,
        0,
        0,
    )
    mode = stat.S_IFREG | (0o755 if record.executable else 0o644)
    return CENTRAL.pack(b"PK\1\2", *figures, mode << 16, offset) + name


def _written_name(record: Record) -> tuple[bytes, int]:
    return record.path.encode(), 0 if record.path.isascii() else UTF8


def _refuse_gap(gap_bytes: int) -> None:
    if gap_bytes:
        raise error("no_zip", "ZIP", f"has {gap_bytes:,} bytes that belong to no entry", REBUILD)


def _corrupt(record: Record, why: str) -> PackageError:
    return error("corrupt", shown(record.path), f"can't be unpacked: {why}", REBUILD)
