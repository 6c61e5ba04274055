"""Read a ZIP that a stranger has sent. Every bound is checked before unpacking, and counted while unpacking.

The format is read here, strictly, and not by `zipfile`: that trusts the ZIP about an entry's size, builds the whole
directory in memory before it can be counted, and reads some names in another way than other readers do. A ZIP that two
readers could understand in two ways is refused. Building a ZIP is in the room `workbench`.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections in the comments below).
"""

from __future__ import annotations

import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from greenroom.package.errors import PackageError

__all__ = ["MAX_UNPACKED_BYTES", "MAX_ZIP_BYTES", "Archive", "Entry", "PackageError"]

MIB = 1024 * 1024

MAX_ZIP_BYTES = 50 * MIB
"""Lambda takes 50 MB zipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_UNPACKED_BYTES = 249 * MIB
"""Lambda takes 250 MB unpacked, layers included (same page); the last one is for the equipment."""

MAX_FILE_BYTES = 128 * MIB
MAX_ENTRIES = 20_000
MAX_DIRECTORY_BYTES = 8 * MIB
MAX_PATH_CHARS = 240
MAX_DEPTH = 24

MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = MIB
"""A small file of one repeated byte is not a bomb."""

CHUNK_BYTES = 1 << 16

STORED, DEFLATED = 0, 8
MAX_VERSION_NEEDED = 63  # 4.4.3
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
UTF8 = 0x0800
KNOWN_FLAGS = UTF8 | 0x0002 | 0x0004 | 0x0008
"""The level of deflate, and sizes after the data (4.4.4). Every other flag is a patch, encryption and the like."""

DOS_FOLDER = 0x10
UNICODE_PATH = 0x7075
ZIP64_32, ZIP64_16 = 0xFFFFFFFF, 0xFFFF

END = struct.Struct("<4s4H2LH")  # 4.3.16
CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
DESCRIPTOR_BYTES = 24  # 4.3.9: what may follow an entry's data, at most
MAX_COMMENT_BYTES = 65_535

SMALLER = "Leave out what the algorithm does not need."
REBUILD = "Build it with `greenroom pack`."


@dataclass(frozen=True)
class Entry:
    """One file in the ZIP: its path with `/`, and its size as the ZIP says, which reading it checks."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class _Record:
    """One entry, as the directory describes it."""

    raw_name: bytes
    path: str
    is_folder: bool
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int
    executable: bool


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
            raise _error("too_large", "ZIP", what, SMALLER)
        records, self._directory_offset = _directory(file, self.size_bytes)
        self._files = {record.path: record for record in records if not record.is_folder}
        self._records = records
        _refuse_collisions(records)
        self.total_bytes = sum(record.size_bytes for record in records)
        if self.total_bytes > MAX_UNPACKED_BYTES:
            what = f"unpacks to {self.total_bytes:,} bytes; at most {MAX_UNPACKED_BYTES:,} are allowed"
            raise _error("too_large", "ZIP", what, SMALLER)

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
            raise _error("too_large", shown(path), what, SMALLER)
        return b"".join(self._content(self._files[path]))

    def head(self, path: str) -> bytes:
        """Return a file's first bytes, up to 64 KiB, not verified. Raises PackageError if they can't be unpacked."""
        return next(self._content(self._files[path]), b"")

    def verify(self) -> None:
        """Unpack everything to nowhere, to check sizes, checksums and that no bytes are shared. Raises PackageError."""
        end, between = 0, 0
        for record in sorted(self._records, key=lambda each: each.offset):
            # With entries that share bytes a small ZIP unpacks to a huge one, and its content depends on the reader.
            if record.offset < end:
                raise _error("bomb", shown(record.path), "shares its bytes with another entry", REBUILD)
            _refuse_gap(record.offset - end, between)
            for _ in self._content(record):
                pass
            end = self._data_offset(record) + record.packed_bytes
            between = DESCRIPTOR_BYTES
        _refuse_gap(self._directory_offset - end, between)

    def extract(self, folder: Path) -> None:
        """Unpack every file below a folder that is empty. Raises PackageError, or OSError from the disk."""
        for path, record in self._files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in self._content(record):
                    file.write(chunk)
            target.chmod(0o755 if record.executable else 0o644)

    def _content(self, record: _Record) -> Iterator[bytes]:
        """Yield an entry's unpacked bytes, counted: never more than the directory said."""
        size_bytes = crc = 0
        try:
            unpacked = self._inflated(record) if record.method == DEFLATED else self._stored(record)
            for chunk in unpacked:
                size_bytes += len(chunk)
                crc = zlib.crc32(chunk, crc)
                if size_bytes > record.size_bytes:
                    break
                yield chunk
        except zlib.error as error:
            raise _corrupt(record, str(error)) from None
        if size_bytes != record.size_bytes:
            more = "more" if size_bytes > record.size_bytes else "less"
            raise _corrupt(record, f"it unpacks to {more} than the {record.size_bytes:,} bytes that the directory says")
        if crc != record.crc:
            raise _corrupt(record, "its checksum is wrong")

    def _stored(self, record: _Record) -> Iterator[bytes]:
        position, left = self._data_offset(record), record.packed_bytes
        while left:
            self._file.seek(position)
            chunk = self._file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise zlib.error("its data ends too early")
            position, left = position + len(chunk), left - len(chunk)
            yield chunk

    def _inflated(self, record: _Record) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = self._stored(record)
        while not inflater.eof:
            fed = inflater.unconsumed_tail or next(packed, b"")
            if not fed:
                raise zlib.error("its data ends too early")
            if chunk := inflater.decompress(fed, CHUNK_BYTES):
                yield chunk
        if inflater.unused_data or next(packed, b""):
            raise zlib.error("it has data after its end")

    def _data_offset(self, record: _Record) -> int:
        """Return where an entry's data begins: after its own header, which has to agree with the directory (4.3.7)."""
        self._file.seek(record.offset)
        header = self._file.read(LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\3\4"):
            raise _corrupt(record, "the directory does not point at an entry")
        _, _, flags, method, _, _, crc, packed_bytes, size_bytes, name_bytes, extra_bytes = LOCAL.unpack(header)
        if self._file.read(name_bytes) != record.raw_name:
            raise _corrupt(record, "the directory and the entry have different names")
        # A writer that can't seek writes zeros, or the marks of ZIP64, and appends the figures (4.4.4, bit 3).
        unknown = (0, ZIP64_32)
        same = (
            method == record.method
            and not flags & ENCRYPTED
            and (size_bytes in unknown or size_bytes == record.size_bytes)
            and (packed_bytes in unknown or packed_bytes == record.packed_bytes)
            and crc in (0, record.crc)
        )
        if not same:
            raise _corrupt(record, "the directory and the entry say different things")
        data_offset: int = record.offset + LOCAL.size + name_bytes + extra_bytes
        if data_offset + record.packed_bytes > self._directory_offset:
            raise _corrupt(record, "its data reaches beyond the entries")
        return data_offset


def shown(name: str) -> str:
    """Return a name from a ZIP in a form that is safe in a message: bounded, and printable ASCII only."""
    text = name.encode("ascii", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= 100 else text[:99] + "…"


def _directory(file: IO[bytes], size_bytes: int) -> tuple[list[_Record], int]:
    """Read the directory at the end of the file; return its records and where it begins."""
    tail_offset = max(0, size_bytes - END.size - MAX_COMMENT_BYTES)
    file.seek(tail_offset)
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < END.size:
        raise _error("no_zip", "ZIP", "is not a ZIP, or only a part of one", REBUILD)
    _, disk, disk_of_directory, on_disk, count, length, offset, comment_bytes = END.unpack_from(tail, found)
    if ZIP64_16 in (on_disk, count) or ZIP64_32 in (length, offset) or tail[found - 20 : found - 16] == b"PK\6\7":
        raise _error("zip64", "ZIP", "is in the format ZIP64, which no ZIP of this size needs", REBUILD)
    if disk or disk_of_directory or on_disk != count:
        raise _error("no_zip", "ZIP", "is one part of several", REBUILD)
    if count > MAX_ENTRIES:
        raise _error("too_many", "ZIP", f"has {count:,} entries; at most {MAX_ENTRIES:,} are allowed", SMALLER)
    if length > MAX_DIRECTORY_BYTES:
        what = f"has a directory of {length:,} bytes; at most {MAX_DIRECTORY_BYTES:,} are allowed"
        raise _error("too_large", "ZIP", what, SMALLER)
    if offset + length != tail_offset + found or comment_bytes != len(tail) - found - END.size:
        raise _error("no_zip", "ZIP", "has bytes before or after its parts that belong to none of them", REBUILD)
    file.seek(offset)
    return _records(file.read(length), count), offset


def _records(directory: bytes, count: int) -> list[_Record]:
    """Read the directory's records: exactly `count`, which fill it."""
    records, position = [], 0
    for _ in range(count):
        if len(directory) - position < CENTRAL.size or directory[position : position + 4] != b"PK\1\2":
            break
        fields = CENTRAL.unpack_from(directory, position)
        name_bytes, extra_bytes, remark_bytes = fields[10:13]
        name_at = position + CENTRAL.size
        extra_at = name_at + name_bytes
        position = extra_at + extra_bytes + remark_bytes
        if position > len(directory):
            break
        records.append(_record(fields, directory[name_at:extra_at], directory[extra_at : extra_at + extra_bytes]))
    if len(records) != count or position != len(directory):
        raise _error("no_zip", "ZIP", "has a damaged directory", REBUILD)
    return records


def _record(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> _Record:
    """Check one entry as the directory describes it."""
    flags, method, crc, packed_bytes, size_bytes = fields[3], fields[4], fields[7], fields[8], fields[9]
    disk, attributes, offset = fields[13], fields[15], fields[16]
    name = _name(raw_name, flags, extra)
    where, is_folder = shown(name), name.endswith("/")
    path = name.removesuffix("/")
    _check_path(name, path, where)
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _error("not_a_file", where, "is a link or a device", "Put the file itself into the ZIP.")
    if (is_folder and size_bytes) or (not is_folder and (kind == stat.S_IFDIR or attributes & DOS_FOLDER)):
        raise _error("not_a_file", where, "is a file and a folder at once", REBUILD)
    if flags & ENCRYPTED:
        raise _error("encrypted", where, "is encrypted", "Zip it without a password.")
    if flags & ~KNOWN_FLAGS:
        raise _error("compression", where, f"uses features that Lambda does not support (flags {flags:#06x})", REBUILD)
    if method not in (STORED, DEFLATED):
        raise _error("compression", where, f"uses compression method {method}; allowed: stored, deflate", REBUILD)
    if ZIP64_32 in (packed_bytes, size_bytes, offset):
        raise _error("zip64", where, "is in the format ZIP64, which no ZIP of this size needs", REBUILD)
    if disk or (method == STORED and packed_bytes != size_bytes) or fields[2] & 0xFF > MAX_VERSION_NEEDED:
        raise _error("corrupt", where, "is described wrongly in the directory", REBUILD)
    if size_bytes > MAX_FILE_BYTES:
        raise _error("too_large", where, f"has {size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are allowed", SMALLER)
    ratio = size_bytes / max(1, packed_bytes)
    if size_bytes > RATIO_MATTERS_FROM_BYTES and ratio > MAX_RATIO:
        raise _error("bomb", where, f"unpacks to {ratio:,.0f} times its size; at most {MAX_RATIO} is allowed", SMALLER)
    executable = bool(attributes >> 16 & 0o111) and not is_folder
    return _Record(raw_name, path, is_folder, method, crc, packed_bytes, size_bytes, offset, executable)


def _name(raw: bytes, flags: int, extra: bytes) -> str:
    try:
        name = raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        where = shown(raw.decode("latin-1"))
        raise _error("bad_path", where, "has a name that is neither ASCII nor marked as UTF-8", "Rename it.") from None
    position = 0
    while position < len(extra):
        if len(extra) - position < 4:
            raise _error("corrupt", shown(name), "has a damaged field in the directory", REBUILD)
        identifier, length = struct.unpack_from("<HH", extra, position)
        # 4.6.9: a second name, after a version and a checksum; some readers take it, some do not.
        if identifier == UNICODE_PATH and extra[position + 9 : position + 4 + length] != raw:
            raise _error("bad_path", shown(name), "has two different names", "Rename it.")
        position += 4 + length
    if position != len(extra):
        raise _error("corrupt", shown(name), "has a damaged field in the directory", REBUILD)
    return name


def _check_path(name: str, path: str, where: str) -> None:
    parts = path.split("/")
    if "\\" in name or any(unicodedata.category(char) == "Cc" for char in name):
        raise _error("bad_path", where, "has a backslash or a control character in its name", "Rename it.")
    if name.startswith("/") or name[1:2] == ":":
        raise _error("absolute_path", where, "is an absolute path", "Zip the folder's content, not the folder's path.")
    if any(part in ("", ".", "..") for part in parts):
        what = "leads out of the package or has an empty part"
        raise _error("path_traversal", where, what, "Zip the folder's content, with paths that begin in it.")
    if len(name) > MAX_PATH_CHARS or len(parts) > MAX_DEPTH:
        allowed = f"at most {MAX_PATH_CHARS} characters and {MAX_DEPTH} levels are allowed"
        raise _error("bad_path", where, f"is too long or too deep; {allowed}", "Shorten it.")


def _refuse_collisions(records: list[_Record]) -> None:
    """Refuse names that are one file on some disks, which ignore case or how letters are composed."""
    files: dict[str, str] = {}
    for record in records:
        if record.is_folder:
            continue
        folded = _folded(record.path)
        if (other := files.get(folded)) is not None:
            what = "is there twice" if other == record.path else f"differs from {shown(other)} in case or accents only"
            raise _error("duplicate", shown(record.path), what, "Keep one of them.")
        files[folded] = record.path
    for record in records:
        parts = _folded(record.path).split("/")
        for depth in range(1, len(parts) + record.is_folder):
            if (other := files.get("/".join(parts[:depth]))) is not None:
                raise _error("duplicate", shown(other), "is a file and a folder", "Keep one of them.")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _refuse_gap(gap_bytes: int, allowed_bytes: int) -> None:
    # A reader that goes from entry to entry, without the directory, could find another entry there.
    if gap_bytes > allowed_bytes:
        raise _error("no_zip", "ZIP", f"has {gap_bytes:,} bytes that belong to no entry", REBUILD)


def _corrupt(record: _Record, why: str) -> PackageError:
    return _error("corrupt", shown(record.path), f"can't be unpacked: {why}", REBUILD)


def _error(code: str, where: str, what: str, hint: str) -> PackageError:
    return PackageError(code=code, where=where, fault=what, hint=hint)
