"""Read the directory of a ZIP that a stranger has sent: what each entry says of itself, checked before it is unpacked.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections in the comments below).
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import IO

from greenroom.package.errors import PackageError
from greenroom.package.paths import check_path, folded, shown

MIB = 1024 * 1024

MAX_ZIP_BYTES = 50 * MIB
"""Lambda takes 50 MB zipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_UNPACKED_BYTES = 249 * MIB
"""Lambda takes 250 MB unpacked, layers included (same page); the last one is for the equipment."""

MAX_FILE_BYTES = 128 * MIB
MAX_ENTRIES = 20_000
MAX_DIRECTORY_BYTES = 8 * MIB

MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = MIB
"""A small file of one repeated byte is not a bomb."""

STORED, DEFLATED = 0, 8
MAX_VERSION_NEEDED = 63  # 4.4.3
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
UTF8 = 0x0800
FIGURES_FOLLOW = 0x0008
KNOWN_FLAGS = UTF8 | 0x0002 | 0x0004 | FIGURES_FOLLOW
"""The level of deflate, and figures after the data (4.4.4). Every other flag is a patch, encryption and the like."""

DOS_FOLDER = 0x10
ZIP64_FIELD, UNICODE_PATH = 0x0001, 0x7075  # 4.5.3 and 4.6.9
ZIP64_32, ZIP64_16 = 0xFFFFFFFF, 0xFFFF

END = struct.Struct("<4s4H2LH")  # 4.3.16
CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
ZIP64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
MAX_COMMENT_BYTES = 65_535

SMALLER = "Leave out what the algorithm does not need."
REBUILD = "Build it with `greenroom pack`."


@dataclass(frozen=True)
class Record:
    """One entry, as the directory describes it."""

    raw_name: bytes
    path: str
    is_folder: bool
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int
    executable: bool

    @property
    def figures(self) -> tuple[int, int, int]:
        """What a header says of the data: its checksum and its sizes, packed and unpacked."""
        return self.crc, self.packed_bytes, self.size_bytes


def read_directory(file: IO[bytes], size_bytes: int) -> tuple[list[Record], int]:
    """Read the directory at the end of the file; return its records and where it begins."""
    end_offset = size_bytes - END.size
    file.seek(max(0, end_offset - ZIP64_LOCATOR.size))
    tail = file.read()
    if end_offset < 0 or tail[-END.size :][:4] != b"PK\5\6":
        raise _no_end(file, size_bytes)
    _, disk, disk_of_directory, on_disk, count, length, offset, comment_bytes = END.unpack(tail[-END.size :])
    if ZIP64_16 in (on_disk, count) or ZIP64_32 in (length, offset) or tail[: -END.size].startswith(b"PK\6\7"):
        raise error("zip64", "ZIP", "is in the format ZIP64, which no ZIP of this size needs", REBUILD)
    if disk or disk_of_directory or on_disk != count:
        raise error("no_zip", "ZIP", "is one part of several", REBUILD)
    if count > MAX_ENTRIES:
        raise error("too_many", "ZIP", f"has {count:,} entries; at most {MAX_ENTRIES:,} are allowed", SMALLER)
    if length > MAX_DIRECTORY_BYTES:
        what = f"has a directory of {length:,} bytes; at most {MAX_DIRECTORY_BYTES:,} are allowed"
        raise error("too_large", "ZIP", what, SMALLER)
    if offset + length != end_offset or comment_bytes:
        raise error("no_zip", "ZIP", "has bytes before or after its parts that belong to none of them", REBUILD)
    file.seek(offset)
    return _records(file.read(length), count), offset


def _no_end(file: IO[bytes], size_bytes: int) -> PackageError:
    """Return what is wrong with a file that does not end with the directory's end."""
    file.seek(max(0, size_bytes - END.size - MAX_COMMENT_BYTES))
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if (
        found >= 0
        and len(tail) - found >= END.size
        and END.unpack_from(tail, found)[-1] == len(tail) - found - END.size
    ):
        # Other readers look for the end from both sides of a comment.
        return error("comment", "ZIP", "has a comment, in which another directory could be", REBUILD)
    return error("no_zip", "ZIP", "is not a ZIP, or only a part of one", REBUILD)


def _records(directory: bytes, count: int) -> list[Record]:
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
        if remark_bytes:
            where = shown(directory[name_at:extra_at].decode("latin-1"))
            raise error("comment", where, "has a comment, in which another directory could be", REBUILD)
        records.append(_record(fields, directory[name_at:extra_at], directory[extra_at : extra_at + extra_bytes]))
    if len(records) != count or position != len(directory):
        raise error("no_zip", "ZIP", "has a damaged directory", REBUILD)
    return records


def _record(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Record:
    """Check one entry as the directory describes it."""
    flags, method, crc, packed_bytes, size_bytes, attributes, offset = (fields[at] for at in (3, 4, 7, 8, 9, 15, 16))
    name = _name(raw_name, flags)
    where, is_folder = shown(name), name.endswith("/")
    path = name.removesuffix("/")
    check_path(name)
    check_extra(extra, raw_name, where)
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise error("not_a_file", where, "is a link or a device", "Put the file itself into the ZIP.")
    if (is_folder and size_bytes) or (not is_folder and (kind == stat.S_IFDIR or attributes & DOS_FOLDER)):
        raise error("not_a_file", where, "is a file and a folder at once", REBUILD)
    _check_form(fields, where)
    if size_bytes > MAX_FILE_BYTES:
        raise error("too_large", where, f"has {size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are allowed", SMALLER)
    ratio = size_bytes / max(1, packed_bytes)
    if size_bytes > RATIO_MATTERS_FROM_BYTES and ratio > MAX_RATIO:
        raise error("bomb", where, f"unpacks to {ratio:,.0f} times its size; at most {MAX_RATIO} is allowed", SMALLER)
    executable = bool(attributes >> 16 & 0o111) and not is_folder
    return Record(raw_name, path, is_folder, flags, method, crc, packed_bytes, size_bytes, offset, executable)


def _check_form(fields: tuple[int, ...], where: str) -> None:
    """Check how an entry is stored, as the directory describes it."""
    flags, method, packed_bytes, size_bytes, disk, offset = (fields[at] for at in (3, 4, 8, 9, 13, 16))
    if flags & ENCRYPTED:
        raise error("encrypted", where, "is encrypted", "Zip it without a password.")
    if flags & ~KNOWN_FLAGS:
        raise error("compression", where, f"uses features that Lambda does not support (flags {flags:#06x})", REBUILD)
    if method not in (STORED, DEFLATED):
        raise error("compression", where, f"uses compression method {method}; allowed: stored, deflate", REBUILD)
    if ZIP64_32 in (packed_bytes, size_bytes, offset):
        raise error("zip64", where, "is in the format ZIP64, which no ZIP of this size needs", REBUILD)
    if disk or (method == STORED and packed_bytes != size_bytes) or fields[2] & 0xFF > MAX_VERSION_NEEDED:
        raise error("corrupt", where, "is described wrongly in the directory", REBUILD)
    if method == STORED and size_bytes and flags & FIGURES_FOLLOW:
        # A reader that goes from entry to entry can't know where such data ends.
        raise error("compression", where, "is stored without its size in front of it", REBUILD)


def _name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        where = shown(raw.decode("latin-1"))
        raise error("bad_path", where, "has a name that is neither ASCII nor marked as UTF-8", "Rename it.") from None


def check_extra(extra: bytes, raw_name: bytes, where: str) -> None:
    """Check the extra fields of an entry, in the directory or in front of its data."""
    position = 0
    while len(extra) - position >= 4:
        identifier, length = struct.unpack_from("<HH", extra, position)
        if identifier == ZIP64_FIELD:
            raise error("zip64", where, "is in the format ZIP64, which no ZIP of this size needs", REBUILD)
        # A second name, after a version and a checksum; some readers take it, some do not.
        if identifier == UNICODE_PATH and extra[position + 9 : position + 4 + length] != raw_name:
            raise error("bad_path", where, "has two different names", "Rename it.")
        position += 4 + length
    if position != len(extra):
        raise error("corrupt", where, "has a damaged extra field", REBUILD)


def refuse_collisions(records: list[Record]) -> None:
    """Refuse names that are one file on some disks, which ignore case or how letters are composed."""
    files: dict[str, str] = {}
    for record in records:
        if record.is_folder:
            continue
        key = folded(record.path)
        if (other := files.get(key)) is not None:
            what = "is there twice" if other == record.path else f"differs from {shown(other)} in case or accents only"
            raise error("duplicate", shown(record.path), what, "Keep one of them.")
        files[key] = record.path
    for record in records:
        parts = folded(record.path).split("/")
        for depth in range(1, len(parts) + record.is_folder):
            if (other := files.get("/".join(parts[:depth]))) is not None:
                raise error("duplicate", shown(other), "is a file and a folder", "Keep one of them.")


def error(code: str, where: str, what: str, hint: str) -> PackageError:
    """Return the fault of a ZIP."""
    return PackageError(code=code, where=where, fault=what, hint=hint)
